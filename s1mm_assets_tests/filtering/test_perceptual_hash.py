"""The DCT hashes."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from s1mm_assets.decoding import open_rgb
from s1mm_assets.filtering.perceptual_hash import detail_hash, perceptual_hash
from s1mm_assets_tests.filtering import drawings


def rectangles(seed: int) -> Image.Image:
    """Twelve grey rectangles."""
    random = np.random.default_rng(seed)
    image = Image.new("L", (300, 200), 255)
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, width, height = (int(value) for value in random.integers(0, 200, 4))
        pen.rectangle((x, y, x + width // 4, y + height // 4), fill=int(random.integers(0, 255)))
    return image


@pytest.mark.parametrize(
    ("seed", "expected"), [(0, 0xE5319265698FC6C6), (1, 0xB9C6CE312C8FF007), (2, 0xBCC66993CD38CF80)]
)
def test_the_hash_is_that_of_imagehash(seed: int, expected: int) -> None:
    """The values are what imagehash 4.3.2 prints for `phash` of these images."""
    assert perceptual_hash(rectangles(seed)) == expected


def test_a_symmetric_image_has_no_bits_of_noise() -> None:
    """Frequencies that are exactly zero are not above a median of zero: the same bits on every machine."""
    assert perceptual_hash(Image.new("L", (500, 300), 200)) == 1 << 63


def bits_between(one: bytes, other: bytes) -> int:
    """Bits in which the detail hashes of two encoded images differ."""
    first, second = (
        int.from_bytes(detail_hash(open_rgb(image).convert("L")), "big") for image in (one, other)
    )
    return (first ^ second).bit_count()


@pytest.mark.parametrize("draw", [drawings.plot, drawings.scatter, drawings.table, drawings.bars])
def test_scaled_and_encoded_again_is_near(draw: drawings.Drawing) -> None:
    """Half the size, or JPEG for PNG, is the same figure."""
    image = draw()

    half = image.resize((450, 300), Image.Resampling.LANCZOS)

    assert bits_between(drawings.png(image), drawings.png(half)) <= 32
    assert bits_between(drawings.png(image), drawings.jpeg(image)) <= 32


def test_another_curve_on_the_same_axes_is_not_near() -> None:
    """Plots that share their axes are different figures."""
    assert bits_between(drawings.png(drawings.plot()), drawings.png(drawings.plot(phase=0.3))) > 32
