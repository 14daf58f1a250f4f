"""One package → its figures: where the parts of this package meet."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lxml import etree

from s1mm_assets.extraction.jats import labels, metadata
from s1mm_assets.extraction.jats.figures import Figure, Panel, figures_of, label_of
from s1mm_assets.extraction.jats.images import Finder
from s1mm_assets.extraction.jats.mentions import Citing, Mention, Target, read_citations
from s1mm_assets.extraction.jats.package import Package, pdf_of, read_package
from s1mm_assets.extraction.jats.readable import Writer
from s1mm_assets.extraction.jats.xml import (
    Element,
    UnreadableXml,
    attribute,
    below,
    child,
    children,
    name_of,
    parse,
)
from s1mm_assets.tables import Rejection

MAX_ROWS = 5_000
MAX_TEXT_CHARS = 20_000_000  # of one paper's mentions, all rows together; as much again for raw captions
MAX_RAW_CHARS = 100_000  # of one caption's XML

_OWN_DOI = re.compile(
    r"\s?\bDOI: https?://(?:dx\.)?doi\.org/\S{1,100}\Z"
)  # of the figure itself, as eLife had it
_NUMBERED = ("fig", "table-wrap", "disp-formula", "sec", "app", "boxed-text", "supplementary-material")


@dataclass(frozen=True, slots=True, kw_only=True)
class JatsFigure:
    """One image of a figure, or one figure without an image."""

    figure_ordinal: int  # from 1; counts every figure, those without an image too
    panel_ordinal: int  # from 1
    figure_number: str | None  # as printed: "3", "S2", "1—figure supplement 1", "Scheme 1"
    environment: str  # fig, fig-group (panels of one); "sub-article/fig" in a response or report
    labels: list[str]  # xml ids: the panel's own, else the figure's
    caption: str  # what a reader attaches to this image
    sub_caption: str | None
    parent_caption: str | None  # the figure's, where the panel has its own
    caption_raw: str | None  # XML of the caption nearest to the image
    mentions: list[Mention]
    graphics_path: str | None  # href as written
    image_member: str | None
    page: int | None  # always None: files named here have one
    ambiguous: str | None  # what was doubtful about the member
    rights: str | None = None  # what its own permissions say, where it has any; statements between " | "


@dataclass(frozen=True, slots=True, kw_only=True)
class JatsPaper:
    """What was read from one package."""

    main_file: str | None = None
    encoding: str | None = None
    title: str | None = None
    abstract: str | None = None
    authors: list[str] = field(default_factory=list)
    doi: str | None = None
    licence: str | None = None  # its address, as given
    pdf_member: str | None = None  # the same paper as PDF
    figures: list[JatsFigure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rejection: Rejection | None = None
    evidence: str | None = None


def read_jats(members: Mapping[str, bytes], name: str = "") -> JatsPaper:
    """Read the figures of an article in JATS, with captions, numbers, mentions and images.

    Never raises; time and memory are linear in the size of the XML. No entity is expanded and nothing fetched.

    Args:
        members: Path in the package → bytes: a MECA package, an article with its images, or the article alone.
        name: What to call the paper in evidence.

    Returns:
        The paper; where no article can be read, an empty one with `rejection` and `evidence`.
    """
    try:
        package = read_package(members)
        if package.article is None:
            warnings = list(package.manifest.warnings)
            evidence = f"none of {len(members)} members is an article in JATS"
            return JatsPaper(rejection=Rejection.UNDECODABLE, evidence=evidence, warnings=warnings)
        return _read(members, package, package.article)
    except UnreadableXml as error:
        return JatsPaper(rejection=Rejection.UNDECODABLE, evidence=f"{name or 'paper'}: {error}")
    except (RecursionError, MemoryError) as error:
        evidence = f"{name or 'paper'}: {type(error).__name__} while reading JATS"
        return JatsPaper(rejection=Rejection.UNDECODABLE, evidence=evidence)


def _read(members: Mapping[str, bytes], package: Package, main: str) -> JatsPaper:
    tree = parse(members[main])
    warnings = [*package.manifest.warnings, *package.warnings, *tree.warnings]
    article = tree.root if name_of(tree.root) == "article" else next(below(tree.root, "article"), None)
    if article is None:
        evidence = f"{main}: its root is {name_of(tree.root)!r}, not an article"
        return JatsPaper(
            main_file=main, rejection=Rejection.UNDECODABLE, evidence=evidence, warnings=warnings
        )
    writer = Writer(_printed_numbers(article))
    finder = Finder(members, main.rpartition("/")[0], package.manifest.images())
    found = _Rows(list(figures_of(article)), writer, finder, warnings).of(article)
    shown = [row.image_member for row in found if row.image_member is not None]
    meta = metadata.article_meta(article)
    hrefs = metadata.pdf_hrefs(meta) if meta is not None else []
    paper = JatsPaper(
        main_file=main,
        encoding=tree.encoding,
        pdf_member=pdf_of(members, package, hrefs, shown),
        figures=found,
        warnings=warnings,
        rejection=None if found else Rejection.NO_FIGURES,
        evidence=None if found else f"{main} holds no figure",
    )
    if meta is None:
        return paper
    return replace(
        paper,
        title=metadata.title(meta, writer),
        abstract=metadata.abstract(meta, writer),
        authors=metadata.authors(meta),
        doi=metadata.doi(meta),
        licence=metadata.licence(meta),
    )


def _printed_numbers(article: Element) -> dict[str, str]:
    """Xml id → what an empty reference to it shows: its number, or its place where the style numbers."""
    numbers: dict[str, str] = {}
    found: dict[str, list[Element]] = {}
    for each in below(article, *_NUMBERED):
        found.setdefault(name_of(each), []).append(each)
    for name, elements in found.items():
        is_numbered_by_style = name not in ("sec", "app") and not any(label_of(each) for each in elements)
        for place, each in enumerate(elements, 1):
            xml_id, label = attribute(each, "id"), label_of(each)
            number = str(place) if is_numbered_by_style else labels.bare_number(label)
            if xml_id and number:
                numbers[xml_id] = number
    return numbers


@dataclass(slots=True)
class _Rows:
    """Composes the rows of an article's figures."""

    figures: list[Figure]
    writer: Writer
    finder: Finder
    warnings: list[str]
    captions: dict[Element, tuple[str, str | None]] = field(default_factory=dict)
    mention_chars_left: int = MAX_TEXT_CHARS
    raw_chars_left: int = MAX_TEXT_CHARS

    def of(self, article: Element) -> list[JatsFigure]:
        """The rows of all figures, in document order."""
        by_style = not any(label_of(figure.element) for figure in self.figures)
        citing = self._citations(article, by_style=by_style)
        rows: list[JatsFigure] = []
        for position, figure in enumerate(self.figures):
            if len(rows) + len(figure.panels) > MAX_ROWS:
                self.warnings.append(f"more than {MAX_ROWS} rows: the rest was left out")
                break
            number = self._number(position, by_style=by_style)
            rows += [
                row
                for i, panel in enumerate(figure.panels, 1)
                if (row := self._row(position, number, i, panel, citing)) is not None
            ]
        return rows

    def _citations(self, article: Element, *, by_style: bool) -> Citing:
        by_id: dict[str, Target] = {}
        by_key: dict[tuple[Element | None, str], Target] = {}
        for position, figure in enumerate(self.figures):
            for panel in figure.panels:
                panel_id = attribute(panel.element, "id")
                if panel_id and panel.element is not figure.element:
                    by_id.setdefault(panel_id, Target(position, panel.element))
            for xml_id in (attribute(figure.element, "id"), self._group_id(figure)):
                if xml_id:
                    by_id.setdefault(xml_id, Target(position))
            number = self._number(position, by_style=by_style)
            label = label_of(figure.element)
            key = (
                labels.key_of(label if labels.names_figure(label) else f"Figure {number}") if number else None
            )
            if key:
                by_key.setdefault((figure.sub_article, key), Target(position))
        scopes = {position: figure.sub_article for position, figure in enumerate(self.figures)}
        return read_citations(article, self.writer, by_id, by_key, scopes)

    def _group_id(self, figure: Figure) -> str:
        """The id of a fig-group around several figures stands for its first one."""
        parent = figure.element.getparent()
        is_group = parent is not None and name_of(parent) == "fig-group"
        return attribute(parent, "id") if is_group and parent is not None else ""

    def _number(self, position: int, *, by_style: bool) -> str | None:
        """A figure's number as printed; counted where the publisher's style numbers and no label is tagged."""
        figure = self.figures[position]
        label = label_of(figure.element)
        number = labels.number_of(label) or (None if label else self._caption(figure.element)[1])
        if number is None and by_style and figure.sub_article is None:
            return str(sum(each.sub_article is None for each in self.figures[: position + 1]))
        return number

    def _row(
        self, position: int, number: str | None, ordinal: int, panel: Panel, citing: Citing
    ) -> JatsFigure | None:
        figure = self.figures[position]
        parent, sub = self._captions(figure, panel)
        if not panel.graphics and not parent and not sub and not label_of(figure.element):
            return None
        xml_id = attribute(panel.element, "id") or attribute(figure.element, "id")
        member, note = self.finder.find(panel.graphics, xml_id, self._slugs(panel.element, number))
        is_part = panel.element is not figure.element
        return JatsFigure(
            figure_ordinal=position + 1,
            panel_ordinal=ordinal,
            figure_number=number,
            environment=("sub-article/" if figure.sub_article is not None else "")
            + ("fig-group" if is_part or figure.group is not None else name_of(figure.element)),
            labels=[xml_id] if xml_id else figure.ids[:1],
            caption=self._joined(figure, panel, parent, sub),
            sub_caption=sub or None,
            parent_caption=(parent or None) if sub else None,
            caption_raw=self._raw(panel.element if sub or not is_part else figure.element),
            mentions=self._mentions(position, panel.element if is_part else None, citing),
            graphics_path=panel.graphics[0].href if panel.graphics else None,
            image_member=member,
            page=None,
            ambiguous=note,
            rights=rights_of(figure.group, figure.element, panel.element),
        )

    def _captions(self, figure: Figure, panel: Panel) -> tuple[str, str]:
        """The caption of the whole, and the part's own."""
        own = self._caption(panel.element)[0]
        if figure.group is not None:
            return self._caption(figure.group)[0], own
        if panel.element is figure.element:
            return own, ""
        return self._caption(figure.element)[0], own

    def _joined(self, figure: Figure, panel: Panel, parent: str, sub: str) -> str:
        """The figure's caption, then the panel's own after its letter."""
        if not parent or not sub:
            return parent or sub
        sign = label_of(panel.element).strip("().: ") if figure.group is None else ""
        return f"{parent} ({sign}) {sub}" if sign else f"{parent} {sub}"

    def _caption(self, element: Element) -> tuple[str, str | None]:
        """A float's caption as text without its label, and the number that it began with."""
        if element not in self.captions:
            holders = [*list(children(element, "caption"))[:1], *children(element, "legend")]
            text = self.writer.text(*(holders or children(element, "p", "title")))
            self.captions[element] = labels.without_label(_OWN_DOI.sub("", text), label_of(element))
        return self.captions[element]

    def _raw(self, element: Element) -> str | None:
        caption = child(element, "caption")
        if caption is None or self.raw_chars_left <= 0:
            return None
        alone = copy.deepcopy(caption)
        alone.tail = None
        etree.cleanup_namespaces(alone)
        raw = etree.tostring(alone, encoding="unicode")
        self.raw_chars_left -= len(raw)
        return raw[:MAX_RAW_CHARS]

    def _slugs(self, fig: Element, number: str | None) -> list[str]:
        """What HighWire calls a figure: F1, which names its images."""
        ids = [str(value) for key, value in fig.attrib.items() if str(key).endswith("}id")]
        ids += ["".join(each.itertext()) for each in children(fig, "object-id")]
        slugs = [each for each in ids if each[:1] == "F" and each[1:].isdigit()]
        return slugs or ([f"F{number}"] if number and number.isdigit() else [])

    def _mentions(self, position: int, panel: Element | None, citing: Citing) -> list[Mention]:
        if self.mention_chars_left < 0:
            return []
        figure = self.figures[position]
        elements = [figure.element, *(each.element for each in figure.panels)]
        found = citing.of(position, elements, panel)
        self.mention_chars_left -= sum(100 + len(str(mention["text"])) for mention in found)
        if self.mention_chars_left >= 0:
            return found
        self.warnings.append("too many mentions: those of the later figures were left out")
        return []


def rights_of(*elements: Element | None) -> str | None:
    """What the permissions of a figure and its parts say; None where they have none."""
    said = [
        metadata.statements_in(each) or "permissions that say nothing"
        for element in dict.fromkeys(elements)
        if element is not None
        for each in children(element, "permissions")
    ]
    return " | ".join(dict.fromkeys(said)) or None
