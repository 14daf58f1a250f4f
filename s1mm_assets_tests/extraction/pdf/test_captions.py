"""Where captions begin, how far they reach, and what they say."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.extraction.pdf.blocks import blocks_of, body_size
from s1mm_assets.extraction.pdf.captions import (
    Caption,
    PageText,
    anchor_in,
    find_captions,
    joined_lines,
    words_in,
)
from s1mm_assets.extraction.pdf.layout import BBox, LayoutBox
from s1mm_assets.extraction.pdf.lines import TextLine
from s1mm_assets_tests.extraction.pdf.reading import lines_by_page, lines_on
from s1mm_assets_tests.extraction.pdf.sheets import BOTH, LEFT, RIGHT, Runs, Sheet, bind, prose

PLAIN_LINE = lines_on(bind(Sheet().text(54, 100, "A line in one font")))[0]


def line(text: str, *, is_label_styled: bool = False) -> TextLine:
    """A line that says this, all in one font unless its label has its own."""
    font = PLAIN_LINE.font + is_label_styled
    return replace(PLAIN_LINE, text=text, start_font=font)


def found(*sheets: Sheet, layout: tuple[LayoutBox, ...] = ()) -> list[Caption]:
    """The captions of a document; `layout` is what a detector saw on its first page."""
    pages = lines_by_page(bind(*sheets))
    texts = [PageText(at, tuple(lines), () if at else layout) for at, lines in enumerate(pages)]
    words = Counter(word for lines in pages for each in lines for word in words_in(each.text))
    return find_captions(texts, body_size(pages), words)[0]


def labelled(label: str, words: str) -> Runs:
    """A label in bold and words."""
    return [("Helvetica-Bold", label + " "), ("Helvetica", words)]


def said(captions: list[Caption]) -> list[tuple[str, str]]:
    return [(caption.number, caption.text) for caption in captions]


@pytest.mark.parametrize(
    ("text", "kind", "number", "rest"),
    [
        ("Figure 1: Cells at rest.", "figure", "1", "Cells at rest."),
        ("Figure 1. Cells at rest.", "figure", "1", "Cells at rest."),
        ("Fig. 3 | Cells at rest.", "figure", "3", "Cells at rest."),
        ("Fig. 3| Cells at rest.", "figure", "3", "Cells at rest."),
        ("Fig 3. Cells at rest.", "figure", "3", "Cells at rest."),
        ("Fig. 12 Cells at rest.", "figure", "12", "Cells at rest."),
        ("FIG. 1. Cells at rest.", "figure", "1", "Cells at rest."),
        ("FIGURE 4 | CELLS AT REST", "figure", "4", "CELLS AT REST"),
        ("FIGURE 4 Cells", "figure", "4", "Cells"),
        ("Figure 1 Steps of the method", "figure", "1", "Steps of the method"),
        ("Figure 1 – Steps of the method", "figure", "1", "Steps of the method"),
        ("Figure 1—Steps of the method", "figure", "1", "Steps of the method"),
        ("Figure 1 - Steps of the method", "figure", "1", "Steps of the method"),
        ("Figure 1 (a) Steps of the method", "figure", "1", "(a) Steps of the method"),
        ("Figure 1. (A) Steps of the method", "figure", "1", "(A) Steps of the method"),
        ("Figure 1: α-helices", "figure", "1", "α-helices"),
        ("Figure 1: 3D view", "figure", "1", "3D view"),
        ("Figure S2: Cells at rest.", "figure", "S2", "Cells at rest."),
        ("Figure S 2: Cells at rest.", "figure", "S2", "Cells at rest."),
        ("Fig. A.3: Cells at rest.", "figure", "A.3", "Cells at rest."),
        ("Fig. 2.13: Cells at rest.", "figure", "2.13", "Cells at rest."),
        ("Figure 2-13. Cells at rest.", "figure", "2-13", "Cells at rest."),
        ("Figure IV. Cells at rest.", "figure", "IV", "Cells at rest."),
        ("Scheme 1. Synthesis of the acid.", "scheme", "1", "Synthesis of the acid."),
        ("Chart 2. Acids.", "chart", "2", "Acids."),
        ("Plate 3: Leaves.", "plate", "3", "Leaves."),
        ("Extended Data Fig. 4 | Cells.", "figure", "Extended Data 4", "Cells."),
        ("Extended Data Figure 4. Cells.", "figure", "Extended Data 4", "Cells."),
        ("Supplementary Figure 7. Cells.", "figure", "S7", "Cells."),
        ("Supplementary Fig. S7: Cells.", "figure", "S7", "Cells."),
        ("Expanded View Figure 2. Cells.", "figure", "EV2", "Cells."),
        ("Figure EV2. Cells.", "figure", "EV2", "Cells."),
        ("Figure 1—figure supplement 2. Cells.", "figure", "1—figure supplement 2", "Cells."),
        ("Figure 1:", "figure", "1", ""),
        ("Figure 1", "figure", "1", ""),
        ("Fig. 1.", "figure", "1", ""),
        ("Fig. S3", "figure", "S3", ""),
    ],
)
def test_labels_that_begin_captions(text: str, kind: str, number: str, rest: str) -> None:
    """The label is told from the words; its number is as printed, with what stands before "Figure"."""
    anchor = anchor_in(line(text), 3)

    assert anchor is not None
    assert (anchor.page, anchor.kind, anchor.number, anchor.rest) == (3, kind, number, rest)


@pytest.mark.parametrize(
    "text",
    [
        "Figure 3 shows that cells rest.",
        "Figure 3 and Figure 4 agree.",
        "Figure 2B suggests that cells rest.",
        "Figure 2B). We then asked",
        "Fig. 3d). We then asked",
        "Fig. 3a, b). We then asked",
        "Fig. 3, which shows cells,",
        "Fig. 3; see also",
        "Figures 5 and 6 show",
        "Figs. 5 and 6 show",
        "(Fig. 2)",
        "(Figure 2). Cells rest.",
        "In Figure 2, cells rest.",
        "Figure 3’s legend says",
        "Figure legends",
        "Figures",
        "Figure",
        "Figure captions: 3",
        "Figurative 3: speech",
        "Figure 3.2.",  # an unfinished number; the words are missing, and so is the sense
        "Configuration 3: cells",
        "Table 1: Cells.",
        "Charts 3: Cells",
        "Scheme of things",
        "Fig leaves 3: cells",
        "1. Figure 3",
        "",
    ],
)
def test_sentences_that_speak_of_figures_are_no_captions(text: str) -> None:
    """A label is followed by a mark or by the start of a sentence, and stands first."""
    anchor = anchor_in(line(text), 0)

    assert anchor is None or not anchor.rest


@pytest.mark.parametrize(
    ("text", "number"),
    [("Figure 2A | Cells.", "2"), ("Figure 2a | Cells.", "2")],
)
def test_a_label_with_a_panel_counts_with_a_bar(text: str, number: str) -> None:
    """Nobody ends a reference with a bar."""
    anchor = anchor_in(line(text), 0)

    assert anchor is not None
    assert anchor.number == number


def test_a_label_with_a_panel_counts_in_its_own_font() -> None:
    """ "Figure 2A." in bold begins a caption; in the text's own font it ends a sentence."""
    assert anchor_in(line("Figure 2A. Cells at rest.", is_label_styled=True), 0) is not None
    assert anchor_in(line("Figure 2A. Cells at rest."), 0) is None


@given(st.text(max_size=60) | st.text("Fig.ure S0123—–-|:() \nIVX²³①", max_size=40).map("Figure ".__add__))
def test_any_line_is_read(text: str) -> None:
    """There is a label or none, and a label has a number."""
    anchor = anchor_in(line(text), 0)

    assert anchor is None or anchor.number


def test_a_reference_at_the_start_of_a_line_is_none() -> None:
    """ "… in / Figure 1. Cells …" within a paragraph does not begin a caption."""
    sheet = Sheet()
    sheet.flow(LEFT, 100, prose(60))
    for row, text in enumerate(
        ["the cells were at rest as can be seen in", "Figure 1. The light was off", "then."]
    ):
        sheet.text(LEFT[0], 300 + 12 * row, text)

    assert found(sheet) == []


@pytest.mark.parametrize("size", [8, 10])
def test_a_caption_is_all_of_its_lines(size: float) -> None:
    """A caption in a size of its own, or in the text's, reaches to the gap below it."""
    sheet = Sheet()
    after = sheet.flow(LEFT, 100, labelled("Figure 1:", prose(60)), size)
    sheet.flow(LEFT, after + 20, prose(150))

    (caption,) = found(sheet)

    assert caption.text == prose(60)
    assert caption.anchor.is_styled
    (box,) = caption.boxes_on(0)
    assert box.y1 == pytest.approx(after - size, abs=3)


def test_a_caption_ends_where_the_size_changes() -> None:
    """Running text that follows without a gap is no part of it."""
    sheet = Sheet()
    after = sheet.flow(LEFT, 100, "Figure 1. " + prose(30), 8)
    sheet.flow(LEFT, after + 1, prose(150), 10)

    assert said(found(sheet)) == [("1", prose(30))]


def test_a_caption_ends_where_the_next_begins() -> None:
    """Legends in a list, line after line without a gap, are apart."""
    sheet, y = Sheet(), 100.0
    for number in range(1, 5):
        y = sheet.flow(BOTH, y, labelled(f"Figure {number}.", prose(40, number)))

    assert said(found(sheet)) == [(str(number), prose(40, number)) for number in range(1, 5)]


def test_a_caption_of_two_paragraphs_is_whole() -> None:
    """A title and, after a small gap, what it means: in the caption's own size both belong to it."""
    sheet = Sheet()
    after = sheet.flow(LEFT, 100, [("Helvetica", "Figure 1. " + prose(20))], 8)
    sheet.flow(LEFT, after + 3, prose(40, 5), 8)
    sheet.flow(LEFT, 300, prose(150))

    assert said(found(sheet)) == [("1", f"{prose(20)} {prose(40, 5)}")]


@pytest.mark.parametrize("size", [8.0, 10.0])
def test_twin_columns_are_joined_in_order(size: float) -> None:
    """A caption that is set in two columns under a wide figure: the left half is read first.

    In the size of the running text only a detector can tell.
    """
    sheet = Sheet()
    sheet.flow(LEFT, 300, labelled("Fig. 1 |", prose(50)), size)
    sheet.flow(RIGHT, 300, prose(45, 7), size)
    sheet.flow(LEFT, 450, prose(150))
    sheet.flow(RIGHT, 450, prose(150))
    seen = LayoutBox(BBox(50, 285, 562, 400), "figure_caption", 0.9)

    assert said(found(sheet, layout=(seen,))) == [("1", f"{prose(50)} {prose(45, 7)}")]
    assert said(found(sheet)) == [("1", f"{prose(50)} {prose(45, 7)}" if size < 10 else prose(50))]


def test_captions_side_by_side_are_two() -> None:
    """Each in its own column, though they stand level and in one style."""
    sheet = Sheet()
    sheet.flow(LEFT, 300, "Fig. 1. " + prose(40), 8)
    sheet.flow(RIGHT, 300, "Fig. 2. " + prose(45, 7), 8)

    assert said(found(sheet)) == [("1", prose(40)), ("2", prose(45, 7))]


def test_a_caption_beside_its_figure_is_whole() -> None:
    """A narrow column of short lines is one caption."""
    sheet = Sheet().plot(54, 100, 380, 300)
    sheet.flow((400, 558), 110, "Figure 1. " + prose(60), 8)
    sheet.flow(BOTH, 330, prose(150))

    assert said(found(sheet)) == [("1", prose(60))]


def test_a_caption_goes_on_under_the_next_page_s_figure() -> None:
    """What stands under "Figure 1 continued" belongs to the caption, without these words."""
    first, second = Sheet(), Sheet()
    first.flow(BOTH, 600, "Figure 1. " + prose(40), 8)
    second.text(BOTH[0], 600, "Figure 1 (continued).", 8)
    second.flow(BOTH, 609.6, prose(30, 9), 8)
    for sheet in (first, second):
        sheet.flow(BOTH, 60, prose(120))

    (caption,) = found(first, second)

    assert caption.text == f"{prose(40)} {prose(30, 9)}"
    assert [page for page, _ in caption.blocks] == [0, 1]


def test_a_note_that_a_figure_is_continued_is_no_caption() -> None:
    """ "Figure 1 continued on next page" ends a caption, and begins none."""
    sheet = Sheet()
    after = sheet.flow(BOTH, 600, "Figure 1. " + prose(40), 8)
    sheet.text(BOTH[0], after, "Figure 1 continued on next page", 8)
    sheet.flow(BOTH, 60, prose(120))

    assert said(found(sheet)) == [("1", prose(40))]


def test_a_list_of_supplements_is_no_part_of_a_caption() -> None:
    """What an online article lists below a figure is cut off."""
    sheet = Sheet()
    after = sheet.flow(BOTH, 600, "Figure 1. " + prose(40), 8)
    after = sheet.flow(
        BOTH, after, "The online version of this article includes the following for figure 1:", 8
    )
    sheet.flow(BOTH, after, "Figure supplement 1. Other cells.", 8)
    sheet.flow(BOTH, 60, prose(120))

    assert said(found(sheet)) == [("1", prose(40))]


def test_a_label_alone_is_a_tag() -> None:
    """A page that is all figure says "Fig. 3" and nothing else."""
    (caption,) = found(Sheet().plot(54, 100, 558, 600).text(54, 60, "Fig. 3"))

    assert (caption.number, caption.text, caption.is_tag) == ("3", "", True)


def test_the_text_after_a_label_on_a_line_of_its_own_is_the_caption() -> None:
    """Many manuscripts set the label above the words."""
    sheet = Sheet().text(54, 600, "Figure 3", 8)
    sheet.flow(BOTH, 609.6, prose(40), 8)
    sheet.flow(BOTH, 60, prose(120))

    assert said(found(sheet)) == [("3", prose(40))]


def test_of_two_texts_for_one_number_the_usual_style_counts() -> None:
    """A sentence that looks like a caption loses against one that is set as the others are."""
    sheet = Sheet()
    sheet.flow(BOTH, 60, prose(120))
    sheet.flow(BOTH, 200, "Figure 1 Cells at rest are what this paragraph begins with. " + prose(30))
    for number in (1, 2, 3):
        sheet.flow(BOTH, 200 + 100 * number, f"Figure {number}: " + prose(30, number), 8)

    assert said(found(sheet)) == [(str(number), prose(30, number)) for number in (1, 2, 3)]


def test_legends_and_figures_may_both_have_the_words() -> None:
    """A list of legends that repeats what stands under the figures gives both; which counts is seen later."""
    legends, figures = Sheet(), Sheet()
    legends.flow(BOTH, 60, prose(120))
    for number in (1, 2):
        legends.flow(BOTH, 200 + 100 * number, f"Figure {number}: " + prose(30, number))
        figures.flow(BOTH, 300 * number, f"Figure {number}: " + prose(30, number))

    captions = found(legends, figures)

    assert [(each.page, each.number) for each in captions] == [(0, "1"), (0, "2"), (1, "1"), (1, "2")]


def test_words_are_mended_as_the_document_writes_them() -> None:
    """A hyphen at a line's end goes, unless the paper writes the word with it."""
    vocabulary = Counter({"well-known": 3, "cytoplasm": 2})
    lines = [
        line(text) for text in ("The well-", "known cyto-", "plasm of Wnt-", "Notch and un-", "seen cells")
    ]

    assert joined_lines(lines, vocabulary) == "The well-known cytoplasm of Wnt-Notch and unseen cells"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("from 3-", "5 cells"), "from 3- 5 cells"),
        (("light –", "dark"), "light – dark"),
        (("light -", "dark"), "light - dark"),
        (("state-of-the-", "art"), "state-of-theart"),
        (("one", "two"), "one two"),
        ((), ""),
    ],
)
def test_lines_are_joined_with_a_blank(parts: tuple[str, ...], text: str) -> None:
    """Only a hyphen between letters is mended."""
    assert joined_lines([line(part) for part in parts], Counter()) == text


def test_a_caption_is_mended_too() -> None:
    """The words of the whole document decide."""
    sheet = Sheet()
    sheet.text(54, 60, "The cytoplasm is well-known to everybody who has looked at a well-known cell.")
    sheet.text(54, 600, "Figure 1. Cells whose cyto-", 8).text(54, 609.6, "plasm is not well-", 8)
    sheet.text(54, 619.2, "known.", 8)

    assert said(found(sheet)) == [("1", "Cells whose cytoplasm is not well-known.")]


def test_blocks_are_paragraphs_in_one_column() -> None:
    """Lines at one distance in one size; columns, gaps and sizes part them."""
    sheet = Sheet()
    sheet.text(54, 60, "A heading", 14)
    sheet.flow(LEFT, 80, prose(40))
    sheet.flow(LEFT, 220, prose(30, 3))
    sheet.flow(RIGHT, 80, prose(40, 6), 8)

    blocks = blocks_of(lines_on(bind(sheet)))

    assert [" ".join(each.text for each in block.lines) for block in blocks] == [
        "A heading",
        prose(40),
        prose(30, 3),
        prose(40, 6),
    ]
