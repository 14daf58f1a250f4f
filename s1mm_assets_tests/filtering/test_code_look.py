"""What is taken for a machine code."""

import cv2
import numpy as np
import pytest
from PIL import Image

from s1mm_assets.filtering import FilterSettings
from s1mm_assets.filtering.code_look import code_share
from s1mm_assets_tests.filtering import drawings

LIMIT = FilterSettings().max_code_share
EAN = "101" "0001101" "0011001" "0111101" "0100011" "0110001" "0101111" "01010" "1000100" "1001000" "1110100" "1110010" "1100110" "1101100" "101"  # fmt: skip  # noqa: E501
CODE_128 = "11010011100110011011001100110011010010011000100011001001100011101011"
CODE_39 = "100101101101011010010101101011001010110100101101101"


def picture_of(modules: np.ndarray, module_px: int = 4) -> Image.Image:
    """Modules (True is dark) drawn with a quiet zone of four of them."""
    quiet = np.pad(modules.astype(np.uint8), 4)
    return Image.fromarray(np.kron(255 - 255 * quiet, np.ones((module_px, module_px), np.uint8)))


def qr_code(text: str) -> np.ndarray:
    """The modules of a QR code; True is dark."""
    return np.asarray(cv2.QRCodeEncoder.create().encode(text)) < 128


def bars(modules: str) -> np.ndarray:
    """Bars of forty modules' height."""
    return np.tile(np.array([m == "1" for m in modules]), (40, 1))


@pytest.mark.parametrize("text", ["a", "https://example.org/paper", "x" * 400])
@pytest.mark.parametrize("module_px", [3, 5, 9])
def test_a_qr_code_is_a_code(text: str, module_px: int) -> None:
    """A code of any version at any size covers the content."""
    assert code_share(picture_of(qr_code(text), module_px)) == 1.0


@pytest.mark.parametrize("modules", [EAN, CODE_128, CODE_39], ids=["EAN-13", "Code 128", "Code 39"])
@pytest.mark.parametrize("module_px", [2, 3, 6])
def test_bars_that_add_up_are_a_code(modules: str, module_px: int) -> None:
    """The usual bar codes are known by their module counts."""
    assert code_share(picture_of(bars(modules), module_px)) == 1.0


def test_a_code_survives_jpeg() -> None:
    """Blurred edges do not hide it."""
    image = picture_of(qr_code("https://example.org"), 5)

    assert code_share(Image.open(drawings.stream(drawings.jpeg(image, 60))).convert("L")) > LIMIT


def test_a_figure_that_contains_a_code_is_a_figure() -> None:
    """Only a code that covers most of the picture counts."""
    image = drawings.plot().convert("L")
    image.paste(picture_of(qr_code("a"), 3), (300, 100))

    assert code_share(image) <= LIMIT


@pytest.mark.parametrize("seed", range(20))
def test_patterns_that_resemble_codes_are_none(seed: int) -> None:
    """Random squares and random bars have no finder patterns and do not add up."""
    random = np.random.default_rng(seed)

    squares = picture_of(random.random((25, 25)) < 0.5)
    stripes = picture_of(np.tile(random.random(95) < 0.5, (40, 1)))
    two_corners = qr_code("a").copy()
    two_corners[:7, :7] = random.random((7, 7)) < 0.5

    assert code_share(squares) == code_share(stripes) == code_share(picture_of(two_corners)) == 0.0


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (2, 2), (21, 21)])
@pytest.mark.parametrize("colour", [0, 128, 255])
def test_images_of_hardly_any_pixels(size: tuple[int, int], colour: int) -> None:
    """The smallest images are no codes."""
    assert code_share(Image.new("L", size, colour)) == 0.0
