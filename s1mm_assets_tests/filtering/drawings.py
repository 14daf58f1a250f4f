"""Pictures that the tests draw: plots, tables, and what lies between."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Drawing = Callable[[], Image.Image]
FONT = ImageFont.load_default(size=20)
WORDS = [
    *("mass", "energy", "ratio", "model", "error", "data", "fit", "value"),
    *("0.53", "1.27", "-4.1", "12.9", "3.3e-4", "98.6", "7", "0.001"),
]


def png(image: Image.Image) -> bytes:
    """The image as PNG bytes."""
    stream = BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    """The image as JPEG bytes."""
    stream = BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A white page and a pen."""
    image = Image.new("RGB", (900, 600), "white")
    return image, ImageDraw.Draw(image)


def table(*, rules: str = "booktabs", n_rows: int = 12, ink: str = "black") -> Image.Image:
    """A typeset table: five columns, ruled as told."""
    image, pen = canvas()
    for row in range(n_rows):
        for column in range(5):
            word = WORDS[(row * 5 + column * 3) % len(WORDS)]
            pen.text((60 + 160 * column, 40 + 40 * row), word, fill=ink, font=FONT)
    bottom = 40 + 40 * n_rows
    for y in {"booktabs": [30, 72, bottom], "grid": range(30, bottom + 1, 40), "none": []}[rules]:
        pen.line((40, y, 860, y), fill="black", width=2)
    if rules == "grid":
        for x in range(40, 861, 164):
            pen.line((x, 30, x, bottom), fill="black", width=2)
    return image


def axes(pen: ImageDraw.ImageDraw) -> None:
    """A frame with ticks and their labels."""
    pen.rectangle((100, 40, 860, 520), outline="black", width=2)
    for i in range(6):
        pen.text((100 + 150 * i, 530), f"{i / 5:.1f}", fill="black", font=FONT)
        pen.text((50, 500 - 90 * i), f"{i * 20}", fill="black", font=FONT)


def plot(*, phase: float = 0.0) -> Image.Image:
    """A curve in a frame."""
    image, pen = canvas()
    axes(pen)
    x = np.linspace(100, 860, 400)
    y = 280 + 180 * np.sin(x / 60 + phase) * np.exp(-x / 900)
    pen.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill="black", width=3)
    return image


def scatter() -> Image.Image:
    """Markers in a frame."""
    image, pen = canvas()
    axes(pen)
    for x, y in np.random.default_rng(0).uniform((120, 60), (840, 500), (60, 2)).tolist():
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill="black")
    return image


def dot_matrix() -> Image.Image:
    """Equal markers in rows and columns between rules: no words."""
    image, pen = canvas()
    for row in range(10):
        for column in range(20):
            if (row * 7 + column * 3) % 4:
                pen.ellipse((60 + 40 * column, 50 + 50 * row, 76 + 40 * column, 66 + 50 * row), fill="black")
    for y in (20, 40, 560):
        pen.line((40, y, 860, y), fill="black", width=2)
    return image


def bars() -> Image.Image:
    """Horizontal bars with names."""
    image, pen = canvas()
    pen.rectangle((200, 20, 880, 560), outline="black", width=2)
    for row in range(10):
        pen.text((40, 40 + 50 * row), WORDS[row], fill="black", font=FONT)
        pen.rectangle((202, 40 + 50 * row, 260 + 55 * row, 62 + 50 * row), fill="black")
    return image


def empty_panels() -> Image.Image:
    """Three framed panels with tick labels and hardly any data."""
    image, pen = canvas()
    for left in (60, 350, 640):
        pen.rectangle((left, 20, left + 220, 540), outline="black")
        for i in range(8):
            pen.text((left - 55, 25 + 65 * i), f"0.{i}25", fill="black", font=FONT)
        pen.ellipse((left + 60, 200, left + 68, 208), fill="black")
    return image


def small_multiples() -> Image.Image:
    """Six framed panels on one grid, their ticks labelled, with a dot each."""
    image, pen = canvas()
    small = ImageFont.load_default(size=26)
    for top in (10, 300):
        for left in (70, 370, 670):
            pen.rectangle((left, top, left + 220, top + 250), outline="black", width=2)
            for i in range(7):
                pen.text((left - 60, top + 5 + 35 * i), f"0.{i}5", fill="black", font=small)
            pen.ellipse((left + 60, top + 60, left + 68, top + 68), fill="black")
    return image


def stream(encoded: bytes) -> BytesIO:
    """Bytes as a file."""
    return BytesIO(encoded)


def text(words: str, *, size: int = 90, ink: str = "#003366") -> Image.Image:
    """Large letters on white, as wide as they need."""
    font = ImageFont.load_default(size=size)
    image = Image.new("RGB", (round(font.getlength(words)) + size, 2 * size), "white")
    ImageDraw.Draw(image).text((size / 2, size / 2), words, fill=ink, font=font, stroke_width=2)
    return image


def prose() -> Image.Image:
    """A page of running text."""
    image, pen = canvas()
    words = WORDS[:8] * 30
    for row in range(13):
        x = 40.0
        for word in words[row * 11 : row * 11 + 11]:
            pen.text((x, 40 + 40 * row), word, fill="black", font=FONT)
            x += pen.textlength(word + " ", font=FONT)
    return image


def blank() -> Image.Image:
    """Nothing."""
    return Image.new("RGB", (900, 600), "white")


def gradient() -> Image.Image:
    """Ink everywhere, as in a photograph."""
    values = np.add.outer(np.arange(600), np.arange(900)) % 256
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


def touching_boxes(*, box_height: int = 60, outline: int = 2) -> Image.Image:
    """A block diagram: six rows of three boxes without a gap, one word in each."""
    image = Image.new("RGB", (660, 6 * box_height + 40), "white")
    pen = ImageDraw.Draw(image)
    names = ["Encoder", "Attention", "Decoder", "Pooling", "Softmax", "Residual", "Query"]
    for row in range(6):
        for column in range(3):
            left, top = 30 + 200 * column, 20 + box_height * row
            pen.rectangle((left, top, left + 200, top + box_height), outline="black", width=outline)
            middle = (left + 100, top + box_height / 2)
            pen.text(middle, names[(row * 3 + column) % 7], fill="black", font=FONT, anchor="mm")
    return image


def monospaced(lines: list[str]) -> Image.Image:
    """Lines of text, every character as wide as every other."""
    image = Image.new("RGB", (24 + 13 * max(map(len, lines)), 30 + 26 * len(lines)), "white")
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        for column, letter in enumerate(line):
            pen.text((18 + 13 * column, 27 + 26 * row), letter, fill="black", font=FONT, anchor="mm")
    return image


def alignment() -> Image.Image:
    """Sequences of proteins below one another, in blocks, after the names of their species."""
    letters = np.random.default_rng(0).choice(list("ACDEFGHKLMNPQRSTVWY-"), (14, 4, 10))
    return monospaced(
        [f"SEQ_{i:02d}   " + "  ".join("".join(b) for b in row) for i, row in enumerate(letters)]
    )


def listing(*, framed: bool = False) -> Image.Image:
    """A program, its lines numbered at the left; framed, a line above and below."""
    code = [
        "for word in words:",
        "    total += model(word)",
        "    if total > 9:",
        "        break",
        "return total",
    ]
    image = monospaced([f"{i + 1:2d}    {code[i % 5]}" for i in range(15)])
    if framed:
        pen = ImageDraw.Draw(image)
        for y in (4, image.height - 6):
            pen.line((4, y, image.width - 4, y), fill="black", width=2)
    return image
