"""Figure files written by hand, and renderers that answer as told."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image

from s1mm_assets.extraction.raster import (
    Box,
    Drawing,
    Page,
    Picture,
    RasterSettings,
    Refused,
    Renderers,
)
from s1mm_assets.extraction.raster.rasterize import rasterize
from s1mm_assets.tables import Rejection

RED_RECTANGLE = b"1 0 0 rg 20 20 100 60 re f"


def image_file(
    image_format: str, mode: str = "RGB", size: tuple[int, int] = (64, 48), **options: Any
) -> bytes:
    """An image whose left half is darker than its right one."""
    image = Image.new(mode, size, 0)
    image.paste(Image.new(mode, (size[0] // 2, size[1]), "white" if mode not in ("I;16", "I", "F") else 200))
    out = BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def opened(picture: Picture | Refused) -> Image.Image:
    """The decoded picture, which must agree with what is said about it."""
    assert isinstance(picture, Picture), picture
    image: Image.Image = Image.open(BytesIO(picture.image))
    image.load()
    assert image.size == (picture.width_px, picture.height_px)
    assert str(image.format).lower() == picture.image_format
    return image


def pixel(image: Image.Image, at: tuple[int, int]) -> tuple[int, ...]:
    """The channels of one pixel, also of a picture that has one channel."""
    value = image.convert("RGB").getpixel(at)
    assert isinstance(value, tuple)
    return value


def refusal(picture: Picture | Refused) -> Rejection:
    """Why there is no picture."""
    assert isinstance(picture, Refused), picture
    return picture.rejection


def pdf(
    content: bytes = RED_RECTANGLE,
    *,
    media_box: bytes = b"0 0 200 100",
    page: bytes = b"",
    kids: bytes = b"3 0 R",
    trailer: bytes = b"",
) -> bytes:
    """A PDF of one page; `kids`, `page` and `trailer` are spliced into their dictionaries."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[" + kids + b"]/Count %d>>" % kids.count(b"R"),
        b"<</Type/Page/Parent 2 0 R/MediaBox[" + media_box + b"]/Contents 4 0 R/Resources<<>>" + page + b">>",
        b"<</Length %d>>stream\n" % len(content) + content + b"\nendstream",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Resources<<>>>>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer\n<</Size 6/Root 1 0 R" + trailer + b">>\nstartxref\n%d\n%%%%EOF\n" % len(out)
    return out + b"xref\n0 6\n0000000000 65535 f \n" + table + end


def eps(body: bytes, *, box: bytes | None = b"0 0 200 100", end: bytes = b"\nshowpage\n") -> bytes:
    """An EPS file with this body."""
    comments = b"" if box is None else b"%%BoundingBox: " + box + b"\n"
    return b"%!PS-Adobe-3.0 EPSF-3.0\n" + comments + b"%%EndComments\n" + body + end


def with_dos_header(code: bytes, preview: bytes = b"II*\0" + bytes(40)) -> bytes:
    """The same EPS as DOS programs wrote it: a binary header, the code, a TIFF preview."""
    start = 30
    header = struct.pack("<6IH", start, len(code), 0, 0, start + len(code), len(preview), 0xFFFF)
    return b"\xc5\xd0\xd3\xc6" + header + code + preview


@dataclass
class ToldRenderers:
    """Renderers that answer as told, and remember what was asked of them."""

    refusal: Refused | None = None
    drawing: bytes | None = None  # what is drawn of PostScript; None: a white page with a black dot
    ink: Box = field(default_factory=lambda: Box(100, 200, 300, 300))
    is_time_up: bool = False
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def postscript(self, drawings: Sequence[Drawing]) -> Iterator[bytes | Refused]:
        for each in drawings:
            self.asked.append(("postscript", each.code, each.box, each.size_px, each.dpi))
            yield self.refusal or self.drawing or _dotted(each.size_px)

    def postscript_ink(self, data: bytes) -> Box | Refused:
        self.asked.append(("postscript_ink", data))
        return self.ink

    def pdf_second_try(self, data: bytes, page: int, long_side_px: int) -> Page | Refused:
        self.asked.append(("pdf_second_try", data, page, long_side_px))
        return self.refusal or Page(_dotted((long_side_px, long_side_px // 2)), width_pt=200, height_pt=100)

    def svg(self, markup: bytes) -> bytes | Refused:
        self.asked.append(("svg", markup))
        return self.refusal or self.drawing or _dotted((64, 32))

    def stopwatch(self) -> Callable[[], bool]:
        return lambda: self.is_time_up


def _dotted(size: tuple[int, int]) -> bytes:
    image = Image.new("RGB", size, "white")
    image.putpixel((0, 0), (0, 0, 0))
    out = BytesIO()
    image.save(out, "PPM")
    return out.getvalue()


def draw(
    data: bytes,
    *,
    page: int | None = None,
    renderers: Renderers | None = None,
    settings: RasterSettings | None = None,
) -> Picture | Refused:
    """Rasterize with told renderers and default settings, unless others are given."""
    return rasterize(
        data,
        "fig/plot.eps",
        page=page,
        renderers=renderers or ToldRenderers(),
        settings=settings or RasterSettings(),
    )
