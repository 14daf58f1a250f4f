"""Ink on a page: what hangs together, and what every page has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from s1mm_assets.extraction.pdf.ink import Ink, RepeatedInk, ink_of
from s1mm_assets.extraction.pdf.layout import BBox

WHITE = (255, 255, 255)


def page(*spots: tuple[int, int, int, int], colour: tuple[int, int, int] = (0, 0, 0)) -> NDArray[np.uint8]:
    """A white page of 100 × 200 pixels with rectangles: left, top, right, bottom."""
    picture = np.full((200, 100, 3), 255, dtype=np.uint8)
    for x0, y0, x1, y1 in spots:
        picture[y0:y1, x0:x1] = colour
    return picture


def boxes(ink: Ink) -> list[tuple[float, ...]]:
    return [tuple(patch.bbox) for patch in ink.patches([])]


def test_patches_have_their_place_in_points() -> None:
    """From top to bottom, whatever the resolution."""
    picture = page((60, 100, 80, 140), (10, 20, 30, 40))

    assert boxes(ink_of(picture, 1)) == [(10, 20, 30, 40), (60, 100, 80, 140)]
    assert boxes(ink_of(picture, 2)) == [(5, 10, 15, 20), (30, 50, 40, 70)]


@pytest.mark.parametrize(("distance_pt", "n_patches"), [(0, 1), (1, 1), (5, 2), (20, 2)])
@pytest.mark.parametrize("px_per_pt", [1, 2])
def test_what_is_near_hangs_together(distance_pt: int, n_patches: int, px_per_pt: int) -> None:
    """Gaps within a drawing are bridged; those between drawings are not."""
    right = 20 + distance_pt * px_per_pt
    picture = page((10, 10, 20, 20), (right, 10, right + 10, 20))

    assert len(boxes(ink_of(picture, px_per_pt))) == n_patches


def test_specks_are_no_patches() -> None:
    """A pixel of dirt is nothing; a hairline is something."""
    assert boxes(ink_of(page((10, 10, 11, 11)), 1)) == []
    assert boxes(ink_of(page((10, 10, 60, 11)), 1)) == [(10, 10, 60, 11)]


def test_a_patch_knows_how_much_of_it_is_text() -> None:
    """Ink and the part of it that lies under characters, in square points; their edges are soft."""
    (patch,) = ink_of(page((10, 20, 30, 40)), 2).patches([BBox(5, 10, 10, 20)])

    assert (patch.n_ink, patch.n_text) == (100, 60)


@pytest.mark.parametrize(
    ("colour", "is_ink"),
    [((0, 0, 0), True), ((255, 255, 200), True), ((230, 230, 230), True), ((252, 252, 252), False)],
)
def test_pale_colours_are_ink_and_haze_is_not(colour: tuple[int, int, int], *, is_ink: bool) -> None:
    """One channel is enough; what JPEG leaves on white is not."""
    assert bool(boxes(ink_of(page((10, 20, 30, 40), colour=colour), 1))) is is_ink


@pytest.mark.parametrize("ground", [(255, 255, 255), (240, 235, 220), (20, 20, 30)])
def test_ink_is_what_differs_from_the_ground(ground: tuple[int, int, int]) -> None:
    """Scans are yellow and slides are dark: their ground is no ink."""
    picture = np.full((200, 100, 3), ground, dtype=np.uint8)
    picture[20:40, 0:30] = (120, 30, 120)

    assert boxes(ink_of(picture, 1)) == [(0, 20, 30, 40)]


def test_ink_outside_boxes_is_left() -> None:
    """What a box covers is gone, with the blur at its edge; the rest is as it was."""
    ink = ink_of(page((10, 20, 30, 40), (60, 100, 80, 140)), 1)

    assert boxes(ink.without([BBox(10, 20, 30, 40)])) == [(60, 100, 80, 140)]
    assert boxes(ink.without([BBox(60, 100, 80, 119.2)])) == [(10, 20, 30, 40), (60, 120, 80, 140)]
    assert boxes(ink.without([])) == boxes(ink)
    assert boxes(ink.without([BBox(-50, -50, -10, -10), BBox(500, 500, 900, 900)])) == boxes(ink)


@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.integers(0, 199), st.integers(1, 40), st.integers(1, 40)), max_size=6
    )
)
def test_all_ink_is_in_one_patch_or_a_speck(spots: list[tuple[int, int, int, int]]) -> None:
    """Patches hold every pixel once, and none holds what is not there."""
    picture = page(*((x, y, x + width, y + height) for x, y, width, height in spots))
    ink = ink_of(picture, 1)

    patches = ink.patches([])

    n_dark = float((picture[:, :, 0] == 0).sum())
    assert n_dark - 2 * len(spots) <= sum(patch.n_ink for patch in patches) <= n_dark
    for patch in patches:
        x0, y0, x1, y1 = (int(side) for side in patch.bbox)
        window = ink.mask[y0:y1, x0:x1]
        assert window[0].any()
        assert window[-1].any()
        assert window[:, 0].any()
        assert window[:, -1].any()


def test_an_empty_page_has_no_patches() -> None:
    """White, and black all over: neither differs from its own ground."""
    assert boxes(ink_of(page(), 1)) == []
    assert boxes(ink_of(page((0, 0, 100, 200)), 1)) == []


def test_what_every_page_has_at_its_edge_is_taken_away() -> None:
    """A banner at the top goes; what stands on the same spot within the page stays."""
    banner, middle = (0, 0, 100, 10), (20, 80, 60, 120)
    pages = [ink_of(page(banner, middle), 1) for _ in range(4)]
    repeated = RepeatedInk()
    for each in pages:
        repeated.add(each)

    assert boxes(repeated.cleared(pages[0])) == [(20, 80, 60, 120)]


def test_what_two_pages_share_at_their_edge_stays() -> None:
    """Two figures that begin at the top of their pages are no banner."""
    pages = [ink_of(page((10, 5, 90, 60)), 1), ink_of(page((10, 5, 90, 100)), 1)]
    pages += [ink_of(page((20, 150, 60, 160)), 1) for _ in range(6)]
    repeated = RepeatedInk()
    for each in pages:
        repeated.add(each)

    assert boxes(repeated.cleared(pages[0])) == [(10, 5, 90, 60)]


def test_pages_of_other_sizes_have_edges_of_their_own() -> None:
    """A page whose size no other has is left as it is."""
    repeated = RepeatedInk()
    for _ in range(4):
        repeated.add(ink_of(page((0, 0, 100, 10)), 1))
    other = ink_of(page((0, 0, 100, 10))[:150], 1)

    assert boxes(repeated.cleared(other)) == [(0, 0, 100, 10)]
