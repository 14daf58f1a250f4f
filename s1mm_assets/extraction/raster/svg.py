"""SVG: what of a file may be drawn, and how large. It is drawn elsewhere, by resvg.

resvg is given markup that was written here from the parsed tree, so that it cannot read a file otherwise than
it was judged: without a document type, without addresses, not too deep, with fonts that are always there.
"""

import re
from xml.etree import ElementTree  # writes only: what comes from outside is read by _Reader
from xml.parsers import expat

from s1mm_assets.extraction.raster.bitmaps import encode_drawn
from s1mm_assets.extraction.raster.pictures import Picture, Refused, Renderers
from s1mm_assets.extraction.settings import RasterSettings
from s1mm_assets.tables import Rejection

_SVG = "{http://www.w3.org/2000/svg}"
_MAX_BYTES = 16 * 2**20
_MAX_ELEMENTS = 250_000
_MAX_DEPTH = 128  # resvg calls itself for each level, and has crashed at 500
_MAX_CHARS = 2 * _MAX_BYTES  # of texts and attributes, once entities are expanded
_MAX_ENTITIES, _MAX_ENTITY_CHARS = 64, 256  # Adobe Illustrator names its namespaces by entities
_NOT_DRAWN = {f"{_SVG}{name}" for name in ("metadata", "script", "foreignObject")}
_POINTS = {"": 0.75, "px": 0.75, "pt": 1.0, "pc": 12.0, "in": 72.0, "mm": 72 / 25.4, "cm": 72 / 2.54}
_LENGTH = re.compile(r"\s*\+?(\d{0,9}\.?\d{0,9}(?:[eE][-+]?\d{1,2})?)\s*([a-z]{0,2})\s*")
_LARGEST_PT = 14400.0  # as of PostScript: 200 inches
_FONTS = re.compile(r"((?<![-\w])font(?:-family)?\s*:)([^;{}]{1,1000})", re.IGNORECASE)
_MONOSPACED = re.compile(r"mono|courier|consol|menlo|typewriter|cmtt", re.IGNORECASE)
_SERIF = re.compile(
    r"times|roman|(?<!sans.)serif|georgia|garamond|palatino|cambria|cmr|libertin", re.IGNORECASE
)


class _LimitError(Exception):
    """A limit was met while the file was read; its text says which."""


def rasterize_svg(data: bytes, renderers: Renderers, settings: RasterSettings) -> Picture | Refused:
    """Return the drawing on white, in the size that it says it has."""
    if len(data) > _MAX_BYTES:
        return Refused(Rejection.IMAGE_TOO_LARGE, f"SVG: {len(data)} bytes, more than {_MAX_BYTES}")
    try:
        root = _Reader().tree(data)
    except _LimitError as limit:
        return Refused(Rejection.IMAGE_TOO_LARGE, f"SVG: {limit}")
    except (expat.ExpatError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        return Refused(Rejection.IMAGE_UNREADABLE, f"SVG: {error}"[:300])
    size_pt = stated_size(root)
    if size_pt is None:
        return Refused(Rejection.IMAGE_UNSUPPORTED, "SVG: states no size")
    elsewhere = _secure(root)
    if elsewhere is not None:
        return Refused(Rejection.IMAGE_UNSUPPORTED, f"SVG: shows another file, {elsewhere[:100]!r}")
    size = settings.size_px(*size_pt)
    _resize(root, size_pt, size)
    drawn = renderers.svg(ElementTree.tostring(root, "utf-8"))
    return drawn if isinstance(drawn, Refused) else encode_drawn(drawn, size, "resvg", settings)


class _Reader:
    """Builds a tree that is neither too large nor too deep. Nothing outside the file is read for it."""

    def __init__(self) -> None:
        self.builder = ElementTree.TreeBuilder()
        self.depth = self.n_elements = self.n_entities = self.n_chars = 0

    def tree(self, data: bytes) -> ElementTree.Element:
        """Return the root; expat's errors, ValueError and LookupError for what is no XML."""
        parser = expat.ParserCreate(namespace_separator="}")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._entity
        parser.Parse(data, True)
        return self.builder.close()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth, self.n_elements = self.depth + 1, self.n_elements + 1
        if self.depth > _MAX_DEPTH:
            raise _LimitError(f"more than {_MAX_DEPTH} elements within one another")
        if self.n_elements > _MAX_ELEMENTS:
            raise _LimitError(f"more than {_MAX_ELEMENTS} elements")
        self._count(sum(map(len, attributes.values())))
        named = {f"{{{key}" if "}" in key else key: value for key, value in attributes.items()}
        self.builder.start(_qualified(name), named)

    def _end(self, name: str) -> None:
        self.depth -= 1
        self.builder.end(_qualified(name))

    def _text(self, text: str) -> None:
        self._count(len(text))
        self.builder.data(text)

    def _count(self, n_chars: int) -> None:
        self.n_chars += n_chars
        if self.n_chars > _MAX_CHARS:
            raise _LimitError(f"more than {_MAX_CHARS} characters")

    def _entity(self, _: str, is_parameter: int, value: str | None, *_where: str | None) -> None:
        """Let short texts pass; whatever else a file declares is an attack or cannot be drawn."""
        self.n_entities += 1
        is_short = value is not None and len(value) <= _MAX_ENTITY_CHARS and "&" not in value
        if is_parameter or not is_short or self.n_entities > _MAX_ENTITIES:
            raise _LimitError("declares entities that are not short texts")


def _qualified(name: str) -> str:
    """Return an element's name as ElementTree writes it; without a namespace it is meant to be SVG."""
    return f"{{{name}" if "}" in name else _SVG + name


def stated_size(root: ElementTree.Element) -> tuple[float, float] | None:
    """Return width and height in points; None where the file states none, or an impossible one.

    Source: Scalable Vector Graphics 1.1, sections 7.2 and 7.10: a user unit is a pixel, 96 of them an inch.
    """
    width, height = (_length(root.get(side, "")) for side in ("width", "height"))
    box = [_length(number) for number in re.split(r"[\s,]+", root.get("viewBox", "").strip())[2:4]]
    across, down = box if len(box) == 2 else (None, None)
    if across and down:
        if width is None and height is None:
            width, height = across, down
        width = width if width is not None else (height or 0) * across / down
        height = height if height is not None else width * down / across
    if not width or not height or max(width, height) > _LARGEST_PT:
        return None
    return width, height


def _length(text: str) -> float | None:
    """Return a length in points; None for a share of something else, and for what is none."""
    found = _LENGTH.fullmatch(text)
    if found is None or found[2] not in _POINTS:
        return None
    try:
        return float(found[1]) * _POINTS[found[2]]
    except ValueError:
        return None


def _resize(root: ElementTree.Element, size_pt: tuple[float, float], size_px: tuple[int, int]) -> None:
    """Have a file state its size in pixels, and the coordinates that it had before."""
    if "viewBox" not in root.attrib:
        root.set("viewBox", f"0 0 {size_pt[0] / _POINTS['px']:.4f} {size_pt[1] / _POINTS['px']:.4f}")
    for side, pixels in zip(("width", "height"), size_px, strict=True):
        root.set(side, str(pixels))


def _secure(root: ElementTree.Element) -> str | None:
    """Take out of a tree what is not drawn; return the address of a picture outside the file, if it shows one."""
    for element in root.iter():
        for child in [child for child in element if child.tag in _NOT_DRAWN]:
            element.remove(child)
        for key, value in list(element.items()):
            local = key.rpartition("}")[2]
            if local == "href" and not value.lstrip().startswith("#"):
                if element.tag in (f"{_SVG}image", f"{_SVG}feImage") and not _is_pixels(value):
                    return value
                if not _is_pixels(value):
                    del element.attrib[key]
            elif local == "font-family":
                element.set(key, _with_generic(value))
            elif local == "style":
                element.set(key, _FONTS.sub(lambda found: found[1] + _with_generic(found[2]), value))
        if element.tag == f"{_SVG}style" and element.text:
            element.text = _FONTS.sub(lambda found: found[1] + _with_generic(found[2]), element.text)
    return None


def _is_pixels(address: str) -> bool:
    """Say whether an address holds a bitmap itself; a drawing within a drawing is one file too many."""
    kind = address.lstrip()[:200].partition(",")[0].lower()
    return kind.startswith("data:") and "svg" not in kind


def _with_generic(families: str) -> str:
    """Return a list of fonts that ends in one which is there: text is not lost for want of its font."""
    if families.strip().lower() in ("inherit", "initial", "unset"):
        return families
    generic = "sans-serif"
    if _MONOSPACED.search(families):
        generic = "monospace"
    elif _SERIF.search(families):
        generic = "serif"
    important = "!important" in families
    return f"{families.replace('!important', '').rstrip()}, {generic}{' !important' * important}"
