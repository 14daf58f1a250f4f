r"""Pictures with known labels, made by the project: what the filters for tables, logos and the like are measured on.

Typeset by pdflatex (tables; as hard negatives listings, algorithms, matrices, flowcharts), plotted by matplotlib
(confusion matrices, heat maps, bar charts …) and drawn with Pillow and OpenCV (logos, licence badges, machine
codes). What a program is missing for is left out. Nothing here is a file of anybody's: badges and logos are
imitations, and the one face is NASA's portrait of an astronaut, where scikit-image is installed.
"""

import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import util
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pypdfium2
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from s1mm_assets_tests.filtering.drawings import monospaced

FIGURE = "figure"
DPI = 200
WORDS = """model data energy baseline accuracy Sample treatment control Region score ours Method Dataset""".split()  # noqa: SIM905 - long enough
CAPTION = "Comparison of the two methods on held-out data."


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture, what it is (a rejection of the filters, or `FIGURE`), and what the paper says of it."""

    name: str
    label: str
    image: Image.Image
    caption: str = CAPTION
    graphics_path: str | None = None


def own_pictures(seed: int) -> Iterator[Labelled]:
    """Yield the project's own labelled set; another seed gives another set of the same kinds."""
    yield from typeset(random.Random(seed))
    yield from plotted(seed)
    yield from drawn(random.Random(seed))
    yield from lookalikes(random.Random(seed))
    yield from machine_codes(random.Random(seed))
    yield from portraits()


# tables and what resembles them, typeset


def typeset(rng: random.Random) -> Iterator[Labelled]:
    """Yield what pdflatex makes: 60 tables, and 60 pictures that are none."""
    if shutil.which("pdflatex") is None:
        return
    made = [("table_as_image", TABLES[i % len(TABLES)](rng)) for i in range(60)]
    made += [(FIGURE, NO_TABLES[i % len(NO_TABLES)](rng)) for i in range(60)]
    pages = "\n".join(rf"\begin{{pic}}{body}\end{{pic}}" for _, body in made)
    for number, ((label, _), image) in enumerate(zip(made, pages_of(PREAMBLE % pages), strict=True)):
        yield Labelled(f"tex_{number}", label, image)


PREAMBLE = r"""\documentclass[multi=pic,border=4pt,varwidth=16cm]{standalone}
\usepackage{booktabs,multirow,amsmath,tikz,algorithm,algpseudocode,listings}
\usepackage[table]{xcolor}
\usetikzlibrary{arrows.meta,positioning,shapes}
\newenvironment{pic}{}{}
\begin{document}%s\end{document}"""


def pages_of(tex: str) -> list[Image.Image]:
    """Typeset a document; return its pages at `DPI`."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "made.tex").write_text(tex, encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-no-shell-escape", "made.tex"]
        subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL, timeout=120)
        document = pypdfium2.PdfDocument((Path(folder) / "made.pdf").read_bytes())
    return [page.render(scale=DPI / 72).to_pil().convert("RGB") for page in document]


def cell(rng: random.Random) -> str:
    """A number, with or without its error, or a word."""
    number = f"{rng.uniform(-10, 100):.{rng.choice([0, 1, 2, 3])}f}"
    kinds = [number, number, rf"${number}\pm{rng.random():.2f}$", rng.choice(WORDS), rf"\textbf{{{number}}}"]
    return rng.choice(kinds)


def body_of(rng: random.Random, n_rows: int, n_columns: int, row_end: str) -> str:
    """Rows of a table, a name first."""
    rows = [
        " & ".join([rng.choice(WORDS), *(cell(rng) for _ in range(n_columns - 1))]) for _ in range(n_rows)
    ]
    return f"{row_end}\n".join(rows) + row_end


def booktabs(rng: random.Random) -> str:
    """Three rules, as most journals want it."""
    n = rng.randint(3, 9)
    head = " & ".join(rf"\textbf{{{rng.choice(WORDS)}}}" for _ in range(n))
    rows = body_of(rng, rng.randint(4, 20), n, r"\\")
    return rf"\begin{{tabular}}{{l{'r' * (n - 1)}}}\toprule {head}\\\midrule {rows}\bottomrule\end{{tabular}}"


def grid(rng: random.Random) -> str:
    """Ruled everywhere."""
    n = rng.randint(3, 7)
    rows = body_of(rng, rng.randint(3, 14), n, r"\\\hline")
    return rf"\begin{{tabular}}{{|{'c|' * n}}}\hline {rows}\end{{tabular}}"


def wordy(rng: random.Random) -> str:
    """Cells of several lines."""
    rows = r"\\\hline ".join(
        f"{i} & {rng.choice(WORDS)} & {' '.join(rng.choices(WORDS, k=rng.randint(4, 18)))}" for i in range(6)
    )
    columns = rng.choice(["|c|l|p{7cm}|", "clp{7cm}"])
    return rf"\begin{{tabular}}{{{columns}}}\hline {rows}\\\hline\end{{tabular}}"


def striped(rng: random.Random) -> str:
    """Every other row on a tint, a dark head."""
    rows = body_of(rng, rng.randint(6, 14), 5, r"\\")
    head = " & ".join(rf"\textcolor{{white}}{{{rng.choice(WORDS)}}}" for _ in range(5))
    return (
        rf"\rowcolors{{2}}{{blue!10}}{{white}}\begin{{tabular}}{{lrrrr}}\rowcolor{{blue!60!black}}{head}\\"
        rf"{rows}\end{{tabular}}"
    )


def captioned(rng: random.Random) -> str:
    """With its caption inside the picture, groups of rows and columns."""
    rows = body_of(rng, rng.randint(4, 8), 4, r"\\")
    head = r"& \multicolumn{2}{c}{Train} & Test\\\cmidrule(lr){2-3} Name & $a$ & $b$ & $c$\\\midrule"
    return (
        rf"Table 1: {' '.join(rng.choices(WORDS, k=12))}.\par\medskip\begin{{tabular}}{{lccc}}\toprule {head}"
        rf"{rows}\midrule {rows}\bottomrule\end{{tabular}}"
    )


def unruled(rng: random.Random) -> str:
    """Columns alone."""
    n = rng.randint(4, 8)
    return rf"\begin{{tabular}}{{l{'r' * (n - 1)}}}{body_of(rng, rng.randint(6, 18), n, chr(92) * 2)}\end{{tabular}}"


TABLES = (booktabs, booktabs, grid, grid, wordy, captioned, booktabs, striped, captioned, unruled)
"""Three of ten plain, two ruled all over; one of ten each with stripes, and without any rule."""


def algorithm(rng: random.Random) -> str:
    """Pseudocode between rules, its lines numbered."""
    lines = "".join(
        rng.choice(
            [rf"\State ${w} \gets {w} + {i}$", rf"\If{{${w} > {i}$}}\State \Return ${w}$\EndIf", rf"\For{{$i \in {w}$}}"
             rf"\State update ${w}_i$ by {rng.choice(WORDS)}\EndFor"]
        )
        for i, w in enumerate(rng.choices("abcxyz", k=rng.randint(6, 12)))
    )  # fmt: skip
    numbered = rng.choice(["", "[1]"])
    return (
        rf"\hrule\smallskip\textbf{{Algorithm 1}} {rng.choice(WORDS)}\smallskip\hrule\smallskip"
        rf"\begin{{algorithmic}}{numbered}{lines}\end{{algorithmic}}\hrule"
    )


def listing(rng: random.Random) -> str:
    """A program, framed."""
    names = [rng.choice(WORDS) for _ in range(12)]
    indented = ["~~~~" * rng.randint(0, 2) + a for a in names]
    lines = [f"{a} = {b}({rng.randint(0, 99)})" for a, b in zip(indented, names, strict=True)]
    code = r"\\".join(rf"\texttt{{{line}}}" for line in lines)
    numbered = r"\\".join(rf"\tiny {i}~~\normalsize{line}" for i, line in enumerate(code.split(r"\\"), 1))
    return rf"\fbox{{\parbox{{12cm}}{{{rng.choice([code, numbered])}}}}}"


def matrix(rng: random.Random) -> str:
    """An equation of matrices."""
    n = rng.randint(3, 6)
    rows = r"\\".join(" & ".join(str(rng.randint(0, 9)) for _ in range(n)) for _ in range(n))
    return rf"$A = \begin{{pmatrix}}{rows}\end{{pmatrix}},\quad B = \begin{{bmatrix}}{rows}\end{{bmatrix}}$"


def flowchart(rng: random.Random) -> str:
    """Boxes of words in rows and columns, joined by arrows."""
    rows, columns = rng.randint(2, 4), rng.randint(2, 4)
    shape = rng.choice(["draw", "draw,rounded corners", "draw,fill=gray!15", "draw,fill=orange!30"])
    nodes = "".join(
        rf"\node[{shape},minimum width=2.4cm] (n{r}{c}) at ({3.2 * c},{-1.4 * r})"
        rf" {{{rng.choice(WORDS)} {rng.choice(WORDS)}}};"
        for r in range(rows)
        for c in range(columns)
    )
    across = "".join(rf"\draw[->] (n{r}{c})--(n{r}{c + 1});" for r in range(rows) for c in range(columns - 1))
    down = "".join(rf"\draw[->] (n{r}{c})--(n{r + 1}{c});" for r in range(rows - 1) for c in range(columns))
    return rf"\begin{{tikzpicture}}{nodes}{across}{down}\end{{tikzpicture}}"


def plain_confusion(rng: random.Random) -> str:
    """A confusion matrix in black and white: numbers in a grid, names beside and below."""
    n = rng.randint(3, 7)
    cells = "".join(
        rf"\draw ({c},{-r}) rectangle +(1,1); \node at ({c}.5,{-r + 0.5}) {{{rng.randint(0, 99)}}};"
        for r in range(n)
        for c in range(n)
    )
    names = "".join(rf"\node[left] at (0,{-r + 0.5}) {{{rng.choice(WORDS)}}};" for r in range(n))
    return (
        rf"\begin{{tikzpicture}}{cells}{names}\node at ({n / 2},1.4) {{predicted}};"
        rf"\node[rotate=90] at (-2.6,{-n / 2 + 1}) {{actual}};\end{{tikzpicture}}"
    )


def prose(rng: random.Random) -> str:
    """A prompt or an example of text, framed."""
    return rf"\fbox{{\parbox{{11cm}}{{{' '.join(rng.choices(WORDS, k=rng.randint(60, 160)))}.}}}}"


def timeline(rng: random.Random) -> str:
    """Bars with names: a Gantt chart."""
    rows = "".join(
        rf"\node[left] at (0,{-r}) {{{rng.choice(WORDS)}}};\fill ({rng.uniform(0, 4):.1f},{-r - 0.2})"
        rf" rectangle +({rng.uniform(1, 5):.1f},0.4);"
        for r in range(rng.randint(4, 9))
    )
    ticks = "".join(rf"\node at ({x},0.9) {{{2010 + x}}};\draw[gray] ({x},0.6)--+(0,-8);" for x in range(9))
    return rf"\begin{{tikzpicture}}\draw (0,0.6)--(9,0.6);{ticks}{rows}\end{{tikzpicture}}"


def tree(rng: random.Random) -> str:
    """A tree of words."""
    child = "child{node{%s} child{node{%s}} child{node{%s}}}"
    children = "".join(child % tuple(rng.choices(WORDS, k=3)) for _ in range(3))
    return (
        r"\begin{tikzpicture}[level distance=1.5cm,level 1/.style={sibling distance=5cm},"
        rf"level 2/.style={{sibling distance=2.4cm}}]\node{{{rng.choice(WORDS)}}} {children};\end{{tikzpicture}}"
    )


NO_TABLES: tuple[Callable[[random.Random], str], ...] = (
    algorithm,
    listing,
    matrix,
    flowchart,
    plain_confusion,
    prose,
    timeline,
    tree,
)


# plots


def plotted(seed: int) -> Iterator[Labelled]:
    """Yield plots of kinds that a filter may take for something else."""
    if util.find_spec("matplotlib") is None:
        return
    from matplotlib.figure import Figure

    rng = np.random.default_rng(seed)
    for kind in PLOTS:
        for number in range(6):
            figure = Figure(figsize=(rng.uniform(3, 7), rng.uniform(2.5, 5)), dpi=DPI, layout="constrained")
            kind(figure, rng)
            stream = BytesIO()
            figure.savefig(stream, format="png")
            yield Labelled(f"{kind.__name__}_{number}", FIGURE, Image.open(stream).convert("RGB"))


def confusion_heat(figure: object, rng: np.random.Generator) -> None:
    """A confusion matrix: numbers on tints."""
    axes = figure.subplots()  # type: ignore[attr-defined]
    counts = rng.integers(0, 100, (5, 5))
    axes.imshow(counts, cmap=str(rng.choice(["Blues", "Greys", "viridis"])))
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, str(count), ha="center", va="center")
    axes.set_xticks(range(5), WORDS[:5])
    axes.set_yticks(range(5), WORDS[:5])


def heat_map(figure: object, rng: np.random.Generator) -> None:
    """Noise in colours, without axes or with them."""
    axes = figure.subplots()  # type: ignore[attr-defined]
    axes.imshow(rng.random((12, 20)), cmap=str(rng.choice(["magma", "gray"])))
    if rng.random() < 0.5:
        axes.set_axis_off()


def two_levels(figure: object, rng: np.random.Generator) -> None:
    """A sparsity pattern: black squares on white, as in a machine code."""
    axes = figure.subplots()  # type: ignore[attr-defined]
    axes.imshow(rng.random((25, 25)) < 0.5, cmap="gray")
    axes.set_axis_off()


def stripes(figure: object, rng: np.random.Generator) -> None:
    """Spectral lines, or the hits of an enrichment test: black bars of one height."""
    axes = figure.subplots()  # type: ignore[attr-defined]
    axes.vlines(rng.random(60), 0, 1, color="black", lw=rng.uniform(0.5, 2))
    axes.set_axis_off()


def black_bars(figure: object, rng: np.random.Generator) -> None:
    """A bar chart in black and white."""
    axes = figure.subplots()  # type: ignore[attr-defined]
    axes.bar(WORDS[:6], rng.random(6), color=["black", "white"], edgecolor="black")
    axes.tick_params(axis="x", rotation=45)


def big_legend(figure: object, rng: np.random.Generator) -> None:
    """A plot whose legend is a table of names."""
    axes = figure.subplots()  # type: ignore[attr-defined]
    for name in WORDS:
        axes.plot(rng.random(20).cumsum(), "k-", lw=rng.uniform(0.5, 2), label=f"{name} ({rng.random():.2f})")
    axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.1))


def forest(figure: object, rng: np.random.Generator) -> None:
    """A forest plot: columns of text and a column of error bars."""
    axes = figure.subplots()  # type: ignore[attr-defined]
    for row in range(10):
        low, high = sorted(rng.uniform(0.3, 2.5, 2))
        axes.plot([low, high], [row, row], "k-")
        axes.plot([(low + high) / 2], [row], "ks")
        axes.text(3, row, f"{low:.2f} ({low:.2f}-{high:.2f})", va="center")
        axes.text(-2, row, f"{WORDS[row]} {row}", va="center")
    axes.axvline(1, color="black")
    axes.set_xlim(-2, 5)
    axes.set_axis_off()


def small_multiples(figure: object, rng: np.random.Generator) -> None:
    """Many panels with hardly any data."""
    for axes in figure.subplots(2, 3).flat:  # type: ignore[attr-defined]
        axes.plot(rng.random(4), "k.", markersize=2)
        axes.tick_params(labelsize=5)


def silhouettes(figure: object, rng: np.random.Generator) -> None:
    """Solid shapes without axes: masks, phases, domains."""
    axes = figure.subplots()  # type: ignore[attr-defined]
    field = rng.random((60, 60))
    smooth = cv2.GaussianBlur(field, (0, 0), float(rng.uniform(3, 8)))
    axes.imshow(smooth > np.median(smooth), cmap=str(rng.choice(["gray", "coolwarm"])))
    axes.set_axis_off()


def venn(figure: object, rng: np.random.Generator) -> None:
    """Discs with numbers."""
    axes = figure.subplots()  # type: ignore[attr-defined]
    for x, colour in zip((0.4, 0.6), rng.permutation(["C0", "C1", "C2"]), strict=False):
        axes.scatter([x], [0.5], s=9000, alpha=0.5, color=colour)
        axes.text(x, 0.5, str(rng.integers(0, 500)), ha="center", fontsize=18)
    axes.set_xlim(0, 1)
    axes.set_axis_off()


PLOTS: tuple[Callable[[object, np.random.Generator], None], ...] = (
    confusion_heat,
    heat_map,
    two_levels,
    stripes,
    black_bars,
    big_legend,
    forest,
    small_multiples,
    silhouettes,
    venn,
)


# logos, badges, small schematics


def drawn(rng: random.Random) -> Iterator[Labelled]:
    """Yield 30 logos, 24 licence badges and 40 schematics of few strokes."""
    for number in range(30):
        path = rng.choice(["fig/logo.png", "university-logo.pdf", None, None, None])
        yield Labelled(f"logo_{number}", "logo", LOGOS[number % len(LOGOS)](rng), CAPTION, path)
    for number in range(24):
        yield Labelled(f"badge_{number}", "licence_badge", BADGES[number % len(BADGES)](rng))
    for number in range(40):
        yield Labelled(f"sketch_{number}", FIGURE, SKETCHES[number % len(SKETCHES)](rng))


def font(size: float) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font."""
    return ImageFont.load_default(size=size)


def inked(rng: random.Random) -> str:
    """A colour that designers use."""
    return rng.choice(["#003366", "#b31b1b", "#00704a", "#f47920", "#222222", "#5c2d91"])


def wordmark(rng: random.Random) -> Image.Image:
    """A name in large letters."""
    name = rng.choice(["NORDIC PRESS", "openlab", "ACME", "Journal of Things", "SciNet", "eScience"])
    size = rng.randint(60, 140)
    width = round(font(size).getlength(name))
    image = Image.new("RGB", (width + size, size * 2), "white")
    ImageDraw.Draw(image).text((size / 2, size / 2), name, fill=inked(rng), font=font(size), stroke_width=2)
    return image


def emblem_and_name(rng: random.Random) -> Image.Image:
    """An emblem at the left, a name at the right, one below the other at times."""
    colour, size = inked(rng), rng.randint(70, 120)
    name = rng.choice(["Helios", "UNIVERSITY", "DeepThing", "BioBank", "Institute", "Quanta"])
    image = Image.new("RGB", (size * 3 + round(font(size).getlength(name)), size * 3), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse((size * 0.3, size * 0.5, size * 2.3, size * 2.5), fill=colour)
    pen.polygon([(size * 1.3, size * 0.8), (size * 2, size * 2), (size * 0.6, size * 2)], fill="white")
    pen.text((size * 2.6, size * 0.9), name, fill=colour, font=font(size), stroke_width=1)
    return image


def seal(rng: random.Random) -> Image.Image:
    """A name in a disc or a box."""
    image = Image.new("RGB", (500, 500), "white")
    pen = ImageDraw.Draw(image)
    colour = inked(rng)
    rng.choice([pen.ellipse, pen.rectangle])((20, 20, 480, 480), fill=colour)
    name = rng.choice(["npg", "UoX", "ISI", "MIT-X"])
    pen.text((250, 250), name, fill="white", font=font(150), anchor="mm", stroke_width=3)
    return image


def check_updates(rng: random.Random) -> Image.Image:
    """The button that says whether a paper is the current one."""
    image = Image.new("RGB", (500, 140), rng.choice(["white", "#eeeeee"]))
    pen = ImageDraw.Draw(image)
    pen.ellipse((20, 20, 120, 120), fill="#ffc72c")
    pen.polygon([(55, 30), (85, 30), (85, 110), (70, 95), (55, 110)], fill="#ef3340")
    pen.text((140, 45), "Check for updates", fill="#444444", font=font(40))
    return image


def open_access(rng: random.Random) -> Image.Image:
    """The open padlock, with its words."""
    image = Image.new("RGB", (600, 160), "white")
    pen = ImageDraw.Draw(image)
    colour = rng.choice(["#f68212", "#555555"])
    pen.ellipse((30, 60, 110, 140), outline=colour, width=14)
    pen.arc((42, 10, 98, 90), 180, 0, fill=colour, width=12)
    pen.text((140, 50), "OPEN ACCESS", fill=colour, font=font(58), stroke_width=2)
    return image


LOGOS = (wordmark, emblem_and_name, seal, check_updates, open_access)


def cc_button(rng: random.Random) -> Image.Image:
    """The button of 88 x 31: grey, a black bar below, the sign at the left, its clauses below and as discs."""
    clauses = rng.choice([["BY"], ["BY", "SA"], ["BY", "NC"], ["BY", "NC", "ND"], ["BY", "ND"]])
    scale = rng.choice([3, 4, 6])
    image = Image.new("RGB", (88 * scale, 31 * scale), "black")
    pen = ImageDraw.Draw(image)
    pen.rectangle((scale, scale, 87 * scale - 1, 22 * scale), fill="#aab2ab")
    left = (2 * scale, 3 * scale, 27 * scale, 28 * scale)
    pen.ellipse(left, fill="white", outline="black", width=2 * scale)
    sign = font(14 * scale)
    pen.text((14.5 * scale, 15.5 * scale), "cc", "black", sign, anchor="mm", stroke_width=scale // 3)
    for i, clause in enumerate(clauses):
        x = (40 + 17 * i) * scale
        pen.ellipse(
            (x - 7 * scale, 4 * scale, x + 7 * scale, 18 * scale), fill="white", outline="black", width=scale
        )
        pen.text((x, 11 * scale), clause[0], fill="black", font=font(9 * scale), anchor="mm")
        pen.text((x, 26.5 * scale), clause, fill="white", font=font(7 * scale), anchor="mm")
    return image


def cc_compact(rng: random.Random) -> Image.Image:
    """The button of 80 x 15: words alone."""
    scale = 8
    image = Image.new("RGB", (80 * scale, 15 * scale), "#666666")
    pen = ImageDraw.Draw(image)
    pen.rectangle((scale, scale, 79 * scale, 14 * scale), fill="white")
    pen.rectangle((2 * scale, 2 * scale, 25 * scale, 13 * scale), fill="#abb3ac")
    pen.text((13 * scale, 7.5 * scale), "cc", fill="black", font=font(10 * scale), anchor="mm")
    pen.rectangle((27 * scale, 2 * scale, 78 * scale, 13 * scale), fill="black")
    clause = rng.choice(["BY", "BY-SA", "BY-NC"])
    pen.text((52 * scale, 7.5 * scale), clause, fill="white", font=font(9 * scale), anchor="mm")
    return image


BADGES = (cc_button, cc_button, cc_button, cc_button, cc_button, cc_compact)


def icon(rng: random.Random) -> Image.Image:
    """A small schematic of solid shapes, labelled as figures are."""
    image = Image.new("RGB", (600, 400), "white")
    pen = ImageDraw.Draw(image)
    for i in range(rng.randint(2, 5)):
        x, y, r = rng.randint(80, 520), rng.randint(80, 320), rng.randint(25, 70)
        rng.choice([pen.ellipse, pen.rectangle])(
            (x - r, y - r, x + r, y + r), fill=inked(rng), outline="black"
        )
        pen.text((x, y + r + 14), "ABCDEFG"[i], fill="black", font=font(26), anchor="mm")
    return image


def arrows(rng: random.Random) -> Image.Image:
    """Two or three boxes in a row with words, joined."""
    n = rng.randint(2, 4)
    image = Image.new("RGB", (260 * n, 160), "white")
    pen = ImageDraw.Draw(image)
    for i in range(n):
        pen.rounded_rectangle((260 * i + 10, 30, 260 * i + 200, 130), 14, outline="black", width=3)
        pen.text((260 * i + 105, 80), rng.choice(WORDS), fill="black", font=font(30), anchor="mm")
        if i:
            pen.line((260 * i - 58, 80, 260 * i + 8, 80), fill="black", width=4)
    return image


def ball_and_stick(rng: random.Random) -> Image.Image:
    """Discs joined by lines: a molecule, a graph, a network."""
    image = Image.new("RGB", (500, 400), "white")
    pen = ImageDraw.Draw(image)
    points = [(rng.randint(60, 440), rng.randint(60, 340)) for _ in range(rng.randint(3, 9))]
    for a, b in pairwise(points):
        pen.line((*a, *b), fill="black", width=6)
    for x, y in points:
        colour = rng.choice(["#cc2222", "#888888", "#2255cc"])
        pen.ellipse((x - 25, y - 25, x + 25, y + 25), fill=colour, outline="black")
    return image


def large_letters(rng: random.Random) -> Image.Image:
    """Characters as data: stimuli, glyphs, digits."""
    image = Image.new("RGB", (800, 260), "white")
    pen = ImageDraw.Draw(image)
    for i in range(5):
        letter, size = rng.choice("ABEFHKQSX3589"), rng.randint(60, 150)
        pen.text((80 + 160 * i, 130), letter, fill="black", font=font(size), anchor="mm")
    return image


def gel(rng: random.Random) -> Image.Image:
    """Bands in lanes, blurred."""
    image = Image.new("L", (500, 360), 215)
    pen = ImageDraw.Draw(image)
    for lane in range(7):
        for _ in range(rng.randint(1, 4)):
            y = rng.randint(20, 330)
            pen.rectangle(
                (25 + 68 * lane, y, 75 + 68 * lane, y + rng.randint(4, 14)), fill=rng.randint(20, 140)
            )
    noise = np.random.default_rng(rng.randint(0, 9999)).normal(0, 4, (360, 500))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(3)), dtype=float) + noise
    return Image.fromarray(blurred.clip(0, 255).astype(np.uint8)).convert("RGB")


SKETCHES = (icon, arrows, ball_and_stick, large_letters, gel)


# figures that look like, or are named as, what is rejected


PLOT_FILES = """logo_cv_accuracy.pdf logo/fig1 LOGO-vs-LOSO.png logos/fig3.pdf logo_detection_results.png Analogo.pdf
orcid_growth.pdf cc01.png cc05.pdf cc_0.25.pdf error_by_nc.pdf acc-by-sa.png""".split()  # noqa: SIM905 - long enough


def lookalikes(rng: random.Random) -> Iterator[Labelled]:
    """Yield 40 figures in words or boxes alone, and schematics under names of files that speak of logos."""
    for number in range(40):
        kind = LOOKALIKES[number % len(LOOKALIKES)]
        yield Labelled(f"{kind.__name__}_{number}", FIGURE, kind(rng))
    for number, path in enumerate(PLOT_FILES):
        yield Labelled(f"named_{number}", FIGURE, SKETCHES[number % len(SKETCHES)](rng), CAPTION, path)


def touching_boxes(rng: random.Random) -> Image.Image:
    """A block diagram whose boxes touch, a word in each."""
    rows, columns, height, width = (
        rng.randint(3, 7),
        rng.randint(2, 4),
        rng.randint(44, 90),
        rng.randint(160, 240),
    )
    image = Image.new("RGB", (columns * width + 40, rows * height + 40), "white")
    pen = ImageDraw.Draw(image)
    for row in range(rows):
        for column in range(columns):
            left, top = 20 + column * width, 20 + row * height
            pen.rectangle((left, top, left + width, top + height), outline="black", width=2)
            middle = (left + width / 2, top + height / 2)
            pen.text(middle, rng.choice(WORDS), fill="black", font=font(20), anchor="mm")
    return image


def alignment(rng: random.Random) -> Image.Image:
    """Sequences below one another, in blocks, after their names."""
    n_blocks = rng.randint(2, 5)
    blocks = [
        ["".join(rng.choices("ACDEFGHIKLMNPQRSTVWY-", k=10)) for _ in range(n_blocks)] for _ in range(12)
    ]
    return monospaced([f"SEQ_{i:02d}   " + "  ".join(row) for i, row in enumerate(blocks)])


def numbered_listing(rng: random.Random) -> Image.Image:
    """A program with the numbers of its lines, at times between two rules."""
    lines = [
        f"{i:2d}    {'    ' * rng.randint(0, 2)}{rng.choice(WORDS)} = {rng.choice(WORDS)}"
        for i in range(1, 16)
    ]
    image = monospaced(lines)
    if rng.random() < 0.5:
        pen = ImageDraw.Draw(image)
        for y in (4, image.height - 6):
            pen.line((4, y, image.width - 4, y), fill="black", width=2)
    return image


def large_word(rng: random.Random) -> Image.Image:
    """A stimulus, a peptide, or a sample of a font."""
    word = rng.choice(["YELLOW", "GREEN", "Hamburgefonstiv", "MKVLSEGEWQLVLHVWAKVE", "Encoder", "house"])
    image = Image.new("RGB", (round(font(90).getlength(word)) + 90, 180), "white")
    ImageDraw.Draw(image).text(
        (45, 45), word, fill=rng.choice(["red", "black"]), font=font(90), stroke_width=2
    )
    return image


LOOKALIKES = (touching_boxes, alignment, numbered_listing, large_word)


# machine codes


def machine_codes(rng: random.Random) -> Iterator[Labelled]:
    """Yield 16 QR codes and 16 bar codes, and figures that hold a small one."""
    for number in range(16):
        text = f"https://example.org/{rng.randrange(16 ** rng.choice([4, 12, 40])):x}"
        code = qr_code(text, rng.choice([3, 6, 11]))
        yield Labelled(f"qr_{number}", "machine_code", code)
        if number < 6:
            page = Image.new("RGB", (1200, 800), "white")
            page.paste(code.resize((200, 200)), (50, 550))
            ImageDraw.Draw(page).line(
                [(i, 300 + rng.randint(-99, 99)) for i in range(300, 1100, 9)], "black", 3
            )
            yield Labelled(f"with_qr_{number}", FIGURE, page)
    for number in range(16):
        digits = "".join(rng.choices("0123456789", k=12))
        code = (ean_13 if number % 2 else code_128)(digits)
        yield Labelled(f"bars_{number}", "machine_code", code)


def qr_code(text: str, module_px: int) -> Image.Image:
    """A QR code with its quiet zone."""
    modules = np.asarray(cv2.QRCodeEncoder.create().encode(text))
    modules = np.pad(modules, 4, constant_values=255)
    return Image.fromarray(np.kron(modules, np.ones((module_px, module_px), np.uint8))).convert("RGB")


LEFT = """0001101 0011001 0010011 0111101 0100011 0110001 0101111 0111011 0110111 0001011""".split()  # noqa: SIM905 - long enough
PARITY = """LLLLLL LLGLGG LLGGLG LLGGGL LGLLGG LGGLLG LGGGLL LGLGLG LGLGGL LGGLGL""".split()  # noqa: SIM905 - long enough


def bars(modules: str, caption: str) -> Image.Image:
    """Bars of 3 pixels a module, the digits below."""
    row = np.array([255 - 255 * int(m) for m in f"{'0' * 10}{modules}{'0' * 10}"], dtype=np.uint8).repeat(3)
    image = Image.new("RGB", (len(row), 170), "white")
    image.paste(Image.fromarray(np.tile(row, (120, 1))), (0, 10))
    ImageDraw.Draw(image).text((len(row) / 2, 148), caption, fill="black", font=font(24), anchor="mm")
    return image


def ean_13(digits: str) -> Image.Image:
    """EAN-13 of twelve digits and their check digit (ISO/IEC 15420)."""
    total = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits))
    digits += str(-total % 10)
    left = ""
    for digit, parity in zip(digits[1:7], PARITY[int(digits[0])], strict=True):
        code = LEFT[int(digit)]
        left += code if parity == "L" else "".join("10"[int(m)] for m in code)[::-1]
    right = "".join("".join("10"[int(m)] for m in LEFT[int(digit)]) for digit in digits[7:])
    return bars(f"101{left}01010{right}101", digits)


CODE_C = """212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 122132
122231 113222 123122 123221 223211 221132 221231 213212 223112 312131 311222 321122 321221 312212
322112 322211 212123 212321 232121 111323 131123 131321 112313 132113 132311 211313 231113 231311
112133 112331 132131 113123 113321 133121 313121 211331 231131 213113 213311 213131 311123 311321
331121 312113 312311 332111 314111 221411 431111 111224 111422 121124 121421 141122 141221 112214
112412 122114 122411 142112 142211 241211 221114 413111 241112 134111 111242 121142 121241 114212
124112 124211 411212 421112 421211 212141 214121 412121 111143 111341 131141 114113 114311 411113
411311 113141 114131 311141 411131 211412 211214 211232""".split()  # noqa: SIM905 - long enough


def code_128(digits: str) -> Image.Image:
    """Code 128, set C, of pairs of digits (ISO/IEC 15417)."""
    values = [105, *(int(digits[i : i + 2]) for i in range(0, len(digits), 2))]
    check = (values[0] + sum(i * v for i, v in enumerate(values))) % 103
    widths = "".join(CODE_C[v] for v in [*values, check]) + "2331112"
    return bars("".join(("1" if i % 2 == 0 else "0") * int(w) for i, w in enumerate(widths)), digits)


# portraits


def portraits() -> Iterator[Labelled]:
    """Yield crops of the one face that may be shown, as of an author and as of a stimulus."""
    found = util.find_spec("skimage")  # its data alone: the package is not imported
    path = Path(found.origin).parent / "data" / "astronaut.png" if found and found.origin else None
    if path is None or not path.is_file():
        return
    photo = Image.open(path).convert("RGB")
    boxes = [(110, 0, 360, 320), (130, 0, 330, 260), (90, 0, 400, 390), (150, 10, 310, 215)]
    lives = [
        "Jane Doe received the Ph.D. degree in physics from the University of Example in 2010.",
        "John Roe is an associate professor of computer science at Example University.",
    ]
    for number, box in enumerate(boxes):
        image = photo.crop(box) if number % 2 else photo.crop(box).convert("L").convert("RGB")
        for i, life in enumerate(lives):
            yield Labelled(f"author_{number}_{i}", "portrait", image, life)
        for i, words in enumerate(
            ["Input image.", "A face shown to participants for 200 ms.", "Ground truth"]
        ):
            yield Labelled(f"face_{number}_{i}", FIGURE, image, words)
