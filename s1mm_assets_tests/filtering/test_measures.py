"""What is seen in one image."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from s1mm_assets.decoding import MAX_PIXELS, open_rgb
from s1mm_assets.filtering import MeasureJob, measure
from s1mm_assets.filtering.measures import ink_share, n_colours
from s1mm_assets.tables import Measure
from s1mm_assets_tests.filtering import drawings
from s1mm_assets_tests.strategies import UNTIMED

PLOT = drawings.png(drawings.plot())


def seen(image: bytes | None) -> Measure:
    """The measure of these bytes."""
    return measure(MeasureJob("arxiv:p#1.1", image))


def test_a_plot_is_measured() -> None:
    """Every column is there."""
    found = seen(PLOT)

    assert found.rejection is None
    assert found.perceptual_hash is not None
    assert len(found.detail_hash or b"") == 128
    assert 0.01 < (found.ink_share or 0) < 0.1
    assert (found.n_colours or 0) > 1


@pytest.mark.parametrize("encode", [drawings.png, drawings.jpeg])
def test_blank_pages_have_no_ink(encode: Callable[[Image.Image], bytes]) -> None:
    """One colour all over has no ink, whichever colour it is, and one colour."""
    for colour in ("white", "black", "#336699"):
        found = seen(encode(Image.new("RGB", (300, 200), colour)))

        assert (found.ink_share, found.n_colours) == (0.0, 1)


def test_ink_is_what_differs_from_the_border() -> None:
    """A quarter of the page on any ground is a share of 0.25."""
    image = Image.new("RGB", (200, 200), "navy")
    image.paste("white", (50, 50, 150, 150))

    assert ink_share(image) == 0.25


def test_colours_are_counted_in_32_levels() -> None:
    """Neighbouring shades are one colour."""
    image = Image.new("RGB", (100, 100), (16, 16, 16))
    image.paste((23, 23, 23), (0, 0, 50, 50))
    image.paste((24, 16, 16), (50, 50, 100, 100))

    assert n_colours(image) == 2


def test_transparent_parts_are_white() -> None:
    """A transparent plot is a plot on white, not on black."""
    image = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (10, 10, 20, 20))

    assert open_rgb(drawings.png(image)).getpixel((50, 50)) == (255, 255, 255)


def test_sixteen_bit_greyscale_is_not_clipped() -> None:
    """The upper byte is what is seen."""
    values = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (64, 1))

    grey = np.asarray(open_rgb(drawings.png(Image.fromarray(values))))[0, :, 0]

    assert (grey[0], grey[128], grey[255]) == (0, 128, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_is_read(mode: str) -> None:
    """Palettes, bitmaps and print colours decode."""
    image = drawings.plot().convert(mode)
    stream = BytesIO()
    image.save(stream, "JPEG" if mode == "CMYK" else "PNG")

    assert seen(stream.getvalue()).rejection is None


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size and whose data are a few zeros."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(MAX_PIXELS + 1, 1), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_before_it_is_decoded(width: int, height: int) -> None:
    """A header that claims too many pixels is believed."""
    assert seen(png_of_size(width, height)).rejection == "image_too_large"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, "no image"),
        (b"", "neither PNG nor JPEG"),
        (b"%PDF-1.4", "neither PNG nor JPEG"),
        (b"GIF89a" + bytes(100), "neither PNG nor JPEG"),
        (PLOT[: len(PLOT) // 2], "truncated"),
        (png_of_size(500, 500), "truncated"),
    ],
)
def test_what_does_not_decode_says_why(image: bytes | None, words: str) -> None:
    """Damaged bytes are a row with a reason, in words that are the same on every run."""
    found = seen(image)

    assert found.rejection == "image_unreadable"
    assert words in (found.evidence or "")
    assert "0x" not in (found.evidence or "")
    assert found.perceptual_hash is found.ink_share is found.table_score is None


@UNTIMED
@given(st.data())
def test_damaged_images_give_a_row(data: st.DataObject) -> None:
    """Whatever is overwritten in a sound image, a row comes back."""
    image = bytearray(data.draw(st.sampled_from([SMALL_PNG, SMALL_JPEG])))
    for _ in range(data.draw(st.integers(1, 5))):
        image[data.draw(st.integers(0, len(image) - 1))] = data.draw(st.integers(0, 255))

    found = seen(bytes(image[: data.draw(st.integers(0, len(image)))]))

    assert (found.rejection is None) == (found.perceptual_hash is not None)


SMALL_PNG = drawings.png(drawings.plot().resize((90, 60)))
SMALL_JPEG = drawings.jpeg(drawings.plot().resize((90, 60)))
