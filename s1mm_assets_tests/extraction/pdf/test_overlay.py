"""Pages with boxes drawn on them, for people to look at."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageColor

from s1mm_assets.extraction.pdf import PdfPaper, PdfSettings
from s1mm_assets.extraction.pdf.layout import BBox, LayoutBox
from s1mm_assets.extraction.pdf.overlay import OVERLAY_DPI, overlays
from s1mm_assets_tests.extraction.pdf.reading import Told, never, read, stopwatches
from s1mm_assets_tests.extraction.pdf.sheets import BOTH, Sheet, bind, prose

PLOT = (110.0, 130.0, 480.0, 300.0)
RED, ORANGE, BLUE, GREY = "#d00000", "#e08000", "#0060d0", "#a0a0a0"


def figure_sheet(number: int) -> Sheet:
    sheet = Sheet().box(*PLOT, colour=(0.9, 0.9, 0.7))
    sheet.flow(BOTH, 330, f"Figure {number}. {prose(30)}", 8)
    return sheet


def drawn(data: bytes, paper: PdfPaper) -> dict[int, Image.Image]:
    return {number: Image.open(BytesIO(png)) for number, png in overlays(data, paper, never)}


def is_framed(picture: Image.Image, box: Sequence[float], colour: str) -> bool:
    """Whether a frame in one colour stands round a place, to a pixel or two."""
    x0, y0, x1, y1 = (side * OVERLAY_DPI / 72 for side in box)
    middles = [((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1), (x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2)]
    pixels = (np.asarray(picture.convert("RGB")) == ImageColor.getrgb(colour)).all(axis=2)
    return all(pixels[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3].any() for x, y in middles)


def test_the_pages_with_figures_are_drawn() -> None:
    """And those with captions; others are not."""
    data = bind(Sheet(), figure_sheet(1), Sheet().plot(*PLOT), figure_sheet(2))

    pages = drawn(data, read(data))

    assert list(pages) == [1, 3]
    assert {page.format for page in pages.values()} == {"PNG"}
    assert {page.size for page in pages.values()} == {(850, 1100)}


def test_a_caption_on_another_page_is_drawn_too() -> None:
    """The page of the picture and the page of the words."""
    words = Sheet()
    words.flow(BOTH, 100, f"Figure 1. {prose(30)}")
    data = bind(words, Sheet().plot(*PLOT), Sheet())

    assert list(drawn(data, read(data))) == [0, 1]


def test_boxes_are_where_things_are() -> None:
    """Red round the figure, blue round the caption, grey round what the detector saw."""
    data = bind(figure_sheet(1))
    seen = LayoutBox(BBox(80, 600, 200, 700), "text", 0.9)
    paper = read(data, Told({0: [seen]}))
    (figure,) = paper.figures

    (page,) = drawn(data, paper).values()

    assert figure.bbox is not None
    ((_, caption),) = figure.caption_boxes
    assert is_framed(page, seen.bbox, GREY)
    assert is_framed(page, caption, BLUE)
    assert is_framed(page, figure.bbox, RED)
    assert not is_framed(page, figure.bbox, ORANGE)


def test_a_line_leads_from_a_figure_to_its_caption() -> None:
    """Between their middles."""
    data = bind(figure_sheet(1))
    paper = read(data)
    ((_, caption),) = paper.figures[0].caption_boxes

    (page,) = drawn(data, paper).values()

    pixels = (np.asarray(page.convert("RGB")) == ImageColor.getrgb(RED)).all(axis=2)
    between = pixels[round(306 * OVERLAY_DPI / 72) : round((caption.y0 - 2) * OVERLAY_DPI / 72)]
    assert between.any(axis=1).all()


def test_what_is_not_sure_is_orange() -> None:
    """A pair that was rejected is shown, and told from those that count."""
    data = bind(figure_sheet(1))

    paper = read(data, settings=PdfSettings(min_confidence=0.99))

    (page,) = drawn(data, paper).values()

    assert paper.figures[0].bbox is not None
    assert is_framed(page, paper.figures[0].bbox, ORANGE)
    assert not is_framed(page, paper.figures[0].bbox, RED)


def test_what_a_detector_hardly_believes_is_not_drawn() -> None:
    """Boxes of a low score would cover the page."""
    data = bind(figure_sheet(1))
    seen = LayoutBox(BBox(80, 600, 200, 700), "text", 0.1)

    (page,) = drawn(data, read(data, Told({0: [seen]}))).values()

    assert not is_framed(page, seen.bbox, GREY)


def test_a_caption_without_a_picture_is_drawn() -> None:
    """The page shows which words found nothing."""
    sheet = Sheet()
    sheet.flow(BOTH, 330, f"Figure 1. {prose(30)}", 8)
    data = bind(sheet)

    paper = read(data)

    (page,) = drawn(data, paper).values()

    assert is_framed(page, paper.figures[0].caption_boxes[0][1], BLUE)


def test_a_paper_without_figures_has_no_overlays() -> None:
    """Nothing is drawn of one without captions, nor of one that could not be read."""
    data = bind(Sheet().plot(*PLOT), Sheet())

    assert drawn(data, read(data)) == {}
    assert drawn(b"no PDF", read(b"no PDF")) == {}


def test_a_page_that_takes_too_long_is_left_out() -> None:
    """The others are drawn."""
    slow = figure_sheet(1)
    for index in range(1_000):
        slow.line(110, 130, 480, 130 + index / 6, 0.1)
    data = bind(slow, figure_sheet(2))

    pages = overlays(data, read(data), stopwatches(True, False))

    assert [number for number, _ in pages] == [1]
