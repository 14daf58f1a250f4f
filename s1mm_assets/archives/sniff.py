"""What a file is, by its content; its name is asked only where content leaves a doubt.

Extensions lie in one paper of a hundred, and old papers have none. Everything here looks at a bounded head of
the file and takes linear time.
"""

import re
from enum import StrEnum

from s1mm_assets.archives.inflate import GZIP_MAGIC
from s1mm_assets.archives.tar import is_tar

HEAD_BYTES = 1024
TEXT_BYTES = 64 * 1024  # how far marks of TeX are looked for: past the longest licence and macro preambles


class Form(StrEnum):
    """What the first bytes of a file say that it is."""

    EMPTY = "empty"
    GZIP = "gzip"
    TAR = "tar"
    ZIP = "zip"
    OTHER_ARCHIVE = "other archive"
    PDF = "pdf"
    POSTSCRIPT = "postscript"
    HTML = "html"
    IMAGE = "image"
    DVI = "dvi"
    JATS = "jats"
    TEXT = "text"
    BINARY = "binary"


MAGIC: tuple[tuple[bytes, Form], ...] = (
    (GZIP_MAGIC, Form.GZIP),
    (b"PK\x03\x04", Form.ZIP),
    (b"PK\x05\x06", Form.ZIP),  # without members
    (b"BZh", Form.OTHER_ARCHIVE),
    (b"\xfd7zXZ\0", Form.OTHER_ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", Form.OTHER_ARCHIVE),
    (b"Rar!\x1a\x07", Form.OTHER_ARCHIVE),
    (b"\x1f\x9d", Form.OTHER_ARCHIVE),  # compress
    (b"\x28\xb5\x2f\xfd", Form.OTHER_ARCHIVE),  # zstd
    (b"%PDF-", Form.PDF),
    (b"\xc5\xd0\xd3\xc6", Form.POSTSCRIPT),  # EPS with a DOS preview
    (b"\x89PNG\r\n\x1a\n", Form.IMAGE),
    (b"\xff\xd8\xff", Form.IMAGE),  # JPEG
    (b"GIF87a", Form.IMAGE),
    (b"GIF89a", Form.IMAGE),
    (b"II*\0", Form.IMAGE),  # TIFF
    (b"MM\0*", Form.IMAGE),
    (b"II+\0", Form.IMAGE),  # BigTIFF
    (b"MM\0+", Form.IMAGE),
    (b"\0\0\0\x0cjP  ", Form.IMAGE),  # JPEG 2000
    (b"\xf7\x02", Form.DVI),
)
PRINTER_PRELUDE = b"\x1b%-12345X"
POSTSCRIPT_MARK = re.compile(rb"[\x04\s]*%!(?:PS|[ \t]*(?:[\r\n]|\Z))")  # not "%!TeX root = …"
HTML_MARK = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|h[1-6]|table|p|a\s|center|meta)\b", re.I)
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
FIRST_TAG = re.compile(rb"<(?:[A-Za-z_][\w.-]{0,40}:)?([A-Za-z_][\w.-]{0,40})")
JATS_ROOTS = frozenset({b"article", b"pmc-articleset"})
JATS_MARK = re.compile(rb"<(?:[A-Za-z_][\w.-]{0,40}:)?(?:front|front-stub|article-meta|journal-meta)[\s/>]")
SVG_MARK = re.compile(rb"<svg[\s>]")
IMAGE_EXTENSIONS = frozenset(
    {"eps", "epsf", "epsi", "ps", "pdf", "png", "jpg", "jpeg", "gif", "tif", "tiff", "bmp", "svg", "wmf"}
)
TEX_EXTENSIONS = frozenset({"tex", "ltx", "latex", "revtex"})
# fmt: off
NOT_PAPER_EXTENSIONS = IMAGE_EXTENSIONS | frozenset(
    {
        "sty", "cls", "clo", "def", "cfg", "bst", "bib", "bbl", "fd", "ldf", "aux", "log", "out", "toc",
        "lof", "lot", "ind", "idx", "ist", "bbx", "cbx", "lbx", "dtx", "ins", "mf", "tfm", "pdf_tex",
        "pdf_t", "pstex_t", "pstex", "eps_tex", "tikz", "pgf", "csv", "dat", "xml", "html", "htm", "py",
        "r", "m", "c", "cpp", "f", "f90", "nb", "ipynb", "json", "md", "rst", "yml", "yaml", "sh", "mk",
    }
)
# fmt: on
DOCUMENT_MARK = re.compile(rb"^[^%\r\n]{0,400}?\\(?:document(?:class|style)|begin\s*\{document\})", re.M)
PLAIN_TEX_MARK = re.compile(
    rb"^[^%\r\n]{0,400}?\\(?:magnification|hsize|vsize|baselineskip|nopagenumbers|centerline|font|input"
    rb"|def|bye|headline|footline|hoffset|voffset|parskip|parindent|beginsection)(?![A-Za-z])",
    re.M,
)
AUTO_IGNORE = re.compile(rb"\s*%+\s*auto-ignore\b", re.I)
COMMENT = re.compile(rb"%[^\r\n]*")
WITHDRAWN = re.compile(rb"\b(?:withdrawn|withdrew|retracted|superseded|removed)\b", re.I)
TEXT_BYTE_VALUES = bytes([*b"\t\n\r\f\x04\x1a\x1b", *range(32, 256)])
STUB_BYTES = 4096  # "this paper has been withdrawn because …" takes less


def form_of(data: bytes) -> Form:
    """Return what these bytes are; only a bounded head is looked at."""
    if not data:
        return Form.EMPTY
    head = data[:HEAD_BYTES]
    for magic, form in MAGIC:
        if head.startswith(magic):
            return form
    if is_tar(head):
        return Form.TAR
    body = head.removeprefix(PRINTER_PRELUDE)
    is_printer_job = body is not head and b"%!PS" in body
    if is_printer_job or (POSTSCRIPT_MARK.match(body) and not DOCUMENT_MARK.search(body)):
        return Form.POSTSCRIPT
    before_pdf, mark, _ = head.partition(b"%PDF-")
    if mark and b"\\" not in before_pdf:  # readers allow a prelude; a TeX file may speak of the mark
        return Form.PDF
    return _form_of_text(data)


def _form_of_text(data: bytes) -> Form:
    head = data[:HEAD_BYTES]
    if _is_binary(head):
        return Form.BINARY
    opening = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not opening and not data[:TEXT_BYTES].strip():
        return Form.EMPTY
    if opening.startswith((b"<", *UTF16_MARKS)) and is_jats(data):  # before HTML: it has <title> and <p> too
        return Form.JATS
    if opening.startswith(b"<"):
        if SVG_MARK.search(head):
            return Form.IMAGE
        is_xml = opening.startswith(b"<?xml") and b"<html" not in head.lower()
        if not is_xml and HTML_MARK.search(data[: 4 * HEAD_BYTES]):
            return Form.HTML
    return Form.TEXT


def is_jats(data: bytes) -> bool:
    """Whether this is an article in JATS or its forerunner, NLM: by its first tag and its front matter.

    XHTML and DocBook know an `article` too, but no `front`.
    """
    head = _without_comments(data[:TEXT_BYTES].replace(b"\0", b""))  # zeros: of UTF-16
    first = FIRST_TAG.search(head)
    return first is not None and first[1] in JATS_ROOTS and JATS_MARK.search(head, first.end()) is not None


def _without_comments(head: bytes) -> bytes:
    """Drop comments, in which anything may stand before the first tag."""
    pieces = []
    at = 0
    while (opening := head.find(b"<!--", at)) >= 0:
        closing = head.find(b"-->", opening)
        if closing < 0:
            break
        pieces.append(head[at:opening])
        at = closing + 3
    return b"".join([*pieces, head[at:]])


def _is_binary(head: bytes) -> bool:
    """Whether this is no text in any encoding; UTF-16 has a mark, and no other text holds NULs."""
    if head.startswith(UTF16_MARKS):
        return False
    return b"\0" in head or len(head.translate(None, TEXT_BYTE_VALUES)) * 20 > len(head)


def extension_of(path: str) -> str:
    """Return the extension in lower case, without its dot; empty where the base name has none."""
    stem, dot, extension = path.rpartition("/")[2].rpartition(".")
    return extension.lower() if dot and stem else ""


def is_tex(path: str, data: bytes, form: Form) -> bool:
    """Whether a file is TeX source of a paper, rather than a style, a table of data or anything else."""
    extension = extension_of(path)
    if extension in NOT_PAPER_EXTENSIONS or form not in (Form.TEXT, Form.BINARY):
        return False
    return (extension in TEX_EXTENSIONS and form is Form.TEXT) or has_tex_marks(data)


def has_tex_marks(data: bytes) -> bool:
    """Whether text begins a LaTeX document, or uses at least two primitives of plain TeX."""
    head = data[:TEXT_BYTES].replace(b"\r", b"\n")
    if DOCUMENT_MARK.search(head):
        return True
    return len({match.group().rpartition(b"\\")[2] for match in PLAIN_TEX_MARK.finditer(head)}) > 1


def is_image(path: str, form: Form) -> bool:
    """Whether a file can be shown as a figure: an image by content, or by name where content is unclear."""
    if form in (Form.IMAGE, Form.PDF, Form.POSTSCRIPT):
        return True
    return form in (Form.TEXT, Form.BINARY) and extension_of(path) in IMAGE_EXTENSIONS


def is_withdrawal_stub(data: bytes) -> bool:
    """Whether a text stands in the place of a paper that was withdrawn.

    arXiv marks such a stub `%auto-ignore`. It gives the same mark to files of a living paper that are not to
    be run on their own, so a stub is also short, begins no document, and says nothing, or that it is
    withdrawn.
    """
    if len(data) > STUB_BYTES or DOCUMENT_MARK.search(data):
        return False
    speaks_of_it = bool(WITHDRAWN.search(data))
    if AUTO_IGNORE.match(data):
        return speaks_of_it or not COMMENT.sub(b"", data).strip()
    return speaks_of_it and not has_tex_marks(data)
