"""Pages of PDF files."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1mm_assets.extraction.raster import Picture, RasterSettings, Refused
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.raster.drawings import ToldRenderers, draw, opened, pdf, pixel, refusal

RED, WHITE = (255, 0, 0), (255, 255, 255)


def test_a_page_is_drawn_on_white() -> None:
    """The rectangle stands where PDF's coordinates say, the rest is white, in the expected resolution."""
    image = opened(draw(pdf()))

    assert image.size == (1024, 512)  # 200 points at 300 dpi would be 834 pixels: drawn finer
    assert image.getpixel((300, 250)) == RED
    assert image.getpixel((5, 5)) == WHITE


@pytest.mark.parametrize(
    ("media_box", "expected"),
    [
        (b"0 0 432 288", (1800, 1200)),  # 300 dpi
        (b"0 0 600 300", (2048, 1024)),  # the limit
        (b"0 0 14400 7200", (2048, 1024)),
        (b"0 0 14400 1", (2048, 1)),
        (b"0 0 24 24", (200, 200)),  # an icon, at most 600 dpi
    ],
)
def test_resolution_follows_size(media_box: bytes, expected: tuple[int, int]) -> None:
    """300 dpi, more for small figures, less where the long side would pass the limit."""
    assert opened(draw(pdf(media_box=media_box))).size == expected


def test_the_crop_box_is_what_is_seen() -> None:
    """What lies outside the crop box is not shown."""
    image = opened(draw(pdf(page=b"/CropBox[20 20 120 80]")))

    assert image.size == (834, 500)
    assert image.getpixel((0, 0)) == RED
    assert image.getpixel((833, 499)) == RED


def test_a_turned_page_is_turned() -> None:
    """/Rotate is applied, as every viewer does."""
    assert opened(draw(pdf(page=b"/Rotate 90"))).size == (512, 1024)


@pytest.mark.parametrize(("turn", "corner"), [(0, (0, 1)), (90, (0, 0)), (180, (1, 0)), (270, (1, 1))])
def test_a_crop_box_turns_with_its_page(turn: int, corner: tuple[int, int]) -> None:
    """Red is the lower left corner of what is left of the page; turned clockwise, the upper left one."""
    image = opened(draw(pdf(page=b"/CropBox[100 60 200 100]/Rotate %d" % turn)))

    assert (image.width > image.height) == (turn in (0, 180))
    corners = {
        (x, y): (9 + x * (image.width - 18), 9 + y * (image.height - 18)) for x in (0, 1) for y in (0, 1)
    }
    assert [where for where, at in corners.items() if pixel(image, at) == RED] == [corner]


@pytest.mark.parametrize("font", [b"Helvetica", b"Times-Roman", b"Symbol", b"NoSuchFont"])
def test_fonts_that_are_not_embedded_are_replaced(font: bytes) -> None:
    """Text is drawn, and whatever fonts are installed, from those that pdfium brings along."""
    resources = b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/" + font + b">>>>>>"

    image = opened(draw(pdf(b"BT /F 40 Tf 20 30 Td (abc) Tj ET", page=resources)))

    assert 1000 < image.convert("L").histogram()[0] < 100_000


def test_transparent_ink_mixes_with_white() -> None:
    """Alpha in a drawing is composed on paper, not on black."""
    translucent = b"/Resources<</ExtGState<</G<</ca 0.5>>>>>>"

    image = opened(draw(pdf(b"/G gs 1 0 0 rg 0 0 200 100 re f", page=translucent)))

    red, green, blue = pixel(image, (9, 9))
    assert red == 255
    assert abs(green - 127) <= 2
    assert abs(blue - 127) <= 2


def test_cmyk_ink_becomes_rgb() -> None:
    """Magenta and yellow make red."""
    red, green, blue = pixel(opened(draw(pdf(b"0 1 1 0 k 0 0 200 100 re f"))), (9, 9))

    assert red > 200
    assert max(green, blue) < 80


def test_the_page_asked_for_is_drawn() -> None:
    """Pages count from 0; none given is the first; one that is not there is unreadable."""
    two_pages = pdf(kids=b"3 0 R 5 0 R")

    assert opened(draw(two_pages, page=1)).size == (1250, 1250)
    assert draw(two_pages, page=0) == draw(two_pages, page=None)
    told = ToldRenderers(refusal=Refused(Rejection.IMAGE_UNREADABLE, "poppler: cannot read it either"))
    for page in (2, -1, 2**31, 2**70):
        assert refusal(draw(two_pages, page=page, renderers=told)) is Rejection.IMAGE_UNREADABLE


def test_the_same_page_gives_the_same_bytes() -> None:
    """No clock, no identifier of this process is in the picture."""
    assert draw(pdf()) == draw(pdf())


def test_what_pdfium_draws_is_not_drawn_again() -> None:
    """The second renderer is for pages that the first refused."""
    told = ToldRenderers()

    picture = draw(pdf(), renderers=told)

    assert isinstance(picture, Picture)
    assert picture.renderer == "pdfium"
    assert told.asked == []


def test_what_pdfium_refuses_is_drawn_by_the_second_renderer() -> None:
    """The second try is asked for the long side, and brought to the size of the page."""
    told, damaged = ToldRenderers(), pdf(kids=b"9 0 R 3 0 R")

    picture = draw(damaged, renderers=told)

    assert told.asked == [("pdf_second_try", damaged, 0, 2048)]
    assert isinstance(picture, Picture)
    assert (picture.renderer, picture.width_px, picture.height_px) == ("poppler", 1024, 512)


@pytest.mark.parametrize("rejection", [Rejection.TIMED_OUT, Rejection.RENDERER_MISSING])
def test_a_failing_second_try_says_why(rejection: Rejection) -> None:
    """What the environment caused is not confused with a broken file."""
    told = ToldRenderers(refusal=Refused(rejection, "poppler is not installed"))

    assert draw(pdf(kids=b"9 0 R 3 0 R"), renderers=told) == told.refusal


def test_what_both_refuse_names_both() -> None:
    """The evidence has what each renderer said."""
    told = ToldRenderers(refusal=Refused(Rejection.IMAGE_UNREADABLE, "poppler: cannot read it either"))

    picture = draw(b"%PDF-1.4\nnothing", renderers=told)

    assert isinstance(picture, Refused)
    assert picture.rejection is Rejection.IMAGE_UNREADABLE
    assert "pdfium" in picture.evidence
    assert "poppler" in picture.evidence


def test_drawing_stops_when_time_is_up() -> None:
    """A page of many objects is left between two of them."""
    lines = b"".join(b"0 %d m 200 %d l S " % (y % 100, y % 97) for y in range(20_000))
    told = ToldRenderers(is_time_up=True)

    assert refusal(draw(pdf(lines), renderers=told)) is Rejection.TIMED_OUT
    assert told.asked == []  # a second try would take as long


def test_limits_hold_for_any_settings() -> None:
    """A smaller limit makes a smaller picture."""
    assert max(opened(draw(pdf(), settings=RasterSettings(max_side_px=100))).size) == 100


@settings(max_examples=60)
@given(at=st.floats(0, 1, exclude_max=True), put=st.binary(max_size=6), cut=st.integers(0, 30))
def test_damage_never_raises(at: float, put: bytes, cut: int) -> None:
    """Any damage to a PDF gives a picture or a refusal."""
    source = pdf()
    where = int(at * len(source))

    picture = draw(source[:where] + put + source[where + cut :])

    assert isinstance(picture, Picture | Refused)
