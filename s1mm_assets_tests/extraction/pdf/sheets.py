"""PDFs written by hand: sheets that are drawn on, and bound to a file.

Places are points of the page as displayed, origin top-left, whatever the sheet's rotation and crop box are; text
stands on its baseline. Nothing here knows the reader that is tested.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Runs = str | Sequence[tuple[str, str]]  # words, or font and words by turns
Colour = tuple[float, float, float]
BLACK, RED, BLUE, GREY = (0.0, 0.0, 0.0), (0.8, 0.1, 0.1), (0.1, 0.2, 0.8), (0.6, 0.6, 0.6)
SIZE_PT = (612.0, 792.0)
LEFT, RIGHT, BOTH = (54.0, 294.0), (318.0, 558.0), (54.0, 558.0)  # columns: left and right edge

FONTS = {
    "Helvetica": b"F1",
    "Helvetica-Bold": b"F2",
    "Times-Roman": b"F3",
    "Times-Italic": b"F4",
    "Mapped": b"F5",  # Helvetica's shapes; `bind` says what they mean
}
# Adobe's metrics of Helvetica from blank to tilde, in thousandths of an em.
_WIDTHS = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),
    *((556,) * 10),
    *(278, 278, 584, 584, 584, 556, 1015),
    *(667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778),
    *(722, 667, 611, 722, 667, 944, 667, 667, 611),
    *(278, 278, 278, 469, 556, 333),
    *(556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556),
    *(333, 500, 278, 556, 500, 722, 500, 500, 500),
    *(334, 260, 334, 584),
)
_TEXT = (
    "the cells of each sample were kept at rest while light of one colour fell on their outer wall and the "
    "current that flowed through it was read every second by a small amplifier that stood beside the bench"
)


def width_of(words: str, size: float) -> float:
    """Return how wide a text is in Helvetica, in points."""
    return sum(_WIDTHS[ord(letter) - 32] for letter in words) * size / 1000


def prose(n_words: int, start: int = 0) -> str:
    """Return a sentence of dummy words that begins with a capital and ends with a full stop."""
    known = _TEXT.split()
    words = [known[(start + index) % len(known)] for index in range(n_words)]
    return " ".join(words).capitalize() + "."


@dataclass
class Sheet:
    """One page, to draw on."""

    width: float = SIZE_PT[0]
    height: float = SIZE_PT[1]
    rotation: int = 0  # degrees clockwise: 0, 90, 180, 270
    crop: tuple[float, float] = (0.0, 0.0)  # where the page's corner lies in a media box larger than it
    content: list[bytes] = field(default_factory=list)

    def raw(self, code: bytes) -> "Sheet":
        """Add page content as it is."""
        self.content.append(code)
        return self

    def text(self, x: float, y: float, words: Runs, size: float = 10, font: str = "Helvetica") -> "Sheet":
        """Write one line from x on; `words` may change their font."""
        return self._text(b"1 0 0 -1 %.3f %.3f Tm" % (x, y), words, size, font)

    def upwards(self, x: float, y: float, words: str, size: float = 10) -> "Sheet":
        """Write one line that reads from bottom to top."""
        return self._text(b"0 -1 -1 0 %.3f %.3f Tm" % (x, y), words, size, "Helvetica")

    def flow(
        self,
        column: tuple[float, float],
        y: float,
        words: Runs,
        size: float = 10,
        pitch: float = 1.2,
        *,
        indent: float = 0,
    ) -> float:
        """Write a paragraph, set flush at both edges; return the baseline that comes after it."""
        font, words = ("Helvetica", words) if isinstance(words, str) else ("", words)
        pieces = [(font, words)] if isinstance(words, str) else list(words)
        tokens = [(name, token) for name, text in pieces for token in text.split()]
        left, right = column
        while tokens:
            line: list[tuple[str, str]] = []
            room = right - left - indent
            while tokens and width_of(" ".join(word for _, word in [*line, tokens[0]]), size) <= room:
                line.append(tokens.pop(0))
            line = line or [tokens.pop(0)]
            text = " ".join(word for _, word in line)
            slack = (room - width_of(text, size)) / max(1, text.count(" ")) if tokens else 0.0
            self.raw(b"%.4f Tw" % max(0.0, slack))
            self.text(left + indent, y, [(name, word + " ") for name, word in line[:-1]] + line[-1:], size)
            self.raw(b"0 Tw")
            y, indent = y + pitch * size, 0
        return y

    def box(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour = GREY, *, is_filled: bool = True
    ) -> "Sheet":
        """Draw a rectangle, filled or one point thick within its sides."""
        if is_filled:
            return self.raw(_colour(colour, b"rg") + b"%.3f %.3f %.3f %.3f re f" % (x0, y0, x1 - x0, y1 - y0))
        inner = (x0 + 0.5, y0 + 0.5, x1 - x0 - 1, y1 - y0 - 1)
        return self.raw(_colour(colour, b"RG") + b"1 w %.3f %.3f %.3f %.3f re S" % inner)

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float = 1) -> "Sheet":
        """Draw a black line."""
        ends = b"%.3f %.3f m %.3f %.3f l S" % (x0, y0, x1, y1)
        return self.raw(_colour(BLACK, b"RG") + b"%.3f w " % width + ends)

    def plot(self, x0: float, y0: float, x1: float, y1: float) -> "Sheet":
        """Draw bars in a frame: ink touches all four sides of the box."""
        self.box(x0, y0, x1, y1, BLACK, is_filled=False)
        step = (x1 - x0) / 7
        for index, share in enumerate((0.3, 0.8, 0.5, 0.6, 0.2, 0.7)):
            left = x0 + (index + 0.6) * step
            top = y1 - share * (y1 - y0)
            self.box(left, top, left + 0.7 * step, y1, (RED, BLUE)[index % 2])
        return self

    def photo(self, x0: float, y0: float, x1: float, y1: float) -> "Sheet":
        """Place the file's picture."""
        return self.raw(b"q %.3f 0 0 %.3f %.3f %.3f cm /Im Do Q" % (x1 - x0, y0 - y1, x0, y1))

    def _text(self, place: bytes, words: Runs, size: float, font: str) -> "Sheet":
        runs = [(font, words)] if isinstance(words, str) else words
        shown = b" ".join(
            b"/%s %.3f Tf (%s) Tj" % (FONTS[name], size, _escaped(text.encode("cp1252")))
            for name, text in runs
        )
        return self.raw(_colour(BLACK, b"rg") + b"BT " + place + b" " + shown + b" ET")

    def stream(self) -> bytes:
        """Return the page's content, in coordinates of the page as displayed."""
        return b"q " + self._displayed() + b" cm\n" + b"\n".join(self.content) + b"\nQ"

    def boxes(self) -> bytes:
        """Return what the page's dictionary says of its size."""
        x, y = self.crop
        width, height = self._own_size()
        media = b"/MediaBox[0 0 %.3f %.3f]" % (width + 2 * x, height + 2 * y)
        crop = b"/CropBox[%.3f %.3f %.3f %.3f]" % (x, y, x + width, y + height) if any(self.crop) else b""
        return media + crop + b"/Rotate %d" % self.rotation

    def _own_size(self) -> tuple[float, float]:
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)

    def _displayed(self) -> bytes:
        """Return the matrix that brings the page as displayed to the page's own coordinates."""
        x, y = self.crop
        matrix = {
            0: (1, 0, 0, -1, x, y + self.height),
            90: (0, 1, 1, 0, x, y),
            180: (-1, 0, 0, 1, x + self.width, y),
            270: (0, -1, -1, 0, x + self.height, y + self.width),
        }[self.rotation]
        return b"%.3f %.3f %.3f %.3f %.3f %.3f" % matrix


def _colour(colour: Colour, operator: bytes) -> bytes:
    return b"%.2f %.2f %.2f " % colour + operator + b" "


def _escaped(words: bytes) -> bytes:
    return words.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def picture(width: int = 64, height: int = 48, data: bytes | None = None) -> bytes:
    """Return an RGB image object; without data, dark stripes that reach all of its edges."""
    if data is None:
        rows = [bytes((40 + 3 * index, 90, 160)) * width for index in range(height)]
        data = zlib.compress(b"".join(rows), 9)
    head = b"/Type/XObject/Subtype/Image/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/FlateDecode"
    return _stream(data, head + b"/Width %d/Height %d" % (width, height))


def bind(
    *sheets: Sheet,
    meanings: Mapping[str, str] | None = None,
    image: bytes | None = None,
    trailer: bytes = b"",
) -> bytes:
    """Return a PDF of these pages.

    Args:
        sheets: The pages; each may be bound several times.
        meanings: What the letters of the font "Mapped" stand for.
        image: The object that `Sheet.photo` places; a picture without it.
        trailer: Spliced into the file's trailer.
    """
    names = [name for name in FONTS if name != "Mapped"]
    fonts = [b"<</Type/Font/Subtype/Type1/Encoding/WinAnsiEncoding/BaseFont/%s>>" % n.encode() for n in names]
    fonts.append(b"<</Type/Font/Subtype/Type1/Encoding/WinAnsiEncoding/BaseFont/Helvetica/ToUnicode 8 0 R>>")
    kids = b" ".join(b"%d 0 R" % (10 + 2 * index) for index in range(len(sheets)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[" + kids + b"]/Count %d>>" % len(sheets),
        *fonts,
        _stream(_cmap(meanings or {}), b""),
        image or picture(),
    ]
    resources = b"".join(b"/%s %d 0 R" % (name, number) for number, name in enumerate(FONTS.values(), 3))
    for index, sheet in enumerate(sheets):
        shared = b"/Resources<</Font<<" + resources + b">>/XObject<</Im 9 0 R>>>>"
        contents = b"/Contents %d 0 R" % (11 + 2 * index)
        objects += [
            b"<</Type/Page/Parent 2 0 R" + sheet.boxes() + shared + contents + b">>",
            _stream(sheet.stream(), b""),
        ]
    return _file(objects, trailer)


def _stream(data: bytes, head: bytes) -> bytes:
    return b"<<%s/Length %d>>stream\n" % (head, len(data)) + data + b"\nendstream"


def _cmap(meanings: Mapping[str, str]) -> bytes:
    """Return a ToUnicode map of single letters."""
    lines = [
        b"<%02x> <%s>" % (ord(letter), text.encode("utf-16-be", "surrogatepass").hex().encode())
        for letter, text in meanings.items()
    ]
    body = b"%d beginbfchar\n" % len(lines) + b"\n".join(lines) + b"\nendbfchar\n" if lines else b""
    head = b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Own def\n"
    return head + b"1 begincodespacerange <00> <ff> endcodespacerange\n" + body + b"endcmap end end"


def _file(objects: Sequence[bytes], trailer: bytes) -> bytes:
    out, offsets = b"%PDF-1.6\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    end = b"trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (size, trailer, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + end
