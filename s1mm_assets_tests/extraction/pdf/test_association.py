"""Whole papers whose layout is known: which picture each caption gets."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from s1mm_assets.extraction.pdf import PdfPaper
from s1mm_assets.extraction.pdf.layout import BBox, LayoutBox
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.pdf.reading import (
    Told,
    figure_box,
    iou,
    only_figure,
    paired,
    read,
)
from s1mm_assets_tests.extraction.pdf.sheets import BLUE, BOTH, LEFT, RIGHT, Sheet, bind, prose

Sides = tuple[float, float, float, float]


def caption(
    sheet: Sheet, column: tuple[float, float], y: float, number: int, *, n_words: int = 30, size: float = 8
) -> float:
    """Write a caption whose words follow from its number; return where the next line would stand."""
    label = ("Helvetica-Bold", f"Figure {number}. ")
    return sheet.flow(column, y, [label, ("Helvetica", prose(n_words, number))], size)


def body(*sheets: Sheet, y: float = 600) -> None:
    """Running text in two columns, as on most pages."""
    for sheet in sheets:
        sheet.flow(LEFT, y, prose(110))
        sheet.flow(RIGHT, y, prose(110, 5))


def check(paper: PdfPaper, drawn: dict[str, tuple[int, Sides]]) -> None:
    """Each figure has the picture that was drawn for it, and nothing else is a figure."""
    figures = paired(paper)
    assert list(figures) == list(drawn)
    assert len(paper.figures) == len(drawn)
    for number, (page, sides) in drawn.items():
        figure = figures[number]
        assert figure.page == page
        assert figure.bbox is not None
        assert iou(figure.bbox, sides) > 0.95, (number, figure.bbox, sides)
        assert figure.caption.startswith(prose(40, int(number))[:20])


PANELS: list[Sides] = [
    (60, 80, 200, 180),
    (240, 80, 380, 180),
    (420, 80, 550, 180),
    (60, 220, 200, 320),
    (240, 220, 550, 320),
]


@pytest.mark.parametrize(
    "seen",
    [(), [figure_box(*sides) for sides in PANELS], [figure_box(*PANELS[0])], [figure_box(55, 75, 555, 325)]],
    ids=["nothing", "each panel", "one panel", "one figure"],
)
def test_panels_that_share_a_caption_are_one_figure(seen: Sequence[LayoutBox]) -> None:
    """White between panels does not part them, whatever the detector takes for a figure."""
    sheet = Sheet()
    for sides in PANELS:
        sheet.plot(*sides)
    caption(sheet, BOTH, 340, 1)
    body(sheet)

    check(read(bind(sheet), Told({0: seen})), {"1": (0, (60, 80, 550, 320))})


@pytest.mark.parametrize("is_seen", [False, True])
@pytest.mark.parametrize("gap", [10, 40])
def test_panels_far_from_the_caption_belong_to_it(gap: float, *, is_seen: bool) -> None:
    """Rows of panels up a whole page are one figure, though the first is far from its words."""
    rows: list[Sides] = [(60, 60 + at * (130 + gap), 550, 190 + at * (130 + gap)) for at in range(4)]
    sheet = Sheet()
    for sides in rows:
        sheet.plot(*sides)
    bottom = rows[-1][3]
    caption(sheet, BOTH, bottom + 20, 1)
    seen = [figure_box(*sides) for sides in rows] if is_seen else []

    check(read(bind(sheet), Told({0: seen})), {"1": (0, (60, 60, 550, bottom))})


@pytest.mark.parametrize("is_seen", [False, True])
def test_panels_far_apart_belong_to_the_caption_below_them(*, is_seen: bool) -> None:
    """Wide white between two panels does not part them where one caption is all there is."""
    sheet = Sheet().plot(60, 80, 220, 200).plot(390, 80, 550, 200)
    caption(sheet, BOTH, 220, 1)
    body(sheet)
    seen = [figure_box(60, 80, 220, 200), figure_box(390, 80, 550, 200)] if is_seen else []

    check(read(bind(sheet), Told({0: seen})), {"1": (0, (60, 80, 550, 200))})


@pytest.mark.parametrize("seen", [(), [figure_box(58, 78, 552, 202)]], ids=["nothing", "one figure"])
def test_two_figures_side_by_side_are_two(seen: Sequence[LayoutBox]) -> None:
    """Two captions part what the detector took for one figure."""
    sheet = Sheet().plot(60, 80, 280, 200).plot(330, 80, 550, 200)
    caption(sheet, LEFT, 215, 1)
    caption(sheet, RIGHT, 215, 2)
    body(sheet)

    check(
        read(bind(sheet), Told({0: seen})),
        {"1": (0, (60, 80, 280, 200)), "2": (0, (330, 80, 550, 200))},
    )


def test_figures_one_above_the_other_are_two() -> None:
    """Each takes the caption below it, though the first caption is as near to the second picture."""
    sheet = Sheet().plot(100, 80, 500, 200).plot(100, 255, 500, 400)
    caption(sheet, BOTH, 215, 1)
    caption(sheet, BOTH, 415, 2)
    body(sheet)

    check(read(bind(sheet)), {"1": (0, (100, 80, 500, 200)), "2": (0, (100, 255, 500, 400))})


@pytest.mark.parametrize("is_seen", [False, True])
@pytest.mark.parametrize(
    ("sides", "column", "y"),
    [
        ((100, 120, 500, 300), BOTH, 85),
        ((200, 80, 558, 300), (54, 180), 100),
        ((54, 80, 410, 300), (430, 558), 100),
        ((100, 80, 500, 300), BOTH, 320),
    ],
    ids=["above", "left", "right", "below"],
)
def test_a_caption_stands_on_any_side(
    sides: Sides, column: tuple[float, float], y: float, *, is_seen: bool
) -> None:
    """Below, above or beside the picture; a detector that sees it makes the pair surer."""
    sheet = Sheet().plot(*sides)
    caption(sheet, column, y, 1)
    body(sheet)

    paper = read(bind(sheet), Told({0: [figure_box(*sides)]} if is_seen else {}))

    check(paper, {"1": (0, sides)})
    confidence = only_figure(paper).confidence
    assert confidence is not None
    assert (confidence > 0.7) is is_seen


@pytest.mark.parametrize("step", [1, -1])
def test_a_caption_may_stand_on_the_next_page_or_the_one_before(step: int) -> None:
    """A picture that fills its page has its caption on a page beside it."""
    picture, words = Sheet(), Sheet()
    body(picture, y=80)
    picture.plot(54, 300, 558, 750)
    caption(words, BOTH, 60, 1)
    body(words, y=200)
    sheets = [picture, words][::step]

    check(read(bind(*sheets)), {"1": (sheets.index(picture), (54, 300, 558, 750))})


def legends(*numbers: int) -> Sheet:
    """A list of legends, as manuscripts have it before the figures."""
    sheet, y = Sheet(), 60.0
    for number in numbers:
        y = caption(sheet, BOTH, y, number, n_words=40, size=10) + 12
    return sheet


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_legends_find_the_pages_that_bear_their_number(order: tuple[int, ...]) -> None:
    """A tag on the page of a picture counts more than any order."""
    pages = [Sheet().text(54, 50, f"Figure {number}").plot(100, 130, 400, 600) for number in order]

    paper = read(bind(legends(1, 2, 3), *pages))

    check(paper, {str(number): (1 + order.index(number), (100, 130, 400, 600)) for number in (1, 2, 3)})


def test_legends_and_figures_without_tags_are_paired_in_order() -> None:
    """The first legend has the first picture, with less confidence than a tag gives."""
    sides: list[Sides] = [(100, 130, 400, 600), (60, 80, 550, 300), (200, 100, 500, 700)]
    pages = [Sheet().plot(*each) for each in sides]
    tagged = [Sheet().text(54, 50, f"Figure {at}").plot(*each) for at, each in enumerate(sides, 1)]

    paper, surer = (read(bind(legends(1, 2, 3), *each)) for each in (pages, tagged))

    check(paper, {str(number): (number, sides[number - 1]) for number in (1, 2, 3)})
    last, surest = paper.figures[-1].confidence, surer.figures[-1].confidence
    assert last is not None
    assert surest is not None
    assert last < surest


def test_a_legend_in_a_list_gives_way_to_the_caption_under_the_picture() -> None:
    """A paper that has the words twice has the figure once."""
    page = Sheet().plot(100, 130, 400, 300)
    caption(page, BOTH, 320, 1, n_words=40)

    figure = only_figure(read(bind(legends(1), page)))

    assert (figure.figure_number, figure.page, figure.rejection) == ("1", 1, None)


def test_pictures_without_captions_on_a_page_of_their_own_are_one_figure() -> None:
    """The panels of a page that follows its legend are united."""
    page = Sheet().plot(60, 80, 280, 300).plot(330, 80, 550, 300).plot(60, 400, 550, 700)

    check(read(bind(legends(1), page)), {"1": (1, (60, 80, 550, 700))})


def test_a_caption_without_a_picture_is_not_lost() -> None:
    """The row says that nothing is drawn for it."""
    sheet = Sheet()
    body(sheet, y=80)
    caption(sheet, BOTH, 400, 7)

    figure = only_figure(read(bind(sheet)))

    assert figure.rejection is Rejection.GRAPHICS_MISSING
    assert (figure.figure_number, figure.page) == ("7", 0)
    assert figure.caption == prose(30, 7)
    assert (figure.bbox, figure.confidence, figure.picture) == (None, None, None)


def test_a_legend_that_is_there_twice_and_never_drawn_is_one_row() -> None:
    """Words alone, however often, are one figure that is missing."""
    figure = only_figure(read(bind(legends(1), legends(1))))

    assert figure.rejection is Rejection.GRAPHICS_MISSING


@pytest.mark.parametrize("words", ["Figure 1 shows that ", "As is seen in Figure 1. The ", "(Fig. 1) "])
def test_running_text_gets_no_picture(words: str) -> None:
    """A picture beneath a sentence that speaks of it has no caption, and is no row."""
    sheet = Sheet().plot(54, 300, 290, 500)
    sheet.flow(LEFT, 80, words + prose(100))
    sheet.flow(RIGHT, 80, prose(300))

    assert read(bind(sheet)).figures == []


def test_banners_and_rules_are_no_part_of_figures() -> None:
    """What is printed on every page stays out of the figure, and so do rules that part text."""
    sheets, drawn = [], {}
    for number in range(1, 5):
        sheet = Sheet().box(0, 0, 612, 50, BLUE).line(54, 60, 558, 60).plot(100, 80, 500, 250)
        after = caption(sheet, BOTH, 265, number)
        sheet.line(54, after, 558, after).line(54, 770, 558, 770)
        body(sheet)
        sheets.append(sheet)
        drawn[str(number)] = (number - 1, (100.0, 80.0, 500.0, 250.0))

    check(read(bind(*sheets)), drawn)


@pytest.mark.parametrize(
    "seen", [(), [LayoutBox(BBox(50, 98, 560, 204), "table", 0.9)]], ids=["rules", "box"]
)
def test_a_table_above_a_figure_is_no_part_of_it(seen: Sequence[LayoutBox]) -> None:
    """Neither its rules nor its cells, with a detector or without."""
    sheet = Sheet().text(54, 90, f"Table 1. {prose(8)}")
    for y in (100, 120, 200):
        sheet.line(54, y, 558, y)
    for row in range(4):
        for column in range(4):
            sheet.text(60 + 120 * column, 115 + 22 * row, f"cell {row}{column}")
    sheet.plot(100, 260, 500, 400)
    caption(sheet, BOTH, 420, 1)
    body(sheet)

    check(read(bind(sheet), Told({0: seen})), {"1": (0, (100, 260, 500, 400))})


@pytest.mark.parametrize("is_seen", [False, True])
def test_a_logo_on_the_first_page_gets_no_caption(*, is_seen: bool) -> None:
    """A small picture pages away from any caption is none of its figure."""
    first, second = Sheet().text(54, 100, "Cells at rest in the light", 18).photo(480, 30, 560, 70), Sheet()
    body(first, y=200)
    second.plot(100, 80, 500, 250)
    caption(second, BOTH, 265, 1)
    body(second)
    seen = {0: [figure_box(480, 30, 560, 70)], 1: [figure_box(100, 80, 500, 250)]} if is_seen else {}

    check(read(bind(first, second), Told(seen)), {"1": (1, (100, 80, 500, 250))})


def test_numbers_that_occur_for_two_kinds_are_two_figures() -> None:
    """Scheme 1 is not Figure 1."""
    sheet = Sheet().plot(60, 80, 280, 200).plot(330, 80, 550, 200)
    caption(sheet, LEFT, 215, 1)
    sheet.flow(RIGHT, 215, [("Helvetica-Bold", "Scheme 1. "), ("Helvetica", prose(20))], 8)
    body(sheet)

    figures = read(bind(sheet)).figures

    assert [(each.kind, each.figure_number, each.rejection) for each in figures] == [
        ("figure", "1", None),
        ("scheme", "1", None),
    ]


@dataclass(frozen=True)
class Stack:
    """Figures one above the other in one or two columns, each with its caption below."""

    sheet: Sheet
    drawn: dict[str, Sides]
    words: dict[str, str]


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    sheet = Sheet()
    drawn: dict[str, Sides] = {}
    words: dict[str, str] = {}
    tops: list[float] = []
    columns = draw(st.sampled_from([(BOTH,), (LEFT, RIGHT)]))
    is_bold = draw(st.booleans())
    for column in columns:
        y = 70.0
        while y < 560 and draw(st.integers(0, 3)):
            number = str(len(drawn) + 1)
            left = column[0] + draw(st.floats(0, 0.3)) * (column[1] - column[0])
            right = column[1] - draw(st.floats(0, 0.3)) * (column[1] - column[0])
            height = draw(st.floats(50, 160))
            draw_figure = draw(st.sampled_from([sheet.plot, sheet.photo]))
            draw_figure(left, y, right, y + height)
            drawn[number] = (left, y, right, y + height)
            words[number] = prose(draw(st.integers(16, 60)), len(drawn))
            label = ("Helvetica-Bold" if is_bold else "Helvetica", f"Figure {number}: ")
            y += height + draw(st.floats(12, 20))
            assume(all(abs(y - other) > 80 for other in tops))  # staggered captions are a test of their own
            tops.append(y)
            y = sheet.flow(column, y, [label, ("Helvetica", words[number])], 8) + draw(st.floats(16, 40))
            if draw(st.booleans()):
                y = sheet.flow(column, y, prose(draw(st.integers(40, 80))), 10) + 20
        sheet.flow(column, y + 10, prose(80), 10)
    return Stack(sheet, drawn, words)


KINDS = st.sampled_from(
    ["figure", "figure_caption", "table", "text", "title", "equation", "furniture", "other"]
)
BOXES = st.tuples(*[st.floats(0, 600)] * 2, *[st.floats(1, 500)] * 2).map(
    lambda box: BBox(box[0], box[1], min(612.0, box[0] + box[2]), min(792.0, box[1] + box[3]))
)
NONSENSE = st.lists(st.builds(LayoutBox, BOXES, KINDS, st.floats(0, 1)), max_size=8)


@settings(max_examples=25)
@given(stacks())
def test_each_caption_has_the_picture_above_it(stack: Stack) -> None:
    """Without a detector and with one that is right, every figure of a random page is found whole."""
    data = bind(stack.sheet)
    seen = [figure_box(*sides) for sides in stack.drawn.values()]

    for detector in (Told(), Told({0: seen})):
        paper = read(data, detector)
        assert {each.figure_number: each.caption for each in paper.figures} == stack.words
        for figure in paper.figures:
            assert figure.rejection is None, figure
            assert figure.bbox is not None
            assert iou(figure.bbox, stack.drawn[figure.figure_number]) >= 0.8, figure


@settings(max_examples=25)
@given(stacks(), NONSENSE)
def test_each_caption_is_one_figure_whatever_the_detector_says(stack: Stack, seen: list[LayoutBox]) -> None:
    """No caption is lost or doubled, and what is rejected has no picture."""
    paper = read(bind(stack.sheet), Told({0: seen}))

    assert [each.figure_number for each in paper.figures] == list(stack.words)
    assert [each.figure_ordinal for each in paper.figures] == list(range(1, len(stack.words) + 1))
    for figure in paper.figures:
        assert (figure.picture is None) is (figure.rejection is not None)
        assert (figure.evidence is None) is (figure.rejection is None)
