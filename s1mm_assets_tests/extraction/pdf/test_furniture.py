"""What stands on pages without belonging to what they say."""

import pytest

from s1mm_assets.extraction.pdf.furniture import furniture
from s1mm_assets_tests.extraction.pdf.reading import lines_by_page
from s1mm_assets_tests.extraction.pdf.sheets import BOTH, SIZE_PT, Sheet, bind, prose


def aside(*sheets: Sheet) -> list[list[str]]:
    """The texts that are furniture, page by page."""
    pages = lines_by_page(bind(*sheets))
    found = furniture(pages, [SIZE_PT[1]] * len(sheets))
    return [
        [line.text for line in lines if line.order in out] for lines, out in zip(pages, found, strict=True)
    ]


def pages(n: int = 3) -> list[Sheet]:
    """Pages of running text."""
    sheets = [Sheet() for _ in range(n)]
    for index, sheet in enumerate(sheets):
        sheet.flow(BOTH, 150, prose(200, index))
    return sheets


def test_running_heads_are_furniture() -> None:
    """What stands at the top of pages on one spot, whatever number it holds."""
    sheets = pages()
    for index, sheet in enumerate(sheets):
        sheet.text(54, 40, f"Journal of Cells 12 ({index + 3}), 2019", 8)
        sheet.text(54, 770, "https://doi.org/10.1000/cells", 8)

    assert aside(*sheets) == [
        [f"Journal of Cells 12 ({index + 3}), 2019", "https://doi.org/10.1000/cells"] for index in range(3)
    ]


def test_heads_of_left_and_right_pages_are_furniture() -> None:
    """A head that every other page has is on enough of them."""
    sheets = pages(8)
    for index, sheet in enumerate(sheets):
        sheet.text(54, 40, ("Smith and Jones", "Cells at rest in light")[index % 2], 8)

    assert aside(*sheets) == [["Smith and Jones"], ["Cells at rest in light"]] * 4


def test_a_text_on_one_page_is_none() -> None:
    """A title at the top is no head, and neither is what stands in the middle of all pages."""
    sheets = pages()
    sheets[0].text(54, 60, "Cells at rest", 18)
    for sheet in sheets:
        sheet.text(54, 500, "A refrain in the middle")

    assert aside(*sheets) == [[], [], []]


def test_page_numbers_are_furniture() -> None:
    """A number that stands alone at the very top or bottom."""
    sheets = pages()
    sheets[0].text(300, 775, "17")
    sheets[1].text(300, 30, "18")
    sheets[2].text(300, 400, "19")

    assert aside(*sheets) == [["17"], ["18"], []]


@pytest.mark.parametrize(("x", "is_furniture"), [(32, True), (590, True), (300, False)])
def test_line_numbers_are_furniture_at_a_margin(x: float, *, is_furniture: bool) -> None:
    """Rising numbers left or right of the text; the same within it are an axis."""
    sheet = Sheet()
    sheet.flow(BOTH, 100, prose(100))
    for row in range(20):
        y = (100 if is_furniture else 400) + 12 * row
        sheet.text(x, y, f"{row + 341}", 6)

    assert aside(sheet) == [[f"{row + 341}" for row in range(20)] if is_furniture else []]


def test_an_axis_is_no_column_of_line_numbers() -> None:
    """Numbers that fall from top to bottom are an axis, even left of all text."""
    sheet = Sheet()
    sheet.flow(BOTH, 400, prose(100))
    for row in range(10):
        sheet.text(30, 100 + 20 * row, f"{100 - 10 * row}", 7)

    assert aside(sheet) == [[]]


def test_stamps_along_the_side_are_furniture() -> None:
    """A download note that reads upwards on all pages."""
    sheets = pages()
    for sheet in sheets:
        sheet.upwards(20, 600, "Downloaded from cells.example by guest on 3 May 2021", 7)

    assert aside(*sheets) == [["Downloaded from cells.example by guest on 3 May 2021"]] * 3


def test_letters_of_panels_are_no_furniture() -> None:
    """An "a" in the corner of every page that has a figure is part of the figure."""
    sheets = pages()
    for sheet in sheets:
        sheet.text(54, 50, "a", 12, "Helvetica-Bold").text(300, 50, "b", 12, "Helvetica-Bold")

    assert aside(*sheets) == [[], [], []]


def test_tags_of_figures_are_no_furniture() -> None:
    """ "Figure 3" in the corner of pages that are all figure names them."""
    sheets = [Sheet().plot(54, 100, 558, 700).text(54, 40, f"Figure {number}") for number in (1, 2, 3)]

    assert aside(*sheets) == [[], [], []]


def test_a_paper_without_text_has_none() -> None:
    """Scans have no lines."""
    assert aside(Sheet(), Sheet()) == [[], []]
    assert furniture([], []) == []
