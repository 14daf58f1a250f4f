"""One bundle → its figures: where the parts of this package meet.

Belongs here: the order of work, and the composition of rows. Everything that knows TeX is elsewhere.
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from s1mm_assets.extraction.latex import environments, mentions, metadata, source, typed
from s1mm_assets.extraction.latex.commands import HANDLERS, STEERING
from s1mm_assets.extraction.latex.expand import Float, Reader
from s1mm_assets.extraction.latex.figures import DRAWN, Figure, FloatContent, Panel, read_float
from s1mm_assets.extraction.latex.graphics import Finder, Graphic
from s1mm_assets.extraction.latex.mentions import Body, Mention, keys_in
from s1mm_assets.extraction.latex.numbers import Counters, letter
from s1mm_assets.extraction.latex.readable import Writer
from s1mm_assets.tables import Rejection

MAX_ROWS = 5_000
MAX_MENTION_CHARS = 20_000_000  # of one paper, all rows together


@dataclass(frozen=True, slots=True, kw_only=True)
class LatexFigure:
    """One image of a captioned figure, or one figure without an image."""

    figure_ordinal: int  # from 1; counts every figure, drawn and missing ones too
    panel_ordinal: int  # from 1
    figure_number: str | None  # as LaTeX prints it
    environment: str
    labels: list[str]  # the panel's own, else the figure's
    caption: str  # what a reader attaches to this image
    sub_caption: str | None
    parent_caption: str | None  # the figure's, where the panel has its own
    caption_raw: str | None  # TeX source of the caption nearest to the image
    mentions: list[Mention]
    graphics_path: str | None  # as written
    image_member: str | None
    page: int | None  # 0-based
    drawn_in_tex: bool
    drawn_by: str | None
    ambiguous: str | None  # what was doubtful about the member


@dataclass(frozen=True, slots=True, kw_only=True)
class LatexPaper:
    """What was read from one bundle's TeX."""

    main_file: str | None = None
    encoding: str | None = None
    title: str | None = None
    abstract: str | None = None
    authors: list[str] = field(default_factory=list)
    figures: list[LatexFigure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rejection: Rejection | None = None
    evidence: str | None = None


@dataclass(slots=True)
class _Entry:
    """A figure on its way to rows."""

    source: Float
    content: FloatContent
    figure: Figure
    float_index: int
    number: str | None = None
    first_panel: int = 0


def read_paper(members: Mapping[str, bytes], *, name: str = "") -> LatexPaper:
    """Read a bundle's figures with their captions, labels, numbers and mentions.

    Never raises; time and memory are linear in the size of the TeX sources.

    Args:
        members: Path in the bundle → bytes. Paths are normal: no leading "./", no "..".
        name: What to call the paper in warnings.

    Returns:
        The paper; where no figure can be sought, an empty one with `rejection` and `evidence`.
    """
    try:
        return _read(members)
    except (RecursionError, MemoryError) as error:
        evidence = f"{name or 'paper'}: {type(error).__name__} while reading TeX"
        return LatexPaper(rejection=Rejection.UNDECODABLE, evidence=evidence, warnings=[evidence])


def _read(members: Mapping[str, bytes]) -> LatexPaper:
    tree = source.SourceTree(members)
    main = source.main_file(tree)
    if main is None:
        return LatexPaper(rejection=Rejection.NO_TEX, evidence="no member is a TeX source")
    declared = source.declared_encoding(members[main])
    if declared is not None and declared != tree.declared:
        tree = source.SourceTree(members, declared)
    reader = Reader(tree, HANDLERS, STEERING, environments.steers)
    text = tree.text(main)
    if not text.strip():
        return LatexPaper(main_file=main, rejection=Rejection.UNDECODABLE, evidence=f"{main} holds no text")
    reader.main_folder = posixpath.dirname(main)
    reader.enter(text, 0, main)
    reader.run()
    while len(reader.collectors) > 1:
        environments.close_collector(reader)
    return _compose(reader, main)


def _compose(reader: Reader, main: str) -> LatexPaper:
    typed.lift(reader)
    contents = [read_float(found, reader.work) for found in reader.floats]
    counters = Counters(reader.class_name, ",".join(reader.metadata.get("class_options", [])))
    entries = _count(reader, contents, counters)
    numbers = counters.labels
    if reader.hides_equations:
        numbers = {key: value for key, value in numbers.items() if value[0] != "equation"}
    writer = Writer({**reader.macros, **reader.first}, reader.work, numbers)
    body = mentions.read_body(reader.body, reader.work)
    cited_in = _caption_citations(reader, contents)
    finder = Finder(
        reader.tree.members, reader.main_folder, reader.extensions, is_dvi=_is_dvi(reader.tree.members)
    )
    rows = _Rows(reader, writer, body, finder, cited_in, contents).of(entries)
    if reader.work.is_spent:
        reader.warn("the source is nested so deeply that it was not read in full")
    kept = reader.metadata
    return LatexPaper(
        main_file=main,
        encoding=reader.tree.encodings.get(main),
        title=metadata.title(
            [raw for name in ("title", "icmltitle", "Title", "AtlasTitle") for raw in kept.get(name, [])],
            writer,
        ),
        abstract=metadata.abstract(kept.get("abstract", []) + mentions.abstract_sections(body), writer),
        authors=metadata.authors(
            kept.get("author", [])
            or kept.get("authors", [])
            or kept.get("icmlauthor", [])
            or kept.get("Author", []),
            writer,
        ),
        figures=rows,
        warnings=reader.warnings,
        rejection=None if rows else Rejection.NO_FIGURES,
        evidence=None if rows else f"{main} and what it reads hold no figure",
    )


def _count(reader: Reader, contents: list[FloatContent], counters: Counters) -> list[_Entry]:
    """Give every figure its number, in the order in which LaTeX counts."""
    at_event = {found.event: i for i, found in enumerate(reader.floats)}
    entries: list[_Entry] = []
    n_panels = 0
    for position, event in enumerate(reader.events):
        if event[0] != "float":
            counters.apply(event)
            continue
        index = at_event.get(position)
        if index is None:
            continue
        found, content = reader.floats[index], contents[index]
        if not _holds_figures(found, content):
            _count_table(found, content, counters)
            continue
        if not content.is_continued:
            n_panels = 0
        for figure in content.figures:
            entry = _Entry(found, content, figure, index, first_panel=n_panels)
            if figure.is_numbered and not content.is_continued and not content.number:
                counters.step("figure")
            if figure.is_numbered or content.is_continued:
                entry.number = counters.printed("figure")
            entry.number = content.number or entry.number
            _label(entry, counters)
            n_panels += len(figure.panels)
            entries.append(entry)
        for keys in content.tables:
            counters.step("table")
            counters.labels.update(dict.fromkeys(keys, ("table", counters.printed("table"))))
    _join_continued(entries)
    return entries


def _holds_figures(found: Float, content: FloatContent) -> bool:
    if environments.is_other_float(found.environment):
        return any(figure.caption is not None for figure in content.figures)
    return not content.is_table


def _count_table(found: Float, content: FloatContent, counters: Counters) -> None:
    if content.is_table and "algorithm" not in found.environment and "listing" not in found.environment:
        counters.step("table")
        for figure in content.figures:
            for key in figure.labels:
                counters.labels[key] = ("table", counters.printed("table"))


def _label(entry: _Entry, counters: Counters) -> None:
    number = entry.number
    if number is None:
        return
    for key in entry.figure.labels:
        counters.labels[key] = ("figure", number)
    for position, panel in enumerate(entry.figure.panels, 1):
        for key in panel.labels:
            counters.labels[key] = ("figure", number + letter(entry.first_panel + position))


def _join_continued(entries: list[_Entry]) -> None:
    """A figure split over floats: parts without a caption have that of the part that has one."""
    start = 0
    for i in range(1, len(entries) + 1):
        if i < len(entries) and entries[i].content.is_continued:
            continue
        chain = entries[start:i]
        start = i
        named = next((entry for entry in chain if entry.figure.caption), None)
        if len(chain) < 2 or named is None:
            continue
        for entry in chain:
            if entry.figure.caption is None:
                entry.figure.caption = named.figure.caption
                entry.number = named.number
                entry.figure.labels = entry.figure.labels or named.figure.labels


def _caption_citations(reader: Reader, contents: list[FloatContent]) -> dict[str, list[int]]:
    """Label → floats whose captions refer to it."""
    cited: dict[str, list[int]] = {}
    for index, content in enumerate(contents):
        for key in {key for caption in content.captions for key in keys_in(caption, reader.work)}:
            cited.setdefault(key, []).append(index)
    return cited


def _is_dvi(members: Mapping[str, bytes]) -> bool:
    """Whether the bundle's images are PostScript in the main, so that latex and dvips were run."""
    suffixes = [posixpath.splitext(path)[1].lower() for path in members]
    n_postscript = sum(suffix in (".eps", ".ps", ".epsi", ".epsf") for suffix in suffixes)
    return n_postscript > sum(suffix in (".pdf", ".png", ".jpg", ".jpeg") for suffix in suffixes)


@dataclass(slots=True)
class _Rows:
    """Composes rows from what was read."""

    reader: Reader
    writer: Writer
    body: Body
    finder: Finder
    cited_in: dict[str, list[int]]
    contents: list[FloatContent]
    float_positions: dict[int, int] = field(default_factory=dict)
    caption_texts: dict[str, str] = field(default_factory=dict)
    caption_keys: dict[str, set[str]] = field(default_factory=dict)
    mention_chars_left: int = MAX_MENTION_CHARS
    cites_labels: bool = True  # whether the paper cites any figure by its label, rather than by typed numbers

    def of(self, entries: list[_Entry]) -> list[LatexFigure]:
        """Rows of all figures, in document order."""
        for mark in self.reader.body.marks:
            if mark.kind == "float":
                self.float_positions[int(mark.value)] = mark.pos
        keys = {key for entry in entries for key in entry.figure.labels}
        keys |= {key for entry in entries for panel in entry.figure.panels for key in panel.labels}
        self.cites_labels = not keys.isdisjoint(self.body.cited) or not keys.isdisjoint(self.cited_in)
        rows: list[LatexFigure] = []
        for ordinal, entry in enumerate(entries, 1):
            if len(rows) >= MAX_ROWS:
                self.reader.warn(f"more than {MAX_ROWS} rows: the rest was left out")
                break
            rows += self._figure(ordinal, entry)
        return rows

    def _figure(self, ordinal: int, entry: _Entry) -> list[LatexFigure]:
        figure = entry.figure
        if figure.graphics:
            return [
                self._row(ordinal, i, entry, graphic, panel)
                for i, (graphic, panel) in enumerate(figure.graphics, 1)
            ]
        is_told = figure.caption or any(panel.sub_caption for panel in figure.panels)
        if is_told or entry.content.drawn_by in DRAWN:
            return [self._row(ordinal, 1, entry, None, None)]
        return []

    def _row(
        self, ordinal: int, panel_ordinal: int, entry: _Entry, graphic: Graphic | None, panel: Panel | None
    ) -> LatexFigure:
        figure = entry.figure
        parent = self._text(figure.caption or "")
        sub = self._text(panel.sub_caption or "") if panel is not None else ""
        member, note = None, None
        if graphic is not None:
            member, note = self.finder.find(graphic.path, entry.source.graphics_folders, entry.source.file)
        drawn_by = entry.content.drawn_by if graphic is None else None
        labels = panel.labels if panel is not None and panel.labels else figure.labels
        if panel is None and not labels:
            labels = [key for each in figure.imageless for key in each.labels]
        return LatexFigure(
            figure_ordinal=ordinal,
            panel_ordinal=panel_ordinal,
            figure_number=entry.number or None,
            environment=entry.source.environment,
            labels=list(dict.fromkeys(labels)),
            caption=self._composed(entry, parent, sub, panel),
            sub_caption=sub or None,
            parent_caption=(parent or None) if sub else None,
            caption_raw=(panel.sub_caption if sub and panel is not None else figure.caption) or None,
            mentions=self._mentions(entry, panel, has_image=graphic is not None),
            graphics_path=graphic.path if graphic is not None else None,
            image_member=member,
            page=graphic.page if graphic is not None else None,
            drawn_in_tex=drawn_by is not None,
            drawn_by=drawn_by,
            ambiguous=note,
        )

    def _text(self, raw: str) -> str:
        if raw not in self.caption_texts:
            self.caption_texts[raw] = self.writer.text(raw) if raw else ""
        return self.caption_texts[raw]

    def _composed(self, entry: _Entry, parent: str, sub: str, panel: Panel | None) -> str:
        """The figure's caption, then the panel's own after its letter."""
        if not sub or not parent or panel is None:
            return sub or parent
        sign = letter(entry.first_panel + entry.figure.panels.index(panel) + 1)
        return f"{parent} ({sign}) {sub}" if sign else f"{parent} {sub}"

    def _mentions(self, entry: _Entry, panel: Panel | None, *, has_image: bool) -> list[Mention]:
        if self.mention_chars_left < 0:
            return []
        figure = entry.figure
        keys = set(figure.labels)
        concerned = [panel] if panel is not None else figure.imageless if has_image else figure.panels
        for each in concerned:
            keys.update(each.labels)
        paragraphs = {i for key in keys for i in self.body.cited.get(key, ())}
        if entry.number and not (keys and self.cites_labels):
            paragraphs |= set(mentions.typed_numbers(self.body).get(entry.number.rstrip("abcdefgh"), ()))
        found = mentions.body_mentions(self.body, paragraphs, self.writer)
        citing = {i for key in keys for i in self.cited_in.get(key, ()) if i != entry.float_index}
        found += [self._caption_mention(index, keys) for index in sorted(citing)[: mentions.MAX_MENTIONS]]
        return self._within_bounds(found)

    def _caption_mention(self, index: int, keys: set[str]) -> Mention:
        """The caption of another float, as a mention of a figure it refers to."""
        position = self.float_positions.get(self.reader.floats[index].event, 0)
        text = " ".join(self._text(c) for c in self.contents[index].captions if keys & self._keys(c))
        section = mentions.section_at(self.body, position, self.writer)
        return {"section": section, "text": text, "is_caption": True}

    def _keys(self, raw: str) -> set[str]:
        if raw not in self.caption_keys:
            self.caption_keys[raw] = keys_in(raw, self.reader.work)
        return self.caption_keys[raw]

    def _within_bounds(self, found: list[Mention]) -> list[Mention]:
        """Mentions are repeated in every row they concern: bound what a hostile paper can make of that."""
        self.mention_chars_left -= sum(100 + len(str(mention["text"])) for mention in found)
        if self.mention_chars_left >= 0:
            return found
        self.reader.warn("too many mentions: those of the later figures were left out")
        return []
