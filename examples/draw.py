"""A page to draw on, and the ways to write it: PNG, JPEG, TIFF, GIF, PDF, EPS.

Belongs here: lines, areas, text and pixels, in points (1/72 inch) with the origin at the bottom left, as
PDF and PostScript count. Does not: axes and plots (`plots.py`), or what a paper shows (`figures.py`).
The same drawing gives the same bytes: no date, no identifier, no random number.
"""

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Point = tuple[float, float]
Colour = tuple[int, int, int]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

SUPERSAMPLING = 3  # Pillow draws without anti-aliasing: draw larger, then reduce

# Advance widths of Helvetica for the characters 32 to 126, in 1/1000 of the size (Adobe's font metrics).
HELVETICA_WIDTHS = (
    (278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278)
    + (556,) * 10
    + (278, 278, 584, 584, 584, 556, 1015)
    + (667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833)
    + (722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611)
    + (278, 278, 278, 469, 556, 333)
    + (556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833)
    + (556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500)
    + (334, 260, 334, 584)
)


@dataclass(frozen=True, slots=True)
class Line:
    """An open polyline; `dash` is on and off in points, empty for a solid line."""

    points: Sequence[Point]
    colour: Colour
    width: float
    dash: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Area:
    """A filled polygon."""

    points: Sequence[Point]
    colour: Colour


@dataclass(frozen=True, slots=True)
class Text:
    """One line of ASCII text; `anchor` is the share of its width left of `at`; it runs up if `is_upright`."""

    at: Point
    string: str
    size: float
    anchor: float
    is_upright: bool
    colour: Colour


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image of shape (height, width, 3), first row on top, stretched over a box."""

    at: Point
    width: float
    height: float
    values: NDArray[np.uint8]


Mark = Line | Area | Text | Pixels


@dataclass(slots=True)
class Drawing:
    """Marks on a white page, in the order in which they cover one another."""

    width: float
    height: float
    marks: list[Mark] = field(default_factory=list)

    def line(
        self,
        points: Sequence[Point],
        colour: Colour = BLACK,
        width: float = 1.0,
        dash: tuple[float, float] | None = None,
    ) -> None:
        """Draw an open polyline; fewer than two points draw nothing."""
        if len(points) > 1:
            self.marks.append(Line(points, colour, width, dash))

    def area(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        self.marks.append(Area(points, colour))

    def box(self, at: Point, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle whose lower left corner is `at`."""
        x, y = at
        self.area([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], colour)

    def disc(self, at: Point, radius: float, colour: Colour, n_corners: int = 16) -> None:
        """Fill a circle, drawn as a polygon."""
        angles = np.linspace(0, 2 * np.pi, n_corners, endpoint=False)
        self.area([(at[0] + radius * np.cos(a), at[1] + radius * np.sin(a)) for a in angles], colour)

    def text(
        self,
        at: Point,
        string: str,
        size: float = 10.0,
        anchor: float = 0.0,
        *,
        is_upright: bool = False,
        colour: Colour = BLACK,
    ) -> None:
        """Set one line of ASCII text on the baseline through `at`."""
        self.marks.append(Text(at, string, size, anchor, is_upright, colour))

    def pixels(self, at: Point, width: float, height: float, values: NDArray[np.uint8]) -> None:
        """Place an image of shape (rows, columns, 3) over a box."""
        self.marks.append(Pixels(at, width, height, values))

    def place(self, other: "Drawing", at: Point, scale: float) -> None:
        """Copy another drawing's marks onto this one, its lower left corner at `at`."""
        self.marks.extend(moved(mark, at, scale) for mark in other.marks)


def text_width(string: str, size: float) -> float:
    """Return how far Helvetica runs, in points."""
    return sum(HELVETICA_WIDTHS[ord(char) - 32] for char in string) * size / 1000


def moved(mark: Mark, by: Point, scale: float) -> Mark:
    """Return a mark scaled about the origin and then moved."""

    def there(point: Point) -> Point:
        return by[0] + scale * point[0], by[1] + scale * point[1]

    match mark:
        case Line(points, colour, width, dash):
            scaled = None if dash is None else (dash[0] * scale, dash[1] * scale)
            return Line([there(p) for p in points], colour, width * scale, scaled)
        case Area(points, colour):
            return Area([there(p) for p in points], colour)
        case Text(at, string, size, anchor, is_upright, colour):
            return Text(there(at), string, size * scale, anchor, is_upright, colour)
        case Pixels(at, width, height, values):
            return Pixels(there(at), width * scale, height * scale, values)


# ------------------------------------------------------------------------------------------------ raster


def raster(drawing: Drawing, dpi: float) -> Image.Image:
    """Return the drawing as an RGB image."""
    scale = dpi / 72 * SUPERSAMPLING
    width_px, height_px = round(drawing.width * dpi / 72), round(drawing.height * dpi / 72)
    image = Image.new("RGB", (width_px * SUPERSAMPLING, height_px * SUPERSAMPLING), WHITE)
    brush = ImageDraw.Draw(image)

    def pixel(point: Point) -> Point:
        return float(point[0] * scale), float((drawing.height - point[1]) * scale)

    for mark in drawing.marks:
        match mark:
            case Line(points, colour, width, dash):
                for piece in dashes(points, dash):
                    thick = max(1, round(width * scale))
                    brush.line([pixel(p) for p in piece], fill=colour, width=thick, joint="curve")
            case Area(points, colour):
                brush.polygon([pixel(p) for p in points], fill=colour)
            case Text():
                raster_text(image, mark, pixel(mark.at), scale)
            case Pixels(at, width, height, values):
                size = (round(width * scale), round(height * scale))
                left, top = pixel((at[0], at[1] + height))
                smooth = Image.Resampling.BILINEAR if min(values.shape[:2]) > 96 else Image.Resampling.NEAREST
                image.paste(Image.fromarray(values).resize(size, smooth), (round(left), round(top)))
    return image.reduce(SUPERSAMPLING)


def raster_text(image: Image.Image, text: Text, at: Point, scale: float) -> None:
    """Set text by a mask, so that it can run upwards too."""
    font = ImageFont.load_default(text.size * scale)
    ascent = round(text.size * scale)
    length = round(font.getlength(text.string))
    mask = Image.new("L", (max(1, length), round(ascent * 1.3)), 0)
    ImageDraw.Draw(mask).text((0, ascent), text.string, fill=255, font=font, anchor="ls")
    left, top = at[0] - text.anchor * length, at[1] - ascent
    if text.is_upright:
        mask = mask.rotate(90, expand=True)
        left, top = at[0] - ascent, at[1] - (1 - text.anchor) * length
    image.paste(text.colour, (round(left), round(top)), mask)


def dashes(points: Sequence[Point], dash: tuple[float, float] | None) -> Iterator[Sequence[Point]]:
    """Yield the drawn pieces of a polyline, as PDF and PostScript would dash it."""
    if dash is None:
        yield points
        return
    corners = np.asarray(points, dtype=float)
    steps = np.hypot(*np.diff(corners, axis=0).T)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    for start in np.arange(0, way[-1], sum(dash)):
        end = min(start + dash[0], way[-1])
        stops = [start, *way[(way > start) & (way < end)], end]
        yield [
            (float(np.interp(s, way, corners[:, 0])), float(np.interp(s, way, corners[:, 1]))) for s in stops
        ]


def png(drawing: Drawing, dpi: float = 150) -> bytes:
    """Return the drawing as a PNG file."""
    return png_of(raster(drawing, dpi))


def jpeg(drawing: Drawing, dpi: float = 150, quality: int = 90) -> bytes:
    """Return the drawing as a JPEG file."""
    return jpeg_of(raster(drawing, dpi), quality)


def tiff(drawing: Drawing, dpi: float = 150) -> bytes:
    """Return the drawing as a TIFF file, compressed as publishers do."""
    file = io.BytesIO()
    raster(drawing, dpi).save(file, "TIFF", compression="tiff_lzw", dpi=(dpi, dpi))
    return file.getvalue()


def gif(drawing: Drawing, dpi: float = 72) -> bytes:
    """Return the drawing as a GIF file of 64 colours."""
    file = io.BytesIO()
    raster(drawing, dpi).quantize(64).save(file, "GIF")
    return file.getvalue()


def png_of(image: Image.Image) -> bytes:
    """Return an image as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def jpeg_of(image: Image.Image, quality: int = 90) -> bytes:
    """Return an image as a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


# ------------------------------------------------------------------------------------------------- PDF


def pdf(*pages: Drawing) -> bytes:
    """Return one PDF page per drawing, text in Helvetica, everything else as vectors."""
    objects: list[bytes] = [b"", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for page in pages:
        content, images = pdf_content(page)
        names: list[str] = []
        for image in images:
            objects.append(pdf_image(image))
            names.append(f"/Im{len(names)} {len(objects)} 0 R")
        objects.append(pdf_stream("", content.encode("ascii")))
        resources = f"<< /Font << /F 3 0 R >> /XObject << {' '.join(names)} >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {page.width:g} {page.height:g}] "
            f"/Resources {resources} /Contents {len(objects)} 0 R >>".encode("ascii")
        )
        kids.append(f"{len(objects)} 0 R")
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>".encode("ascii")
    return pdf_file(objects)


def pdf_file(objects: Sequence[bytes]) -> bytes:
    """Number the objects from 1 and add the cross-reference table; the first is the catalogue."""
    file = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    file += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(file)


def pdf_stream(entries: str, data: bytes) -> bytes:
    """Return a compressed stream object with further dictionary entries."""
    packed = zlib.compress(data, 9)
    head = f"<< /Length {len(packed)} /Filter /FlateDecode {entries}>>\nstream\n"
    return head.encode("ascii") + packed + b"\nendstream"


def pdf_image(pixels: Pixels) -> bytes:
    """Return an image as an RGB image object."""
    height, width, _ = pixels.values.shape
    entries = f"/Type /XObject /Subtype /Image /Width {width} /Height {height} "
    return pdf_stream(entries + "/ColorSpace /DeviceRGB /BitsPerComponent 8 ", pixels.values.tobytes())


def pdf_content(page: Drawing) -> tuple[str, list[Pixels]]:
    """Return a page's operators, and the images that they name Im0, Im1 and so on."""
    images: list[Pixels] = []
    lines = ["1 j"]
    for mark in page.marks:
        match mark:
            case Line(points, colour, width, dash):
                pattern = "[] 0 d" if dash is None else f"[{dash[0]:g} {dash[1]:g}] 0 d"
                lines.append(f"{rgb(colour)} RG {width:g} w {pattern} {path(points, 'm', 'l')} S")
            case Area(points, colour):
                lines.append(f"{rgb(colour)} rg {path(points, 'm', 'l')} h f")
            case Text(at, string, size, anchor, is_upright, colour):
                shift = anchor * text_width(string, size)
                x, y = (at[0], at[1] - shift) if is_upright else (at[0] - shift, at[1])
                turn = "0 1 -1 0" if is_upright else "1 0 0 1"
                show = (
                    f"BT /F {size:g} Tf {rgb(colour)} rg {turn} {x:.2f} {y:.2f} Tm ({escaped(string)}) Tj ET"
                )
                lines.append(show)
            case Pixels(at, width, height, _):
                lines.append(f"q {width:g} 0 0 {height:g} {at[0]:g} {at[1]:g} cm /Im{len(images)} Do Q")
                images.append(mark)
    return "\n".join(lines) + "\n", images


# ------------------------------------------------------------------------------------------ PostScript


def eps(drawing: Drawing, shows_page: bool = True) -> bytes:
    """Return an encapsulated PostScript file; many real ones never call showpage."""
    head = (
        "%!PS-Adobe-3.0 EPSF-3.0\n"
        f"%%BoundingBox: 0 0 {int(np.ceil(drawing.width))} {int(np.ceil(drawing.height))}\n%%EndComments\n"
    )
    tail = "showpage\n" if shows_page else ""
    return (head + postscript_content(drawing) + tail + "%%EOF\n").encode("ascii")


def postscript(*pages: Drawing) -> bytes:
    """Return a PostScript document with one page per drawing."""
    parts = [f"%!PS-Adobe-3.0\n%%Pages: {len(pages)}\n%%EndComments\n"]
    for number, page in enumerate(pages, start=1):
        parts.append(f"%%Page: {number} {number}\n{postscript_content(page)}showpage\n")
    return ("".join(parts) + "%%EOF\n").encode("ascii")


def postscript_content(page: Drawing) -> str:
    """Return the operators that paint one page."""
    lines = ["1 setlinejoin"]
    for mark in page.marks:
        match mark:
            case Line(points, colour, width, dash):
                pattern = "[]" if dash is None else f"[{dash[0]:g} {dash[1]:g}]"
                stroke = f"{width:g} setlinewidth {pattern} 0 setdash"
                lines.append(f"{rgb(colour)} setrgbcolor {stroke} {path(points, 'moveto', 'lineto')} stroke")
            case Area(points, colour):
                lines.append(f"{rgb(colour)} setrgbcolor {path(points, 'moveto', 'lineto')} closepath fill")
            case Text(at, string, size, anchor, is_upright, colour):
                turn = "90 rotate " if is_upright else ""
                start = f"{-anchor * text_width(string, size):.2f} 0 moveto"
                lines.append(
                    f"/Helvetica findfont {size:g} scalefont setfont {rgb(colour)} setrgbcolor gsave "
                    f"{at[0]:.2f} {at[1]:.2f} translate {turn}{start} ({escaped(string)}) show grestore"
                )
            case Pixels():
                lines.append(postscript_image(mark))
    return "\n".join(lines) + "\n"


def postscript_image(pixels: Pixels) -> str:
    """Return an image as hexadecimal data in place."""
    rows, columns, _ = pixels.values.shape
    data = pixels.values.tobytes().hex()
    lines = "\n".join(data[start : start + 120] for start in range(0, len(data), 120))
    return (
        f"gsave {pixels.at[0]:g} {pixels.at[1]:g} translate {pixels.width:g} {pixels.height:g} scale\n"
        f"/row {columns * 3} string def {columns} {rows} 8 [{columns} 0 0 -{rows} 0 {rows}]\n"
        "{currentfile row readhexstring pop} false 3 colorimage\n"
        f"{lines}\ngrestore"
    )


def rgb(colour: Colour) -> str:
    """Return a colour as three numbers from 0 to 1."""
    return " ".join(f"{channel / 255:.3g}" for channel in colour)


def path(points: Sequence[Point], move: str, line: str) -> str:
    """Return the operators that follow a polyline, one point a line."""
    (x, y), *rest = points
    return "\n".join([f"{x:.2f} {y:.2f} {move}", *(f"{x:.2f} {y:.2f} {line}" for x, y in rest)])


def escaped(string: str) -> str:
    """Return text as it stands in a PDF or PostScript string."""
    return string.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
