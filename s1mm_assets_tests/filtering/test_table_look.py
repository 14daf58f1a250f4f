"""What is taken for a typeset table."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from s1mm_assets.filtering import FilterSettings
from s1mm_assets.filtering.table_look import _content, table_score
from s1mm_assets_tests.filtering import drawings

LIMIT = FilterSettings().max_table_score
TABLES = [
    partial(drawings.table),
    partial(drawings.table, rules="grid"),
    partial(drawings.table, n_rows=4),
]
OTHERS = [
    drawings.plot,
    drawings.scatter,
    drawings.dot_matrix,
    drawings.bars,
    drawings.empty_panels,
    drawings.small_multiples,
    drawings.prose,
    drawings.touching_boxes,
    partial(drawings.touching_boxes, box_height=44),
    drawings.alignment,
    drawings.listing,
    partial(drawings.listing, framed=True),
    drawings.blank,
    drawings.gradient,
    partial(drawings.table, rules="none"),
    partial(drawings.table, ink="crimson"),
]


@pytest.mark.parametrize("draw", TABLES)
@pytest.mark.parametrize("scale", [0.7, 1.0, 2.0])
def test_ruled_rows_of_words_in_columns_are_a_table(draw: drawings.Drawing, scale: float) -> None:
    """A table is one at any resolution at which it can be read."""
    image = draw()

    scaled = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)

    assert table_score(scaled) > LIMIT


@pytest.mark.parametrize("draw", OTHERS)
@pytest.mark.parametrize("scale", [0.7, 1.0, 2.0])
def test_what_is_in_doubt_is_no_table(draw: drawings.Drawing, scale: float) -> None:
    """Plots, prose, markers in rows, unruled or coloured columns stay."""
    image = draw()

    scaled = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)

    assert table_score(scaled) <= LIMIT


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (2, 2)])
def test_images_of_hardly_any_pixels(size: tuple[int, int]) -> None:
    """The smallest images have a score too."""
    assert table_score(Image.new("RGB", size, "black")) == 0.0


@pytest.mark.parametrize("draw", [drawings.alignment, drawings.listing])
def test_columns_without_rules_need_more_than_text(draw: drawings.Drawing) -> None:
    """What is read in an alignment or a listing stands in columns too: its look must not allow a table."""
    assert table_score(draw()) <= FilterSettings().max_table_score_with_text


@pytest.mark.parametrize("size", [(1200, 20_000), (9000, 1200), (300, 4000), (5000, 5000)])
def test_what_is_analysed_is_bounded(size: tuple[int, int]) -> None:
    """However high or wide an image is, no more pixels are looked at than those of a page."""
    image = Image.new("RGB", size, "white")
    image.paste("black", (0, 0, size[0], size[1] // 3))

    content = _content(image)

    assert content is not None
    assert content.size <= 5_000_000


def test_noise_is_no_table() -> None:
    """Thousands of short runs in every row."""
    noise = np.random.default_rng(0).random((4000, 1200)) < 0.35

    assert table_score(Image.fromarray(np.where(noise, 0, 255).astype(np.uint8)).convert("RGB")) == 0.0
