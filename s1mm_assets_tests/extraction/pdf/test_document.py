"""Pages in points as displayed, whatever the file's own coordinates are, and text layers that lie."""

import numpy as np
import pypdfium2 as pdfium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1mm_assets.extraction.pdf import document
from s1mm_assets.extraction.pdf.document import Frame, opened, pages_of
from s1mm_assets.extraction.pdf.layout import BBox
from s1mm_assets_tests.extraction.pdf.reading import extent, lines_on
from s1mm_assets_tests.extraction.pdf.sheets import RED, Sheet, bind

TURNS = (0, 90, 180, 270)
TURNED_AND_CROPPED = pytest.mark.parametrize(
    ("rotation", "crop"), [(turn, crop) for turn in TURNS for crop in ((0.0, 0.0), (30.0, 17.0))]
)


@TURNED_AND_CROPPED
def test_places_are_those_of_the_page_as_displayed(rotation: int, crop: tuple[float, float]) -> None:
    """Text at a place on the screen has that place, however the page is turned and cropped."""
    sheet = Sheet(500, 700, rotation, crop).text(60, 100, "Hn", 20).text(430, 650, "HnHn", 12)

    first, last = lines_on(bind(sheet))

    assert first.bbox == pytest.approx((61.6, 85.6, 84.3, 100), abs=0.4)
    assert last.bbox == pytest.approx((430.9, 641.4, 460.0, 650), abs=0.4)
    assert (first.size, last.size) == pytest.approx((20, 12))
    assert (first.baseline, last.baseline) == pytest.approx((100, 650), abs=0.2)


@TURNED_AND_CROPPED
def test_a_window_shows_what_stands_there(rotation: int, crop: tuple[float, float]) -> None:
    """A window of a page is the same pixels as that part of the whole page, and as large as it should be."""
    sheet = Sheet(500, 700, rotation, crop).box(300, 100, 340, 180, RED)

    with opened(bind(sheet)) as pdf:
        (page,) = pages_of(pdf)
        assert page.size_pt == pytest.approx((500, 700))
    with opened(bind(sheet)) as pdf:
        for page in pages_of(pdf):
            whole = np.asarray(page.draw(2, lambda: False))
            window = np.asarray(page.draw(2, lambda: False, BBox(290, 90, 360, 200)))

    assert whole.shape == (1400, 1000, 3)
    assert window.shape == (220, 140, 3)
    assert (whole[180:400, 580:720] == window).all()
    assert extent(window[:, :, 1] < 100) == (20, 179, 20, 99)


def test_a_detector_is_drawn_pages_at_its_own_resolution() -> None:
    """Dots per inch are dots per 72 points, in RGB on white."""
    with opened(bind(Sheet(144, 72).box(0, 0, 72, 72, RED))) as pdf:
        (drawn,) = [page.drawn_at(100) for page in pages_of(pdf)]

    assert drawn.shape == (100, 200, 3)
    assert tuple(drawn[50, 50]) == pytest.approx((204, 26, 26), abs=3)
    assert tuple(drawn[50, 150]) == (255, 255, 255)


def test_a_page_that_takes_too_long_is_not_drawn() -> None:
    """A stopwatch that is up ends the drawing; there is no half of a page."""
    sheet = Sheet()
    for index in range(2_000):
        sheet.line(0, 0, 600, index % 700)

    with opened(bind(sheet)) as pdf:
        drawn = [page.draw(1, lambda: True) for page in pages_of(pdf)]

    assert drawn == [None]


def test_pages_come_in_order() -> None:
    """Numbers are from 0; each page has its own size."""
    with opened(bind(Sheet(100, 200), Sheet(300, 400), Sheet(500, 600, 90))) as pdf:
        found = [(page.number, page.size_pt) for page in pages_of(pdf)]

    assert found == [(0, (100, 200)), (1, (300, 400)), (2, (500, 600))]


@settings(max_examples=50)
@given(
    st.sampled_from(TURNS),
    st.tuples(*[st.floats(-500, 500)] * 2),
    st.tuples(*[st.floats(10, 900)] * 2),
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=3),
)
def test_boxes_on_the_page_stay_on_it(
    rotation: int,
    corner: tuple[float, float],
    sides: tuple[float, float],
    shares: list[tuple[float, float, float, float]],
) -> None:
    """What lies on the page lies on the page as displayed, with its own size, sides in order."""
    frame = Frame(corner[0], corner[1], corner[0] + sides[0], corner[1] + sides[1], rotation)
    width, height = frame.size_pt
    own = np.array(
        [
            (
                corner[0] + sides[0] * min(a, b),
                corner[1] + sides[1] * min(c, d),
                corner[0] + sides[0] * max(a, b),
                corner[1] + sides[1] * max(c, d),
            )
            for a, b, c, d in shares
        ]
    )

    shown = frame.displayed(own)

    assert (shown[:, 0] <= shown[:, 2]).all()
    assert (shown[:, 1] <= shown[:, 3]).all()
    assert shown.min() >= -1e-6
    assert shown[:, 2].max() <= width + 1e-6
    assert shown[:, 3].max() <= height + 1e-6
    turned = shown[:, [2, 3]] - shown[:, [0, 1]]
    if rotation in (90, 270):
        turned = turned[:, ::-1]
    np.testing.assert_allclose(turned, own[:, [2, 3]] - own[:, [0, 1]], atol=1e-6)


@pytest.mark.parametrize(
    "meaning",
    ["\x00", "\x02", "\x07", "\ufffe", "\uffff", "\ufeff", "\u200b", "\u202e", "\ue000"],
    ids=ascii,
)
def test_a_damaged_text_layer_does_no_harm(meaning: str) -> None:
    """Fonts that map to nothing, to no character or to controls still give lines that can be written."""
    sheet = Sheet().text(60, 100, "XX XXXX", font="Mapped").text(60, 130, "Sound text")

    lines = lines_on(bind(sheet, meanings={"X": meaning}))

    assert lines[-1].text == "Sound text"
    for line in lines:
        line.text.encode()
        assert np.isfinite(line.bbox).all()


@pytest.mark.parametrize(
    "code",
    [
        b"BT /F1 0 Tf 50 600 Td (no size) Tj ET",
        b"BT /F1 1e9 Tf 50 600 Td (vast) Tj ET",
        b"BT /F1 -12 Tf 50 600 Td (mirrored) Tj ET",
        b"BT /F1 12 Tf 0 0 0 0 50 600 Tm (flat) Tj ET",
        b"BT /F1 12 Tf 1e30 0 0 1e30 1e30 1e30 Tm (far away) Tj ET",
        b"BT /F9 12 Tf 50 600 Td (no font) Tj ET",
        b"BT /F1 12 Tf 0 Tz 50 600 Td (no width) Tj ET",
        b"BT /F1 12 Tf 3 Tr 50 600 Td (unseen) Tj ET",
        b"BT /F1 12 Tf 50 600 Td (" + b"(" * 5_000,
    ],
    ids=lambda code: code[-20:].decode(),
)
def test_text_of_an_odd_shape_does_no_harm(code: bytes) -> None:
    """Sizes and matrices that no writer means are read all the same, with finite numbers."""
    lines = lines_on(bind(Sheet().text(60, 100, "Sound text").raw(code)))

    assert lines[0].text == "Sound text"
    assert all(np.isfinite((*line.bbox, line.size, line.baseline)).all() for line in lines)


def test_a_page_has_at_most_so_many_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is not read."""
    monkeypatch.setattr(document, "MAX_PAGE_CHARACTERS", 8)

    (line,) = lines_on(bind(Sheet().text(60, 100, "Twelve letters and more")))

    assert line.text == "Twelve l"


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"\0" * 100, b"PK\x03\x04"], ids=ascii)
def test_what_is_no_pdf_is_not_opened(data: bytes) -> None:
    """One error, whatever the bytes are."""
    with pytest.raises(pdfium.PdfiumError), opened(data):
        pass
