"""Which paragraphs of an article cite which figure: by cross reference, or by a number that is only typed.

A paragraph is an outermost `p`, with the lists in it; captions of figures, tables and source data count as
paragraphs of their own. Sub-articles (reports, responses, translations) speak of their own figures alone: what
a referee says of Figure 2 is no part of the paper.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from s1mm_assets.extraction.jats.labels import citations
from s1mm_assets.extraction.jats.readable import FLOATS, Span, Writer
from s1mm_assets.extraction.jats.xml import Element, attribute, below, child, children, name_of

MAX_MENTIONS = 200  # of one figure

Mention = dict[str, str | bool | None]

_PASSED_OVER = frozenset(
    """title label graphic media ref-list table alt-text long-desc permissions attrib kwd-group object-id
    journal-meta contrib-group aff author-notes funding-group custom-meta-group title-group history counts
    related-article article-categories xref trans-abstract""".split()  # noqa: SIM905 - reads better as words
)
_CAPTIONED = frozenset(
    ["fig", "fig-group", "table-wrap", "table-wrap-group", "supplementary-material", "media"]
)
_SUB_ARTICLES = frozenset(["sub-article", "response"])


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph or caption, and what it refers to."""

    text: str
    section: str | None
    owner: Element | None  # the float whose caption this is
    scope: Element | None  # the sub-article that it stands in
    spans: tuple[Span, ...]  # references to figures


@dataclass(frozen=True, slots=True)
class Target:
    """What an xml id or a typed number stands for."""

    figure: int
    panel: Element | None = None  # where only one panel is meant


@dataclass(slots=True)
class Citing:
    """Which paragraphs cite each figure."""

    paragraphs: list[Paragraph]
    cited_by: dict[int, list[tuple[int, Element | None]]] = field(default_factory=dict)

    def of(self, figure: int, elements: Sequence[Element], panel: Element | None) -> list[Mention]:
        """Return the mentions of a figure, or of one of its panels: the text's, then other floats' captions.

        Args:
            figure: Its position.
            elements: Its own elements, whose captions are no mentions of it.
            panel: Citations of other panels alone are left out; None leaves none out.
        """
        found = dict.fromkeys(
            index
            for index, meant in self.cited_by.get(figure, ())
            if panel is None or meant is None or meant is panel
        )
        others = [
            self.paragraphs[index]
            for index in found
            if not any(self.paragraphs[index].owner is element for element in elements)
        ]
        ordered = sorted(others, key=lambda paragraph: paragraph.owner is not None)
        return [
            {"section": each.section, "text": each.text, "is_caption": each.owner is not None}
            for each in ordered[:MAX_MENTIONS]
        ]


def read_citations(
    article: Element,
    writer: Writer,
    by_id: Mapping[str, Target],
    by_key: Mapping[tuple[Element | None, str], Target],
    scopes: Mapping[int, Element | None],
) -> Citing:
    """Read every paragraph of an article, and note which figures it cites.

    Args:
        article: The whole article.
        writer: Writes its texts.
        by_id: Xml id → figure.
        by_key: Sub-article and figure's key (`labels.key_of`) → figure.
        scopes: Figure → the sub-article that it stands in.
    """
    citing = Citing(list(_Walk(writer, by_id).paragraphs(article, None, None)))
    for index, paragraph in enumerate(citing.paragraphs):
        for target in _targets(paragraph, by_id, by_key):
            if scopes[target.figure] is paragraph.scope:
                citing.cited_by.setdefault(target.figure, []).append((index, target.panel))
    return citing


def _targets(
    paragraph: Paragraph,
    by_id: Mapping[str, Target],
    by_key: Mapping[tuple[Element | None, str], Target],
) -> Iterator[Target]:
    typed = list(citations(paragraph.text))
    for span in paragraph.spans:
        rids = [rid for rid in attribute(span.xref, "rid").split() if rid in by_id]
        yield from (by_id[rid] for rid in rids)
        if rids:  # believed before what is typed in it, unless it names more: "Figs. 2–4" with one rid
            inside = [each for each in typed if span.start <= each.position < span.end]
            if len({each.key for each in inside}) <= len(rids):
                typed = [each for each in typed if each not in inside or each.is_implied]
    yield from (by_key[key] for each in typed if (key := (paragraph.scope, each.key)) in by_key)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Goes through an article in document order."""

    writer: Writer
    rids: Mapping[str, Target]

    def paragraphs(self, element: Element, section: str | None, scope: Element | None) -> Iterator[Paragraph]:
        for each in element:
            name = name_of(each)
            if not name or name in _PASSED_OVER:
                if name == "media":
                    yield from self._captions(each, section, scope)
            elif name == "p":
                yield self._paragraph([each], section, None, scope)
                yield from self._floats_in(each, section, scope)
            elif name in _CAPTIONED:
                yield from self._captions(each, section, scope)
                yield from self.paragraphs(each, section, scope)
            elif name == "caption":
                yield from self._floats_in(each, section, scope)
            elif name in _SUB_ARTICLES:
                yield from self.paragraphs(each, self._title(child(each, "front-stub", "front")), each)
            else:
                yield from self.paragraphs(each, self._title(each) or section, scope)

    def _floats_in(self, element: Element, section: str | None, scope: Element | None) -> Iterator[Paragraph]:
        """Floats and footnotes that are tagged within a paragraph: its text leaves them out."""
        for each in element:
            name = name_of(each)
            if name in _CAPTIONED:
                yield from self._captions(each, section, scope)
                yield from self.paragraphs(each, section, scope)
            elif name in FLOATS or name == "fn":
                yield from self.paragraphs(each, self._title(each) or section, scope)
            elif name and name not in _PASSED_OVER:
                yield from self._floats_in(each, section, scope)

    def _captions(self, owner: Element, section: str | None, scope: Element | None) -> Iterator[Paragraph]:
        for caption in children(owner, "caption"):
            yield self._paragraph([caption], section, owner, scope)

    def _paragraph(
        self, elements: list[Element], section: str | None, owner: Element | None, scope: Element | None
    ) -> Paragraph:
        text, spans = self.writer.marked(elements, self.rids)
        return Paragraph(text, section, owner, scope, tuple(spans))

    def _title(self, element: Element | None) -> str | None:
        """The heading of a part of the text."""
        if element is None:
            return None
        if name_of(element) in ("front-stub", "front"):
            title = next(below(element, "article-title"), None)
        else:
            title = child(element, "title")
            caption = child(element, "caption") if title is None else None
            title = child(caption, "title") if caption is not None else title
        return self.writer.text(title) or None if title is not None else None
