"""Title, abstract and DOI of papers whose source gives none."""

import pytest

from s1mm_assets.extraction.pdf.front_matter import abstract_in, doi_in, title_in
from s1mm_assets.extraction.pdf.layout import BBox, LayoutBox
from s1mm_assets.extraction.pdf.running_text import Paragraph
from s1mm_assets_tests.extraction.pdf.reading import Told, lines_by_page, lines_on, read
from s1mm_assets_tests.extraction.pdf.sheets import BOTH, LEFT, RIGHT, SIZE_PT, Sheet, bind, prose


def title(sheet: Sheet) -> str | None:
    return title_in(lines_on(bind(sheet)), SIZE_PT[1])


def doi(*sheets: Sheet) -> str | None:
    return doi_in(lines_by_page(bind(*sheets)))


def test_the_title_is_the_largest_text_in_the_upper_part() -> None:
    """Its lines are joined from top to bottom."""
    sheet = Sheet().text(54, 50, "Journal of Cells", 9).text(54, 122, "light of one colour", 18)
    sheet.text(54, 100, "The current through cells in", 18).text(54, 150, "A. Smith and B. Jones", 11)
    sheet.flow(BOTH, 200, prose(100))

    assert title(sheet) == "The current through cells in light of one colour"


@pytest.mark.parametrize("loud", ["Nature", "ARTICLE", "Research Article", "OPEN ACCESS", "Letter"])
def test_what_a_journal_prints_large_is_no_title(loud: str) -> None:
    """A journal's name or the kind of article, above the title and larger than it."""
    sheet = Sheet().text(54, 60, loud, 24).text(54, 100, "The current through cells in light", 18)
    sheet.flow(BOTH, 200, prose(100))

    assert title(sheet) == "The current through cells in light"


def test_a_page_without_a_title_has_none() -> None:
    """A scan has no text, and a cover with one word no title."""
    assert title(Sheet()) is None
    assert title(Sheet().text(54, 60, "Nature", 24)) is None
    assert title(Sheet().text(54, 700, "The current through cells in light", 18)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://doi.org/10.1038/s41467-024-46676-z", "10.1038/s41467-024-46676-z"),
        ("doi: 10.1101/2023.12.13.571462; this version", "10.1101/2023.12.13.571462"),
        ("(DOI 10.1000/cells.1).", "10.1000/cells.1"),
        ("DOI:10.1002/anie.201900001.", "10.1002/anie.201900001"),
        ("version 10.1 of the 10/12 programme", None),
    ],
)
def test_the_doi_is_read_without_what_stands_around_it(text: str, expected: str | None) -> None:
    """Full stops, brackets and semicolons end a sentence, not a DOI."""
    assert doi(Sheet().text(54, 40, text)) == expected


def test_a_doi_is_the_paper_s_own() -> None:
    """The first one counts; what stands in the references at the end does not."""
    first = Sheet().text(54, 40, "doi: 10.1000/own").text(54, 60, "doi: 10.1000/other")
    late = Sheet().text(54, 40, "doi: 10.1000/reference")

    assert doi(Sheet(), first, late) == "10.1000/own"
    assert doi(Sheet(), Sheet(), late) is None
    assert doi_in([]) is None


def test_the_abstract_stands_under_its_heading() -> None:
    """All of its paragraphs, and nothing of the next section."""
    found = [
        Paragraph("Authors.", None),
        Paragraph("First.", "Abstract"),
        Paragraph("Second.", "Abstract"),
        Paragraph("Other.", "1 Introduction"),
    ]

    assert abstract_in(found) == "First. Second."
    assert abstract_in([Paragraph("First.", "A B S T R A C T")]) == "First."
    assert abstract_in([Paragraph("First.", "Abstract reasoning")]) is None


@pytest.mark.parametrize("start", ["Abstract ", "ABSTRACT: ", "Abstract—", "Summary. "])
def test_the_abstract_may_begin_with_its_name(start: str) -> None:
    """A run-in heading is not part of it."""
    assert abstract_in([Paragraph(start + prose(60), None)]) == prose(60)


def test_a_sentence_about_an_abstract_is_none() -> None:
    """Short texts that begin with the word, and texts that do not begin with it."""
    assert abstract_in([Paragraph("Abstract and keywords follow.", None), Paragraph(prose(60), None)]) is None
    assert abstract_in([]) is None


def test_a_paper_s_front_matter_is_read() -> None:
    """Title, abstract and DOI of a whole paper."""
    sheet = Sheet().text(54, 40, "https://doi.org/10.1000/cells.7", 8)
    sheet.text(54, 80, "The current through cells in light", 18)
    sheet.text(54, 130, "Abstract", 12, "Helvetica-Bold")
    y = sheet.flow(BOTH, 150, prose(90))
    sheet.text(54, y + 20, "Introduction", 12, "Helvetica-Bold")
    sheet.flow(LEFT, y + 40, prose(200, 4))
    sheet.flow(RIGHT, y + 40, prose(200, 9))

    headings = [LayoutBox(BBox(50, at - 14, 140, at + 4), "title", 0.9) for at in (130, y + 20)]

    paper = read(bind(sheet), Told({0: headings}))

    assert (paper.doi, paper.title) == ("10.1000/cells.7", "The current through cells in light")
    assert paper.abstract == prose(90)
    assert paper.n_pages == 1
