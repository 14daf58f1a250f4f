"""Bytes → text that is XML, or nearer to it: encodings, references, DOCTYPE, tags that do not match.

Works on text, before any parser: what is cut out here is never parsed, and so never followed.
"""

import codecs
import html.entities
import re
from collections.abc import Iterator

MAX_DEFECTS = 20_000  # of one file; what has more is no XML
MAX_OPEN = 300  # elements in one another; parsers follow 256

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"<\?xml[^>]{0,100}?encoding\s{0,9}=\s{0,9}[\"']([A-Za-z0-9._-]{1,40})[\"']")
_TEXT_ENCODINGS = re.compile(
    r"utf-8|ascii|cp125\d|iso8859-\d{1,2}|gb2312|gbk|gb18030|big5|shift_jis|euc_jp|euc_kr|koi8-[ru]|mac-roman"
)
_NOT_XML = "\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff"
_TROUBLE = re.compile(
    r"<!--|<!\[CDATA\[|<!DOCTYPE|<\?xml(?=\s)|<\?|<(?![A-Za-z_:/!?])"
    rf"|&(?:#(\d{{1,8}});|#[xX]([0-9a-fA-F]{{1,7}});|([A-Za-z][A-Za-z0-9]{{0,40}});)?|[{_NOT_XML}]"
)
_CLOSED_BY = {"<!--": "-->", "<![CDATA[": "]]>", "<?": "?>", "<?xml": "?>"}
_IN_DOCTYPE = re.compile(r"[\[\]>\"']|<!--|<\?")
# As numbers: once it had to recover, libxml2 loses references by name.
_PREDEFINED = {"lt": "&#60;", "gt": "&#62;", "amp": "&#38;", "quot": "&#34;", "apos": "&#39;"}
_TAG = re.compile(r"<!\[CDATA\[.*?\]\]>|<(/?)([A-Za-z_:][\w:.-]{0,80})([^<>]*)>|<", re.DOTALL)
_ATTRIBUTE = re.compile(r"([A-Za-z_:][\w:.-]{0,80})\s{0,9}=\s{0,9}(\"[^\"]*\"|'[^']*')")


class TooManyDefects(Exception):  # noqa: N818 - a verdict about the bytes, not a fault of the program
    """There is more to mend than any article has; the message says what."""


def decoded(data: bytes) -> tuple[str, str]:
    """Return the text of a file, and the encoding it was read in: by its mark, its word, or trial."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace"), name
    head = data[:400]
    if b"\0<" in head[:8] or b"<\0" in head[:8]:
        name = "utf-16-be" if head[:1] == b"\0" else "utf-16-le"
        return data.decode(name, "replace"), name
    for name in ("utf-8", *_declared(head)):  # what is sound UTF-8 is UTF-8, whatever it says
        try:
            return data.decode(name), name
        except UnicodeDecodeError:
            continue
    text = data.decode("utf-8", "replace")
    n_foreign = len(text) - len(text.encode("ascii", "ignore"))
    if text.count("\ufffd") * 4 < n_foreign:  # UTF-8 with some damage
        return text, "utf-8"
    return data.decode("cp1252", "replace"), "cp1252"


def _declared(head: bytes) -> Iterator[str]:
    """The encoding that a file declares, if it is one of text: Python has codecs that unpack."""
    match = _DECLARED.search(head)
    if match:
        try:
            name = codecs.lookup(match[1].decode("ascii")).name
        except LookupError:
            return
        if _TEXT_ENCODINGS.fullmatch(name):
            yield name


def mended(text: str) -> tuple[str, list[str]]:
    """Return text without DOCTYPE and declaration, with sound references, and what was mended in it."""
    pieces: list[str] = []
    unclosed: set[str] = set()
    n_ampersands = n_signs = 0
    start = text.find("<")
    at = max(start, 0)
    warnings = ["text before the first element"] if text[:at].strip("\ufeff \t\r\n") else []
    while (match := _TROUBLE.search(text, at)) is not None:
        pieces.append(text[at : match.start()])
        mark, at = match.group(), match.end()
        if n_ampersands + n_signs > MAX_DEFECTS:
            raise TooManyDefects(f"more than {MAX_DEFECTS} bare ampersands and less-than signs")
        if mark in _CLOSED_BY:
            end = -1 if mark in unclosed else text.find(_CLOSED_BY[mark], at)
            if end < 0:  # its sign alone is dropped
                unclosed.add(mark)
                continue
            at = end + len(_CLOSED_BY[mark])
            pieces.append(_without_controls(text[match.start() : at]) if mark == "<![CDATA[" else "")
        elif mark == "<!DOCTYPE":
            at = _doctype_end(text, at)
        elif mark.startswith("&"):
            reference = _reference(match)
            n_ampersands += reference is None
            pieces.append(f"&#38;{mark[1:]}" if reference is None else reference)
        elif mark == "<":
            n_signs += 1
            pieces.append("&#60;")
    pieces.append(text[at:])
    warnings += [f"{mark} is never closed" for mark in sorted(unclosed)]
    if n_ampersands:
        warnings.append(f"{n_ampersands} bare ampersands")
    if n_signs:
        warnings.append(f"{n_signs} bare less-than signs")
    return "".join(pieces), warnings


def _without_controls(text: str) -> str:
    return re.sub(f"[{_NOT_XML}]", "", text)


def _reference(match: re.Match[str]) -> str | None:
    """What stands for a character or entity reference; None where an ampersand begins none."""
    decimal, hexadecimal, name = match.groups()
    if name in _PREDEFINED:
        return _PREDEFINED[name]
    if name is not None:
        known = html.entities.html5.get(f"{name};")
        return known and known.replace("&", "&#38;").replace("<", "&#60;")
    if decimal is None and hexadecimal is None:
        return None
    code = int(decimal) if decimal is not None else int(hexadecimal, 16)
    if 0x80 <= code < 0xA0:  # meant as Windows-1252, as browsers take it
        return bytes([code]).decode("cp1252", "ignore")
    is_sound = code in (9, 10, 13) or 0x20 <= code < 0xD800 or 0xE000 <= code <= 0x10FFFF
    return f"&#{code};" if is_sound and code not in (0xFFFE, 0xFFFF) else ""


def balanced(text: str) -> str:
    """Return mended text whose tags match: one that is not closed ends with its parent, a stray end is dropped.

    Attributes are written anew, so that those without a blank between them, or given twice, are sound too. What
    begins like a tag and is none is text.
    """
    pieces: list[str] = []
    opened: list[str] = []
    at = 0
    for match in _TAG.finditer(text):
        pieces.append(text[at : match.start()])
        at = match.end()
        closing, name, rest = match.groups()
        if name is None:
            pieces.append(match.group() if len(match.group()) > 1 else "&#60;")
        elif not closing:
            attributes = dict(reversed(_ATTRIBUTE.findall(rest)))
            is_empty = rest.endswith("/")
            written = "".join(f" {key}={value}" for key, value in reversed(attributes.items()))
            pieces.append(f"<{name}{written}{'/' if is_empty else ''}>")
            if not is_empty:
                opened.append(name)
        elif name in opened[-MAX_OPEN:] and len(opened) > 1:
            pieces += _ends(opened, name)
    pieces.append(text[at:])
    return "".join([*pieces, *(f"</{name}>" for name in reversed(opened))])


def _ends(opened: list[str], name: str) -> Iterator[str]:
    """Close what is open down to the last element of this name; the root stays open to the end."""
    while len(opened) > 1:
        last = opened.pop()
        yield f"</{last}>"
        if last == name:
            return


def _doctype_end(text: str, at: int) -> int:
    """Where a DOCTYPE ends, its internal subset included; at its first ">" where it never does."""
    start, depth = at, 0
    while (match := _IN_DOCTYPE.search(text, at)) is not None:
        mark, at = match.group(), match.end()
        closing = {'"': '"', "'": "'", "<!--": "-->", "<?": "?>"}.get(mark)
        if closing is not None:
            end = text.find(closing, at)
            if end < 0:
                break
            at = end + len(closing)
        elif mark == "[":
            depth += 1
        elif mark == "]":
            depth = max(depth - 1, 0)
        elif depth == 0:
            return at
    first = text.find(">", start)
    return first + 1 if first >= 0 else len(text)
