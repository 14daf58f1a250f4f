"""Where captions begin, how far they reach, and what they say.

A caption begins with a label ("Fig. 3 |", "Figure S2:", "Scheme 1") at the start of a block of text. Sentences
that begin with one ("Figure 3 shows …") are not captions.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from s1mm_assets.extraction.pdf.blocks import Block, around, blocks_of
from s1mm_assets.extraction.pdf.layout import BBox, LayoutBox
from s1mm_assets.extraction.pdf.lines import TextLine

LABEL = re.compile(
    r"(?P<prefix>(?:supp(?:l(?:ement(?:ary|al)?)?)?\.?|supporting|extended\s+data|expanded\s+view|appendix|additional)\s+)?"
    r"(?P<kind>figure|fig\.?|scheme|chart|plate)(?![a-z])\s*\.?\s*"
    r"(?P<number>(?:[A-Z]{1,2}[\s.\-]?)?\d{1,3}(?!\d)(?:[.\-–—]\d{1,3}(?!\d))*"
    r"|[IVXL]{1,6}(?![A-Za-z]))"
    r"(?P<panel>[A-Za-z](?![A-Za-z\d]))?"
    r"(?P<supplement>\s*[—–-]\s*figure\s+supplement\s+\d{1,2})?",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"\s*(?P<mark>[.:]\s*[—–]|[|:.—–]|\)?\s*(?=$)|\s-\s)")
_CONTINUED = re.compile(
    r"\s*\W{0,2}\s*\(?(?:continued(?=\s*(?:$|[).:|,—–]|on\b|from\b))|cont(?:in)?(?:\.|['’]d\b)|contd\b)"
    r"(?:\s+(?:on|from)\s+(?:the\s+)?(?:next|previous|following|preceding)\s+page\b)?",
    re.IGNORECASE,
)
_NOT_CAPTION = re.compile(
    r"(?:the online version of this article (?:includes|contains)|figure \d+ continued on next page|"
    r"source data are provided as a source data file\.?$|"
    r"(?:figure|table) \d+[—–-](?:video|source data|source code|figure supplement) \d+)",
    re.IGNORECASE,
)
_SENTENCE_START = re.compile(r"\s*[A-Z0-9(\[‘“'\"α-ωΑ-Ω]")
MAX_LINES = 150  # of one block
MAX_BLOCKS = 8
MAX_CAPTIONS_PER_PAGE = 60
_OWN_STYLE_PT = 0.35  # a caption whose size differs by more from that of the running text


@dataclass(frozen=True, slots=True)
class Anchor:
    """The label that begins a caption."""

    page: int  # 0-based
    line: TextLine
    kind: str  # figure, scheme, chart, plate
    number: str  # as printed, blanks removed: "3", "S2", "1—figure supplement 1"
    mark: str  # what parts the label from the text: "|", ":", ".", or ""
    rest: str  # of its line
    is_styled: bool  # set in another font than the text that follows
    is_continued: bool


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption with its place and its words."""

    anchor: Anchor
    blocks: tuple[tuple[int, Block], ...]  # page and block, in reading order
    text: str  # without the label

    @property
    def number(self) -> str:
        """The figure's."""
        return self.anchor.number

    @property
    def page(self) -> int:
        """Where it begins, 0-based."""
        return self.anchor.page

    @property
    def is_tag(self) -> bool:
        """Whether it is a label alone: the caption is elsewhere."""
        return not self.text

    def boxes_on(self, page: int) -> list[BBox]:
        """Return where it stands on one page."""
        return [block.bbox for number, block in self.blocks if number == page]


def anchor_in(line: TextLine, page: int) -> Anchor | None:
    """Return the caption's label that a line begins with, or None where there is none."""
    label = LABEL.match(line.text)
    if label is None:
        return None
    after = line.text[label.end() :]
    is_continued = bool(_CONTINUED.match(after))
    separator = _SEPARATOR.match(after)
    mark = (separator["mark"].strip() if separator else "") if not is_continued else "continued"
    rest = after[separator.end() :] if separator else after
    if is_continued:
        rest = _CONTINUED.sub("", after, count=1).lstrip(" .):—–-")
    is_styled = line.start_font != line.font
    is_alone = not after.strip(" .:|)")
    if not mark and not is_alone and not (_SENTENCE_START.match(after) and not label["panel"]):
        return None
    if label["panel"] and mark not in ("|", ":") and not is_styled and not is_alone:
        return None
    if mark == "." and rest[:1].isdigit() and not rest[:1].isspace():
        return None
    kind = label["kind"].lower().rstrip(".")
    return Anchor(
        page=page,
        line=line,
        kind="figure" if kind.startswith("fig") else kind,
        number=_number(label),
        mark=mark,
        rest=rest.strip(),
        is_styled=is_styled,
        is_continued=is_continued,
    )


def _number(label: re.Match[str]) -> str:
    """Return a figure's number as printed; what stands before "Figure" goes in front of it."""
    number = re.sub(r"\s+", "", label["number"])
    prefix = (label["prefix"] or "").strip().lower()
    if label["supplement"]:
        number += re.sub(r"\s+", " ", label["supplement"]).strip()
    if prefix.startswith("supp") and number[:1].isdigit():
        return "S" + number
    if prefix.startswith("extended"):
        return f"Extended Data {number}"
    if prefix.startswith("expanded") and number[:1].isdigit():
        return "EV" + number
    if prefix.startswith("app"):
        return f"Appendix {number}"
    if prefix.startswith("additional"):
        return f"Additional {number}"
    return number


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of one page, without furniture."""

    page: int
    lines: tuple[TextLine, ...]
    layout: tuple[LayoutBox, ...] = ()


def find_captions(
    pages: Sequence[PageText], body: float, vocabulary: Counter[str]
) -> tuple[list[Caption], list[list[Block]], dict[int, int]]:
    """Find the captions of a document.

    Blocks are cut where a caption begins. Of several candidates for one number that are in the style of the
    other captions, each is returned: which of them has the figure is decided where figures are assigned.

    Returns:
        The captions in reading order, the blocks of each page, and page → how many captions it has beyond
        `MAX_CAPTIONS_PER_PAGE`, which were left out.
    """
    chosen = _in_the_usual_style([found for page in pages for found in _anchors_on(page)])
    captions, all_blocks, n_left_out = [], [], {}
    for text in pages:
        mine = [anchor for anchor in chosen if anchor.page == text.page]
        if len(mine) > MAX_CAPTIONS_PER_PAGE:
            n_left_out[text.page] = len(mine) - MAX_CAPTIONS_PER_PAGE
            mine = mine[:MAX_CAPTIONS_PER_PAGE]
        starts = frozenset(anchor.line.order for anchor in mine)
        twins = _twins(text.lines, mine, starts)
        blocks = blocks_of(text.lines, starts | twins)
        all_blocks.append(blocks)
        first = {block.lines[0].order: block for block in blocks}
        taken: set[int] = set()
        for anchor in mine:
            own = first[anchor.line.order]
            rest = [block for block in blocks if block.lines[0].order not in starts | taken]
            extent = _extent(
                anchor, own, rest, text.layout, is_own_style=abs(own.size - body) > _OWN_STYLE_PT
            )
            taken |= {block.lines[0].order for block in extent}
            captions.append(Caption(anchor, tuple((text.page, block) for block in extent), ""))
    joined = _with_continuations(captions)
    texts = [replace(caption, text=text_of(caption, vocabulary)) for caption in joined]
    return texts, all_blocks, n_left_out


def _anchors_on(text: PageText) -> Iterable[tuple[Anchor, bool, bool]]:
    """Yield what may be a caption's label, whether it begins a block, and whether a short last line is above it."""
    for block in blocks_of(text.lines):
        for index, line in enumerate(block.lines):
            anchor = anchor_in(line, text.page)
            if anchor is not None:
                above = block.lines[index - 1] if index else line
                is_after_end = above.text.endswith(".") and above.bbox.x1 < block.bbox.x1 - 2 * line.size
                yield anchor, index == 0, is_after_end


def _style(anchor: Anchor) -> tuple[str, float]:
    return anchor.mark, round(anchor.line.size * 2) / 2


def _in_the_usual_style(found: Sequence[tuple[Anchor, bool, bool]]) -> list[Anchor]:
    """Keep the labels that begin captions.

    A label within a block, below a line of some drawing or the end of the legend before it, counts where it
    looks as the captions of this document do. Of several texts for one number those count that are in the
    style that most captions have.
    """
    usual = Counter(_style(anchor) for anchor, is_start, _ in found if is_start)
    numbers = {(anchor.kind, anchor.number) for anchor, is_start, _ in found if is_start}
    anchors = [
        anchor
        for anchor, is_start, is_after_end in found
        if is_start
        or (anchor.mark and anchor.is_styled)
        or (
            anchor.mark
            and usual[_style(anchor)] > (0 if is_after_end else 1)
            and (anchor.kind, anchor.number) not in numbers
        )
    ]
    most: dict[tuple[str, str], int] = {}
    for anchor in anchors:
        if _has_text(anchor):
            key = (anchor.kind, anchor.number)
            most[key] = max(most.get(key, 0), usual[_style(anchor)])
    kept = [
        anchor
        for anchor in anchors
        if not _has_text(anchor) or usual[_style(anchor)] == most[anchor.kind, anchor.number]
    ]
    return sorted(kept, key=lambda anchor: (anchor.page, anchor.line.order))


def _has_text(anchor: Anchor) -> bool:
    return bool(anchor.rest) and not anchor.is_continued


def _extent(
    anchor: Anchor, start: Block, rest: list[Block], layout: Sequence[LayoutBox], *, is_own_style: bool
) -> list[Block]:
    """Return the blocks of a caption on its page: the first, its twin column, and what goes on below."""
    extent = [_trimmed(start)]
    if not (anchor.rest or anchor.is_continued) and len(start.lines) == 1:
        return extent
    seen = [box.bbox for box in layout if box.kind == "figure_caption" and box.score >= 0.5]
    while len(extent) < MAX_BLOCKS:
        is_first = anchor.is_continued and len(extent) == 1
        following = next(
            (
                block
                for block in rest
                if block not in extent
                and (_goes_on(extent, block, is_own_style, seen) or (is_first and _resumes(extent[0], block)))
                and not _NOT_CAPTION.match(block.lines[0].text)
            ),
            None,
        )
        if following is None:
            return extent
        extent.append(_trimmed(following))
        rest.remove(following)
    return extent


def _twins(lines: Sequence[TextLine], anchors: Sequence[Anchor], starts: frozenset[int]) -> set[int]:
    """Return the lines that may begin the right half of a caption: not those of a caption beside it."""
    level = {line.order for line in lines for anchor in anchors if _is_level(line, anchor.line)}
    if not level:
        return set()
    of_captions = {
        line.order
        for block in blocks_of(lines, starts)
        if block.lines[0].order in starts
        for line in block.lines
    }
    return level - of_captions


def _is_level(line: TextLine, first: TextLine) -> bool:
    """Whether a line may begin the right half of a caption that `first` begins."""
    is_beside = line.bbox.x0 > first.bbox.x1 and abs(line.baseline - first.baseline) < 0.3 * first.size
    return is_beside and line.font == first.font and abs(line.size - first.size) < 0.06 * first.size


def _trimmed(block: Block) -> Block:
    """Cut a block where the caption is over: lists of supplements, "continued on next page"."""
    for index, line in enumerate(block.lines):
        if index and _NOT_CAPTION.match(line.text):
            return Block(block.lines[:index])
    return Block(block.lines[:MAX_LINES])


def _goes_on(extent: Sequence[Block], block: Block, is_own_style: bool, seen: Sequence[BBox]) -> bool:
    """Whether a block belongs to the caption that has the blocks of `extent` already."""
    last, first = extent[-1], extent[0]
    box, size = block.bbox, first.size
    if abs(block.size - size) > 0.06 * size or block.lines[0].font != last.lines[-1].font:
        return False
    pitch = _pitch(first)
    above = last.bbox
    is_below = 0 < box.y0 - above.y1 + 0.5 * size < 1.6 * pitch and (
        min(box.x1, above.x1) - max(box.x0, above.x0) > 0.5 * min(box.x1 - box.x0, above.x1 - above.x0)
    )
    is_twin = abs(box.y0 - first.bbox.y0) < 0.8 * size and 0 < box.x0 - first.bbox.x1 < 4 * size
    together = any(_inside(first.bbox, each) and _inside(box, each) for each in seen)
    return (is_below or is_twin) and (is_own_style or together)


def _resumes(head: Block, block: Block) -> bool:
    """Whether a block is the text under a line that says "Figure N continued"."""
    gap = block.bbox.y0 - head.bbox.y1
    is_same_size = abs(block.size - head.size) < 0.2 * head.size
    return is_same_size and 0 <= gap < 3 * head.size and abs(block.bbox.x0 - head.bbox.x0) < 3 * head.size


def _inside(box: BBox, outer: BBox) -> bool:
    """Whether most of a box lies in another."""
    width = min(box.x1, outer.x1) - max(box.x0, outer.x0)
    height = min(box.y1, outer.y1) - max(box.y0, outer.y0)
    return width > 0 and height > 0 and width * height > 0.7 * (box.x1 - box.x0) * (box.y1 - box.y0)


def _pitch(block: Block) -> float:
    if len(block.lines) < 2:
        return 1.25 * block.size
    return (block.lines[-1].baseline - block.lines[0].baseline) / (len(block.lines) - 1)


def _with_continuations(captions: Sequence[Caption]) -> list[Caption]:
    """Give to each caption what stands under "Figure N continued" on the page after it."""
    joined: list[Caption] = []
    for caption in captions:
        if not caption.anchor.is_continued:
            joined.append(caption)
            continue
        owner = next(
            (
                index
                for index in reversed(range(len(joined)))
                if (joined[index].number, joined[index].anchor.kind) == (caption.number, caption.anchor.kind)
            ),
            None,
        )
        if owner is None:
            joined.append(caption)
        else:
            joined[owner] = replace(joined[owner], blocks=joined[owner].blocks + _resumed(caption))
    return joined


def _resumed(caption: Caption) -> tuple[tuple[int, Block], ...]:
    """Return the blocks of a continued caption, of its first line only what follows the label."""
    (page, first), *others = caption.blocks
    lines = first.lines[1:]
    if caption.anchor.rest:
        lines = (replace(first.lines[0], text=caption.anchor.rest), *lines)
    return ((page, Block(lines)), *others) if lines else tuple(others)


_WORD = re.compile(r"[A-Za-z][\w]*(?:[-‐][A-Za-z]\w*)*")


def words_in(text: str) -> list[str]:
    """Return the words of a text in lower case, compounds with their hyphens."""
    return [word.lower().replace("‐", "-") for word in _WORD.findall(text)]


def text_of(caption: Caption, vocabulary: Counter[str]) -> str:
    """Return a caption's words without its label: lines joined, words mended that a line's end broke."""
    lines = [line for _, block in caption.blocks for line in block.lines]
    head = lines[0]
    if lines and caption.anchor.line.order == head.order:
        lines = [replace(head, text=caption.anchor.rest), *lines[1:]]
    return joined_lines(lines, vocabulary)


def joined_lines(lines: Sequence[TextLine], vocabulary: Counter[str]) -> str:
    """Join lines to one text. A hyphen at a line's end stays where the document writes the word with it."""
    text = ""
    for line in lines:
        if text.endswith(("-", "‐")) and not text.endswith((" -", "--")) and line.text[:1].isalpha():
            left = re.search(r"[A-Za-z]\w*(?:[-‐][A-Za-z]\w*)*(?=[-‐]$)", text)
            right = re.match(r"\w+", line.text)
            stem, tail = (left.group() if left else ""), (right.group() if right else "")
            with_hyphen, without = f"{stem}-{tail}".lower(), f"{stem}{tail}".lower()
            is_kept = vocabulary[with_hyphen] > vocabulary[without] or not tail[:1].islower() or not stem
            text = text + line.text if is_kept else text[:-1] + line.text
        else:
            text = f"{text} {line.text}" if text else line.text
    return text.strip()


def caption_box(caption: Caption, page: int) -> BBox | None:
    """Return the box round a caption on one page."""
    boxes = caption.boxes_on(page)
    return around(boxes) if boxes else None
