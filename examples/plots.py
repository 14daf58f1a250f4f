"""Axes, curves, points, bars, heat maps, arrows: how data becomes a drawing.

Belongs here: the grammar that all figures share. Does not: anything that one paper shows (`figures.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from draw import BLACK, WHITE, Colour, Drawing, Point, text_width
from numpy.typing import NDArray

Values = NDArray[np.float64]

BLUE: Colour = (31, 119, 180)
ORANGE: Colour = (230, 120, 20)
GREEN: Colour = (44, 150, 60)
RED: Colour = (200, 40, 45)
PURPLE: Colour = (130, 90, 170)
GREY: Colour = (120, 120, 120)
LIGHT: Colour = (222, 222, 222)

# A few anchors of each colour map, evenly spaced.
VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
RED_BLUE = ((33, 60, 150), (120, 170, 220), (247, 247, 247), (240, 150, 110), (165, 15, 30))
HOT = ((0, 0, 0), (130, 10, 10), (235, 80, 10), (255, 200, 60), (255, 255, 240))
GREYS = ((20, 20, 20), (250, 250, 250))


def coloured(
    values: Values, low: float, high: float, colours: Sequence[Colour] = VIRIDIS
) -> NDArray[np.uint8]:
    """Return an RGB image of shape (*values.shape, 3); values outside the limits take the end colours."""
    share = np.clip((values - low) / (high - low), 0, 1)
    anchors = np.linspace(0, 1, len(colours))
    channels = [np.interp(share, anchors, [colour[i] for colour in colours]) for i in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def ticks(low: float, high: float, n_about: int = 5) -> list[float]:
    """Return round numbers between two limits."""
    rough = (high - low) / n_about
    power = 10 ** np.floor(np.log10(rough))
    step = min((1, 2, 2.5, 5, 10), key=lambda each: abs(each * power - rough)) * power
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [float(round(i * step, 10)) for i in range(first, last + 1)]


@dataclass(slots=True)
class Axes:
    """A framed box on a drawing that data coordinates are mapped into."""

    drawing: Drawing
    left: float
    bottom: float
    width: float
    height: float
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    is_log_x: bool = False
    is_log_y: bool = False

    def at(self, x: float, y: float) -> Point:
        """Return where a data point lies on the page."""
        return (
            self.left + self.width * along(x, self.x_limits, self.is_log_x),
            self.bottom + self.height * along(y, self.y_limits, self.is_log_y),
        )

    def frame(self, x_label: str, y_label: str, title: str = "", size: float = 10) -> "Axes":
        """Draw the frame, ticks with numbers, the labels and a title; without an x label, no x ticks."""
        left, bottom, right, top = self.left, self.bottom, self.left + self.width, self.bottom + self.height
        for x in self.ticks_of(self.x_limits, self.is_log_x) if x_label else ():
            across = self.at(x, self.y_limits[0])[0]
            self.drawing.line([(across, bottom), (across, bottom + 4)])
            self.drawing.text((across, bottom - size * 1.2), f"{x:g}", size * 0.9, 0.5)
        widest = 0.0
        for y in self.ticks_of(self.y_limits, self.is_log_y):
            widest = max(widest, text_width(f"{y:g}", size * 0.9))
            up = self.at(self.x_limits[0], y)[1]
            self.drawing.line([(left, up), (left + 4, up)])
            self.drawing.text((left - 4, up - size * 0.3), f"{y:g}", size * 0.9, 1)
        self.drawing.line([(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)])
        self.drawing.text(((left + right) / 2, bottom - size * 2.6), x_label, size * 1.1, 0.5)
        across = left - widest - size * 1.1
        self.drawing.text((across, (bottom + top) / 2), y_label, size * 1.1, 0.5, is_upright=True)
        self.drawing.text(((left + right) / 2, top + size * 0.6), title, size * 1.1, 0.5)
        return self

    def ticks_of(self, limits: tuple[float, float], is_log: bool) -> list[float]:
        """Return tick positions: round numbers, or powers of ten."""
        if not is_log:
            return ticks(*limits)
        low, high = np.log10(limits)
        return [float(f"1e{power}") for power in range(int(np.ceil(low)), int(np.floor(high)) + 1)]

    def holds(self, x: float, y: float) -> bool:
        """Return whether a data point lies inside the frame."""
        return self.x_limits[0] <= x <= self.x_limits[1] and self.y_limits[0] <= y <= self.y_limits[1]

    def curve(
        self,
        x: Values,
        y: Values,
        colour: Colour = BLUE,
        width: float = 1.5,
        dash: tuple[float, float] | None = None,
    ) -> None:
        """Draw a curve; it is interrupted where it leaves the frame."""
        piece: list[Point] = []
        for each_x, each_y in zip(x, y, strict=True):
            if self.holds(each_x, each_y):
                piece.append(self.at(each_x, each_y))
                continue
            self.drawing.line(piece, colour, width, dash)
            piece = []
        self.drawing.line(piece, colour, width, dash)

    def points(
        self, x: Values, y: Values, colour: Colour = BLUE, radius: float = 2.5, errors: Values | None = None
    ) -> None:
        """Draw a disc for each point inside the frame, with symmetric error bars where given."""
        for i, (each_x, each_y) in enumerate(zip(x, y, strict=True)):
            if not self.holds(each_x, each_y):
                continue
            if errors is not None:
                low = max(each_y - errors[i], self.y_limits[0])
                high = min(each_y + errors[i], self.y_limits[1])
                self.drawing.line([self.at(each_x, low), self.at(each_x, high)], colour)
            self.drawing.disc(self.at(each_x, each_y), radius, colour, 12 if radius > 1 else 4)

    def bars(
        self, centres: Sequence[float], heights: Sequence[float], width: float, colour: Colour = BLUE
    ) -> None:
        """Draw vertical bars from the lower limit; `width` in data units."""
        for centre, height in zip(centres, heights, strict=True):
            left, bottom = self.at(centre - width / 2, self.y_limits[0])
            right, top = self.at(centre + width / 2, height)
            self.drawing.box((left, bottom), right - left, top - bottom, colour)

    def heat(
        self, values: Values, low: float, high: float, colours: Sequence[Colour] = VIRIDIS, label: str = ""
    ) -> None:
        """Fill the frame with a heat map, first row on top, and set a colour bar at its right."""
        self.drawing.pixels(
            (self.left, self.bottom), self.width, self.height, coloured(values, low, high, colours)
        )
        if not label:
            return
        x = self.left + self.width + 10
        ramp = np.linspace(high, low, 128)[:, None].repeat(4, axis=1)
        self.drawing.pixels((x, self.bottom), 10, self.height, coloured(ramp, low, high, colours))
        for tick in ticks(low, high, 4):
            y = self.bottom + self.height * (tick - low) / (high - low)
            self.drawing.line([(x + 10, y), (x + 13, y)])
            self.drawing.text((x + 15, y - 3), f"{tick:g}", 8.5)
        self.drawing.text((x + 46, self.bottom + self.height / 2), label, 10, 0.5, is_upright=True)

    def legend(self, entries: Sequence[tuple[str, Colour]], x: float = 0.62, y: float = 0.93) -> None:
        """Name the colours, from a corner given in shares of the frame."""
        left, top = self.left + x * self.width, self.bottom + y * self.height
        widest = max(text_width(name, 9) for name, _ in entries)
        self.drawing.box((left - 5, top - 13 * len(entries) + 5), widest + 36, 13 * len(entries) + 4, WHITE)
        for i, (name, colour) in enumerate(entries):
            self.drawing.line([(left, top - 13 * i), (left + 20, top - 13 * i)], colour, 2.5)
            self.drawing.text((left + 25, top - 13 * i - 3), name, 9)

    def note(self, x: float, y: float, string: str, size: float = 9, colour: Colour = BLACK) -> None:
        """Write beside a data point."""
        self.drawing.text(self.at(x, y), string, size, colour=colour)


def along(value: float, limits: tuple[float, float], is_log: bool) -> float:
    """Return how far a value lies between two limits, from 0 to 1."""
    if is_log:
        return float(np.log(value / limits[0]) / np.log(limits[1] / limits[0]))
    return float((value - limits[0]) / (limits[1] - limits[0]))


def axes(
    x_limits: tuple[float, float],
    y_limits: tuple[float, float],
    *,
    width: float = 400,
    height: float = 290,
    right: float = 16,
    is_log_x: bool = False,
    is_log_y: bool = False,
) -> Axes:
    """Return axes that fill a new drawing, with room for labels; `right` leaves space for a colour bar."""
    drawing = Drawing(width, height)
    box = (56, 42, width - 56 - right, height - 42 - 24)
    return Axes(drawing, *box, x_limits, y_limits, is_log_x, is_log_y)


def arrow(drawing: Drawing, tail: Point, head: Point, colour: Colour = BLACK, width: float = 1.2) -> None:
    """Draw a straight arrow."""
    along_x, along_y = head[0] - tail[0], head[1] - tail[1]
    length = max(float(np.hypot(along_x, along_y)), 1e-9)
    ux, uy = along_x / length, along_y / length
    back = 3 + 2 * width
    base = (head[0] - back * ux, head[1] - back * uy)
    half = back * 0.4
    drawing.line([tail, base], colour, width)
    drawing.area(
        [head, (base[0] - half * uy, base[1] + half * ux), (base[0] + half * uy, base[1] - half * ux)], colour
    )


def labelled_box(drawing: Drawing, at: Point, size: Point, string: str, colour: Colour) -> None:
    """Draw a filled box with a frame and centred text."""
    (x, y), (width, height) = at, size
    drawing.box(at, width, height, colour)
    drawing.line([(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)])
    drawing.text((x + width / 2, y + height / 2 - 3.5), string, 10, 0.5)


def smooth_noise(seed: int, shape: tuple[int, int], scale: float) -> Values:
    """Return Gaussian noise smoothed over `scale` pixels, with zero mean and unit variance.

    The smoothing is a Gaussian filter in Fourier space, so the texture is periodic.
    """
    noise = np.random.default_rng(seed).standard_normal(shape)
    waves = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :])
    smooth = np.fft.irfft2(np.fft.rfft2(noise) * np.exp(-2 * (np.pi * waves * scale) ** 2), s=shape)
    scaled: Values = (smooth - smooth.mean()) / smooth.std()
    return scaled
