"""Lines of text, as a reader sees them."""

import pytest

from s1mm_assets.extraction.pdf.lines import Characters, lines_of
from s1mm_assets_tests.extraction.pdf.reading import lines_on
from s1mm_assets_tests.extraction.pdf.sheets import LEFT, RIGHT, Sheet, bind, prose, width_of


def texts(sheet: Sheet, **meanings: str) -> list[str]:
    return [line.text for line in lines_on(bind(sheet, meanings=meanings))]


def test_columns_are_separate_lines() -> None:
    """Text on one baseline in two columns is two lines, though it is written in one breath."""
    sheet = Sheet()
    for row in range(3):
        sheet.text(LEFT[0], 100 + 12 * row, f"Left column, row {row}")
        sheet.text(RIGHT[0], 100 + 12 * row, f"Right column, row {row}")

    assert texts(sheet) == [f"{side} column, row {row}" for row in range(3) for side in ("Left", "Right")]


def test_a_wide_gap_within_one_piece_of_text_parts_it() -> None:
    """A blank as wide as a gutter does not join columns; one as wide as a justified blank does."""
    narrow = Sheet().raw(b"4 Tw").text(60, 100, "one line").raw(b"0 Tw")
    wide = Sheet().raw(b"20 Tw").text(60, 100, "two lines").raw(b"0 Tw")

    assert texts(narrow) == ["one line"]
    assert texts(wide) == ["two", "lines"]


def test_a_paragraph_is_its_lines() -> None:
    """Flush setting stretches blanks, and no line breaks at them."""
    sheet = Sheet()
    after = sheet.flow(LEFT, 100, prose(60), 9)

    lines = lines_on(bind(sheet))

    assert " ".join(line.text for line in lines) == prose(60)
    assert [line.order for line in lines] == list(range(len(lines)))
    assert lines[-1].baseline == pytest.approx(after - 1.2 * 9, abs=0.3)
    assert all(line.bbox.x1 == pytest.approx(LEFT[1], abs=1) for line in lines[:-1])


def test_exponents_and_indices_join_their_line() -> None:
    """Raised and lowered pieces in a smaller size stay in the line, which has the size of the most."""
    sheet = Sheet().text(60, 100, "An area of 3 cm", 10)
    x = 60 + width_of("An area of 3 cm", 10)
    sheet.text(x, 96.5, "2", 7)
    sheet.text(x + width_of("2", 7), 100, " of H", 10)
    x += width_of("2", 7) + width_of(" of H", 10)
    sheet.text(x, 102, "2", 7)
    sheet.text(x + width_of("2", 7), 100, "O was used", 10)

    (line,) = lines_on(bind(sheet))

    assert line.text.replace(" ", "") == "Anareaof3cm2ofH2Owasused"
    assert line.size == pytest.approx(10)
    assert line.baseline == pytest.approx(100, abs=0.3)


@pytest.mark.parametrize(
    ("letter", "meaning", "plain"),
    [
        ("L", "\ufb01", "fi"),
        ("L", "\ufb03", "ffi"),
        ("L", "\ufb00", "ff"),
        ("L", "\ufb02", "fl"),
        ("L", "\ufb06", "st"),
        ("L", "²", "²"),
        ("L", "µ", "µ"),
        ("L", "Å", "Å"),
    ],
    ids=ascii,
)
def test_letters_are_as_they_are_typed(letter: str, meaning: str, plain: str) -> None:
    """Ligatures come apart and letters of formulas lose their font; other signs keep their meaning."""
    sheet = Sheet().text(60, 100, f"a{letter}b", font="Mapped")

    assert texts(sheet, **{letter: meaning, "a": "a", "b": "b"}) == [f"a{plain}b"]


@pytest.mark.parametrize(
    ("code", "plain"),
    [
        (0xFB01, "fi"),
        (0xFB04, "ffl"),
        (0x1D465, "x"),
        (0x1D6FC, "α"),
        (0x1D7D9, "1"),
        (0xB2, "²"),
        (0xB5, "µ"),
    ],
    ids=ascii,
)
def test_a_character_is_as_it_is_typed(code: int, plain: str) -> None:
    """Also where the PDF library hands on a ligature or a letter of a formula as it is."""
    (line,) = lines_of(Characters([code], [[5, 5, 15, 15]], [(10.0, 0)]))

    assert line.text == plain


def test_what_a_font_does_not_explain_is_marked() -> None:
    """A control in the place of a letter is the replacement character, not a control."""
    assert texts(Sheet().text(60, 100, "aXb", font="Mapped"), X="\x05", a="a", b="b") == ["a\ufffdb"]


def test_vertical_text_is_not_upright() -> None:
    """Text that reads upwards is one line of its own; what stands beside it is not touched."""
    sheet = Sheet().upwards(30, 500, "Downloaded on a Monday").text(60, 300, "The running text")

    stamp, text = lines_on(bind(sheet))

    assert (stamp.text, stamp.is_upright) == ("Downloaded on a Monday", False)
    assert (text.text, text.is_upright) == ("The running text", True)


def test_vertical_text_on_a_turned_page_is_upright() -> None:
    """What counts is how the page is displayed."""
    turned = Sheet(rotation=90).text(60, 100, "A wide table's heading")

    assert [line.is_upright for line in lines_on(bind(turned))] == [True]


def test_words_that_were_placed_one_by_one_are_one_line() -> None:
    """Writers that leave blanks out and place each word give the same text."""
    sheet, x = Sheet(), 60.0
    for word in ("every", "word", "was", "placed"):
        sheet.text(x, 100, word)
        x += width_of(word + " ", 10)

    assert texts(sheet) == ["every word was placed"]


def test_kerned_letters_are_one_word() -> None:
    """Small steps between letters are no blanks."""
    sheet = Sheet().raw(b"BT /F1 10 Tf 1 0 0 -1 60 100 Tm [(W) 60 (av) -20 (elength) -278 (in) ] TJ ET")

    assert texts(sheet) == ["Wavelength in"]


def test_a_line_says_how_it_begins_and_what_it_is_set_in() -> None:
    """The font of the first letter may be another than that of most letters."""
    bold = [("Helvetica-Bold", "Fig. 1 "), ("Helvetica", "Light and dark cells of the sample")]

    line, plain = lines_on(bind(Sheet().text(60, 100, bold).text(60, 130, "The running text")))

    assert line.text == "Fig. 1 Light and dark cells of the sample"
    assert line.start_font != line.font
    assert plain.start_font == plain.font == line.font


def test_a_hyphen_at_the_end_stays() -> None:
    """pdfium has another character for it than for one in the middle; here both are one."""
    sheet = Sheet().text(60, 100, "Cells in the cyto-").text(60, 112, "plasm of well-known size")

    first, last = lines_on(bind(sheet))

    assert (first.text, last.text) == ("Cells in the cyto-", "plasm of well-known size")


def test_no_characters_are_no_lines() -> None:
    """Blanks alone are nothing; neither are characters without width."""
    assert lines_of(Characters([], [], [])) == []
    assert lines_of(Characters([32, 10], [[0, 0, 0, 0]] * 2, [(10.0, 0)] * 2)) == []
    assert lines_of(Characters([65], [[5, 5, 5, 15]], [(10.0, 0)])) == []
