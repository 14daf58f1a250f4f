"""One PDF → its figures: where the parts of this package meet.

Pages are looked at once, one after the other: what is kept of each is its text, its ink in bits, and what the
detector saw. Figures are cut out in a second pass, page by page.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from numpy.typing import NDArray
from PIL import Image

from s1mm_assets.extraction.images import Allowance
from s1mm_assets.extraction.pdf import running_text
from s1mm_assets.extraction.pdf.association import Pair, across_pages, confidence_of, pairs_on
from s1mm_assets.extraction.pdf.blocks import Block, body_size, columns_of
from s1mm_assets.extraction.pdf.captions import Caption, PageText, find_captions, words_in
from s1mm_assets.extraction.pdf.document import MAX_SIDE_PT, Page, as_displayed, opened, pages_of
from s1mm_assets.extraction.pdf.front_matter import abstract_in, doi_in, title_in
from s1mm_assets.extraction.pdf.furniture import furniture
from s1mm_assets.extraction.pdf.ink import Ink, RepeatedInk, ink_of
from s1mm_assets.extraction.pdf.layout import BBox, LayoutBox, LayoutDetector, LayoutError, PageView
from s1mm_assets.extraction.pdf.lines import TextLine, lines_of
from s1mm_assets.extraction.pdf.regions import PageEvidence, obstacles_of, prose_of, regions_on
from s1mm_assets.extraction.raster import Picture, RasterSettings, Refused, encode
from s1mm_assets.extraction.settings import PdfSettings
from s1mm_assets.tables import Rejection

MAX_PAGES = 2_000
LOOK_PX_PER_PT = 2.0  # the detector sees most when a page is drawn at twice the size that it takes
MAX_LOOK_SIDE_PX = 3_200  # of huge pages, which are looked at more coarsely
MAX_FIGURES = 2_000
MAX_WARNINGS = 50
MAX_DETECTED_PAGES = 120  # later pages of a book are read without the detector, within the time of a paper
_PAGES_AT_ONCE = 8
_PADDING_PT = 1.5  # round the ink, so that edges are not cut
_MIN_SIDE_PT = 3.0
_LONG_CHARS = 30
_WHOLLY = {  # why no page can be read → why the paper cannot
    Rejection.TIMED_OUT: Rejection.TIMED_OUT,
    Rejection.IMAGE_TOO_LARGE: Rejection.TOO_LARGE,
}

Stopwatch = Callable[[], Callable[[], bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfFigure:
    """One captioned figure of a PDF."""

    figure_ordinal: int  # from 1, in the order of the captions
    figure_number: str  # as printed: "3", "S2", "Extended Data 4"
    kind: str  # figure, scheme, chart, plate
    caption: str  # without its label
    mentions: list[running_text.Mention]
    page: int  # 0-based; of the picture, or of the caption where there is no picture
    bbox: list[float] | None  # points of the page as displayed, origin top-left
    confidence: float | None  # 0 to 1: that picture and caption belong together
    caption_boxes: list[tuple[int, BBox]]  # page and place, in reading order
    picture: Picture | None = None
    rejection: Rejection | None
    evidence: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfPaper:
    """What was read from one PDF."""

    title: str | None = None
    abstract: str | None = None
    doi: str | None = None
    n_pages: int = 0
    figures: list[PdfFigure] = field(default_factory=list)
    layout: list[tuple[LayoutBox, ...]] = field(default_factory=list)  # page → what the detector saw
    warnings: list[str] = field(default_factory=list)
    rejection: Rejection | None = None
    evidence: str | None = None


@dataclass(slots=True)
class PageSeen:
    """What is kept of one page after it was looked at."""

    number: int  # 0-based
    size_pt: tuple[float, float]
    lines: list[TextLine]
    bits: NDArray[np.uint8] | None  # of its ink; None where it could not be drawn
    shape: tuple[int, int]  # of its ink in pixels
    px_per_pt: float
    layout: tuple[LayoutBox, ...] = ()
    turn: int = 0  # degrees clockwise that it was turned to be read, beyond how it is displayed
    n_unread: int = 0  # characters beyond those that are read of a page
    failure: Rejection | None = None

    def displayed(self, box: BBox) -> BBox:
        """Return a box in points of the page as displayed."""
        return as_displayed(box, self.turn, self.size_pt)

    def ink(self) -> Ink:
        """Return the page's ink; none where it could not be drawn."""
        if self.bits is None:
            return Ink(np.zeros(self.shape, dtype=bool), self.px_per_pt)
        mask = np.unpackbits(self.bits, count=self.shape[0] * self.shape[1]).reshape(self.shape)
        return Ink(mask.astype(bool), self.px_per_pt)


def read_pdf(
    data: bytes,
    *,
    name: str,
    detector: LayoutDetector,
    stopwatch: Stopwatch,
    settings: PdfSettings,
    raster: RasterSettings,
) -> PdfPaper:
    """Read a PDF's figures with their captions and the paragraphs that cite them.

    Raises nothing for what the file holds; memory grows by about 0.7 MB a page.

    Args:
        data: The file.
        name: The paper's id, by which a detector may find files.
        detector: Says what lies where on a page.
        stopwatch: Starts to count a page's or a figure's time; the answer says whether it is used up.
        settings: What is sure enough.
        raster: Sizes of the pictures.
    """
    try:
        with opened(data) as document:
            if len(document) == 0:
                return PdfPaper(rejection=Rejection.EMPTY, evidence="pdfium: the PDF has no pages")
            if len(document) > MAX_PAGES:
                evidence = f"{len(document)} pages, more than {MAX_PAGES}"
                return PdfPaper(rejection=Rejection.TOO_LARGE, evidence=evidence)
            seen = list(_look(document, name, data, detector, stopwatch))
            failures = {page.failure for page in seen}
            if None not in failures:
                worst = next(
                    (why for failure, why in _WHOLLY.items() if failure in failures), Rejection.CORRUPT
                )
                return PdfPaper(rejection=worst, evidence=f"pdfium: none of {len(seen)} pages can be read")
            paper = _associate(seen, settings)
            figures = list(_cut_out(document, paper.figures, seen, stopwatch, raster))
            return replace(paper, figures=figures)
    except LayoutError as error:
        return PdfPaper(rejection=error.rejection, evidence=error.evidence)
    except pdfium.PdfiumError as error:
        return _unopened(error, data)


def _unopened(error: pdfium.PdfiumError, data: bytes) -> PdfPaper:
    """Say why pdfium does not open a file. Its error code may be that of a file before this one."""
    is_locked = error.err_code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY)
    if is_locked and b"/Encrypt" in data:
        return PdfPaper(rejection=Rejection.ENCRYPTED, evidence="pdfium: it asks for a password")
    return PdfPaper(rejection=Rejection.CORRUPT, evidence="pdfium: it cannot be opened, or has no pages")


def _look(
    document: pdfium.PdfDocument, name: str, data: bytes, detector: LayoutDetector, stopwatch: Stopwatch
) -> Iterator[PageSeen]:
    """Look at every page; the detector is shown several at a time."""
    pending: list[tuple[PageSeen, Image.Image]] = []
    next_number = 0
    for page in pages_of(document):
        if page.number > next_number:
            yield from _detected(pending, name, data, detector)
            pending = []
            yield from map(_lost, range(next_number, page.number))
        next_number = page.number + 1
        seen, picture = _look_at(page, stopwatch())
        if picture is None:
            yield from _detected(pending, name, data, detector)
            pending = []
            yield seen
            continue
        pending.append((seen, picture))
        if len(pending) == _PAGES_AT_ONCE:
            yield from _detected(pending, name, data, detector)
            pending = []
    yield from _detected(pending, name, data, detector)
    yield from map(_lost, range(next_number, len(document)))


def _lost(number: int) -> PageSeen:
    """Return what is known of a page that cannot be loaded."""
    return PageSeen(number, (0.0, 0.0), [], None, (1, 1), 1.0, failure=Rejection.IMAGE_UNREADABLE)


def _look_at(page: Page, is_time_up: Callable[[], bool]) -> tuple[PageSeen, Image.Image | None]:
    """Read one page's text and draw it; a page whose text stands upright on its side is turned first."""
    lines: list[TextLine] = []
    n_unread = 0
    failure: Rejection | None = None
    try:
        lines, n_unread = _text_of(page)
        turn = _turn_of(lines)
        if turn:
            page.turn_by(turn)
            lines, n_unread = _text_of(page)
    except pdfium.PdfiumError:
        failure = Rejection.IMAGE_UNREADABLE
    width, height = page.size_pt
    if not 0 < min(width, height) <= max(width, height) <= MAX_SIDE_PT:
        failure = Rejection.IMAGE_TOO_LARGE
    px_per_pt = min(LOOK_PX_PER_PT, MAX_LOOK_SIDE_PX / max(width, height, 1.0))
    seen = PageSeen(page.number, page.size_pt, lines, None, (1, 1), px_per_pt / 2)
    seen.turn, seen.n_unread, seen.failure = page.turn, n_unread, failure
    if failure is not None:
        return seen, None
    try:
        picture = page.draw(px_per_pt, is_time_up)
    except pdfium.PdfiumError:
        seen.failure = Rejection.IMAGE_UNREADABLE
        return seen, None
    if picture is None:
        seen.failure = Rejection.TIMED_OUT
        return seen, None
    ink = ink_of(np.asarray(picture), px_per_pt).halved()
    seen.shape = (ink.mask.shape[0], ink.mask.shape[1])
    seen.bits = np.packbits(ink.mask)
    return seen, picture


def _text_of(page: Page) -> tuple[list[TextLine], int]:
    """Return a page's lines, and how many of its characters are not in them because it has too many."""
    characters = page.characters()
    return lines_of(characters), characters.n_left_out


def _turn_of(lines: Sequence[TextLine]) -> int:
    """Return how far a page has to be turned clockwise so that most of its text is upright."""
    long = [line for line in lines if len(line.text) >= _LONG_CHARS]  # names of axes are not what a page says
    upright = sum(len(line.text) for line in lines if line.is_upright)
    climbing = sum(len(line.text) for line in long if not line.is_upright and line.climbs)
    falling = sum(len(line.text) for line in long if not line.is_upright and not line.climbs)
    if upright >= max(climbing, falling):
        return 0
    return 90 if climbing > falling else 270


def _detected(
    pages: Sequence[tuple[PageSeen, Image.Image]], name: str, data: bytes, detector: LayoutDetector
) -> list[PageSeen]:
    """Show pages to the detector."""
    shown = [(seen, picture) for seen, picture in pages if seen.number < MAX_DETECTED_PAGES]
    views = [
        PageView(seen.number, *seen.size_pt, _scaled(picture, 2 * seen.px_per_pt), seen.turn)
        for seen, picture in shown
    ]
    for (seen, _), boxes in zip(shown, detector(name, data, views) if views else [], strict=True):
        seen.layout = tuple(box for box in boxes if all(map(math.isfinite, (*box.bbox, box.score))))
    return [seen for seen, _ in pages]


def _scaled(picture: Image.Image, px_per_pt: float) -> Callable[[float], NDArray[np.uint8]]:
    """Return what brings a page's picture to the resolution that a detector asks for."""

    def draw(dpi: float) -> NDArray[np.uint8]:
        ratio = dpi / 72 / px_per_pt
        if abs(ratio - 1) < 0.02:
            return np.asarray(picture)
        size = max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio))
        return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))

    return draw


def _associate(seen: Sequence[PageSeen], settings: PdfSettings) -> PdfPaper:
    """Find captions and pictures on all pages, and pair them."""
    pages = [page.lines for page in seen]
    vocabulary = Counter(word for lines in pages for line in lines for word in words_in(line.text))
    body = body_size(pages)
    columns = columns_of(pages, body)
    aside = furniture(pages, [page.size_pt[1] for page in seen])
    texts = [
        PageText(page.number, _upright(page.lines, out), page.layout)
        for page, out in zip(seen, aside, strict=True)
    ]
    captions, blocks, n_left_out = find_captions(texts, body, vocabulary)
    pairs: list[Pair] = []
    prose: list[list[Block]] = []
    for page in _evidence(seen, aside, blocks, captions):
        its_prose = prose_of(page, body, columns)
        prose.append(its_prose)
        obstacles = obstacles_of(page, its_prose)
        pairs += pairs_on(page, regions_on(page, obstacles), obstacles)
    paragraphs = running_text.paragraphs_of(prose, body, vocabulary)
    mentions = running_text.mentions_of(captions, paragraphs)
    found = _in_order(across_pages(pairs, _tags(captions)))
    return PdfPaper(
        title=title_in(pages[0], seen[0].size_pt[1]),
        abstract=abstract_in(paragraphs),
        doi=doi_in(pages),
        n_pages=len(seen),
        figures=[
            _figure(ordinal, pair, mentions, seen, settings)
            for ordinal, pair in enumerate(found[:MAX_FIGURES], start=1)
        ],
        layout=[tuple(replace(box, bbox=page.displayed(box.bbox)) for box in page.layout) for page in seen],
        warnings=_warnings(seen, n_left_out, len(found)),
    )


def _warnings(seen: Sequence[PageSeen], n_captions_left_out: Mapping[int, int], n_found: int) -> list[str]:
    """Say what of a paper was not read: pages that failed, and what is beyond the limits."""
    warnings = []
    if n_found > MAX_FIGURES:
        warnings.append(f"{n_found} figures; only the first {MAX_FIGURES} were kept")
    for page in seen:
        if page.failure:
            warnings.append(f"page {page.number}: {page.failure.value}")
        if page.n_unread:
            warnings.append(f"page {page.number}: its last {page.n_unread} characters were not read")
        if page.number in n_captions_left_out:
            n_left_out = n_captions_left_out[page.number]
            warnings.append(f"page {page.number}: its last {n_left_out} captions were left out")
    return warnings[:MAX_WARNINGS]


def _evidence(
    seen: Sequence[PageSeen],
    aside: Sequence[frozenset[int]],
    blocks: Sequence[Sequence[Block]],
    captions: Sequence[Caption],
) -> Iterator[PageEvidence]:
    """Yield what is known of each page: its ink is unpacked as it is asked for.

    Args:
        seen: The pages.
        aside: Of each page, the `order` of the lines that are furniture.
        blocks: Of each page.
        captions: Of the document.
    """
    repeated = RepeatedInk()
    for page in seen:
        repeated.add(page.ink().without(line.bbox for line in page.lines))
    for page, out, its_blocks in zip(seen, aside, blocks, strict=True):
        yield PageEvidence(
            page=page.number,
            size_pt=page.size_pt,
            ink=repeated.cleared(page.ink()),
            lines=tuple(page.lines),
            furniture=out,
            blocks=tuple(its_blocks),
            captions=tuple(caption for caption in captions if caption.boxes_on(page.number)),
            layout=page.layout,
        )


def _tags(captions: Sequence[Caption]) -> dict[int, list[str]]:
    """Return page → the numbers that stand there as a label alone."""
    tags: dict[int, list[str]] = {}
    for caption in captions:
        if caption.is_tag:
            tags.setdefault(caption.page, []).append(caption.number)
    return tags


def _upright(lines: Sequence[TextLine], furniture: frozenset[int]) -> tuple[TextLine, ...]:
    return tuple(line for line in lines if line.is_upright and line.order not in furniture)


def _in_order(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs that have a caption, in reading order.

    Of captions with one number those without a picture go where another has one: a list of legends repeats
    what stands under the figures.
    """
    captioned = [(pair.caption, pair) for pair in pairs if pair.caption is not None]
    have = {_key(caption) for caption, pair in captioned if pair.region is not None}
    kept: list[tuple[Caption, Pair]] = []
    without: set[tuple[str, str]] = set()
    for caption, pair in sorted(captioned, key=lambda each: (each[0].page, each[0].anchor.line.order)):
        if pair.region is None:
            if _key(caption) in have | without:
                continue
            without.add(_key(caption))
        kept.append((caption, pair))
    return [pair for _, pair in kept]


def _key(caption: Caption) -> tuple[str, str]:
    return caption.anchor.kind, caption.number


def _figure(
    ordinal: int,
    pair: Pair,
    mentions: dict[tuple[str, str], list[running_text.Mention]],
    seen: Sequence[PageSeen],
    settings: PdfSettings,
) -> PdfFigure:
    """Compose one figure; its picture is cut out later."""
    caption, region = pair.caption, pair.region
    assert caption is not None  # noqa: S101 - `_in_order` keeps no other
    confidence = confidence_of(pair, seen[region.page].layout) if region is not None else None
    rejection: Rejection | None = None
    evidence: str | None = None
    if region is None:
        failed = [page for page in seen if page.failure and abs(page.number - caption.page) <= 1]
        rejection = (failed[0].failure if failed else None) or Rejection.GRAPHICS_MISSING
        evidence = f"the caption on page {caption.page} has no picture that is free"
    elif confidence is not None and confidence < settings.min_confidence:
        rejection = Rejection.ASSOCIATION_UNCERTAIN
        evidence = f"confidence {confidence}, caption {pair.side or 'nowhere'}, cost {pair.cost:.2f}"
    return PdfFigure(
        figure_ordinal=ordinal,
        figure_number=caption.number,
        kind=caption.anchor.kind,
        caption=caption.text,
        mentions=mentions.get((caption.anchor.kind, running_text.normal(caption.number)), []),
        page=region.page if region is not None else caption.page,
        bbox=None if region is None else _padded(region.bbox, seen[region.page]),
        confidence=confidence,
        caption_boxes=[(page, seen[page].displayed(block.bbox)) for page, block in caption.blocks],
        rejection=rejection,
        evidence=evidence,
    )


def _padded(box: BBox, page: PageSeen) -> list[float]:
    width, height = page.size_pt
    padded = BBox(
        max(0.0, box.x0 - _PADDING_PT),
        max(0.0, box.y0 - _PADDING_PT),
        min(width, box.x1 + _PADDING_PT),
        min(height, box.y1 + _PADDING_PT),
    )
    return [round(side, 2) for side in page.displayed(padded)]


def _cut_out(
    document: pdfium.PdfDocument,
    figures: Sequence[PdfFigure],
    seen: Sequence[PageSeen],
    stopwatch: Stopwatch,
    raster: RasterSettings,
) -> Iterator[PdfFigure]:
    """Draw each figure that is sure enough from the page's own vectors."""
    allowance = Allowance()
    for figure in figures:
        if figure.bbox is None or figure.rejection is not None:
            yield figure
            continue
        page = Page(document[figure.page], figure.page)
        box = BBox(*figure.bbox)
        if seen[figure.page].turn:
            box = as_displayed(box, 360 - seen[figure.page].turn, page.size_pt)  # and back again
            page.turn_by(seen[figure.page].turn)
        picture = allowance.take(_crop(page, box, stopwatch(), raster))
        page.close()
        if isinstance(picture, Refused):
            yield replace(figure, rejection=picture.rejection, evidence=picture.evidence)
        else:
            yield replace(figure, picture=picture)


def _crop(page: Page, box: BBox, is_time_up: Callable[[], bool], raster: RasterSettings) -> Picture | Refused:
    if min(box.x1 - box.x0, box.y1 - box.y0) < _MIN_SIDE_PT:
        return Refused(Rejection.IMAGE_UNREADABLE, "pdfium: nothing is drawn there")
    px_per_pt = raster.dpi(box.x1 - box.x0, box.y1 - box.y0) / 72
    try:
        image = page.draw(px_per_pt, is_time_up, box)
    except pdfium.PdfiumError as error:
        return Refused(Rejection.IMAGE_UNREADABLE, f"pdfium: {error}")
    if image is None:
        return Refused(Rejection.TIMED_OUT, "pdfium: drawing the figure took too long")
    return encode(image, "png", "pdfium", raster)
