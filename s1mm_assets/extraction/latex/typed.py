r"""Figures of plain TeX and of old manuscripts, whose "Figure 1." is typed by hand.

Belongs here: graphics in the running text with a typed legend beside them, lists of legends, the figure commands
of harvmac, phyzzx and the plain TeX styles of journals. A legend is believed only where it begins a paragraph and
its number ends with a stop, a colon or the end of bold type: "Figure 1 shows" is running text.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from s1mm_assets.extraction.latex import environments
from s1mm_assets.extraction.latex.expand import Float, Reader
from s1mm_assets.extraction.latex.graphics import GRAPHICS_COMMANDS, Graphic, read_graphics
from s1mm_assets.extraction.latex.lexing import CONTROL, Work, group
from s1mm_assets.extraction.latex.macros import macro

MAX_LEGENDS = 500
MAX_SIGNS = 20_000  # that are looked at
MAX_LEGEND_CHARS = 8_000
MAX_PREFIX_CHARS = 300  # of layout between the start of a paragraph and its "Figure"

_SIGN = re.compile(
    r"(?<![A-Za-z\\])(?:FIGURE|FIG\.?|Figure|Fig\.?)[\s~]*+(?:\\[a-zA-Z]+[\s~]*+|[{$]|\\ )*+([A-Z]?\.?\d{1,3}[a-h]?)\b"
)
_STOP = re.compile(r"[\s~]*+(?:[}\]$)][\s~]*+)*+(?:[.:]|---?|\\q?quad)[\s~.:}\]$-]*+")
_CLOSED = re.compile(r"[\s~]*+[}\]][\s~}\]]*+")
_PARAGRAPH = re.compile(
    r"\n[ \t]*\n|\\(?:item|noindent|medskip|bigskip|smallskip|vskip|vfill?|eject|newpage|clearpage|hang|hangindent|"
    r"bibitem|centerline|bye|vbox|parbox)(?![a-zA-Z])|\\(?:begin|end)\s*\{"
)
_LEGEND_END = re.compile(
    r"\n[ \t]*\n|\\(?:item|vfill?|eject|newpage|clearpage|bye|medskip|bigskip|smallskip)(?![a-zA-Z])|\\end\s*\{"
)
_LAYOUT = re.compile(
    r"\\(?:begin|end)\s*\{[^{}]{0,40}\}|\\(?:vspace|hspace)\*?\s*\{[^{}]{0,40}\}|\\[a-zA-Z@]+\*?|"
    r"=?-?(?:\d++\.?\d*+|\.\d++)\s*+(?:true\s*+)?(?:pt|cm|mm|in|em|ex|pc)\b|\b(?:by|to|fil+)\b|\([a-h]\)"
)
_LETTER = re.compile(r"[^\W_]")
_LAST_NUMBER = re.compile(r"0*(\d{1,3}[a-h]?)\D*\Z")


@dataclass(slots=True)
class _Image:
    """A graphics command in the running text, or the place of a float that shows images without a caption."""

    start: int
    end: int
    graphics: list[Graphic]
    source: Float | None = None
    is_taken: bool = False


@dataclass(slots=True)
class _Legend:
    """A typed "Figure 1." with what follows it."""

    start: int
    end: int
    number: str
    caption: str
    images: list[_Image] = field(default_factory=list)


def lift(reader: Reader) -> None:
    """Make floats of the typed figures in a paper's running text; their legends leave the text."""
    captioned = [found for found in reader.floats if "\\caption" in found.text]
    text = "".join(reader.body.pieces)
    images = list(_images(reader, text))
    if captioned and not images:
        return
    legends = list(_legends(text, images)) if "ig" in text or "FIG" in text else []
    if captioned:
        legends = [legend for legend in legends if _value(legend.number) > len(captioned)]
    _pair(text, legends, images, is_above_only=bool(captioned))
    chosen = [legend for legend in _merged(legends) if legend.images]
    if not captioned:
        chosen += _listed(legends, chosen)
    for legend in sorted(chosen, key=lambda each: each.start):
        _take(reader, text, legend)
    if chosen:
        reader.body.pieces = _blanked(text, legends)
    _illustrate(reader, text, [image for image in images if not image.is_taken and image.source is None])


def _blanked(text: str, legends: list[_Legend]) -> list[str]:
    """The text with blanks for legends, so that positions stay as they are."""
    pieces, pos = [], 0
    for legend in legends:
        pieces += [text[pos : legend.start], " " * (legend.end - legend.start)]
        pos = legend.end
    return [*pieces, text[pos:]]


def _images(reader: Reader, text: str) -> Iterator[_Image]:
    """Loose graphics and floats without a caption, in order."""
    bare = {str(found.event): found for found in reader.floats if "aption" not in found.text}
    marks = [mark for mark in reader.body.marks if mark.kind == "graphic" or mark.value in bare]
    for mark in marks[:MAX_LEGENDS]:
        source = bare.get(mark.value) if mark.kind == "float" else None
        if source is not None:
            shown = [each for each, _, _ in _shown(source.text, 0, len(source.text), reader.work)]
            end = mark.pos + 2
        else:
            found = next(_shown(text, mark.pos, mark.pos + 40, reader.work), None)
            shown, end = ([found[0]], found[2]) if found else ([], mark.pos)
        if shown:
            yield _Image(mark.pos, end, [graphic for each in shown for graphic in each], source)


def _shown(text: str, low: int, high: int, work: Work) -> Iterator[tuple[list[Graphic], int, int]]:
    """The graphics commands between two positions: what each shows, where it begins and ends."""
    for match in CONTROL.finditer(text, low, high):
        if match[1] in GRAPHICS_COMMANDS:
            found, end = read_graphics(match[1], text, match.end(), work)
            if found:
                yield found, match.start(), end


def _legends(text: str, images: list[_Image]) -> Iterator[_Legend]:
    """Every typed legend, in order."""
    starts, ends = [image.start for image in images], [image.end for image in images]
    found = islice(_SIGN.finditer(text), MAX_SIGNS)
    signs = [sign for sign in found if _begins_a_paragraph(text, sign.start(), ends)]
    for sign, following in zip(signs[:MAX_LEGENDS], [*signs[1:], None], strict=False):
        stop = _STOP.match(text, sign.end()) or _CLOSED.match(text, sign.end())
        if stop is None:
            continue
        limit = min(len(text), stop.end() + MAX_LEGEND_CHARS)
        if following is not None:
            limit = min(limit, max(_paragraph_before(text, following.start()), stop.end()))
        next_image = bisect_left(starts, stop.end())
        if next_image < len(starts):
            limit = min(limit, starts[next_image])
        close = _LEGEND_END.search(text, stop.end(), limit)
        end = close.start() if close else limit
        yield _Legend(sign.start(), end, sign[1], closed(text[stop.end() : end]))


def _begins_a_paragraph(text: str, at: int, image_ends: list[int]) -> bool:
    """Whether there is only layout between the start of the paragraph, or an image, and this position."""
    start = _paragraph_before(text, at)
    last = bisect_left(image_ends, at + 1) - 1
    start = max(start, image_ends[last]) if last >= 0 else start
    return 0 <= start >= at - MAX_PREFIX_CHARS and not _LETTER.search(_LAYOUT.sub(" ", text[start:at]))


def _paragraph_before(text: str, at: int) -> int:
    """Where the last paragraph break before a position stands; -1 where that is far away."""
    low = max(0, at - MAX_PREFIX_CHARS)
    start = 0 if low == 0 else -1
    for match in _PARAGRAPH.finditer(text, low, at):
        if match[0][0] == "\n" or start < 0 or _LETTER.search(_LAYOUT.sub(" ", text[start : match.start()])):
            start = match.start()
    return start


def _pair(text: str, legends: list[_Legend], images: list[_Image], *, is_above_only: bool) -> None:
    """Give each legend the images just above it, else those just below, else the one that has its number."""
    items: list[_Legend | _Image] = sorted([*legends, *images], key=lambda item: item.start)
    for at, item in enumerate(items):
        if isinstance(item, _Legend):
            item.images = _run(text, items, at, -1)[::-1]
    for at, item in enumerate(items if not is_above_only else ()):
        if isinstance(item, _Legend) and not item.images and not (at and isinstance(items[at - 1], _Legend)):
            item.images = _run(text, items, at, 1)
    by_number = _by_number([image for image in images if not image.is_taken])
    for legend in legends:
        named_so = by_number.pop(legend.number, [])
        if not legend.images and len(named_so) == 1:
            legend.images = named_so
            named_so[0].is_taken = True


def _by_number(images: list[_Image]) -> dict[str, list[_Image]]:
    """Images by the last number in their file's name: "fig3.eps" is figure 3."""
    found: dict[str, list[_Image]] = {}
    for image in images:
        named = _LAST_NUMBER.search(image.graphics[0].path.rsplit(".", 1)[0])
        found.setdefault(named[1] if named else "", []).append(image)
    return found


def _illustrate(reader: Reader, text: str, images: list[_Image]) -> None:
    r"""Captions in a list (\figcaption), then the images on pages of their own: joined by number, or in order."""
    captions = [found for found in reader.floats if found.environment == "figcaption"]
    without = {str(n): found for n, found in enumerate(captions, 1) if found.text.startswith("\\figcaption{")}
    by_number = _by_number(images)
    pairs = [(found, by_number[n][0]) for n, found in without.items() if len(by_number.get(n, [])) == 1]
    if len(pairs) < len(without):
        pairs = list(zip(without.values(), images, strict=True)) if len(images) == len(without) else []
    for found, image in pairs:
        found.text = text[image.start : image.end] + found.text


def _run(text: str, items: list[_Legend | _Image], at: int, step: int) -> list[_Image]:
    """The free images next to an item, in one direction, with nothing but layout between."""
    found: list[_Image] = []
    while 0 <= at + step < len(items):
        here, there = items[at], items[at + step]
        first, second = (there, here) if step < 0 else (here, there)
        between = text[first.end : second.start]
        if isinstance(there, _Legend) or there.is_taken or len(between) > 1_000:
            break
        if _LETTER.search(_LAYOUT.sub(" ", between)):
            break
        there.is_taken = True
        found.append(there)
        at += step
    return found


def _merged(legends: list[_Legend]) -> list[_Legend]:
    """A bare "Figure 1" under an image has the legend that is listed elsewhere."""
    told = {legend.number: legend for legend in legends if not legend.images and legend.caption}
    for legend in legends:
        if legend.images and not legend.caption and legend.number in told:
            legend.caption = told[legend.number].caption
    return [legend for legend in legends if not legend.images or legend.caption]


def _listed(legends: list[_Legend], chosen: list[_Legend]) -> list[_Legend]:
    """Legends without an image in the source, where all of them together count from one."""
    known = {legend.number for legend in chosen}
    listed: dict[str, _Legend] = {}
    for legend in legends:
        plain = _LAYOUT.sub(" ", legend.caption).strip(" \n{~}")
        if not legend.images and legend.number not in known and len(plain) > 10 and not plain[0].islower():
            listed.setdefault(legend.number, legend)
    values = {_value(number) for number in (*known, *listed)}
    return list(listed.values()) if values == set(range(1, len(values) + 1)) else []


def _value(number: str) -> int:
    return int(re.sub(r"\D", "", number))


def _take(reader: Reader, text: str, legend: _Legend) -> None:
    """Give a legend to the float that shows its image, or to a new one, after all others."""
    caption = "\\caption*{" + legend.caption + "}"
    source = next((image.source for image in legend.images if image.source is not None), None)
    if source is not None:
        source.text += caption
        source.number = legend.number
        return
    reader.events.append(("float",))
    reader.floats.append(
        Float(
            environment="typed",
            text="".join(text[image.start : image.end] for image in legend.images) + caption,
            graphics_folders=reader.graphics_folders,
            file="",
            event=len(reader.events) - 1,
            number=legend.number,
        )
    )


def closed(text: str) -> str:
    """Cut text at the first brace that closes a group begun before it, and close those it leaves open."""
    depth = 0
    for match in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth < 0:
            return text[: match.start()].strip()
    return text.strip() + "}" * depth


def legend_in(text: str, image_ends: list[int], *, anywhere: bool) -> tuple[str, str] | None:
    """The number and the legend typed in a float; None where there is none.

    It must begin a paragraph or follow an image, but for a plain TeX insert that has an image.
    """
    for sign in islice(_SIGN.finditer(text), MAX_SIGNS):
        if not anywhere and not _begins_a_paragraph(text, sign.start(), image_ends):
            continue
        stop = _STOP.match(text, sign.end()) or _CLOSED.match(text, sign.end())
        if stop is None and not anywhere:
            continue
        legend = text[stop.end() if stop else sign.end() :]
        graphics_after = re.search(r"\\(?:epsfbox|psfig|special|epsfig|includegraphics)", legend)
        return sign[1], closed(legend[: graphics_after.start()] if graphics_after else legend)
    return None


# Figure commands of plain TeX formats


def list_figure(reader: Reader, command: str) -> None:
    r"""Harvmac's \fig\name{legend} and \nfig, phyzzx's \FIGURE and \FIG: a legend now, the figure elsewhere."""
    got = _name_and_groups(reader, 1) if not reader.class_name else None
    if got is None:
        reader.out.add("\\" + command)
        return
    name, (legend,) = got
    _cite_by(reader, name)
    reader.push(
        ("\\" + name + " " if command in ("fig", "FIGURE") else "")
        + f"\\begin{{figure}}\\caption{{{legend}}}\\label{{{name}}}\\end{{figure}}"
    )


def inserted_figure(reader: Reader, command: str) -> None:
    r"""Harvmac's \ifig\name{legend}{content}: the figure is set here."""
    got = _name_and_groups(reader, 2) if not reader.class_name else None
    if got is None:
        reader.out.add("\\" + command)
        return
    name, (legend, content) = got
    _cite_by(reader, name)
    reader.push(f"\\begin{{figure}}{content}\\caption{{{legend}}}\\label{{{name}}}\\end{{figure}}")


def listed_caption(reader: Reader, command: str) -> None:
    r"""\Figure{legend} in the list of figure captions of an IOP paper."""
    legend = reader.group() if reader.class_name.startswith("io") else None
    if legend is None:
        reader.out.add("\\" + command)
        return
    reader.push(f"\\begin{{figure}}\\caption{{{legend}}}\\end{{figure}}")


def _name_and_groups(reader: Reader, n: int) -> tuple[str, list[str]] | None:
    frame = reader.settle()
    named = CONTROL.match(frame.text, frame.pos)
    if named is None or not named[1].isalpha():
        return None
    pos, groups = named.end(), []
    for _ in range(n):
        got = group(frame.text, pos, reader.work)
        if got is None:
            return None
        groups.append(got[0])
        pos = got[1]
    frame.pos = pos
    return named[1], groups


def _cite_by(reader: Reader, name: str) -> None:
    r"""Let \name say "Fig. 1" from now on."""
    reader.define(name, macro(f"Fig.~\\ref{{{name}}}"))


def figure_word(reader: Reader, command: str) -> None:
    r"""\figure, \midinsert, \begfig and the like: a float begun by a command."""
    frame = reader.frame
    current = next((c for c in reversed(reader.collectors) if c.kind == "float"), None)
    typed = re.compile(r"\s*\{\s*(\d{1,3}[a-h]?)\s*\}\s*(?=\{)").match(frame.text, frame.pos)
    if command == "figure" and current is not None and current.environment == "insert" and typed:
        frame.pos = typed.end()  # the legend, in the plain TeX style of A&A
        current.holds_caption = True
        reader.out.add(f"Figure {typed[1]}. ")
        return
    if command == "beginfigure":  # of MNRAS, with a number that its \caption repeats
        reader.star()
        reader.group()
    environments.open_float(reader, "figure" if command == "figure" else "insert")


def end_figure_word(reader: Reader, command: str) -> None:
    r"""\endfigure, \endinsert, \endfig: a float ended by a command."""
    for closing in ("figure", "figure*", "insert") if command == "endfigure" else ("insert",):
        if any(c.environment == closing for c in reader.collectors[1:]):
            environments.close_through(reader, closing)
            return
