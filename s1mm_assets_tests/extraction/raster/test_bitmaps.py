"""Images that are pixels already."""

import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from s1mm_assets.extraction.raster import Picture, RasterSettings
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.raster.drawings import draw, image_file, opened, pixel, refusal

RGB_PNG = image_file("PNG")
JPEG = image_file("JPEG", quality=80)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, *, depth: int = 8) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))


@pytest.mark.parametrize(
    "data",
    [
        RGB_PNG,
        JPEG,
        *(image_file("PNG", mode) for mode in ("1", "L", "P")),
        image_file("JPEG", "L"),
        image_file("JPEG", progressive=True),
    ],
)
def test_a_sound_png_or_jpeg_passes_byte_for_byte(data: bytes) -> None:
    """What every reader can open is released as the authors made it."""
    picture = draw(data)

    assert isinstance(picture, Picture)
    assert (picture.image, picture.renderer) == (data, "none")
    opened(picture)


def test_opaque_alpha_passes() -> None:
    """An alpha channel that hides nothing is no reason to touch the bytes."""
    out = BytesIO()
    Image.new("RGBA", (20, 20), (10, 20, 30, 255)).save(out, "PNG")

    picture = draw(out.getvalue())

    assert isinstance(picture, Picture)
    assert picture.image == out.getvalue()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(mode: str) -> None:
    """Readers disagree about what lies behind transparent pixels; paper is white."""
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    out = BytesIO()
    image.convert(mode).save(out, "PNG", **({"transparency": 0} if mode == "P" else {}))

    picture = draw(out.getvalue())

    assert isinstance(picture, Picture)
    assert picture.renderer == "pillow"
    assert opened(picture).convert("RGB").getpixel((5, 5)) == (255, 255, 255)


def test_half_transparent_black_is_grey() -> None:
    """Partial transparency mixes with the white behind."""
    out = BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 128)).save(out, "PNG")

    assert opened(draw(out.getvalue())).getpixel((0, 0)) == 127


def test_cmyk_becomes_rgb() -> None:
    """Browsers show CMYK JPEGs in wrong colours, or not at all."""
    out = BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(out, "JPEG")

    picture = draw(out.getvalue())

    image = opened(picture)
    assert (image.format, image.mode) == ("JPEG", "RGB")
    red, green, blue = pixel(image, (8, 8))
    assert red > 240
    assert green < 20
    assert blue < 20


def test_sixteen_bit_samples_lose_their_low_byte() -> None:
    """The scale is kept: 16-bit mid-grey is 8-bit mid-grey, however bright the rest of the image is."""
    out = BytesIO()
    Image.fromarray(np.full((4, 4), 0x80FF, dtype=np.uint16)).save(out, "PNG")

    picture = draw(out.getvalue())

    assert isinstance(picture, Picture)
    assert picture.renderer == "pillow"
    assert opened(picture).getpixel((0, 0)) == 0x80


def test_sixteen_bit_colour_png_is_encoded_anew() -> None:
    """Pillow shows such a file as ordinary RGB; its header tells."""
    rows = b"".join(b"\0" + b"\xff\xfe\x80\x00\x00\x01" * 2 for _ in range(2))
    header = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    picture = draw(header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

    assert isinstance(picture, Picture)
    assert picture.renderer == "pillow"
    assert opened(picture).getpixel((0, 0)) == (255, 128, 0)


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_floating_point_samples_are_stretched(fill: float) -> None:
    """They have no fixed range; what is not a number is black, and no reason to fail."""
    samples = np.linspace(-5, 5, 16, dtype=np.float32).reshape(4, 4)
    samples[0, 1] = fill
    out = BytesIO()
    Image.fromarray(samples).save(out, "TIFF")

    image = opened(draw(out.getvalue()))

    assert (image.getpixel((0, 0)), image.getpixel((1, 0)), image.getpixel((3, 3))) == (0, 0, 255)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("side_px", [2048, 20])
def test_exif_orientation_is_applied(image_format: str, orientation: int, side_px: int) -> None:
    """A photograph that says "turn me" is turned as Pillow would turn it, and says so no more."""
    image = Image.new("RGB", (80, 40), "white")
    image.paste("black", (0, 0, 40, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = BytesIO()
    image.save(out, image_format, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(BytesIO(out.getvalue())))

    picture = draw(out.getvalue(), settings=RasterSettings(max_side_px=side_px))

    drawn = opened(picture)
    assert drawn.getexif().get(0x0112, 1) == 1
    assert (drawn.width > drawn.height) == (expected.width > expected.height)
    for x, y in ((0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9)):
        there = pixel(expected, (int(x * expected.width), int(y * expected.height)))
        assert abs(pixel(drawn, (int(x * drawn.width), int(y * drawn.height)))[0] - there[0]) < 50


@pytest.mark.parametrize(("image_format", "expected"), [("PNG", "png"), ("JPEG", "jpeg"), ("GIF", "png")])
def test_larger_than_the_limit_is_made_smaller(image_format: str, expected: str) -> None:
    """The long side becomes the limit, the shape is kept, a JPEG stays one."""
    picture = draw(image_file(image_format, size=(600, 150)), settings=RasterSettings(max_side_px=200))

    assert isinstance(picture, Picture)
    assert (picture.width_px, picture.height_px, picture.image_format) == (200, 50, expected)
    assert picture.renderer == "pillow"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F"])
def test_images_of_every_mode_are_made_smaller(mode: str) -> None:
    """No kind of pixel stands in the way."""
    source = image_file("TIFF", mode, (600, 150)) if mode != "P" else image_file("PNG", mode, (600, 150))

    image = opened(draw(source, settings=RasterSettings(max_side_px=200)))

    assert image.size == (200, 50)
    assert image.mode in ("L", "RGB")


def test_a_transparent_colour_does_not_bleed_into_its_neighbours() -> None:
    """It is taken out before the image is made smaller."""
    image = Image.new("RGB", (400, 40), (255, 0, 0))
    image.paste("black", (0, 0, 200, 40))
    out = BytesIO()
    image.save(out, "PNG", transparency=(255, 0, 0))

    drawn = opened(draw(out.getvalue(), settings=RasterSettings(max_side_px=100)))

    assert drawn.mode == "L"  # no red is left
    assert (drawn.getpixel((10, 5)), drawn.getpixel((90, 5))) == (0, 255)


@pytest.mark.parametrize("image_format", ["GIF", "BMP", "TIFF"])
def test_other_formats_become_png(image_format: str) -> None:
    """GIF, BMP and TIFF are drawn again as PNG."""
    picture = draw(image_file(image_format))

    assert opened(picture).format == "PNG"
    assert isinstance(picture, Picture)
    assert picture.renderer == "pillow"


@pytest.mark.parametrize("image_format", ["GIF", "TIFF", "PNG"])
def test_the_first_frame_counts(image_format: str) -> None:
    """Animations and files of several pages give their first."""
    first, second = Image.new("RGB", (30, 30), "red"), Image.new("RGB", (30, 30), "blue")
    out = BytesIO()
    first.save(out, image_format, save_all=True, append_images=[second])

    picture = draw(out.getvalue())

    assert isinstance(picture, Picture)
    assert picture.renderer == "pillow"
    assert opened(picture).convert("RGB").getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("mode", "colour"), [("CMYK", (0, 255, 255, 0)), ("LAB", (136, 208, 195)), ("YCbCr", (76, 85, 255))]
)
@pytest.mark.parametrize("side_px", [2048, 8])
def test_tiff_in_other_colours_becomes_rgb(mode: str, colour: tuple[int, ...], side_px: int) -> None:
    """Inks, CIELAB and luminance with chrominance: red stays red."""
    out = BytesIO()
    Image.new(mode, (16, 16), colour).save(out, "TIFF")

    red, green, blue = pixel(
        opened(draw(out.getvalue(), settings=RasterSettings(max_side_px=side_px))), (3, 3)
    )

    assert red > 230
    assert max(green, blue) < 40


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_sixteen_bit_tiff_loses_its_low_byte(compression: str | None) -> None:
    """As microscopes write it, grey and in colour alike."""
    out = BytesIO()
    Image.fromarray(np.full((4, 4), 0x80FF, dtype=np.uint16)).save(out, "TIFF", compression=compression)

    assert opened(draw(out.getvalue())).getpixel((0, 0)) == 0x80


def test_a_transparent_gif_stands_on_white() -> None:
    """Also where it moves: its first frame."""
    frames = [Image.new("P", (20, 20), 0) for _ in range(2)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 255, 0, 0])
        frame.paste(1, (0, 0, 10, 10))
    frames[1].paste(1, (0, 0, 20, 20))
    out = BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], transparency=0, disposal=2)

    image = opened(draw(out.getvalue())).convert("RGB")

    assert (image.getpixel((3, 3)), image.getpixel((15, 15))) == ((255, 0, 0), (255, 255, 255))


def test_grey_pictures_are_stored_as_grey() -> None:
    """A drawing in black and white needs one channel; one coloured pixel brings back all three."""
    image = Image.new("RGB", (300, 300), "white")
    image.putpixel((7, 11), (40, 40, 40))
    grey, coloured = BytesIO(), BytesIO()
    image.save(grey, "BMP")
    image.putpixel((201, 203), (255, 0, 0))
    image.save(coloured, "BMP")

    assert opened(draw(grey.getvalue())).mode == "L"
    assert opened(draw(coloured.getvalue())).getpixel((201, 203)) == (255, 0, 0)


def test_nothing_of_the_source_but_its_pixels_is_kept() -> None:
    """Comments, resolution and colour profiles of the source do not reach the released PNG."""
    out = BytesIO()
    Image.new("RGB", (30, 30), "red").save(out, "TIFF", dpi=(300, 300), icc_profile=b"x" * 128)

    picture = draw(out.getvalue())

    assert isinstance(picture, Picture)
    kinds = {kind for kind in (b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"iCCP", b"tIME") if kind in picture.image}
    assert kinds == set()


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_a_truncated_image_is_unreadable(image_format: str) -> None:
    """Half an image is not released as a whole one with a grey lower half."""
    out = BytesIO()
    noise = np.random.default_rng(7).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, image_format)

    for share in (0.3, 0.6, 0.9):
        cut = out.getvalue()[: int(len(out.getvalue()) * share)]
        assert refusal(draw(cut)) is Rejection.IMAGE_UNREADABLE


def test_a_png_without_its_end_is_not_passed_on() -> None:
    """All pixels are there, so it is released, but as a file that every reader accepts."""
    picture = draw(RGB_PNG[:-12])

    assert isinstance(picture, Picture)
    assert picture.renderer == "pillow"
    assert picture.image.endswith(chunk(b"IEND", b""))


@pytest.mark.parametrize("data", [RGB_PNG + b"PK\3\4 hidden", JPEG + b"PK\3\4 hidden"])
def test_what_is_appended_to_an_image_is_not_released(data: bytes) -> None:
    """Bytes behind the end are not part of the picture."""
    picture = draw(data)

    assert isinstance(picture, Picture)
    assert b"hidden" not in picture.image


def test_a_wrong_checksum_is_not_passed_on() -> None:
    """Some readers refuse such a file."""
    damaged = bytearray(RGB_PNG)
    damaged[29] ^= 1  # the checksum of IHDR
    picture = draw(bytes(damaged))

    assert not isinstance(picture, Picture) or picture.renderer == "pillow"


@pytest.mark.parametrize(
    "data",
    [
        png_header(65_000, 65_000) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""),
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 100, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0),
        image_file("PNG", "1", (10_000, 9_001)),
    ],
    ids=["png", "gif", "bmp", "one over the limit"],
)
def test_a_decompression_bomb_is_too_large(data: bytes) -> None:
    """Few bytes that promise many pixels are refused before they are decoded."""
    assert refusal(draw(data)) is Rejection.IMAGE_TOO_LARGE


def test_a_text_bomb_does_not_unfold() -> None:
    """Compressed comments are not unpacked beyond a limit."""
    bomb = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(16 * 2**20)))
    data = RGB_PNG[:33] + bomb + RGB_PNG[33:]

    assert refusal(draw(data)) is Rejection.IMAGE_UNREADABLE


def test_a_file_over_the_limit_is_not_looked_at() -> None:
    """The limit on source bytes comes first, and is inclusive."""
    exact = RasterSettings(max_source_bytes=len(RGB_PNG))

    assert isinstance(draw(RGB_PNG, settings=exact), Picture)
    assert refusal(draw(RGB_PNG + b"\0", settings=exact)) is Rejection.IMAGE_TOO_LARGE


@given(
    source=st.sampled_from([RGB_PNG, JPEG, image_file("GIF"), image_file("BMP"), image_file("TIFF")]),
    at=st.floats(0, 1, exclude_max=True),
    put=st.binary(max_size=8),
    cut=st.integers(0, 8),
)
def test_damage_never_raises(source: bytes, at: float, put: bytes, cut: int) -> None:
    """Any damage gives a picture that opens, or a refusal that says the same on every run."""
    where = int(at * len(source))
    damaged = source[:where] + put + source[where + cut :]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        once, again = draw(damaged), draw(damaged)

    assert once == again
    if isinstance(once, Picture):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a JPEG may pass with EXIF data that Pillow complains of
            opened(once)
    else:
        assert " at 0x" not in once.evidence
