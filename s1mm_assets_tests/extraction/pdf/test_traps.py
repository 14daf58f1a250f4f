"""Pages that were read wrongly once; each test is one that failed."""

import pytest

from s1mm_assets.extraction.pdf.captions import anchor_in
from s1mm_assets.extraction.pdf.running_text import cited, normal
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.pdf.reading import lines_on, only_figure, paired, read
from s1mm_assets_tests.extraction.pdf.sheets import BOTH, LEFT, RIGHT, Sheet, bind, prose
from s1mm_assets_tests.extraction.pdf.test_association import body, caption
from s1mm_assets_tests.extraction.pdf.test_captions import found, line, said
from s1mm_assets_tests.extraction.pdf.test_furniture import aside
from s1mm_assets_tests.extraction.pdf.test_paper import figure_sheet
from s1mm_assets_tests.extraction.pdf.test_running_text import paper_with_mentions


@pytest.mark.parametrize(
    ("meaning", "plain"),
    [("\U0001d465", "x"), ("\U0001d6fc", "α"), ("\U0001d7d9", "1")],
    ids=["x", "alpha", "1"],
)
def test_letters_of_formulas_are_plain(meaning: str, plain: str) -> None:
    """Pdfium hands on a character beyond U+FFFF as two UTF-16 halves; they are put together."""
    meanings = {"L": meaning, "a": "a", "b": "b"}
    lines = lines_on(bind(Sheet().text(60, 100, "aLb", font="Mapped"), meanings=meanings))

    assert [each.text for each in lines] == [f"a{plain}b"]


@pytest.mark.parametrize(
    "meaning",
    ["\ud800", "\udfff", "\U0010ffff", "\U0001f600"],  # noqa: PT014 - halves look alike to ruff
    ids=["high", "low", "last", "emoji"],
)
def test_any_text_can_be_written(meaning: str) -> None:
    """Half characters would fail in Parquet, and with them the shard."""
    for each in lines_on(bind(Sheet().text(60, 100, "XX XXXX", font="Mapped"), meanings={"X": meaning})):
        assert each.text.encode()


def test_captions_side_by_side_may_begin_at_different_heights() -> None:
    """What is level with a caption's first line is not its right half where it is another caption's."""
    sheet = Sheet()
    sheet.flow(LEFT, 309.6, "Fig. 1. " + prose(40), 8)
    sheet.flow(RIGHT, 300, "Fig. 2. " + prose(45, 7), 8)

    assert sorted(said(found(sheet))) == [("1", prose(40)), ("2", prose(45, 7))]


def test_words_after_continued_are_kept() -> None:
    """A caption may go on in the line that says so."""
    first, second = Sheet(), Sheet()
    first.flow(BOTH, 600, "Figure 1. " + prose(40), 8)
    second.flow(BOTH, 600, "Figure 1 (continued). " + prose(30, 9), 8)
    for sheet in (first, second):
        sheet.flow(BOTH, 60, prose(120))

    assert said(found(first, second)) == [("1", f"{prose(40)} {prose(30, 9)}")]


def test_sections_are_known_without_a_detector() -> None:
    """Headings that say what headings say need nobody to point at them."""
    first, _ = read(bind(paper_with_mentions())).figures

    assert first.mentions[0]["section"] == "Results"


def test_a_page_that_cannot_be_loaded_costs_itself_only() -> None:
    """The figures of the others are read."""
    data = bind(figure_sheet(1), Sheet()).replace(b"/Kids[10 0 R 12 0 R]", b"/Kids[10 0 R 99 0 R]")

    assert list(paired(read(data))) == ["1"]


@pytest.mark.parametrize("size", [9, 12, 18])
def test_a_letter_of_an_equation_is_no_figure(size: int) -> None:
    """The soft edges of letters are text too."""
    sheet = Sheet()
    body(sheet, y=80)
    sheet.text(200, 300, "E = m c + k T + a b + g h", size)
    caption(sheet, LEFT, 340, 1)
    body(sheet)

    assert only_figure(read(bind(sheet))).rejection is not None


def test_a_short_caption_at_the_margin_belongs_to_the_picture_above() -> None:
    """A picture in the middle of a page may have its caption flush left."""
    sheet = Sheet().plot(200, 80, 412, 200)
    sheet.text(54, 215, "Figure 1. Cells at rest.", 8)
    sheet.flow(BOTH, 300, prose(300))

    assert list(paired(read(bind(sheet)))) == ["1"]


@pytest.mark.parametrize("x", [29, 30, 31, 32])
def test_line_numbers_that_end_in_1_are_line_numbers(x: float) -> None:
    """A narrow digit moves the right edge of its number."""
    sheet = Sheet()
    sheet.flow(BOTH, 100, prose(100))
    for row in range(20):
        sheet.text(x, 100 + 12 * row, f"{row + 341}", 6)

    assert aside(sheet) == [[f"{row + 341}" for row in range(20)]]


@pytest.mark.parametrize(
    "text", ["Fig. A.3", "Figure 2-13", "Figure 1—figure supplement 2", "Fig. IV", "Figure B 2"]
)
def test_numbers_are_cited_as_captions_have_them(text: str) -> None:
    """However a caption writes its number, the text that writes it so cites it."""
    anchor = anchor_in(line(text + ". Cells at rest."), 0)

    assert anchor is not None
    assert ("figure", normal(anchor.number)) in cited(text)


@pytest.mark.parametrize("text", ["Appendix Figure 1: Cells.", "Additional Figure 1: Cells."])
def test_figures_of_an_appendix_are_not_those_of_the_paper(text: str) -> None:
    """What stands before "Figure" is part of the number."""
    anchor = anchor_in(line(text), 0)

    assert anchor is not None
    assert anchor.number != "1"


@pytest.mark.parametrize("text", ["Figure 2019 Cells", "Figure 1000. Cells", "Fig. 12345: Cells"])
def test_long_numbers_are_not_cut(text: str) -> None:
    """A year is no figure."""
    assert anchor_in(line(text), 0) is None


def test_legends_set_solid_in_one_font_are_apart() -> None:
    """A list of legends without space between them is as many captions."""
    sheet, y = Sheet(), 100.0
    for number in range(1, 5):
        y = sheet.flow(BOTH, y, f"Figure {number}. " + prose(40, number))

    assert said(found(sheet)) == [(str(number), prose(40, number)) for number in range(1, 5)]


def test_a_file_without_pages_is_not_taken_for_a_locked_one() -> None:
    """Pdfium finds nothing wrong with it, and leaves the error of the file before it standing."""
    read(bind(trailer=b"/Encrypt 99 0 R"))

    assert read(bind()).rejection is Rejection.CORRUPT


def test_a_label_beside_a_small_figure_belongs_to_it_without_a_detector() -> None:
    """The name of an axis may be a third of what is drawn."""
    sheet = Sheet().plot(250, 130, 330, 170).text(252, 186, "Current in nA", 11)
    sheet.flow(BOTH, 220, "Figure 1. " + prose(30), 8)
    sheet.flow(BOTH, 400, prose(200))
    box = only_figure(read(bind(sheet))).bbox

    assert box is not None
    assert box[3] > 185
