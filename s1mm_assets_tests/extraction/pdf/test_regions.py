"""What is drawn on a page, and what is only written or printed on it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.extraction.pdf.layout import BBox, LayoutBox
from s1mm_assets.extraction.pdf.regions import area, gap, shared
from s1mm_assets_tests.extraction.pdf.reading import ANY_SURENESS, Told, figure_box, iou, only_figure, read
from s1mm_assets_tests.extraction.pdf.sheets import BOTH, LEFT, RIGHT, SIZE_PT, Sheet, bind, prose

Sides = tuple[float, float, float, float]
PLOT: Sides = (110, 130, 480, 300)
SIDES = st.tuples(*[st.floats(0, 600)] * 4).map(
    lambda box: BBox(min(box[::2]), min(box[1::2]), max(box[::2]), max(box[1::2]))
)


def sheet_with(*, caption_y: float = 350) -> Sheet:
    """A plot, its caption and running text, with room for something more."""
    sheet = Sheet().plot(*PLOT)
    sheet.flow(BOTH, caption_y, [("Helvetica-Bold", "Figure 1. "), ("Helvetica", prose(30))], 8)
    sheet.flow(LEFT, 500, prose(200))
    sheet.flow(RIGHT, 500, prose(200, 5))
    return sheet


def bbox(sheet: Sheet, *seen: LayoutBox) -> Sequence[float]:
    """The box of the only figure, whatever its confidence."""
    figure = only_figure(read(bind(sheet), Told({0: seen}), settings=ANY_SURENESS))
    assert figure.bbox is not None
    return figure.bbox


@given(SIDES, SIDES)
def test_boxes_overlap_or_are_apart(one: BBox, other: BBox) -> None:
    """What two boxes share is in both; they share nothing or touch."""
    assert 0 <= shared(one, other) <= min(area(one), area(other)) + 1e-6
    assert shared(one, other) == shared(other, one)
    assert gap(one, other) == gap(other, one) >= 0
    assert shared(one, other) == 0 or gap(one, other) == 0


@pytest.mark.parametrize("seen", [(), (figure_box(*PLOT),)], ids=["nothing", "figure"])
def test_labels_of_axes_and_letters_of_panels_belong_to_the_figure(seen: Sequence[LayoutBox]) -> None:
    """What is written at a figure's edge is part of it, though the detector's box is too small for it."""
    sheet = sheet_with()
    sheet.text(98, 122, "a", 12, "Helvetica-Bold")
    for column in range(5):
        sheet.text(120 + 80 * column, 311, f"{20 * column}", 7)
    sheet.text(260, 323, "Time (s)", 8).upwards(104, 240, "Current (nA)", 8)

    assert bbox(sheet, *seen) == pytest.approx((96, 111, 482, 327), abs=5)


def test_a_label_that_is_large_beside_its_figure_belongs_to_it() -> None:
    """A small plot that the detector sees does not lose the name of its axis."""
    sheet = Sheet().plot(250, 130, 330, 170).text(252, 186, "Current in nA", 11)
    sheet.flow(BOTH, 220, "Figure 1. " + prose(30), 8)
    sheet.flow(BOTH, 400, prose(200))

    assert bbox(sheet, figure_box(250, 130, 330, 170)) == pytest.approx((249, 129, 331, 190), abs=4)


@pytest.mark.parametrize("looseness", [-12, 0, 12])
def test_a_detector_s_box_is_brought_to_the_ink(looseness: float) -> None:
    """A box that is too small or too large gives the same figure."""
    x0, y0, x1, y1 = PLOT
    loose = figure_box(x0 - looseness, y0 - looseness, x1 + looseness, y1 + looseness)

    assert iou(bbox(sheet_with(), loose), PLOT) > 0.95


def test_running_text_is_no_part_of_a_figure() -> None:
    """Text right above a figure stays outside, also where a detector's box takes it in."""
    sheet = sheet_with()
    sheet.flow(LEFT, 60, prose(45))
    sheet.flow(RIGHT, 60, prose(45, 3))
    loose = figure_box(50, 48, 560, 305)

    assert iou(bbox(sheet), PLOT) > 0.95
    assert iou(bbox(sheet, loose), PLOT) > 0.95


@pytest.mark.parametrize(("kind", "is_left_out"), [("table", True), ("equation", True), ("other", False)])
def test_what_a_detector_says_is_a_table_is_no_figure(kind: str, *, is_left_out: bool) -> None:
    """A drawing beside a figure is a panel, unless it is seen as something else."""
    sheet = sheet_with(caption_y=450)
    sheet.box(110, 320, 480, 400)
    seen = LayoutBox(BBox(105, 315, 485, 405), kind, 0.9)  # type: ignore[arg-type]  # one of them
    expected = PLOT if is_left_out else (110, 130, 480, 400)

    assert iou(bbox(sheet, seen), expected) > 0.95


def test_a_surer_figure_wins_over_a_table() -> None:
    """Of two readings of one place the detector's surer one counts."""
    table = LayoutBox(BBox(*PLOT), "table", 0.5)

    assert iou(bbox(sheet_with(), table, figure_box(*PLOT, score=0.9)), PLOT) > 0.95


@pytest.mark.parametrize(
    "page", [(54.0, 318.0, 558.0, 318.0), (54.0, 120.0, 558.0, 120.0)], ids=["below", "above"]
)
def test_a_rule_across_the_page_is_no_part_of_a_figure(page: Sides) -> None:
    """Journals part text from figures with lines."""
    assert iou(bbox(sheet_with().line(*page)), PLOT) > 0.95


def test_a_photograph_is_a_figure() -> None:
    """Pixels count as strokes do."""
    sheet = Sheet().photo(*PLOT)
    sheet.flow(BOTH, 320, "Figure 1. " + prose(30), 8)

    assert iou(bbox(sheet), PLOT) > 0.95


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_figure_on_a_turned_page_is_where_it_is_shown(rotation: int) -> None:
    """Boxes are those of the page as displayed."""
    sheet = sheet_with()
    sheet.rotation, sheet.crop = rotation, (20, 30)

    assert iou(bbox(sheet), PLOT) > 0.95


def test_a_scanned_page_has_its_figure_where_the_scan_has_it() -> None:
    """A page that is one picture, with text laid under it: the picture is the page, the row is not lost."""
    sheet = Sheet().photo(0, 0, *SIZE_PT)
    sheet.flow(BOTH, 350, "Figure 1. " + prose(30), 8)

    assert only_figure(read(bind(sheet))).figure_number == "1"


def test_a_line_of_mathematics_is_no_confident_figure() -> None:
    """Text that is set apart above a caption without a picture is at most a doubtful one."""
    sheet = Sheet()
    sheet.flow(LEFT, 80, prose(150))
    sheet.text(90, 300, "ab + cd = ef + gh - mn + pq", 11, "Times-Italic").text(280, 300, "(3)", 10)
    sheet.flow(LEFT, 330, "Figure 1. " + prose(30), 8)
    sheet.flow(RIGHT, 80, prose(300, 3))

    figure = only_figure(read(bind(sheet)))

    assert figure.rejection is not None
    assert figure.picture is None
