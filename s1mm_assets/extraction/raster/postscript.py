"""EPS and PostScript: where the drawing lies on its page. It is drawn elsewhere, by Ghostscript."""

import re
import struct
from collections.abc import Sequence
from math import isfinite

from s1mm_assets.extraction.raster.bitmaps import encode_drawn
from s1mm_assets.extraction.raster.pictures import (
    Box,
    Drawing,
    Picture,
    Refused,
    Renderers,
)
from s1mm_assets.extraction.settings import RasterSettings
from s1mm_assets.tables import Rejection

_DOS_MAGIC = b"\xc5\xd0\xd3\xc6"
_COMMENTS_BYTES = 64 * 1024  # where boxes are looked for, from the start and from the end
_BOX_COMMENT = re.compile(rb"(?:^|[\r\n])%%(HiRes)?BoundingBox:[ \t]*([^\r\n]{1,200})")
_LARGEST_PT = 14400.0  # 200 inches, the largest page that PDF knows; boxes beyond are mistakes
_HIRES_SLACK_PT = 2.0


def rasterize_postscript(
    files: Sequence[bytes], renderers: Renderers, settings: RasterSettings
) -> list[Picture | Refused]:
    """Return of each file the first page, cropped to its bounding box, else to its ink."""
    wanted = [_drawing(data, renderers, settings) for data in files]
    drawings = [each for each in wanted if isinstance(each, Drawing)]
    drawn = zip(renderers.postscript(drawings), drawings, strict=True)  # one page at a time is in memory
    pictures = iter([_encoded(page, drawing, settings) for page, drawing in drawn])
    return [each if isinstance(each, Refused) else next(pictures) for each in wanted]


def _drawing(data: bytes, renderers: Renderers, settings: RasterSettings) -> Drawing | Refused:
    code = without_preview(data)
    box = bounding_box(code) or renderers.postscript_ink(code)
    if isinstance(box, Refused):
        return box
    if box.width_pt <= 0 or box.height_pt <= 0:
        return Refused(Rejection.IMAGE_UNREADABLE, "PostScript: draws nothing")
    size = settings.size_px(box.width_pt, box.height_pt)
    return Drawing(code, box, size, settings.dpi(box.width_pt, box.height_pt))


def _encoded(drawn: bytes | Refused, wanted: Drawing, settings: RasterSettings) -> Picture | Refused:
    if isinstance(drawn, Refused):
        return drawn
    return encode_drawn(drawn, wanted.size_px, "ghostscript", settings)


def without_preview(data: bytes) -> bytes:
    """Return the PostScript of an EPS file with a DOS binary header; of any other file all of it.

    Source: Adobe Technical Note 5002, "Encapsulated PostScript File Format", section 5.2.
    """
    if not data.startswith(_DOS_MAGIC) or len(data) < 12:
        return data
    start, length = struct.unpack_from("<II", data, 4)
    code = data[start : start + length]
    return code if code.startswith(b"%!") else data[max(data.find(b"%!"), 0) :]


def bounding_box(code: bytes) -> Box | None:
    """Return the box that the comments state, or None where they state none, or an impossible one.

    The precise box counts where it agrees with the rounded one. `(atend)` sends to the end of the file.
    Boxes of documents included in this one are not its own.
    """
    head, _, _ = code[:_COMMENTS_BYTES].partition(b"%%BeginDocument")
    stated = list(_BOX_COMMENT.findall(head))
    if not any(_box(text) for _, text in stated):
        stated = _BOX_COMMENT.findall(code[-_COMMENTS_BYTES:])[::-1]
    rounded = next((box for hires, text in stated if not hires and (box := _box(text))), None)
    precise = next((box for hires, text in stated if hires and (box := _box(text))), None)
    if rounded and precise and not _agree(rounded, precise):
        return rounded
    return precise or rounded


def _box(text: bytes) -> Box | None:
    """Read four numbers; None if they are not, or enclose nothing, or more than any page."""
    try:
        left, bottom, right, top = (float(number) for number in text.split()[:4])
    except ValueError:
        return None
    sides = (left, bottom, right, top)
    if not all(isfinite(side) and abs(side) <= _LARGEST_PT for side in sides):
        return None
    return Box(left, bottom, right, top) if left < right and bottom < top else None


def _agree(rounded: Box, precise: Box) -> bool:
    pairs = (
        (rounded.left, precise.left),
        (rounded.bottom, precise.bottom),
        (rounded.right, precise.right),
        (rounded.top, precise.top),
    )
    return all(abs(one - other) <= _HIRES_SLACK_PT for one, other in pairs)
