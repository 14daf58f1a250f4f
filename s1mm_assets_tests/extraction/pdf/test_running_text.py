"""Which figures a text cites, and the paragraphs that do."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.extraction.pdf.blocks import blocks_of, body_size
from s1mm_assets.extraction.pdf.captions import words_in
from s1mm_assets.extraction.pdf.layout import BBox, LayoutBox
from s1mm_assets.extraction.pdf.running_text import Paragraph, cited, normal, paragraphs_of
from s1mm_assets_tests.extraction.pdf.reading import Told, lines_by_page, read
from s1mm_assets_tests.extraction.pdf.sheets import BOTH, LEFT, RIGHT, Sheet, bind, prose


def figures(*numbers: str) -> set[tuple[str, str]]:
    return {("figure", number) for number in numbers}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("as Figure 3 shows", ["3"]),
        ("as Fig. 3 shows", ["3"]),
        ("as fig 3 shows", ["3"]),
        ("as FIG. 3 shows", ["3"]),
        ("(Fig. 3)", ["3"]),
        ("(Fig.3)", ["3"]),
        ("(see Fig. 3b)", ["3"]),
        ("(Fig. 3 b)", ["3"]),
        ("(Fig. 3A–C)", ["3"]),
        ("(Fig. 3A-C)", ["3"]),
        ("(Fig. 3a, b)", ["3"]),
        ("(Fig. 3a,b and 4c)", ["3", "4"]),
        ("(Figs. 2, 3b and S5–S7)", ["2", "3", "S5", "S6", "S7"]),
        ("(Figs. 1-3)", ["1", "2", "3"]),
        ("(Figs. 1–3 and 5)", ["1", "2", "3", "5"]),
        ("Figures 1 to 3", ["1", "2", "3"]),
        ("Figures 1, 2, and 4", ["1", "2", "4"]),
        ("Figures 1; 4", ["1", "4"]),
        ("Figures 1 & 2", ["1", "2"]),
        ("Figure S2", ["S2"]),
        ("Supplementary Fig. 1", ["S1"]),
        ("Supplementary Figs. 1 and 2", ["S1", "S2"]),
        ("Supplementary Figure S1", ["S1"]),
        ("Suppl. Fig. 1", ["S1"]),
        ("Extended Data Fig. 2", ["Extended Data 2"]),
        ("Extended Data Figs. 2–4", ["Extended Data 2", "Extended Data 3", "Extended Data 4"]),
        ("Expanded View Figure 2", ["EV2"]),
        ("Fig. EV2", ["EV2"]),
        ("Fig. 2.13", ["2.13"]),
        ("Fig. A.3", ["A3"]),
        ("Fig. 9–2", ["9", "2"]),  # falls: no range
        ("Figs. 1–900", ["1", "900"]),  # too long to be one
        ("Fig. 3. We then", ["3"]),
        ("Fig. 1 and Fig. 2", ["1", "2"]),
        ("Figure 1 (left) and Figure 2 (right)", ["1", "2"]),
    ],
)
def test_figures_that_a_text_cites(text: str, numbers: list[str]) -> None:
    """Lists are taken apart, ranges are filled, panels are left out; a range may also be one number, "2-13"."""
    found = {(kind, number) for kind, number in cited(text) if not re.fullmatch(r"[A-Z]*\d+-\d+", number)}

    assert found == figures(*map(normal, numbers))


@pytest.mark.parametrize(
    "text",
    [
        "the figure",
        "figures of speech",
        "Table 3",
        "3 figures",
        "a fig tree",
        "prefigure 3",
        "Eq. 3",
        "Figure legends",
        "",
    ],
)
def test_texts_that_cite_no_figure(text: str) -> None:
    """A word without a number is no citation; neither is the number of something else."""
    assert cited(text) == set()


def test_schemes_are_cited_as_schemes() -> None:
    """Each kind has numbers of its own."""
    assert cited("Schemes 1 and 2, Chart 1 and Plate 4") == {
        ("scheme", "1"),
        ("scheme", "2"),
        ("chart", "1"),
        ("plate", "4"),
    }


@given(st.text("Figs. 123abS,–-—and &to;()", max_size=80) | st.text(max_size=80))
def test_any_text_is_read(text: str) -> None:
    """There is never an error, and a number is short."""
    assert all(len(number) < 25 for _, number in cited(text))


def paragraphs(*sheets: Sheet) -> list[Paragraph]:
    pages = lines_by_page(bind(*sheets))
    words = Counter(word for lines in pages for line in lines for word in words_in(line.text))
    return paragraphs_of([blocks_of(lines) for lines in pages], body_size(pages), words)


def cut(words: str, at: int) -> tuple[str, str]:
    """A text in two halves."""
    tokens = words.split()
    return " ".join(tokens[:at]), " ".join(tokens[at:])


def test_a_paragraph_goes_on_in_the_next_column_and_on_the_next_page() -> None:
    """A sentence that a column's end cut is one paragraph again."""
    whole = prose(200)
    start, rest = cut(whole, 60)
    middle, end = cut(rest, 70)
    first, second = Sheet(), Sheet()
    first.flow(LEFT, 600, start)
    first.flow(RIGHT, 60, middle)
    second.flow(LEFT, 60, end)

    assert [each.text for each in paragraphs(first, second)] == [whole]


def test_a_paragraph_that_has_ended_does_not_go_on() -> None:
    """A full stop at the column's end and a capital after it are two paragraphs."""
    sheet = Sheet()
    sheet.flow(LEFT, 600, prose(60))
    sheet.flow(RIGHT, 60, prose(70, 3))

    assert [each.text for each in paragraphs(sheet)] == [prose(60), prose(70, 3)]


def test_indents_and_gaps_part_paragraphs() -> None:
    """A first line that is set in begins one, and so does white space."""
    sheet = Sheet()
    y = sheet.flow(BOTH, 100, prose(60))
    y = sheet.flow(BOTH, y, prose(70, 4), indent=15)
    sheet.flow(BOTH, y + 12, prose(50, 8))

    assert [each.text for each in paragraphs(sheet)] == [prose(60), prose(70, 4), prose(50, 8)]


@pytest.mark.parametrize(
    ("heading", "size", "font"),
    [
        ("Materials and Methods", 10, "Helvetica"),
        ("Light on cells", 12, "Helvetica"),
        ("2.1 Light on cells", 10, "Helvetica-Bold"),
        ("RESULTS", 10, "Times-Roman"),
        ("References", 10, "Helvetica"),
    ],
)
def test_headings_begin_sections(heading: str, size: float, font: str) -> None:
    """By size, by font, or by name; the paragraphs below have them, those above do not."""
    sheet = Sheet()
    y = sheet.flow(BOTH, 100, prose(60))
    sheet.text(BOTH[0], y + 14, heading, size, font)
    sheet.flow(BOTH, y + 34, prose(90, 4))

    assert [(each.section, each.text) for each in paragraphs(sheet)] == [
        (None, prose(60)),
        (heading, prose(90, 4)),
    ]


@pytest.mark.parametrize("font", ["Helvetica", "Helvetica-Bold"])
@pytest.mark.parametrize("text", ["Light was turned off.", "and the light went off", "1,204", "Light on,"])
def test_short_lines_of_text_are_no_headings(text: str, font: str) -> None:
    """A sentence, the end of one and a number begin no section, bold or not."""
    sheet = Sheet()
    y = sheet.flow(BOTH, 100, prose(60))
    sheet.text(BOTH[0], y + 14, text, font=font)
    sheet.flow(BOTH, y + 40, prose(90, 4))

    assert {each.section for each in paragraphs(sheet)} == {None}


def paper_with_mentions() -> Sheet:
    """Two figures, a section that cites the first, and a caption that cites it too."""
    sheet = Sheet().plot(60, 80, 280, 200).plot(330, 80, 550, 200)
    for column, number, words in ((LEFT, 1, prose(20)), (RIGHT, 2, f"As in Fig. 1, but {prose(20, 3)}")):
        sheet.flow(column, 215, [("Helvetica-Bold", f"Figure {number}. "), ("Helvetica", words)], 8)
    sheet.text(LEFT[0], 330, "Results", 12, "Helvetica-Bold")
    sheet.flow(LEFT, 350, f"{prose(40)} The current rose (Fig. 1b). {prose(40)}")
    sheet.flow(RIGHT, 350, f"{prose(150)}")
    return sheet


def test_mentions_have_their_section() -> None:
    """The paragraph that cites a figure, whole, under the heading that it stands under."""
    heading = LayoutBox(BBox(50, 318, 110, 334), "title", 0.9)

    first, second = read(bind(paper_with_mentions()), Told({0: [heading]})).figures

    running, captions = first.mentions
    assert running == {
        "section": "Results",
        "text": f"{prose(40)} The current rose (Fig. 1b). {prose(40)}",
        "is_caption": False,
    }
    assert captions["is_caption"] is True
    assert second.mentions == []


def test_another_caption_that_cites_a_figure_is_a_mention() -> None:
    """It says which figure is like which; a caption never cites itself."""
    first, _ = read(bind(paper_with_mentions())).figures

    assert first.mentions[-1] == {
        "section": None,
        "text": f"As in Fig. 1, but {prose(20, 3)}",
        "is_caption": True,
    }
