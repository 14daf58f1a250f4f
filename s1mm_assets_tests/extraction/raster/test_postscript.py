"""Where EPS and PostScript drawings lie on their page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.extraction.raster import Box, Picture, RasterSettings, Refused
from s1mm_assets.extraction.raster.postscript import bounding_box, without_preview
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.raster.drawings import (
    ToldRenderers,
    draw,
    eps,
    opened,
    refusal,
    with_dos_header,
)


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        (b"%%BoundingBox: 10 20 110 70\n", Box(10, 20, 110, 70)),
        (b"%%BoundingBox:10 20 110 70\r", Box(10, 20, 110, 70)),
        (b"%%BoundingBox: -5.5 -1e1 5 5\n", Box(-5.5, -10, 5, 5)),
        (b"%%BoundingBox: 0 0 10 10 10 10\n", Box(0, 0, 10, 10)),
        (b"%%BoundingBox: 0 0 10 10\n%%HiResBoundingBox: 0.5 0.5 9.5 9.5\n", Box(0.5, 0.5, 9.5, 9.5)),
        (b"%%BoundingBox: 0 0 100 100\n%%HiResBoundingBox: 0 0 1 1\n", Box(0, 0, 100, 100)),
        (b"%%BoundingBox: (atend)\n%%EndComments\n%%Trailer\n%%BoundingBox: 1 2 3 4\n%%EOF", Box(1, 2, 3, 4)),
        (b"%%EndComments\n%%BeginDocument: inner\n%%BoundingBox: 1 2 3 4\n%%EndDocument", Box(1, 2, 3, 4)),
        (b"%%BoundingBox: 5 5 9 9\n%%BeginDocument: inner\n%%BoundingBox: 1 2 3 4\n", Box(5, 5, 9, 9)),
        (b"%%BoundingBox: (atend)\n", None),
        (b"%%BoundingBox: 0 0 0 0\n", None),
        (b"%%BoundingBox: 100 100 0 0\n", None),
        (b"%%BoundingBox: 0 0 1e30 1e30\n", None),
        (b"%%BoundingBox: 0 0 nan inf\n", None),
        (b"%%BoundingBox: 0 0 10\n", None),
        (b"%%BoundingBox: zero zero one one\n", None),
        (b"say %%BoundingBox: 0 0 10 10\n", None),
        (b"", None),
    ],
)
def test_the_bounding_box_is_read(comments: bytes, expected: Box | None) -> None:
    """Boxes of every spelling are found; impossible ones count as absent."""
    assert bounding_box(b"%!PS-Adobe-3.0 EPSF-3.0\n" + comments) == expected


@given(st.binary(max_size=200))
def test_any_comment_may_follow(text: bytes) -> None:
    """Reading a box never raises, and a box that is found encloses something."""
    box = bounding_box(b"%!\n%%BoundingBox: " + text)

    assert box is None or (box.width_pt > 0 and box.height_pt > 0)


def test_the_drawing_is_asked_for_in_its_box() -> None:
    """Box, size in pixels and resolution agree."""
    told = ToldRenderers()

    picture = draw(eps(b"", box=b"10 20 442 308"), renderers=told)

    [(what, _, box, size_px, dpi)] = told.asked
    assert (what, box, size_px, dpi) == ("postscript", Box(10, 20, 442, 308), (1800, 1200), 300.0)
    assert isinstance(picture, Picture)
    assert (picture.renderer, picture.image_format) == ("ghostscript", "png")
    assert opened(picture).size == size_px


@pytest.mark.parametrize("box", [None, b"(atend)", b"0 0 0 0", b"-9e99 0 9e99 1"])
def test_without_a_usable_box_the_ink_counts(box: bytes | None) -> None:
    """The box around what is drawn takes its place."""
    told = ToldRenderers()

    picture = draw(eps(b"", box=box), renderers=told)

    assert [asked[0] for asked in told.asked] == ["postscript_ink", "postscript"]
    assert told.asked[1][2] == told.ink
    assert isinstance(picture, Picture)


def test_a_drawing_without_ink_is_unreadable() -> None:
    """Neither a box nor anything drawn: nothing to show."""
    told = ToldRenderers(ink=Box(-7200, -7200, -7200, -7200))

    assert refusal(draw(eps(b"", box=None), renderers=told)) is Rejection.IMAGE_UNREADABLE


@pytest.mark.parametrize("box", [b"0 0 14400 14400", b"0 0 14400 0.001", b"-14400 -14400 14400 14400"])
def test_a_huge_box_lowers_the_resolution(box: bytes) -> None:
    """No box makes a picture larger than the limit, or one without pixels."""
    told = ToldRenderers()
    draw(eps(b"", box=box), renderers=told, settings=RasterSettings(max_side_px=500))

    [(_, _, _, size_px, dpi)] = told.asked
    assert all(1 <= side <= 500 for side in size_px)
    assert dpi <= 2.5


def test_a_dos_header_is_taken_off() -> None:
    """The renderer gets the code alone; the preview picture in it is not used."""
    code = eps(b"1 1 moveto")
    told = ToldRenderers()

    draw(with_dos_header(code), renderers=told)

    assert told.asked[0][1] == code


@pytest.mark.parametrize(
    "data",
    [
        b"\xc5\xd0\xd3\xc6",
        b"\xc5\xd0\xd3\xc6" + b"\xff" * 26,
        with_dos_header(eps(b""))[:20],
    ],
)
def test_a_wrong_dos_header_never_raises(data: bytes) -> None:
    """Offsets that point nowhere give what there is."""
    assert isinstance(without_preview(data), bytes)
    assert isinstance(draw(data), Picture | Refused)


def test_a_dos_header_with_a_wrong_offset_still_finds_the_code() -> None:
    """Some programs wrote the header wrong, and the code right."""
    code = eps(b"")
    wrong = b"\xc5\xd0\xd3\xc6" + b"\x05\0\0\0" + bytes(22) + code

    assert without_preview(wrong) == code


@pytest.mark.parametrize("rejection", [Rejection.TIMED_OUT, Rejection.RENDERER_MISSING])
def test_a_refusal_passes_through(rejection: Rejection) -> None:
    """What the renderer says is what is recorded."""
    told = ToldRenderers(refusal=Refused(rejection, "ghostscript is not installed"))

    assert draw(eps(b""), renderers=told) == told.refusal


@pytest.mark.parametrize("drawing", [b"P6\n9 9\n255\n", b"P6\n99999 99999\n255\n", b"GIF89a", b"P6 x"])
def test_a_picture_that_is_none_is_refused(drawing: bytes) -> None:
    """What a child process answers is not trusted either."""
    assert isinstance(draw(eps(b""), renderers=ToldRenderers(drawing=drawing)), Refused)
