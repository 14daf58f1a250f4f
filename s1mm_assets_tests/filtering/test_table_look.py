"""What is taken for a typeset table."""

from functools import partial

import pytest
from PIL import Image

from s1mm_assets.filtering import FilterSettings
from s1mm_assets.filtering.table_look import table_score
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
