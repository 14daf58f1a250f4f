"""What one float holds: images, panels, captions and labels, and which belongs to which.

Belongs here: the structure inside a float whose text expand.py has set apart. The text of captions is made
readable in readable.py, numbers are given in numbers.py.
"""

# ruff: noqa: SIM905 - word lists read better as words

import re
from dataclasses import dataclass, field

from s1mm_assets.extraction.latex.environments import is_other_float
from s1mm_assets.extraction.latex.expand import Float
from s1mm_assets.extraction.latex.graphics import GRAPHICS_COMMANDS, Graphic, read_graphics
from s1mm_assets.extraction.latex.lexing import CONTROL, Work, group, options, skip_space
from s1mm_assets.extraction.latex.typed import legend_in

MAX_DEPTH = 12
MAX_ITEMS = 3_000
MAX_CAPTIONS = 60  # of one float

_NAME = re.compile(r"\s*\{\s*([^{}\\]{1,60}?)\s*\}")
_LABEL = re.compile(r"\\label\s*\{([^{}]{1,500})\}")
_PANEL_ENVIRONMENTS = frozenset(
    "subfigure subfigure* subfloat subcaptionblock subfloatrow subcaptiongroup subtable subtable*".split()
)
_PANEL_COMMANDS = frozenset("subfloat subfigure subtable subfig Subfloat".split())
_BOX_ENVIRONMENTS = frozenset("minipage column floatrow threeparttable measuredfigure captionblock".split())
_CAPTIONS = frozenset(
    """caption captionof subcaption figcaption topcaption bottomcaption captionbelow captionabove fcaption icaption
    captionbox bicaption sidecaption legend""".split()
)
_DRAWING_ENVIRONMENTS = {
    "tikzpicture": "tikz",
    "tikzcd": "tikz",
    "circuitikz": "tikz",
    "forest": "tikz",
    "dependency": "tikz",
    "quantikz": "tikz",
    "axis": "pgfplots",
    "pgfpicture": "pgf",
    "pspicture": "pstricks",
    "pspicture*": "pstricks",
    "psmatrix": "pstricks",
    "picture": "picture",
    "verbatim": "verbatim",
    "algorithm": "algorithm",
    "algorithmic": "algorithm",
    "tabular": "tabular",
    "tabular*": "tabular",
    "tabularx": "tabular",
    "array": "tabular",
    "xy": "xy",
    "diagram": "xy",
    "CD": "xy",
    "fmffile": "feynman",
    "fmfgraph": "feynman",
    "fmfgraph*": "feynman",
    "feynman": "feynman",
    "prooftree": "typeset",
    "quote": "typeset",
    "itemize": "typeset",
    "enumerate": "typeset",
    "equation": "typeset",
    "equation*": "typeset",
    "align": "typeset",
    "align*": "typeset",
    "displaymath": "typeset",
    "chartenv": "picture",
}
_DRAWING_COMMANDS = {
    "tikz": "tikz",
    "feynmandiagram": "tikz",
    "psset": "pstricks",
    "pspicture": "pstricks",
    "xymatrix": "xy",
    "xy": "xy",
    "Qcircuit": "xy",
    "chemfig": "chemfig",
    "schemestart": "chemfig",
    "Tree": "typeset",
    "infer": "typeset",
    "input": "input",
    "smartdiagram": "tikz",
    "begintikz": "tikz",
    "fmfframe": "feynman",
    "unitlength": "picture",
}
_STRONG_FIRST = (
    "pgfplots",
    "tikz",
    "pstricks",
    "feynman",
    "pgf",
    "picture",
    "xy",
    "chemfig",
    "input",
    "verbatim",
)
DRAWN = frozenset(["pgfplots", "tikz", "pstricks", "feynman", "pgf", "picture", "xy", "chemfig"])
"""What certainly draws a figure, be there a caption or not."""
_LAYOUT = re.compile(
    r"\\(?:begin|end)\s*\{[^{}]*\}|\[[^\[\]]*\]|\\(?:vspace|hspace|setlength|vskip|hskip|addtolength)\*?\s*(?:\{[^{}]*\})*|"
    r"\\(?:centering|par|small|footnotesize|noindent|hfill|vfill|linewidth|textwidth|columnwidth|normalsize|"
    r"tiny|newpage|clearpage|leavevmode|medskip|bigskip|smallskip|quad|qquad|protect|ContinuedFloat)\b"
)
_WORD = re.compile(r"\\?[a-zA-Z]+")


@dataclass(slots=True, eq=False)
class Panel:
    """A sub-figure: its own caption and labels."""

    index: int
    sub_caption: str | None = None
    labels: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Item:
    """Something found in a float, in order, with the panel and the nested boxes it stands in."""

    kind: str  # graphic, caption, label, sub_caption, table_caption
    value: str
    panel: Panel | None
    box: tuple[int, ...]
    graphic: Graphic | None = None
    is_numbered: bool = True


@dataclass(slots=True)
class Figure:
    """One captioned figure: a float has several where it has several captions."""

    caption: str | None  # TeX source
    labels: list[str] = field(default_factory=list)
    graphics: list[tuple[Graphic, Panel | None]] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    imageless: list[Panel] = field(default_factory=list)  # panels that are parts of the figure's one image
    is_numbered: bool = True


@dataclass(slots=True)
class FloatContent:
    """What a float holds."""

    figures: list[Figure]
    is_continued: bool
    drawn_by: str | None
    captions: list[str]  # every caption and sub-caption, for references made in them
    number: str | None = None  # set by hand, and not counted
    is_table: bool = False
    tables: list[list[str]] = field(
        default_factory=list
    )  # labels of the tables that stand beside the figures


class FloatParser:
    """Walks one float's text and collects its items."""

    def __init__(self, source: Float, work: Work) -> None:
        self.text = source.text
        self.is_other = is_other_float(source.environment)
        self.work = work
        self.items: list[Item] = []
        self.panels: list[Panel] = []
        self.drawn: set[str] = set()
        self.spans: list[tuple[int, int]] = []  # captions and labels: not typeset content
        self.is_continued = False
        self.number: str | None = None
        self.image_ends: list[int] = []
        self.has_table_caption = False
        self.boxes = 0
        self.pictures: list[set[str]] = []

    def walk(
        self, low: int, high: int, panel: Panel | None = None, box: tuple[int, ...] = (), depth: int = 0
    ) -> None:
        """Collect the items between two positions."""
        pos = low
        while pos < high and len(self.items) < MAX_ITEMS:
            for match in CONTROL.finditer(self.text, pos, high):
                name = match[1]
                if name == "begin":
                    pos = self._environment(match.end(), high, panel, box, depth)
                elif name in _PANEL_COMMANDS:
                    pos = self._panel_command(name, match.end(), box, depth)
                elif name in ("subcaptionbox", "captionbox"):
                    pos = self._caption_box(name, match.end(), panel, box, depth)
                elif name in _CAPTIONS:
                    pos = self._caption(name, match.end(), panel, box)
                elif name in GRAPHICS_COMMANDS:
                    pos = self._graphics(name, match.end(), panel, box)
                elif name == "label":
                    pos = self._label(match.end(), panel, box)
                elif name == "parbox":
                    pos = self._parbox(match.end(), panel, box, depth)
                else:
                    self._other(name, match.end())
                    continue
                break
            else:
                return

    def _other(self, name: str, pos: int) -> None:
        if name == "ContinuedFloat":
            self.is_continued = True
        elif name == "figurenum":
            got = group(self.text, pos, self.work)
            self.number = got[0].strip()[:20] if got else None
        elif name == "end" and self.pictures:
            self._end_picture(pos)
        elif name in _DRAWING_COMMANDS:
            self.drawn.add(_DRAWING_COMMANDS[name])
        elif name == "@captype":
            self.has_table_caption |= self.text.startswith("{table", pos)

    def _end_picture(self, pos: int) -> None:
        match = _NAME.match(self.text, pos)
        if match and match[1] in ("picture", "overpic"):
            self.pictures.pop()

    def _environment(self, pos: int, high: int, panel: Panel | None, box: tuple[int, ...], depth: int) -> int:
        match = _NAME.match(self.text, pos)
        if match is None:
            return pos
        name, pos = match[1], match.end()
        if name in _PANEL_ENVIRONMENTS and depth < MAX_DEPTH and not name.endswith("row"):
            end = self._environment_end(name, pos, high)
            inner = self.new_panel()
            self.walk(pos, end, inner, box, depth + 1)
            return end
        if name in _BOX_ENVIRONMENTS and depth < MAX_DEPTH:
            end = self._environment_end(name, pos, high)
            self.boxes += 1
            self.walk(pos, end, panel, (*box, self.boxes), depth + 1)
            return end
        if name in _DRAWING_ENVIRONMENTS:
            self.drawn.add(_DRAWING_ENVIRONMENTS[name])
        if name in ("picture", "overpic"):
            self.pictures.append(set())
        if name.startswith("overpic"):
            _, pos = options(self.text, pos, self.work)
            got = group(self.text, pos, self.work)
            if got is not None:
                self._add_graphic(Graphic(got[0].strip()), panel, box)
                pos = got[1]
        return pos

    def _environment_end(self, name: str, pos: int, high: int) -> int:
        pattern = re.compile(r"\\(begin|end)\s*\{\s*" + re.escape(name) + r"\s*\}")
        nested = 0
        self.work.left -= high - pos
        if self.work.is_spent:
            return high
        for match in pattern.finditer(self.text, pos, high):
            if match[1] == "begin":
                nested += 1
            elif nested == 0:
                self.work.left += high - match.end()
                return match.start()
            else:
                nested -= 1
        return high

    def new_panel(self) -> Panel:
        """Begin a sub-figure."""
        panel = Panel(len(self.panels) + 1)
        self.panels.append(panel)
        return panel

    def _panel_command(self, name: str, pos: int, box: tuple[int, ...], depth: int) -> int:
        given, after = options(self.text, pos, self.work)
        content = group(self.text, after, self.work)
        if content is None or depth >= MAX_DEPTH:
            return after
        panel = self.new_panel()
        before = len(self.items)
        if given:
            self.set_sub_caption(panel, given[-1])
        start = content[1] - len(content[0]) - 1
        self.walk(start, content[1] - 1, panel, box, depth + 1)
        if name == "subfigure" and len(self.items) == before and not given and self.panels[-1] is panel:
            self.panels.pop()
        return content[1]

    def _caption_box(self, name: str, pos: int, panel: Panel | None, box: tuple[int, ...], depth: int) -> int:
        _, after = options(self.text, pos, self.work)
        heading = group(self.text, after, self.work)
        if heading is None:
            return after
        _, after = options(self.text, heading[1], self.work)
        content = group(self.text, after, self.work)
        if content is None or depth >= MAX_DEPTH:
            return heading[1]
        self.boxes += 1
        inside = (*box, self.boxes)
        if name == "subcaptionbox":
            panel = self.new_panel()
            self.set_sub_caption(panel, heading[0])
        else:
            self._add_caption(heading[0], inside)
        self.walk(content[1] - len(content[0]) - 1, content[1] - 1, panel, inside, depth + 1)
        return content[1]

    def _parbox(self, pos: int, panel: Panel | None, box: tuple[int, ...], depth: int) -> int:
        _, after = options(self.text, pos, self.work)
        width = group(self.text, after, self.work)
        content = group(self.text, width[1], self.work) if width else None
        if content is None or depth >= MAX_DEPTH:
            return after
        self.boxes += 1
        start = content[1] - len(content[0]) - 1
        self.walk(start, content[1] - 1, panel, (*box, self.boxes), depth + 1)
        return content[1]

    def set_sub_caption(self, panel: Panel, raw: str) -> None:
        """Give a panel its caption, unless that is only a letter."""
        panel.labels += labels_in(raw)
        text = without_labels(raw)
        if says_something(text):
            panel.sub_caption = text if panel.sub_caption is None else panel.sub_caption + " " + text

    def _caption(self, name: str, pos: int, panel: Panel | None, box: tuple[int, ...]) -> int:
        start = pos
        is_starred = self.text.startswith("*", skip_space(self.text, pos))
        kind = "figure"
        if name == "captionof":
            pos = skip_space(self.text, pos) + is_starred
            got = group(self.text, pos, self.work)
            if got is None:
                return pos
            kind, pos = got[0].strip(), got[1]
        given, pos = options(self.text, pos, self.work)
        text = group(self.text, pos, self.work)
        if text is None:
            return pos
        end = text[1]
        if name == "bicaption":
            second = group(self.text, options(self.text, end, self.work)[1], self.work)
            if second is not None:
                text, end = (max(text, second, key=lambda t: _ascii_share(t[0])), second[1])
        self.spans.append((start, end))
        if self.is_other and name != "captionof":
            kind = "table"
        if kind not in ("figure", "figure*", "subfigure"):
            self.has_table_caption = True
            self._add_caption(text[0], box, kind="table_caption")
            return end
        if name == "figcaption" and given and not any(item.kind == "graphic" for item in self.items):
            self._add_graphic(Graphic(given[0].strip()), None, box)
        if panel is not None:
            self.set_sub_caption(panel, text[0])
        elif name == "subcaption" or kind == "subfigure":
            self.items.append(Item("sub_caption", text[0], None, box))
        else:
            self._add_caption(text[0], box, is_numbered=not is_starred)
        return end

    def _add_caption(
        self, raw: str, box: tuple[int, ...], *, kind: str = "caption", is_numbered: bool = True
    ) -> None:
        self.items.append(Item(kind, without_labels(raw), None, box, is_numbered=is_numbered))
        for key in labels_in(raw):
            self.items.append(Item("label", key, None, box))

    def _graphics(self, name: str, pos: int, panel: Panel | None, box: tuple[int, ...]) -> int:
        found, after = read_graphics(name, self.text, pos, self.work)
        if name in ("fig", "leftfig", "rightfig", "boxedfig") and found:
            width = group(self.text, after, self.work)
            sub = group(self.text, width[1], self.work) if width else None
            if sub is not None and panel is None:
                panel = self.new_panel()
                self.set_sub_caption(panel, sub[0])
                after = sub[1]
        for graphic in found:
            self._add_graphic(graphic, panel, box)
        self.image_ends += [after] if found else []
        return max(after, pos)

    def _add_graphic(self, graphic: Graphic, panel: Panel | None, box: tuple[int, ...]) -> None:
        if self.pictures:
            if graphic.path in self.pictures[-1]:
                return  # pages of one file laid over each other
            self.pictures[-1].add(graphic.path)
        self.items.append(Item("graphic", graphic.path, panel, box, graphic))

    def _label(self, pos: int, panel: Panel | None, box: tuple[int, ...]) -> int:
        got = group(self.text, pos, self.work)
        if got is None:
            return pos
        key = fold(got[0])
        self.spans.append((pos, got[1]))
        if panel is not None:
            panel.labels.append(key)
        else:
            self.items.append(Item("label", key, None, box))
        return got[1]


def read_float(source: Float, work: Work) -> FloatContent:
    """Read what a float holds."""
    parser = FloatParser(source, work)
    parser.walk(0, len(source.text))
    number = source.number or parser.number or _typed_caption(parser, source.environment)
    _attach_sub_captions(parser)
    tables = _take_tables(parser)
    figures = _figures(parser)
    captions = [item.value for item in parser.items if item.kind.endswith("caption")]
    captions += [panel.sub_caption for panel in parser.panels if panel.sub_caption]
    has_caption = any(item.kind == "caption" for item in parser.items)
    return FloatContent(
        figures=figures,
        is_continued=parser.is_continued,
        drawn_by=_drawn_by(parser),
        captions=captions,
        number=number,
        is_table=parser.has_table_caption and not has_caption,
        tables=tables,
    )


def _typed_caption(parser: FloatParser, environment: str) -> str | None:
    """Take a legend that is typed instead of a caption, or in it; returns its number."""
    captions = [item for item in parser.items if item.kind.endswith("caption")]
    if environment != "insert" and (captions or parser.drawn):
        return None
    anywhere = environment == "insert" and bool(captions or parser.image_ends)
    legend = legend_in(parser.text, parser.image_ends, anywhere=anywhere)
    if legend is None:
        return None
    for item in captions:
        again = legend_in(item.value, [], anywhere=True)
        item.value = again[1] if again else item.value
    if not captions:
        parser.items.append(Item("caption", without_labels(legend[1]), None, ()))
        parser.spans.append((0, len(parser.text)))
    return legend[0]


def _figures(parser: FloatParser) -> list[Figure]:
    """Share images and labels out among the float's captions."""
    captions = [(i, item) for i, item in enumerate(parser.items) if item.kind == "caption"][:MAX_CAPTIONS]
    if len(captions) > 1 and not any(says_something(item.value) for _, item in captions[1:]):
        captions = captions[:1]
    if not captions:
        figure = Figure(None, is_numbered=False)
        figures = [figure]
    else:
        figures = [Figure(item.value or None, is_numbered=item.is_numbered) for _, item in captions]
    first_graphic = next(
        (i for i, item in enumerate(parser.items) if item.kind == "graphic"), len(parser.items)
    )
    captions_first = bool(captions) and captions[0][0] < first_graphic
    for i, item in enumerate(parser.items):
        if item.kind == "graphic" and item.graphic is not None:
            owner = figures[_owner(captions, i, item, prefer_before=captions_first)]
            owner.graphics.append((item.graphic, item.panel))
            if item.panel is not None and item.panel not in owner.panels:
                owner.panels.append(item.panel)
        elif item.kind == "label":
            figures[_owner(captions, i, item, prefer_before=True)].labels.append(item.value)
    placed = {id(panel) for figure in figures for panel in figure.panels}
    figures[0].imageless = [panel for panel in parser.panels if id(panel) not in placed]
    figures[0].panels += figures[0].imageless
    return figures


def _take_tables(parser: FloatParser) -> list[list[str]]:
    """Take the labels that belong to a table's caption, where a float holds figures and tables."""
    captions = [(i, item) for i, item in enumerate(parser.items) if item.kind.endswith("caption")]
    captions = [(i, item) for i, item in captions if item.kind != "sub_caption"][:MAX_CAPTIONS]
    if all(item.kind == "table_caption" for _, item in captions):
        return []
    tables: dict[int, list[str]] = {i: [] for i, item in captions if item.kind == "table_caption"}
    for i, item in enumerate(parser.items) if tables else ():
        if item.kind == "label":
            owner = captions[_owner(captions, i, item, prefer_before=True)][0]
            if owner in tables:
                tables[owner].append(item.value)
                item.kind = "used"
    return list(tables.values())


def _owner(captions: list[tuple[int, Item]], position: int, item: Item, *, prefer_before: bool) -> int:
    """Index of the caption an item belongs to: in the same box first, then the next (or last) one."""
    if len(captions) < 2:
        return 0

    def shared(other: Item) -> int:
        n = 0
        for a, b in zip(item.box, other.box, strict=False):
            if a != b:
                break
            n += 1
        return n

    best = max(shared(caption) for _, caption in captions)
    near = [(i, at) for i, (at, caption) in enumerate(captions) if shared(caption) == best]
    before = [i for i, at in near if at < position]
    after = [i for i, at in near if at > position]
    if prefer_before:
        return before[-1] if before else after[0]
    return after[0] if after else before[-1]


def _attach_sub_captions(parser: FloatParser) -> None:
    r"""\subcaption in a minipage: it belongs to the images of that minipage."""
    by_box: dict[tuple[int, ...], Panel] = {}
    for item in parser.items:
        if item.kind == "sub_caption":
            panel = parser.new_panel()
            parser.set_sub_caption(panel, item.value)
            by_box.setdefault(item.box, panel)
    for other in parser.items:
        panel_here = by_box.get(other.box) if other.box and other.panel is None else None
        if panel_here is not None and other.kind == "graphic":
            other.panel = panel_here
        elif panel_here is not None and other.kind == "label":
            panel_here.labels.append(other.value)
            other.kind = "used"


def _drawn_by(parser: FloatParser) -> str | None:
    """What draws a figure that has no image."""
    for kind in _STRONG_FIRST:
        if kind in parser.drawn:
            return kind
    if parser.drawn:
        return min(parser.drawn)
    rest = []
    copied = 0
    for start, end in sorted(parser.spans):
        if start >= copied:
            rest.append(parser.text[copied:start])
            copied = end
    rest.append(parser.text[copied:])
    words = _WORD.findall(_LAYOUT.sub(" ", "".join(rest)[:5_000]))
    return "typeset" if len(words) > 8 else None


def labels_in(raw: str) -> list[str]:
    """Labels set inside a caption."""
    return [fold(key) for key in _LABEL.findall(raw)] if "\\label" in raw else []


def without_labels(raw: str) -> str:
    """A caption's TeX with labels taken out and white space folded."""
    return fold(_LABEL.sub("", raw) if "\\label" in raw else raw).strip()


def fold(text: str) -> str:
    """Fold white space, as TeX does."""
    return re.sub(r"\s+", " ", text)


def says_something(raw: str) -> bool:
    """Whether a sub-caption is more than a letter."""
    text = re.sub(r"\\[a-zA-Z]+\s*|[{}()\[\].:~\s]", "", raw)
    return len(text) > 1


def _ascii_share(text: str) -> float:
    return sum(c < "\x7f" for c in text) / max(len(text), 1)
