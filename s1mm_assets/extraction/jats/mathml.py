"""Formulae as text: TeX as it is written, MathML as the LaTeX that says the same.

Maths is kept between dollars, as the LaTeX path keeps it; MathML that is but letters, numbers and signs in a row
is plain text.
"""

import re

from s1mm_assets.extraction.jats.xml import Element, attribute, below, name_of

MAX_FORMULA_CHARS = 10_000

_DOCUMENT = re.compile(r"\\begin\s*\{document\}(.*?)(?:\\end\s*\{document\}|\Z)", re.DOTALL)
_DELIMITERS = re.compile(r"\A(?:\$\$?|\\\(|\\\[)|(?:(?<!\\)\$\$?|\\\)|\\\])\Z")
_DOLLAR = re.compile(r"(?<!\\)\$")
_LABEL = re.compile(r"\\(?:label|tag)\s*\{[^{}]*\}|\\(?:nonumber|notag)\b")
_INVISIBLE = re.compile("[\u2061-\u2064\u200b\ufeff]")
_ACCENTS = {"→": "vec", "⃗": "vec", "˙": "dot", ".": "dot", "¨": "ddot", "ˇ": "check", "˘": "breve"}
_ACCENTS |= dict.fromkeys("^ˆ", "hat") | dict.fromkeys("¯‾―_", "bar") | dict.fromkeys("~˜", "tilde")
_DROPPED = frozenset(
    ["annotation", "annotation-xml", "mphantom", "mspace", "maligngroup", "malignmark", "none"]
)
_TOKENS = frozenset(["mi", "mn", "mo", "mtext", "ms", "mglyph"])


def formula(element: Element) -> str:
    """Return an inline or displayed formula as text; empty where there is but a picture of it."""
    candidates = [element, *below(element, "tex-math", "math")]
    for name in ("tex-math", "math"):
        chosen = next((each for each in candidates if name_of(each) == name), None)
        if chosen is not None:
            text = tex(chosen) if name == "tex-math" else mathml(chosen)
            if text:
                return text
    return ""


def tex(element: Element) -> str:
    """Return the formula of a `tex-math`, without the document that some publishers put around it."""
    source = "".join(element.itertext())[: 3 * MAX_FORMULA_CHARS]
    document = _DOCUMENT.search(source)
    body = _LABEL.sub("", document[1] if document else source).strip()
    for _ in range(2):  # both ends, and dollars in dollars
        body = _DELIMITERS.sub("", body).strip()
    body = " ".join(_DOLLAR.sub("", body).split())[:MAX_FORMULA_CHARS]
    return f"${body.rstrip(chr(92))}$" if body else ""


def mathml(element: Element) -> str:
    """Return a `math` element as text or as LaTeX between dollars."""
    for annotation in below(element, "annotation"):
        if "tex" in attribute(annotation, "encoding").lower():
            return tex(annotation)
    body, is_plain = _written(element)
    body = " ".join(body.split())[:MAX_FORMULA_CHARS]
    if is_plain or not body:
        return body
    return f"${_DOLLAR.sub('', body)}$"


def _written(element: Element) -> tuple[str, bool]:
    """LaTeX of one element, and whether it holds no structure."""
    name = name_of(element)
    if name in _TOKENS:
        return _token(element, name), True
    if name in _DROPPED or not name:
        return (" " if name == "mspace" else ""), True
    parts = [_written(each) for each in element if name_of(each)]
    if name == "semantics":
        parts = parts[:1]
    texts = [text for text, _ in parts]
    built = _built(name, element, texts)
    if built is not None:
        return built, False
    return _in_a_row(texts), all(is_plain for _, is_plain in parts)


def _token(element: Element, name: str) -> str:
    text = _INVISIBLE.sub("", "".join(element.itertext()))
    return text if name in ("mtext", "ms") else text.strip()


def _built(name: str, element: Element, texts: list[str]) -> str | None:
    """LaTeX of a structure; None of what only sets things in a row."""
    a, b, c = [*texts, "", "", ""][:3]
    match name:
        case "msub" | "munder":
            return f"{_base(a)}_{_braced(b)}"
        case "msup":
            return f"{_base(a)}^{_braced(b)}"
        case "msubsup" | "munderover":
            return f"{_base(a)}_{_braced(b)}^{_braced(c)}"
        case "mover":
            accent = _ACCENTS.get(b.strip())
            return f"\\{accent}{{{a}}}" if accent else f"{_base(a)}^{_braced(b)}"
        case "mfrac":
            return f"\\frac{{{a}}}{{{b}}}"
        case "msqrt":
            return f"\\sqrt{{{_in_a_row(texts)}}}"
        case "mroot":
            return f"\\sqrt[{b}]{{{a}}}"
        case "mmultiscripts":
            scripts = "".join(f"_{_braced(each)}" for each in texts[1:] if each.strip())
            return f"{_base(a)}{scripts}" if scripts else None
        case "mtable":
            return "\\begin{matrix}" + r" \\ ".join(texts) + "\\end{matrix}" if len(texts) > 1 else None
        case "mtr" | "mlabeledtr":
            return " & ".join(texts) if len(texts) > 1 else None
        case "mfenced":
            opening, closing = (element.get(key, sign) for key, sign in (("open", "("), ("close", ")")))
            return f"{opening}{', '.join(texts)}{closing}"
    return None


def _base(text: str) -> str:
    return text if len(text) < 2 or text.startswith("\\") else f"{{{text}}}"


def _braced(text: str) -> str:
    return text if len(text) == 1 else f"{{{text}}}"


def _in_a_row(texts: list[str]) -> str:
    """Set side by side, with a blank where two words would become one."""
    out: list[str] = []
    for text in texts:
        if not text:
            continue
        meets = bool(out) and out[-1][-1].isalpha() and text[0].isalpha()
        if meets and (len(out[-1]) > 1 or len(text) > 1):
            out.append(" ")
        out.append(text)
    return "".join(out)
