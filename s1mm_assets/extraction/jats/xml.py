"""Bytes of an XML file → a tree that is safe to walk. Knows XML and its usual defects, nothing of JATS.

Files come damaged: blanks before the declaration, a declaration after the DOCTYPE, bare ampersands, HTML
entities, attributes run together, tags that do not match. What can be mended is mended (`mending`), and said so.
Nothing a file declares is followed: its DOCTYPE is cut out before parsing, so that there are no entities to expand
and no DTD to fetch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from s1mm_assets.extraction.jats.mending import TooManyDefects, balanced, decoded, mended

Element = etree._Element

MAX_XML_BYTES = 32 * 2**20  # the longest real articles, tables and all, have a fifth of it
MAX_WARNINGS = 3  # of the parser: the first say what is wrong


@dataclass(frozen=True, slots=True)
class Tree:
    """A parsed file."""

    root: Element
    encoding: str
    warnings: tuple[str, ...]  # what was mended


class UnreadableXml(Exception):  # noqa: N818 - a verdict about the bytes, not a fault of the program
    """These bytes are no XML that can be read; the message says why."""


def parse(data: bytes) -> Tree:
    """Parse a file, mending what can be mended.

    Time and memory are linear in its size: entities are never expanded, nothing is fetched, and elements
    nested deeper than 256 are refused.

    Raises:
        UnreadableXml: It is too large or too deep, or holds no element.
    """
    if len(data) > MAX_XML_BYTES:
        raise UnreadableXml(f"{len(data)} bytes of XML, limit {MAX_XML_BYTES}")
    text, encoding = decoded(data)
    try:
        text, warnings = mended(text)
    except TooManyDefects as error:
        raise UnreadableXml(str(error)) from None
    parser = _parser(recover=False)
    try:
        return Tree(etree.fromstring(_bytes(text), parser), encoding, tuple(warnings))
    except etree.XMLSyntaxError:
        found = [f"XML mended at line {each.line}: {each.message}"[:200] for each in _errors(parser)]
    parser = _parser(recover=True)
    try:
        root = etree.fromstring(_bytes(balanced(text)), parser)
    except etree.XMLSyntaxError as error:
        raise UnreadableXml(f"no XML: {error.msg}"[:300]) from None
    too_deep = next((each for each in _errors(parser) if "depth" in each.message.lower()), None)
    if root is None or too_deep is not None:
        raise UnreadableXml(too_deep.message[:300] if too_deep else "no element in it")
    return Tree(root, encoding, (*warnings, *found[:MAX_WARNINGS]))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _errors(parser: etree.XMLParser) -> list[etree._LogEntry]:
    return [each for each in parser.error_log if each.level_name in ("ERROR", "FATAL")]


def _parser(*, recover: bool) -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        recover=recover,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def name_of(element: Element) -> str:
    """An element's local name, whatever prefix it has; empty for what is no element."""
    tag = element.tag
    return tag.rpartition("}")[2].rpartition(":")[2] if isinstance(tag, str) else ""


def attribute(element: Element, name: str) -> str:
    """An attribute by its local name; empty where it is not there. The one without a namespace comes first."""
    own = element.get(name)
    if own is not None:
        return str(own)
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2].rpartition(":")[2] == name:
            return str(value)
    return ""


def children(element: Element, *names: str) -> Iterator[Element]:
    """The direct children of these names, in order."""
    return (child for child in element if name_of(child) in names)


def child(element: Element, *names: str) -> Element | None:
    """The first direct child of these names."""
    return next(children(element, *names), None)


def below(element: Element, *names: str) -> Iterator[Element]:
    """The descendants of these names, in document order."""
    return (each for each in element.iterdescendants() if name_of(each) in names)
