"""What each paper of the example corpus shows: one function per figure, and the table of all files.

The data are made up, but by the formula that the paper discusses and with fixed seeds, so that a number in
a caption can be read off the plot.
"""

from collections.abc import Callable

import draw
import numpy as np
from draw import BLACK, WHITE, Drawing
from PIL import Image
from plots import (
    BLUE,
    GREEN,
    GREY,
    GREYS,
    HOT,
    LIGHT,
    ORANGE,
    PURPLE,
    RED,
    RED_BLUE,
    VIRIDIS,
    Values,
    arrow,
    axes,
    coloured,
    labelled_box,
    smooth_noise,
)

# -------------------------------------------------------------------------------- string-potential (1998)


def static_potential() -> Drawing:
    plot = axes((0, 1.6), (-1.5, 1.5)).frame("R [fm]", "V(R) [GeV]")
    r = np.linspace(0.1, 1.6, 150)
    plot.curve(r, -0.052 / r * 2 + 0.88 * r - 0.12, BLACK)
    random = np.random.default_rng(1)
    for colour, start in ((BLUE, 0.12), (RED, 0.18), (GREEN, 0.24)):
        x = np.arange(start, 1.5, 0.12)
        noise = 0.02 + 0.08 * (x / 1.5) ** 2
        y = -0.104 / x + 0.88 * x - 0.12 + random.standard_normal(len(x)) * noise * 0.6
        plot.points(x, y, colour, errors=noise)
    plot.legend([("beta = 5.7", BLUE), ("beta = 6.0", RED), ("beta = 6.2", GREEN), ("fit", BLACK)], 0.06)
    return plot.drawing


def level_scheme() -> Drawing:
    plot = axes((0, 4), (2.8, 4.3))
    plot.frame("", "mass [GeV]")
    for i, (name, found, computed) in enumerate(
        [
            ("S (J=0)", (2.98, 3.59), (2.99, 3.63)),
            ("S (J=1)", (3.10, 3.69, 4.04), (3.09, 3.68, 4.10)),
            ("P", (3.42, 3.51, 3.56), (3.44, 3.50, 3.54)),
            ("D", (3.77, 4.16), (3.81, 4.19)),
        ]
    ):
        plot.drawing.text((plot.at(i + 0.5, 2.8)[0], 24), name, 11, 0.5)
        for mass in found:
            plot.drawing.line([plot.at(i + 0.15, mass), plot.at(i + 0.45, mass)], BLACK, 2)
        for mass in computed:
            plot.drawing.line([plot.at(i + 0.52, mass), plot.at(i + 0.85, mass)], RED, 2, (5, 3))
    plot.drawing.line([plot.at(0, 3.73), plot.at(4, 3.73)], GREY, 0.7, (2, 2))
    plot.note(2.05, 3.75, "open charm threshold", 8, GREY)
    plot.legend([("observed", BLACK), ("string model", RED)], 0.02)
    return plot.drawing


# -------------------------------------------------------------------------------- kicked-rotor (1998)


def poincare_section() -> Drawing:
    plot = axes((0, 6.2832), (0, 6.2832), width=330, height=330).frame("theta", "p")
    for start in np.linspace(0.05, 6.2, 26):
        theta, momentum = 3.1416 + 0.01 * start, start
        x, y = np.empty(170), np.empty(170)
        for i in range(170):
            momentum = (momentum + 0.95 * np.sin(theta)) % (2 * np.pi)
            theta = (theta + momentum) % (2 * np.pi)
            x[i], y[i] = theta, momentum
        plot.points(x, y, BLACK, 0.8)
    return plot.drawing


def lyapunov_exponent() -> Drawing:
    plot = axes((0, 12), (0, 2)).frame("kick strength K", "Lyapunov exponent")
    k = np.linspace(0, 12, 121)
    plot.points(k, kicked_rotor_exponents(k), BLUE, 2)
    plot.curve(k[21:], np.log(k[21:] / 2), BLACK)
    plot.drawing.line([plot.at(0.9716, 0), plot.at(0.9716, 2)], GREY, 0.8, (4, 3))
    plot.legend([("computed", BLUE), ("ln(K/2)", BLACK)], 0.65, 0.25)
    return plot.drawing


def kicked_rotor_exponents(strengths: Values) -> Values:
    """Return for each kick strength the mean logarithmic growth of a tangent vector of the standard map."""
    shape = (len(strengths), 24)
    strength = strengths[:, None]
    theta, momentum = np.linspace(0.3, 5.9, 24), np.linspace(2.0, 4.0, 24)
    grown = np.zeros(shape)
    tangent = np.ones((2, *shape)) / np.sqrt(2)
    for _ in range(120):
        momentum = momentum + strength * np.sin(theta)
        turned = tangent[1] + strength * np.cos(theta) * tangent[0]
        theta = theta + momentum
        tangent = np.stack([tangent[0] + turned, turned])
        length = np.hypot(*tangent)
        grown += np.log(length)
        tangent = tangent / length
    exponents: Values = grown.mean(axis=1) / 120
    return exponents


def momentum_diffusion() -> Drawing:
    plot = axes((0, 200), (0, 2600), width=380).frame("number of kicks", "mean squared momentum")
    random = np.random.default_rng(3)
    for strength, colour in ((5.0, BLUE), (4.0, ORANGE), (0.9, GREEN)):
        theta, start = random.uniform(0, 2 * np.pi, 1500), random.uniform(0, 2 * np.pi, 1500)
        momentum, spread = start.copy(), np.zeros(201)
        for i in range(1, 201):
            momentum += strength * np.sin(theta)
            theta += momentum
            spread[i] = ((momentum - start) ** 2).mean()
        plot.curve(np.arange(201.0), spread, colour)
    plot.legend([("K = 5.0", BLUE), ("K = 4.0", ORANGE), ("K = 0.9", GREEN)], 0.08)
    return plot.drawing


# -------------------------------------------------------------------------------- dwarf-halo (2006)


def rotation_curve() -> Drawing:
    plot = axes((0, 6), (0, 90), width=420).frame("radius [kpc]", "rotation velocity [km/s]")
    r = np.linspace(0.05, 6, 120)
    halo = 78 * np.sqrt(1 - 0.9 * np.arctan(r / 0.9) / (r / 0.9))
    disc, gas = 30 * r / (0.6 + r**1.25), 5.5 * r**0.8
    plot.curve(r, np.sqrt(halo**2 + disc**2 + gas**2), BLACK, 2)
    for values, colour, dash in ((halo, BLUE, (6, 3)), (disc, RED, (2, 2)), (gas, GREEN, (8, 2))):
        plot.curve(r, values, colour, 1.5, (float(dash[0]), float(dash[1])))
    x = np.arange(0.3, 5.9, 0.28)
    y = np.interp(x, r, np.sqrt(halo**2 + disc**2 + gas**2))
    plot.points(
        x, y + np.random.default_rng(4).standard_normal(len(x)) * 1.8, BLACK, 2.4, np.full(len(x), 3.0)
    )
    plot.legend([("total", BLACK), ("halo", BLUE), ("stars", RED), ("gas", GREEN)], 0.72, 0.34)
    return plot.drawing


def colour_magnitude(seed: int, n_young: int, spread: float) -> Drawing:
    plot = axes((-0.5, 2.5), (-26, -20), width=260, height=330).frame("V - I", "-I [mag]")
    random = np.random.default_rng(seed)
    depth = random.power(2.6, 1400)
    x = 0.75 + 0.75 * (1 - depth) ** 2 * 1.6 + random.standard_normal(1400) * (0.06 + spread * depth)
    plot.points(x, -20.9 - 5 * depth, GREY, 0.9)
    young = random.power(2.0, n_young)
    plot.points(-0.1 + random.standard_normal(n_young) * 0.07, -20.4 - 5.4 * young, BLUE, 1.1)
    plot.drawing.line([plot.at(0.5, -21.1), plot.at(2.3, -21.1)], RED, 1, (5, 3))
    plot.note(1.8, -20.9, "TRGB", 9, RED)
    return plot.drawing


def halo_probability() -> Drawing:
    plot = axes((0.2, 2.0), (0.0, 0.3), width=400, height=320, right=70)
    x, y = np.meshgrid(np.linspace(0.2, 2.0, 72), np.linspace(0.3, 0.0, 60))
    bend = 0.075 / x**0.8 + 0.035
    values = np.exp(-(((y - bend) / 0.022) ** 2) / 2 - ((x - 0.9) / 0.33) ** 2 / 2)
    plot.heat(values, 0, 1, HOT, "relative likelihood")
    plot.frame("core radius [kpc]", "central density [Msun / pc^3]")
    for level, colour in ((0.3, 1.9), (0.7, 1.2)):
        angle = np.linspace(0, 2 * np.pi, 90)
        ring_x = 0.9 + colour * 0.28 * np.cos(angle)
        plot.curve(ring_x, 0.075 / ring_x**0.8 + 0.035 + 0.02 * colour * np.sin(angle), WHITE, 1 + level)
    return plot.drawing


# -------------------------------------------------------------------------------- cylinder-wake (2012)


def vorticity(reynolds: int) -> Drawing:
    page = Drawing(420, 170)
    x, y = np.meshgrid(np.linspace(-1, 13, 280), np.linspace(2.8, -2.8, 112))
    field = np.zeros_like(x)
    gap, width, tilt = (3.9, 0.55, 0.0) if reynolds == 100 else (3.2, 0.38, 0.55)
    for i in range(9):
        core = 0.9 + i * gap / 2
        sign = 1 if i % 2 else -1
        fade = np.exp(-0.10 * i)
        up = 0.42 * sign + tilt * np.sin(2.3 * i) * 0.7
        field += sign * fade * np.exp(-(((x - core) / (width * 1.5)) ** 2 + ((y - up) / width) ** 2))
    if reynolds == 300:
        field += 0.22 * smooth_noise(7, x.shape, 2.5) * np.clip((x - 1) / 4, 0, 1) * np.exp(-((y / 1.6) ** 2))
    page.pixels((10, 10), 400, 150, coloured(field, -1, 1, RED_BLUE))
    centre = (10 + 400 / 14, 85.0)
    page.disc(centre, 14, GREY, 40)
    page.line([(10, 10), (410, 10), (410, 160), (10, 160), (10, 10)])
    page.box((336, 138), 70, 18, WHITE)
    page.text((341, 143), f"Re = {reynolds}", 11)
    return page


def wake_spectrum() -> Drawing:
    plot = axes((0.02, 4), (1e-7, 1), is_log_x=True, is_log_y=True).frame("St = f D / U", "E(St)")
    st = np.geomspace(0.02, 4, 600)
    random = np.random.default_rng(8)
    for peak, floor, colour in ((0.164, 1e-6, BLUE), (0.198, 2e-4, RED)):
        power = floor / (1 + (st / 0.35) ** 3.2)
        for harmonic, height in ((1, 0.4), (2, 0.01), (3, 0.004)):
            power = power + height / (1 + ((st - harmonic * peak) / (0.004 * harmonic)) ** 2) ** 1.6
        plot.curve(st, power * np.exp(0.35 * random.standard_normal(len(st))), colour, 1)
    plot.legend([("Re = 100", BLUE), ("Re = 300", RED)], 0.68)
    return plot.drawing


def spacetime() -> Drawing:
    plot = axes((0, 60), (-6, 6), width=520, height=250, right=70)
    time, span = np.meshgrid(np.linspace(0, 60, 150), np.linspace(6, -6, 60))
    phase = 2 * np.pi * 0.198 * time + 0.9 * np.sin(2 * np.pi * span / 3.9) * np.clip((time - 18) / 12, 0, 1)
    values = np.sin(phase) + 0.3 * smooth_noise(9, time.shape, 2) * np.clip((time - 25) / 15, 0, 1)
    plot.heat(values, -1.5, 1.5, RED_BLUE, "v / U")
    plot.frame("t U / D", "z / D")
    return plot.drawing


# -------------------------------------------------------------------------------- lysozyme-cafe (2012)


def crystals(seed: int, n: int, size: float) -> Drawing:
    page = Drawing(300, 230)
    texture = (
        0.62 + 0.05 * smooth_noise(seed, (230, 300), 18) + 0.025 * smooth_noise(seed + 1, (230, 300), 0.9)
    )
    page.pixels((0, 0), 300, 230, coloured(texture, 0, 1, GREYS))
    random = np.random.default_rng(seed)
    for _ in range(n):
        x, y = random.uniform(25, 275), random.uniform(45, 205)
        turn, radius = random.uniform(0, 1), size * random.uniform(0.6, 1.3)
        corners = [
            (x + radius * np.cos(a + turn) * 1.3, y + radius * np.sin(a + turn))
            for a in np.linspace(0, 6.28, 7)
        ]
        grey = int(random.uniform(165, 225))
        page.area(corners, (grey, grey, grey))
        page.line(corners, (60, 60, 60), 1.4)
        page.line([corners[0], (x, y), corners[2]], (90, 90, 90), 0.8)
        page.line([(x, y), corners[4]], (90, 90, 90), 0.8)
    page.box((215, 12), 70, 5, BLACK)
    page.text((250, 21), "100 um", 11, 0.5)
    return page


def growth_rate() -> Drawing:
    plot = axes((0, 6), (0, 12), width=360).frame("supersaturation ln(c/s)", "face growth rate [nm/s]")
    x = np.linspace(0.5, 6, 80)
    for onset, slope, colour, seed in ((1.1, 2.4, BLUE, 1), (1.9, 2.0, RED, 2)):
        plot.curve(x, np.clip(x - onset, 0, None) ** 1.5 * slope * 0.5, colour)
        at = np.arange(onset + 0.2, 5.8, 0.45)
        noise = 0.15 + 0.08 * (at - onset)
        y = (at - onset) ** 1.5 * slope * 0.5 + np.random.default_rng(seed).standard_normal(len(at)) * noise
        plot.points(at, np.clip(y, 0, None), colour, 3, noise)
    plot.legend([("110 face", BLUE), ("101 face", RED)], 0.08)
    return plot.drawing


def table_image() -> Drawing:
    page = Drawing(400, 190)
    rows = [
        ("Sample", "c (mg/ml)", "pH", "onset", "slope (nm/s)"),
        ("A1", "20.0", "4.2", "1.10", "1.21"),
        ("A2", "20.0", "4.6", "1.14", "1.19"),
        ("A3", "30.0", "4.2", "1.08", "1.24"),
        ("B1", "20.0", "4.2", "1.87", "1.02"),
        ("B2", "20.0", "4.6", "1.93", "0.98"),
        ("B3", "30.0", "4.2", "1.90", "1.01"),
        ("B4", "30.0", "4.6", "1.95", "0.97"),
    ]
    for y, width in ((178, 1.6), (152, 0.9), (8, 1.6)):
        page.line([(12, y), (388, y)], BLACK, width)
    for i, row in enumerate(rows):
        for text, x in zip(row, (20, 95, 185, 240, 305), strict=True):
            page.text((x, 160 - 20 * i - (0 if i == 0 else 4)), text, 11)
    return page


# -------------------------------------------------------------------------------- cubic-colourings (2012)


def petersen() -> Drawing:
    page = Drawing(300, 290)
    turns = np.pi / 2 + 2 * np.pi * np.arange(5) / 5
    outer = [(150 + 125 * np.cos(a), 135 + 125 * np.sin(a)) for a in turns]
    inner = [(150 + 60 * np.cos(a), 135 + 60 * np.sin(a)) for a in turns]
    for i in range(5):
        page.line([outer[i], outer[(i + 1) % 5]], BLUE, 2.5)
        page.line([outer[i], inner[i]], ORANGE, 2.5)
        page.line([inner[i], inner[(i + 2) % 5]], GREEN, 2.5)
    for i, point in enumerate(outer + inner):
        page.disc(point, 11, BLACK, 40)
        page.disc(point, 9.5, WHITE, 40)
        page.text((point[0], point[1] - 4), str(i), 11, 0.5)
    return page


def colouring_counts() -> Drawing:
    plot = axes((10, 50), (1, 1e6), is_log_y=True, width=380).frame("number of vertices", "3-edge-colourings")
    random = np.random.default_rng(11)
    n = np.arange(10.0, 50, 2)
    for each in n:
        counts = 2 ** (each / 2 * 0.72) * np.exp(0.45 * random.standard_normal(14))
        plot.points(np.full(14, each), counts, LIGHT, 2.2)
        plot.points(np.array([each]), np.array([np.median(counts)]), BLUE, 3.5)
    plot.curve(n, 2 ** (n / 2 * 0.72), BLACK)
    plot.curve(n, 2 ** (n / 2), RED, 1.2, (6, 3))
    plot.legend([("median", BLUE), ("2^(0.36 n)", BLACK), ("2^(n/2)", RED)], 0.06)
    return plot.drawing


# -------------------------------------------------------------------------------- ice-shelf, fog-lidar (2012)


def ice_front() -> Drawing:
    page = Drawing(360, 260)
    texture = 0.5 + 0.2 * smooth_noise(21, (260, 360), 30) + 0.06 * smooth_noise(22, (260, 360), 1.2)
    page.pixels((0, 0), 360, 260, coloured(texture, 0, 1, ((15, 45, 90), (120, 170, 205), (250, 252, 255))))
    x = np.linspace(0, 360, 90)
    for offset, colour in ((150, RED), (118, ORANGE), (97, (250, 220, 80))):
        wave = offset + 14 * np.sin(x / 37) + 9 * np.sin(x / 13 + offset)
        page.line(list(zip(x.tolist(), wave.tolist(), strict=True)), colour, 2)
    return page


def backscatter() -> Drawing:
    plot = axes((0, 24), (0, 600), width=420, height=260, right=70)
    time, height = np.meshgrid(np.linspace(0, 24, 160), np.linspace(600, 0, 80))
    top = 120 + 140 * np.exp(-(((time - 7) / 3.5) ** 2))
    values = 1 / (1 + np.exp((height - top) / 25)) + 0.08 * smooth_noise(23, time.shape, 1.2)
    plot.heat(values, 0, 1, VIRIDIS, "backscatter")
    plot.frame("hour (UTC)", "height [m]")
    return plot.drawing


# -------------------------------------------------------------------------------- slow-slip (2019)


def station_map() -> Drawing:
    plot = axes((174, 179), (-42, -37), width=320, height=340).frame("longitude", "latitude")
    coast_y = np.linspace(-41.9, -37.1, 60)
    coast_x = 177.2 + 0.55 * np.sin(coast_y * 1.7) - 0.35 * (coast_y + 39.5) ** 2 * 0.4
    shore = [plot.at(x, y) for x, y in zip(coast_x, coast_y, strict=True)]
    plot.drawing.area([*shore, plot.at(174, -37.1), plot.at(174, -41.9)], (226, 218, 196))
    plot.drawing.line(shore, GREY, 1.2)
    trench = [plot.at(178.9 - 0.42 * (-37 - y), y) for y in np.linspace(-37.3, -41.8, 30)]
    plot.drawing.line(trench, BLACK, 2, (6, 3))
    random = np.random.default_rng(31)
    for _ in range(22):
        x, y = random.uniform(174.6, 177.0), random.uniform(-41.4, -37.5)
        reach = 0.75 * np.exp(-(((x - 177) / 1.1) ** 2) - ((y + 39.2) / 1.2) ** 2)
        plot.drawing.area(
            [plot.at(x, y + 0.09), plot.at(x - 0.07, y - 0.05), plot.at(x + 0.07, y - 0.05)], BLUE
        )
        arrow(plot.drawing, plot.at(x, y), plot.at(x + 0.08 + reach, y + 0.02 - 0.3 * reach), RED)
    arrow(plot.drawing, plot.at(174.3, -41.6), plot.at(175.05, -41.6), BLACK)
    plot.note(174.3, -41.5, "20 mm", 9)
    return plot.drawing


def record_section() -> Drawing:
    plot = axes((0, 120), (0, 90), width=420, height=330).frame("time [s]", "epicentral distance [km]")
    time = np.linspace(0, 120, 900)
    random = np.random.default_rng(32)
    for distance in np.arange(8.0, 88, 5.5):
        p, s = distance / 6.1 + 10, distance / 3.5 + 10
        envelope = 0.4 * np.exp(-(((time - p - 1) / 1.5) ** 2)) + (time > s) * np.exp(-(time - s) / 9)
        trace = (envelope + 0.05) * np.convolve(random.standard_normal(900), np.ones(3) / 1.7, "same")
        plot.curve(time, distance + 1.5 * np.clip(trace, -3, 3), BLACK, 0.6)
    far = np.array([0.0, 88.0])
    plot.curve(far / 6.1 + 10, far, BLUE, 1.5, (5, 3))
    plot.curve(far / 3.5 + 10, far, RED, 1.5, (5, 3))
    plot.legend([("P, 6.1 km/s", BLUE), ("S, 3.5 km/s", RED)], 0.7, 0.3)
    return plot.drawing


def slip_model() -> Drawing:
    plot = axes((0, 220), (-60, 0), width=560, height=240, right=70)
    along, depth = np.meshgrid(np.linspace(0, 220, 110), np.linspace(0, 60, 48))
    slip = 180 * np.exp(-(((along - 92) / 30) ** 2) - ((depth - 14) / 8) ** 2)
    slip += 95 * np.exp(-(((along - 160) / 18) ** 2) - ((depth - 27) / 7) ** 2)
    plot.heat(slip + 4 * smooth_noise(33, slip.shape, 2), 0, 180, VIRIDIS, "slip [mm]")
    plot.frame("distance along strike [km]", "height [km]")
    random = np.random.default_rng(34)
    plot.points(random.normal(118, 45, 160), random.normal(-24, 6, 160), WHITE, 1.3)
    return plot.drawing


def moment_duration() -> Drawing:
    plot = axes((1e16, 1e20), (1e4, 1e8), is_log_x=True, is_log_y=True, width=360, height=330)
    plot.frame("seismic moment [N m]", "duration [s]")
    random = np.random.default_rng(35)
    moment = 10 ** random.uniform(16.5, 19.4, 34)
    seconds = 10 ** (0.97 * (np.log10(moment) - 18) + 6.05 + 0.16 * random.standard_normal(34))
    plot.points(moment, seconds, BLUE, 3)
    plot.points(np.array([4.1e18]), np.array([2.3e6]), RED, 5)
    line = np.geomspace(1e16, 1e20, 60)
    plot.curve(line, 1e6 * (line / 1e18), BLACK)
    plot.curve(line, 6e4 * (line / 1e18) ** (1 / 3), GREY, 1.2, (6, 3))
    plot.legend([("catalogue", BLUE), ("this event", RED), ("M ~ T", BLACK), ("M ~ T^3", GREY)], 0.05)
    return plot.drawing


# -------------------------------------------------------------------------------- budget-attention (2019)


def attention(kind: str) -> Drawing:
    page = Drawing(230, 230)
    query, key = np.mgrid[0:48, 0:48]
    random = np.random.default_rng(41)
    if kind == "dense":
        weights = random.gamma(2.0, 0.16, (48, 48)) * (1 + 0.45 * smooth_noise(42, (48, 48), 4))
    elif kind == "local":
        weights = np.exp(-np.abs(query - key) / 3.0) * (0.8 + 0.2 * random.random((48, 48)))
    else:
        weights = 0.9 * np.isin(key, (2, 3, 11, 12, 29, 30)) + 0.7 * np.exp(-np.abs(query - key) / 1.2)
        weights = weights * (0.7 + 0.3 * random.random((48, 48))) + 0.06 * random.random((48, 48))
    weights = np.where(key <= query, weights, 0)
    page.pixels((34, 30), 186, 186, coloured(weights, 0, 1, VIRIDIS))
    page.line([(34, 30), (220, 30), (220, 216), (34, 216), (34, 30)])
    page.text((127, 12), "key position", 11, 0.5)
    page.text((24, 123), "query position", 11, 0.5, is_upright=True)
    return page


def training_loss() -> Drawing:
    plot = axes((0, 100), (2.4, 4.2)).frame("training steps [thousands]", "validation loss [nats/token]")
    step = np.linspace(0.5, 100, 200)
    random = np.random.default_rng(43)
    for floor, speed, colour in ((2.68, 10, BLACK), (2.97, 12, BLUE), (2.72, 13, RED), (2.86, 18, GREEN)):
        noise = 0.012 * random.standard_normal(200)
        plot.curve(step, floor + 2.1 / (1 + step / speed) ** 1.3 + noise, colour)
    entries = [("dense", BLACK), ("local window", BLUE), ("learned budget", RED), ("strided", GREEN)]
    plot.legend(entries, 0.56)
    return plot.drawing


def task_accuracy() -> Drawing:
    plot = axes((0.4, 5.6), (40, 108), width=440).frame("", "accuracy [%]")
    scores = {
        "dense": (91.2, 84.7, 78.9, 88.0, 71.5),
        "local": (90.4, 71.3, 55.2, 86.9, 49.8),
        "learned": (91.0, 83.9, 77.1, 87.8, 70.2),
    }
    for i, (values, colour) in enumerate(zip(scores.values(), (GREY, BLUE, RED), strict=True)):
        plot.bars([each + 0.25 * (i - 1) for each in range(1, 6)], values, 0.22, colour)
    for i, task in enumerate(("Copy", "Sort", "Recall", "Parity", "Retrieval"), start=1):
        plot.drawing.text((plot.at(i, 40)[0], 26), task, 10.5, 0.5)
    plot.legend([("dense", GREY), ("local window", BLUE), ("learned budget", RED)], 0.74)
    return plot.drawing


def model_overview() -> Drawing:
    page = Drawing(430, 190)
    for i, (name, colour) in enumerate(
        (
            ("tokens", (225, 235, 250)),
            ("gate", (250, 225, 205)),
            ("attend", (215, 240, 215)),
            ("mix", (235, 225, 245)),
        )
    ):
        labelled_box(page, (15 + 105 * i, 90), (80, 44), name, colour)
        if i:
            arrow(page, (105 * i - 10, 112), (15 + 105 * i, 112))
    labelled_box(page, (120, 18), (185, 34), "budget: k keys per query", (245, 245, 215))
    arrow(page, (160, 52), (160, 90))
    arrow(page, (265, 52), (265, 90))
    page.line([(55, 134), (55, 168), (370, 168)], GREY, 1.2, (4, 3))
    arrow(page, (370, 168), (370, 134), GREY)
    page.text((212, 173), "residual", 9.5, 0.5)
    return page


def badge() -> Drawing:
    page = Drawing(40, 40)
    page.disc((20, 20), 17, GREEN, 40)
    page.line([(12, 20), (18, 13), (29, 28)], WHITE, 4)
    return page


def seed_spread() -> Drawing:
    plot = axes((0, 0.5), (40, 100), width=360).frame("share of keys kept", "accuracy on Recall [%]")
    random = np.random.default_rng(44)
    for share in (0.02, 0.05, 0.1, 0.2, 0.3, 0.4):
        mean = 78 - 36 * np.exp(-share / 0.055)
        spread = 1.0 + 9 * np.exp(-share / 0.04)
        values = mean + spread * random.standard_normal(12)
        plot.points(np.full(12, share) + random.uniform(-0.006, 0.006, 12), values, BLUE, 2)
        plot.points(np.array([share]), np.array([mean]), RED, 4, np.array([spread]))
    plot.drawing.line([plot.at(0, 77.1), plot.at(0.5, 77.1)], GREY, 1, (5, 3))
    plot.note(0.3, 72, "value reported", 9, GREY)
    return plot.drawing


# -------------------------------------------------------------------------------- perovskite-raman (2023)


def raman(is_aged: bool) -> Drawing:
    plot = axes((20, 320), (0, 5.4), width=300, height=300).frame(
        "Raman shift [1/cm]", "intensity [arb. units]"
    )
    shift = np.linspace(20, 320, 400)
    random = np.random.default_rng(51 + is_aged)
    for i, (kelvin, colour) in enumerate(((80, BLUE), (160, PURPLE), (300, RED))):
        broad = 4 + kelvin / 22
        lines = [(52, 1.0), (94, 0.8), (142, 0.55), (249, 0.35)]
        if is_aged:
            lines = [(52, 0.35), (96, 1.25), (110, 0.7), (169, 0.3)]
        spectrum = sum(a / (1 + ((shift - (x - 0.012 * kelvin)) / broad) ** 2) for x, a in lines)
        plot.curve(shift, spectrum + 0.25 + 1.6 * i + 0.025 * random.standard_normal(400), colour, 1.2)
        plot.note(258, 0.62 + 1.6 * i, f"{kelvin} K", 10, colour)
    return plot.drawing


def film_grains() -> Drawing:
    page = Drawing(340, 256)
    rows, columns = np.mgrid[0:256, 0:340]
    random = np.random.default_rng(53)
    seeds = random.uniform(0, 1, (150, 2)) * (256, 340)
    first, second = np.full((256, 340), np.inf), np.full((256, 340), np.inf)  # distances to the nearest two
    tone = np.zeros((256, 340))
    for row, column in seeds:
        distance = np.hypot(rows - row, columns - column)
        is_nearest = distance < first
        second = np.where(is_nearest, first, np.minimum(second, distance))
        first = np.where(is_nearest, distance, first)
        tone = np.where(is_nearest, random.uniform(0.45, 0.85), tone)
    edge = np.clip((second - first) / 3.5, 0, 1)
    values = tone * (0.35 + 0.65 * edge) + 0.04 * smooth_noise(54, (256, 340), 0.8)
    page.pixels((0, 0), 340, 256, coloured(values, 0, 1, GREYS))
    page.box((0, 0), 340, 22, BLACK)
    page.box((250, 9), 60, 4, WHITE)
    page.text((244, 7), "1 um", 10, 1, colour=WHITE)
    page.text((10, 7), "5.0 kV  x20,000  SE", 10, colour=WHITE)
    return page


def diffraction() -> Drawing:
    plot = axes((10, 50), (0, 3.2), width=440, height=270).frame("2 theta [degrees]", "counts (shifted)")
    angle = np.linspace(10, 50, 900)
    random = np.random.default_rng(55)
    peaks = [(14.1, 1.0), (20.0, 0.18), (24.5, 0.2), (28.4, 0.75), (31.9, 0.42), (40.6, 0.25), (43.2, 0.2)]
    for hours, colour, offset in ((0, BLUE, 0.1), (200, ORANGE, 1.1), (500, RED, 2.1)):
        fade = np.exp(-hours / 420)
        counts = sum(0.85 * fade * a * np.exp(-(((angle - x) / 0.13) ** 2)) for x, a in peaks)
        counts = counts + 0.75 * (1 - fade) * np.exp(-(((angle - 12.7) / 0.14) ** 2))
        plot.curve(angle, counts + offset + 0.012 * random.standard_normal(900), colour, 1)
        plot.note(45.3, offset + 0.12, f"{hours} h", 10, colour)
    plot.note(11.0, 2.9, "lead iodide", 9)
    return plot.drawing


# -------------------------------------------------------------------------------- toggle-switch (2023)


def toggle_flow(u: float, v: float) -> tuple[float, float]:
    """Return the rates of the symmetric toggle switch with Hill coefficient 2 and strength 5."""
    return 5 / (1 + v**2) - u, 5 / (1 + u**2) - v


def phase_portrait() -> Drawing:
    plot = axes((0, 6), (0, 6), width=330, height=330).frame("repressor u", "repressor v")
    for u in np.linspace(0.3, 5.7, 12):
        for v in np.linspace(0.3, 5.7, 12):
            du, dv = toggle_flow(float(u), float(v))
            length = 0.36 / np.hypot(du, dv)
            arrow(plot.drawing, plot.at(u, v), plot.at(u + length * du, v + length * dv), GREY, 0.8)
    x = np.linspace(0, 6, 200)
    plot.curve(5 / (1 + x**2), x, BLUE, 2)
    plot.curve(x, 5 / (1 + x**2), RED, 2)
    for u, v, colour in ((4.791, 0.209, BLACK), (0.209, 4.791, BLACK), (1.516, 1.516, WHITE)):
        plot.drawing.disc(plot.at(u, v), 5.5, BLACK, 30)
        plot.drawing.disc(plot.at(u, v), 4, colour, 30)
    plot.legend([("du/dt = 0", BLUE), ("dv/dt = 0", RED)], 0.62)
    return plot.drawing


def switching_times() -> Drawing:
    plot = axes((0, 400), (0, 7), width=330, height=330).frame("time [min]", "repressor level")
    random = np.random.default_rng(61)
    u, v = 4.8, 0.2
    history = np.empty((801, 2))
    for i in range(801):
        history[i] = u, v
        du, dv = toggle_flow(float(u), float(v))
        push = 5.2 if i in (240, 560) else 0.0
        low_is_v = v < u
        u = max(0, u + 0.12 * du + 0.11 * random.standard_normal() + push * (not low_is_v))
        v = max(0, v + 0.12 * dv + 0.11 * random.standard_normal() + push * low_is_v)
    time = np.linspace(0, 400, 801)
    plot.curve(time, history[:, 0], BLUE, 1.1)
    plot.curve(time, history[:, 1], RED, 1.1)
    plot.legend([("u", BLUE), ("v", RED)], 0.84)
    return plot.drawing


def bistable_region() -> Drawing:
    plot = axes((1, 10), (1, 4), width=400, height=300, right=70)
    strength, hill = np.meshgrid(np.linspace(1, 10, 90), np.linspace(4, 1, 66))
    barrier = np.clip((hill - 1.15) * np.log(strength) - 0.9, 0, None) * 2.2
    plot.heat(
        barrier + 0.05 * smooth_noise(62, barrier.shape, 1.5) * (barrier > 0), 0, 10, VIRIDIS, "ln(time/min)"
    )
    plot.frame("promoter strength", "Hill coefficient")
    plot.drawing.disc(plot.at(5, 2), 5, WHITE, 30)
    plot.drawing.disc(plot.at(5, 2), 3.5, RED, 30)
    return plot.drawing


# -------------------------------------------------------------------------------- local bundles and PDFs


def tracer_profile() -> Drawing:
    plot = axes((0, 12), (-80, 0), width=300, height=340).frame("tritium [TU]", "depth below ground [m]")
    depth = np.linspace(-78, -2, 24)
    shape = 1.2 + 8.6 * np.exp(-(((depth + 31) / 9) ** 2)) + 1.5 * np.exp(depth / 12)
    noise = np.random.default_rng(71).standard_normal(24) * 0.3
    plot.curve(shape, depth, GREY, 1.2)
    plot.points(shape + noise, depth, RED, 3)
    plot.drawing.line([plot.at(0, -9), plot.at(12, -9)], BLUE, 1.2, (6, 3))
    plot.note(7.2, -8, "water table", 9, BLUE)
    return plot.drawing


def age_section() -> Drawing:
    plot = axes((0, 12), (-80, 0), width=480, height=240, right=70)
    along, depth = np.meshgrid(np.linspace(0, 12, 120), np.linspace(0, -80, 60))
    age = 75 * (-depth / 80) ** 1.3 * np.exp(along / 26) * (1 - 0.55 * np.exp(-(((along - 3) / 1.1) ** 2)))
    plot.heat(age + 1.2 * smooth_noise(72, age.shape, 3), 0, 100, VIRIDIS, "age [years]")
    plot.frame("distance from the ridge [km]", "depth [m]")
    for well in (1.0, 3.0, 5.5, 8.2, 10.9):
        plot.drawing.line([plot.at(well, 0), plot.at(well, -70)], WHITE, 1.5)
    return plot.drawing


def isotope_line() -> Drawing:
    plot = axes((-12, -4), (-85, -25), width=360, height=300).frame("delta 18O [permil]", "delta 2H [permil]")
    x = np.linspace(-12, -4, 20)
    plot.curve(x, 8 * x + 10, BLACK)
    plot.curve(x, 5.2 * x - 13, ORANGE, 1.2, (6, 3))
    random = np.random.default_rng(73)
    rain = random.uniform(-11, -5, 30)
    plot.points(rain, 8 * rain + 10 + random.standard_normal(30) * 1.8, BLUE, 3)
    wells = random.uniform(-8.6, -6.0, 18)
    plot.points(wells, 5.2 * wells - 13 + random.standard_normal(18) * 1.0, ORANGE, 3)
    plot.legend([("meteoric water line", BLACK), ("rain", BLUE), ("wells", ORANGE)], 0.05)
    return plot.drawing


def tidal_mixing() -> Drawing:
    plot = axes((0, 48), (-60, 0), width=480, height=260, right=70)
    time, depth = np.meshgrid(np.linspace(0, 48, 160), np.linspace(0, -60, 72))
    front = -22 + 9 * np.cos(2 * np.pi * time / 12.42) - 0.15 * time
    heat = 14 + 5 / (1 + np.exp(-(depth - front) / 2.8)) + 0.12 * smooth_noise(74, time.shape, 2)
    plot.heat(heat, 13, 20, HOT, "temperature [C]")
    plot.frame("time [hours]", "depth [m]")
    return plot.drawing


def squeezing_noise() -> Drawing:
    plot = axes((0, 6.2832), (-5, 10), width=380).frame("local oscillator phase [rad]", "noise power [dB]")
    phase = np.linspace(0, 6.2832, 260)
    gain, loss = np.exp(1.8), 0.55
    power = loss * (np.cos(phase) ** 2 / gain + np.sin(phase) ** 2 * gain) + 1 - loss
    noise = np.random.default_rng(75).standard_normal(260) * 0.35
    plot.curve(phase, 10 * np.log10(power) + noise, BLUE, 1)
    plot.drawing.line([plot.at(0, 0), plot.at(6.2832, 0)], GREY, 1, (5, 3))
    return plot.drawing


def clock_stability() -> Drawing:
    plot = axes((1, 1e5), (1e-19, 1e-15), is_log_x=True, is_log_y=True).frame(
        "averaging time [s]", "Allan deviation"
    )
    tau = np.geomspace(1, 5e4, 24)
    for start, floor, colour, seed in ((6e-16, 2.5e-18, BLUE, 1), (1.6e-16, 6e-19, RED, 2)):
        deviation = np.sqrt(start**2 / tau + floor**2) * np.exp(
            np.random.default_rng(seed).normal(0, 0.06, 24)
        )
        plot.curve(tau, np.sqrt(start**2 / tau + floor**2), colour)
        plot.points(tau, deviation, colour, 3, deviation * 0.12)
    plot.legend([("single ensemble", BLUE), ("two ensembles", RED)], 0.5)
    return plot.drawing


def heart_rate() -> Drawing:
    plot = axes((24, 120), (60, 200), width=400).frame("hours after fertilisation", "beats per minute")
    hours = np.arange(26.0, 118, 6)
    for top, colour, seed in ((165, BLUE, 1), (132, RED, 2)):
        rate = 80 + (top - 80) / (1 + np.exp(-(hours - 48) / 9))
        noise = np.full(len(hours), 6.0)
        plot.curve(hours, rate, colour)
        plot.points(hours, rate + np.random.default_rng(seed).normal(0, 3, len(hours)), colour, 3, noise)
    plot.legend([("wild type", BLUE), ("mutant", RED)], 0.68, 0.3)
    return plot.drawing


def soil_network() -> Drawing:
    page = Drawing(400, 300)
    random = np.random.default_rng(77)
    spots = np.stack([random.uniform(25, 375, 42), random.uniform(25, 275, 42)], axis=1)
    colours = [(BLUE, ORANGE, GREEN, PURPLE)[int(x // 100)] for x, _ in spots]
    for i in range(42):
        for j in np.argsort(np.hypot(*(spots - spots[i]).T))[1:4]:
            page.line([tuple(spots[i].tolist()), tuple(spots[j].tolist())], LIGHT, 1.4)
    for spot, colour in zip(spots.tolist(), colours, strict=True):
        page.disc((spot[0], spot[1]), random.uniform(4, 11), colour, 30)
    return page


def soil_respiration() -> Drawing:
    plot = axes((0, 40), (0, 9), width=400).frame("soil temperature [C]", "CO2 flux [umol/m2/s]")
    random = np.random.default_rng(78)
    for scale, q10, colour in ((0.9, 2.1, BLUE), (0.55, 2.6, ORANGE)):
        x = random.uniform(2, 30, 40)
        plot.points(x, scale * q10 ** (x / 10) * np.exp(random.normal(0, 0.12, 40)), colour, 2.5)
        line = np.linspace(0, 38, 80)
        plot.curve(line, scale * q10 ** (line / 10), colour)
    plot.legend([("grassland", BLUE), ("cropland", ORANGE)], 0.06)
    return plot.drawing


# -------------------------------------------------------------------------------- tun-waking (2023)


def side_by_side(*panels: Drawing) -> Drawing:
    """Return one drawing of several, each with its letter."""
    page = Drawing(sum(panel.width for panel in panels), max(panel.height for panel in panels))
    left = 0.0
    for letter, panel in zip("ABCD", panels, strict=False):
        page.place(panel, (left, 0), 1)
        page.text((left + 6, page.height - 14), letter, 14)
        left += panel.width
    return page


def tun_waking() -> Drawing:
    share = axes((0, 120), (0, 1), width=280, height=240).frame("time in water [min]", "share that walks")
    minutes = np.arange(0.0, 121, 5)
    for half, colour in ((20, BLUE), (34, ORANGE), (48, RED)):
        walking = minutes**5 / (minutes**5 + half**5)
        share.curve(minutes, walking, colour)
        share.points(minutes, np.round(walking * 120) / 120, colour, 2.2)
    share.legend([("1 day", BLUE), ("10 days", ORANGE), ("100 days", RED)], 0.6, 0.36)
    delay = axes((0.5, 200), (0, 70), width=280, height=240, is_log_x=True)
    delay.frame("time dry [days]", "time until half walk [min]")
    days = np.geomspace(1, 100, 30)
    delay.curve(days, 20 + 14 * np.log10(days), BLACK)
    delay.points([1, 10, 100], [20, 34, 48], RED, 4, [3.0, 4.0, 6.0])
    return side_by_side(share.drawing, delay.drawing)


def tun_energy() -> Drawing:
    panels = []
    for seed, (label, start, half, colour) in enumerate(
        [("relative volume", 0.25, 6, BLUE), ("relative ATP", 0.1, 15, GREEN)], start=81
    ):
        plot = axes((0, 60), (0, 1.2), width=280, height=240).frame("time in water [min]", label)
        minutes = np.linspace(0, 60, 120)
        plot.curve(minutes, 1 - (1 - start) * 0.5 ** (minutes / half), BLACK)
        random = np.random.default_rng(seed)
        at = random.uniform(0, 58, 70)
        plot.points(at, 1 - (1 - start) * 0.5 ** (at / half) + random.normal(0, 0.05, 70), colour, 2.5)
        panels.append(plot.drawing)
    return side_by_side(*panels)


def tun_animals() -> Drawing:
    page = Drawing(360, 110)
    rows = [("days dry", "animals", "walked", "lost"), ("1", "120", "120", "0")]
    rows += [("10", "120", "118", "2"), ("100", "120", "111", "9")]
    for y, width in ((102, 1.6), (78, 0.9), (6, 1.6)):
        page.line([(12, y), (348, y)], BLACK, width)
    for i, row in enumerate(rows):
        for text, x in zip(row, (24, 120, 205, 290), strict=True):
            page.text((x, 86 - 22 * i), text, 11)
    return page


# -------------------------------------------------------------------------------- reef-clicks (2019)


def clicks_by_hour() -> Drawing:
    plot = axes((0, 24), (0, 60), width=420).frame("time of day [h]", "clicks per minute")
    hours = np.arange(0.5, 24, 1)
    line = np.linspace(0, 24, 200)
    rates = [9 + 40 * np.exp(-((t - 18) ** 2) / 4) + 16 * np.exp(-((t - 6) ** 2) / 3) for t in (hours, line)]
    plot.bars(hours.tolist(), (rates[0] + np.random.default_rng(83).normal(0, 1.2, 24)).tolist(), 0.8, LIGHT)
    plot.curve(line, rates[1], BLUE, 2)
    return plot.drawing


def clicks_by_moon() -> Drawing:
    plot = axes((0, 29.5), (0, 70), width=420).frame(
        "age of the moon [days]", "amplitude at dusk [clicks/min]"
    )
    days = np.arange(1.0, 29.5, 1)
    noise = np.full(len(days), 3.0)
    amplitude = 40 + 13 * np.cos(2 * np.pi * days / 29.5)
    plot.points(days, amplitude + np.random.default_rng(84).normal(0, 2, len(days)), PURPLE, 3, noise)
    plot.curve([0, 29.5], [40, 40], GREY, 1, (5, 3))
    plot.note(12.6, 62, "full moon", 10, GREY)
    return plot.drawing


def click_rate_formula() -> Drawing:
    page = Drawing(330, 40)
    page.text((165, 16), "r(t) = r0 + a exp(-(t-18)^2/4) + b exp(-(t-6)^2/3)", 12, 0.5)
    return page


# -------------------------------------------------------------------------------- files


def png(make: Callable[[], Drawing], dpi: float = 150) -> Callable[[], bytes]:
    return lambda: draw.png(make(), dpi)


def jpeg(make: Callable[[], Drawing], quality: int = 88) -> Callable[[], bytes]:
    return lambda: draw.jpeg(make(), 200, quality)


def tiff(make: Callable[[], Drawing]) -> Callable[[], bytes]:
    return lambda: draw.tiff(make(), 200)


def thumbnail(make: Callable[[], Drawing]) -> Callable[[], bytes]:
    return lambda: draw.gif(make(), 24)


def pdf(make: Callable[[], Drawing]) -> Callable[[], bytes]:
    return lambda: draw.pdf(make())


def eps(make: Callable[[], Drawing], shows_page: bool = True) -> Callable[[], bytes]:
    return lambda: draw.eps(make(), shows_page)


def blank_page() -> bytes:
    """Return a page that was exported empty: white, and large enough to pass a limit on file size."""
    return draw.png_of(Image.new("RGB", (2000, 2000), WHITE))


def accuracy_again() -> bytes:
    """Return the accuracy figure as the second paper has it: 96 % of the size, and through JPEG."""
    image = draw.raster(task_accuracy(), 150)
    smaller = image.resize((round(image.width * 0.96), round(image.height * 0.96)), Image.Resampling.LANCZOS)
    return draw.jpeg_of(smaller, 85)


FIGURES: dict[str, dict[str, Callable[[], bytes]]] = {
    "string-potential": {"potential.eps": eps(static_potential), "levels.eps": eps(level_scheme)},
    "kicked-rotor": {
        "section.eps": eps(poincare_section),
        "lyap.eps": eps(lyapunov_exponent, shows_page=False),
        "diffuse.eps": eps(momentum_diffusion),
    },
    "dwarf-halo": {
        "f1.eps": eps(rotation_curve),
        "f2a.eps": eps(lambda: colour_magnitude(5, 260, 0.10)),
        "f2b.eps": eps(lambda: colour_magnitude(6, 40, 0.26)),
        "f3.eps": eps(halo_probability),
    },
    "cylinder-wake": {
        "figs/vorticity_re100.png": png(lambda: vorticity(100)),
        "figs/vorticity_re300.png": png(lambda: vorticity(300)),
        "figs/spectra/psd.pdf": pdf(wake_spectrum),
        "figs/spacetime.png": png(spacetime),
    },
    "lysozyme-cafe": {
        "crystals_a.jpg": jpeg(lambda: crystals(13, 9, 17)),
        "crystals_b.jpg": jpeg(lambda: crystals(17, 34, 7)),
        "growth.pdf": pdf(growth_rate),
        "fits.png": png(table_image, 200),
    },
    "cubic-colourings": {"petersen.pdf": pdf(petersen), "counts.pdf": pdf(colouring_counts)},
    "ice-shelf": {"front.jpg": jpeg(ice_front, 92)},
    "fog-lidar": {"backscatter.jpg": jpeg(backscatter, 92)},
    "slow-slip": {
        "figures/station_map.png": png(station_map),
        "figures/seismic/record_section.pdf": pdf(record_section),
        "figures/slip_model.png": png(slip_model),
        "figures/moment_duration.pdf": pdf(moment_duration),
        "figures/old/slip_model_v1.png": png(slip_model, 90),
    },
    "budget-attention": {
        "img/attn_dense.png": png(lambda: attention("dense")),
        "img/attn_local.png": png(lambda: attention("local")),
        "img/attn_learned.png": png(lambda: attention("learned")),
        "img/loss.pdf": pdf(training_loss),
        "img/accuracy.png": png(task_accuracy),
        "img/badge.png": png(badge, 144),
        "img/overview.png": png(model_overview),
    },
    "attention-again": {
        "original_attn.png": png(lambda: attention("learned")),
        "original_accuracy.jpg": accuracy_again,
        "seeds.pdf": pdf(seed_spread),
    },
    "perovskite-raman": {
        "fig/raman_fresh.pdf": pdf(lambda: raman(is_aged=False)),
        "fig/raman_aged.pdf": pdf(lambda: raman(is_aged=True)),
        "fig/film_0.15M.jpg": jpeg(film_grains),
        "fig/xrd.png": png(diffraction),
    },
    "toggle-switch": {
        "phase.pdf": pdf(phase_portrait),
        "switching.pdf": pdf(switching_times),
        "region.png": png(bistable_region),
        "control.png": blank_page,
    },
    "groundwater-tracers": {
        "tritium.png": png(tracer_profile),
        "section.png": png(age_section),
        "isotopes.pdf": pdf(isotope_line),
    },
    "tidal-mixing": {"thermistor.png": png(tidal_mixing)},
    "tun-waking": {
        "content/999934v1_fig1.tif": tiff(tun_waking),
        "content/999934v1_tbl1.tif": tiff(tun_animals),
    },
    "reef-clicks": {
        "oceans-07-112-g001.jpg": jpeg(clicks_by_hour),
        "oceans-07-112-g001.gif": thumbnail(clicks_by_hour),
        "oceans-07-112-g002.jpg": jpeg(clicks_by_moon),
        "oceans-07-112-g002.gif": thumbnail(clicks_by_moon),
        "oceans-07-112-e001.jpg": jpeg(click_rate_formula),
    },
}
"""Paper → path in its bundle → what makes the file."""

PLATES: dict[str, Callable[[], Drawing]] = {
    "squeezing_noise": squeezing_noise,
    "clock_stability": clock_stability,
    "heart_rate": heart_rate,
    "soil_network": soil_network,
    "soil_respiration": soil_respiration,
    "tun_waking": tun_waking,
    "tun_energy": tun_energy,
    "tun_animals": tun_animals,
}
"""Figures that papers without source (PDF, PostScript) hold on their pages."""
