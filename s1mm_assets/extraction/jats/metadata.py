"""Title, abstract, authors, DOI and licence as an article gives them."""

import re
from collections.abc import Iterator

from s1mm_assets.extraction.jats.readable import Writer, without_tags
from s1mm_assets.extraction.jats.xml import Element, attribute, below, child, children, name_of

MAX_AUTHORS = 3_500
MAX_ABSTRACT_CHARS = 20_000

_TITLE_END = (".", ":", "?", "!")
_BARE_HEADING = re.compile(r"abstract|summary|zusammenfassung|r[ée]sum[ée]|resum[eo]n?", re.IGNORECASE)
_ANOTHER_ABSTRACT = re.compile(
    r"graph|teaser|toc|summary|key|highlight|lay|plain|video|precis|editor|web|short|caption", re.IGNORECASE
)
_DOI_PREFIX = re.compile(r"\A(?:https?://(?:dx\.)?doi\.org/|doi:|info:doi/)\s*", re.IGNORECASE)


def article_meta(article: Element) -> Element | None:
    """The article's own metadata, not that of a sub-article."""
    front = child(article, "front", "front-stub")
    meta = child(front, "article-meta") if front is not None else None
    return front if meta is None else meta


def title(meta: Element, writer: Writer) -> str | None:
    """The title, without footnote marks."""
    group = child(meta, "title-group")
    found = child(group if group is not None else meta, "article-title")
    if found is None:
        return None
    text = without_tags(writer.text(found, without=("xref",)))
    subtitle = child(group, "subtitle") if group is not None else None
    below_it = writer.text(subtitle, without=("xref",)) if subtitle is not None else ""
    return (f"{text.rstrip(':')}: {below_it}" if text and below_it else text) or None


def abstract(meta: Element, writer: Writer) -> str | None:
    """The abstract proper: not the graphical one, the summary for laymen or a translation."""
    found = list(children(meta, "abstract"))
    untyped = [each for each in found if not attribute(each, "abstract-type")]
    typed = [each for each in found if not _ANOTHER_ABSTRACT.search(attribute(each, "abstract-type"))]
    for each in untyped or typed:
        text = " ".join(_sections(each, writer, is_top=True)).strip()
        if text:
            return without_tags(text)[:MAX_ABSTRACT_CHARS]
    return None


def _sections(element: Element, writer: Writer, *, is_top: bool) -> Iterator[str]:
    """An abstract's paragraphs, each section's heading before its text."""
    heading = child(element, "title")
    if heading is not None:
        text = writer.text(heading)
        if text and not (is_top and _BARE_HEADING.fullmatch(text.rstrip(".:"))):
            yield text if text.endswith(_TITLE_END) else f"{text}:"
    for each in element:
        if name_of(each) == "sec":
            yield from _sections(each, writer, is_top=False)
        elif name_of(each) in ("p", "list", "disp-quote", "def-list"):
            text = writer.text(each)
            if text:
                yield text


def authors(meta: Element) -> list[str]:
    """The authors' names, given name first, in order; a collaboration by its name."""
    names: list[str] = []
    for group in children(meta, "contrib-group"):
        for contributor in children(group, "contrib"):
            kind = attribute(contributor, "contrib-type")
            if kind not in ("", "author", "collab"):
                continue
            name = _name(contributor)
            if name and name not in names and len(names) < MAX_AUTHORS:
                names.append(name)
    return names


def _name(contributor: Element) -> str:
    several = child(contributor, "name-alternatives")
    for each in children(contributor if several is None else several, "name", "string-name"):
        given, surname, suffix = (child(each, part) for part in ("given-names", "surname", "suffix"))
        parts = [_words(part) for part in (given, surname, suffix) if part is not None]
        return " ".join(part for part in parts if part) or _words(each)
    collab = child(contributor, "collab")
    return _words(collab, without="contrib-group") if collab is not None else ""


def _words(element: Element, without: str = "") -> str:
    pieces = [element.text or ""]
    for each in element:
        if name_of(each) and name_of(each) not in (without, "xref", "fn", "aff", "email"):
            pieces.append(_words(each, without))
        pieces.append(each.tail or "")
    return " ".join("".join(pieces).split())[:200]


def doi(meta: Element) -> str | None:
    """The article's DOI, without a resolver's address."""
    for each in children(meta, "article-id"):
        if attribute(each, "pub-id-type") == "doi":
            return _DOI_PREFIX.sub("", _words(each)) or None
    return None


def licence(meta: Element) -> str | None:
    """What the article says of its licence: statements between " | ", for whoever can tell whether they agree.

    Those that are tagged as such (addresses, types) come first; links and wording count where nothing is tagged.
    """
    permissions = child(meta, "permissions")
    return statements_in(permissions) if permissions is not None else None


def statements_in(permissions: Element) -> str | None:
    """What some permissions say, of an article or of one figure; None where they say nothing."""
    licences = list(children(permissions, "license"))
    tagged = [
        _words(each)
        for each in below(permissions, "license_ref")
        if not any(attribute(each, name) for name in ("content-type", "start_date"))
    ]
    tagged += [attribute(each, "href") for each in licences]
    tagged += [attribute(each, "license-type") for each in licences]
    said = [each for each in tagged if each]
    if not any(each.startswith("http") for each in said):
        for each in licences:
            links = [attribute(link, "href") or _words(link) for link in below(each, "ext-link", "uri")]
            said.append(" ".join([_whole(each), *links]))
    if not licences and not said:
        said = [_whole(permissions)]
    return " | ".join(dict.fromkeys(each for each in said if each)) or None


def _whole(element: Element) -> str:
    """The words of an element, as many as anyone needs to judge them."""
    return " ".join("".join(element.itertext()).split())[:2_000]


def pdf_hrefs(meta: Element) -> list[str]:
    """What the article gives as its own PDF."""
    return [
        attribute(each, "href")
        for each in children(meta, "self-uri")
        if "pdf" in attribute(each, "content-type").lower()
        or attribute(each, "href").lower().endswith(".pdf")
    ]
