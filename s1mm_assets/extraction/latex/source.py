r"""The source files of one bundle: their characters, which one is the paper, and which one `\input` means.

Belongs here: bytes to text, comments, names of files. Does not: what commands do.
"""

import codecs
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_FILE_BYTES = 16 * 2**20
MAX_MAIN_CANDIDATES = 200

_TEX_SUFFIXES = (".tex", ".ltx", ".latex", ".txt", ".ltex")
_DOCUMENT_CLASS = re.compile(r"\\document(?:class|style)\b\s*(?:\[[^\]]{0,2000}\])?\s*\{([^}]{0,100})\}")
_INPUTENC = re.compile(rb"\\usepackage\s*\[([^\]]{1,40})\]\s*\{inputenc\}")
_INPUTENC_CODECS = {
    "latin1": "latin-1",
    "latin2": "iso8859-2",
    "latin3": "iso8859-3",
    "latin4": "iso8859-4",
    "latin5": "iso8859-9",
    "latin9": "iso8859-15",
    "latin10": "iso8859-16",
    "ansinew": "cp1252",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1252": "cp1252",
    "cp1257": "cp1257",
    "cp437": "cp437",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp858": "cp858",
    "cp865": "cp865",
    "cp866": "cp866",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "applemac": "mac-roman",
    "macce": "mac-latin2",
    "utf8": "utf-8",
    "utf8x": "utf-8",
}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SIDE_NAMES = re.compile(
    r"supp|cover|respon|reply|review|referee|rebut|template|sample|diff|letter|old|backup|example|notes|appendix|poster",
    re.IGNORECASE,
)
_MAIN_NAMES = re.compile(r"(?:ms|main|paper|article|manuscript|root|arxiv|final)\d*", re.IGNORECASE)
_INPUTS = re.compile(r"\\(?:input|include|subfile|subfileinclude)\s*\{?\s*\"?([^\s{}\"\\]{1,300})")


def decode(data: bytes, declared: str | None = None) -> tuple[str, str]:
    r"""Return the text of one file and the encoding it was read as.

    Order: byte order mark, UTF-8 where the bytes are valid UTF-8, the encoding that inputenc declares,
    Windows-1252, Latin-1. Line ends become ``\n``. Valid UTF-8 goes before the declaration because
    multi-byte text in another encoding is practically never valid UTF-8.
    """
    data = data[:MAX_FILE_BYTES]
    for mark, marked in _BOMS:
        if data.startswith(mark):
            return _with_line_ends(data.decode(marked, "replace")), marked.removesuffix("-sig")
    for codec in filter(None, ("utf-8", declared, "cp1252")):
        try:
            return _with_line_ends(data.decode(codec)), codec
        except (UnicodeDecodeError, LookupError):
            continue
    return _with_line_ends(data.decode("latin-1")), "latin-1"


def _with_line_ends(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\0", "") if "\0" in text else text


def declared_encoding(data: bytes) -> str | None:
    r"""Return the Python codec that ``\usepackage[…]{inputenc}`` names, if it is known."""
    match = _INPUTENC.search(data, 0, 200_000)
    return _INPUTENC_CODECS.get(match[1].decode("ascii", "replace").strip().lower()) if match else None


def looks_binary(data: bytes) -> bool:
    """Whether the bytes are certainly no TeX source (and no UTF-16 text either)."""
    head = data[:4096]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return False
    if head.startswith((b"%PDF-", b"\x89PNG", b"\xff\xd8\xff", b"PK\x03\x04", b"GIF8", b"%!PS", b"\x1f\x8b")):
        return True
    return head.count(0) > len(head) // 50


def strip_comments(text: str) -> str:
    r"""Drop comments as TeX reads them: to the end of the line, its line end, and the next line's indent.

    A blank line after a comment still ends the paragraph. ``\%``, ``\verb|%|`` and ``\url{…%…}`` hold
    no comment.
    """
    at = text.find("%")
    if at < 0:
        return text
    pieces = []
    copied = 0
    while at >= 0:
        if _is_comment(text, at):
            pieces.append(text[copied:at])
            copied = _comment_end(text, at, copied)
            at = text.find("%", copied)
        else:
            at = text.find("%", at + 1)
    pieces.append(text[copied:])
    return "".join(pieces)


def _is_comment(text: str, at: int) -> bool:
    if at and text[at - 1] == "\\":
        first = at - 1
        while first and text[first - 1] == "\\":
            first -= 1
        if (at - first) % 2:
            return False
    line_start = max(text.rfind("\n", max(0, at - 2000), at), at - 2000) + 1
    before = text[line_start:at] if line_start < at else ""
    if "\\verb" in before:
        return not _ends_in_verb(before)
    for command in ("\\url{", "\\href{", "\\path{", "\\nolinkurl{"):
        opened = before.rfind(command)
        if opened >= 0:
            inside = before[opened + len(command) :]
            if inside.count("}") <= inside.count("{") and "}" in text[at : at + 500].split("\n", 1)[0]:
                return False
    return True


def _ends_in_verb(before: str) -> bool:
    r"""Whether the end of this line part stands inside ``\verb|…``."""
    at = before.find("\\verb")
    while at >= 0:
        rest = at + 5 + before.startswith("*", at + 5)
        if rest >= len(before) or before[rest].isalpha():
            at = before.find("\\verb", rest)
            continue
        closing = before.find(before[rest], rest + 1)
        if closing < 0:
            return True
        at = before.find("\\verb", closing)
    return False


def _comment_end(text: str, at: int, copied: int) -> int:
    """Where the text goes on after the comment that starts at `at`."""
    line_end = text.find("\n", at)
    if line_end < 0:
        return len(text)
    following = line_end + 1
    length = len(text)
    while following < length and text[following] in " \t":
        following += 1
    if following < length and text[following] == "\n" and text[at - 1 : at] not in ("", "\n"):
        line = text[max(copied, text.rfind("\n", copied, at) + 1) : at]
        if line.strip() or copied > text.rfind("\n", 0, at) + 1:
            return line_end  # the blank line that follows still needs this line end before it
    return following


@dataclass(slots=True)
class SourceTree:
    """The text files of one bundle, decoded and freed of comments when they are first asked for."""

    members: Mapping[str, bytes]
    declared: str | None = None
    texts: dict[str, str] = field(default_factory=dict)
    encodings: dict[str, str] = field(default_factory=dict)

    def text(self, path: str) -> str:
        """Return a member's text without comments."""
        if path not in self.texts:
            data = self.members[path]
            if looks_binary(data):
                self.texts[path] = ""
            else:
                raw, self.encodings[path] = decode(data, self.declared)
                self.texts[path] = strip_comments(raw)
        return self.texts[path]

    def find_input(
        self, name: str, folders: list[str], suffixes: tuple[str, ...] = (".tex", "")
    ) -> str | None:
        r"""Return the member that ``\input{name}`` reads: name.tex before name, folder by folder."""
        name = name.strip().strip('"').strip()
        if not name:
            return None
        for folder in folders:
            for suffix in suffixes:
                path = normal_path(folder, name + suffix)
                if path is not None and path in self.members:
                    return path
        return None


def normal_path(folder: str, name: str) -> str | None:
    """Join and normalise a path inside the bundle; None where it climbs out of it."""
    if "\0" in name or len(name) > 1000:
        return None
    path = posixpath.normpath(posixpath.join(folder, name.replace("\\", "/").lstrip("/")))
    return None if path.startswith("..") or path == "." else path


def document_class(text: str) -> tuple[str, int] | None:
    """Return the class (or 2.09 style) that a source declares, and where; None where it has none."""
    match = _DOCUMENT_CLASS.search(text)
    return (match[1].strip(), match.start()) if match else None


def is_plain_tex(text: str) -> bool:
    """Whether a source without a class looks like a plain TeX paper."""
    return bool(re.search(r"\\(?:bye|magnification|hsize|vsize|beginsection|centerline|midinsert)\b", text))


def main_file(tree: SourceTree) -> str | None:
    """Choose the file that TeX would be run on.

    The one 00README names; else, of the files with a document class, the one that is not read by another,
    has a body, a usual name, a title, a .bbl of its own name, lies highest, and is longest. Without any
    class: a plain TeX file, then the only text there is.
    """
    named = _named_by_readme(tree)
    if named:
        return named
    texts = [path for path in sorted(tree.members) if _may_be_tex(path, tree.members[path])]
    texts.sort(key=lambda path: (b"\\document" not in tree.members[path], path.count("/"), path))
    del texts[MAX_MAIN_CANDIDATES:]
    classed = [path for path in texts if document_class(tree.text(path))]
    if classed:
        inputs = {name for path in classed for name in _inputs_of(tree, path)}
        return max(classed, key=lambda path: _main_rank(tree, path, inputs))
    candidates = [path for path in texts if "\\" in tree.text(path)]
    bodies = [path for path in candidates if "\\begin{document}" in tree.text(path)]
    plain = [path for path in candidates if is_plain_tex(tree.text(path))]
    pool = (
        bodies or plain or [path for path in candidates if path.lower().endswith(_TEX_SUFFIXES)] or candidates
    )
    inputs = {name for path in pool for name in _inputs_of(tree, path)}
    return max(pool, key=lambda path: (path not in inputs, len(tree.text(path)), path), default=None)


def _named_by_readme(tree: SourceTree) -> str | None:
    for path in sorted(tree.members):
        base = path.rsplit("/", 1)[-1].lower()
        if not base.startswith("00readme"):
            continue
        text = decode(tree.members[path][:50_000])[0]
        for pattern in (
            r'"filename"\s*:\s*"([^"\n]{1,200})"\s*,\s*"usage"\s*:\s*"toplevel"',
            r'"usage"\s*:\s*"toplevel"\s*,\s*"filename"\s*:\s*"([^"\n]{1,200})"',
            r"(?m)^\s*(\S{1,200})\s+toplevelfile\b",
        ):
            for name in re.findall(pattern, text):
                if name in tree.members:
                    return str(name)
    return None


def _may_be_tex(path: str, data: bytes) -> bool:
    base = path.rsplit("/", 1)[-1].lower()
    if base.startswith((".", "00readme")) or not data or looks_binary(data):
        return False
    if base.endswith(_TEX_SUFFIXES):
        return not base.endswith(".txt") or b"\\document" in data
    if base.endswith(
        (".bbl", ".sty", ".cls", ".bst", ".bib", ".eps", ".ps", ".html", ".xml", ".clo", ".def", ".dtx")
    ):
        return False
    return b"\\document" in data[:200_000] or (
        "." not in base and b"\\" in data and data.lstrip()[:1] != b"<"
    )


def _inputs_of(tree: SourceTree, path: str) -> set[str]:
    folder = posixpath.dirname(path)
    found = set()
    for name in _INPUTS.findall(tree.text(path)):
        member = tree.find_input(name, [folder, ""])
        if member and member != path:
            found.add(member)
    return found


def _main_rank(tree: SourceTree, path: str, inputs: set[str]) -> tuple[object, ...]:
    text = tree.text(path)
    stem = posixpath.splitext(posixpath.basename(path))[0]
    class_name = (document_class(text) or ("", 0))[0]
    return (
        "\\begin{document}" in text,
        class_name not in ("standalone", "subfiles", "letter", "beamer", "ltxdoc"),
        path not in inputs,
        not _SIDE_NAMES.search(stem),
        posixpath.splitext(path)[0] + ".bbl" in tree.members,
        bool(_MAIN_NAMES.fullmatch(stem)),
        "\\title" in text or "\\maketitle" in text,
        -path.count("/"),
        len(text),
        stem,
    )
