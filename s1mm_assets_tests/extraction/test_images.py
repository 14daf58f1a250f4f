"""The images of one paper."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.extraction import images
from s1mm_assets.extraction.images import TOO_MANY_IMAGES, paper_images
from s1mm_assets.extraction.raster import Drawing, Picture, RasterSettings, Refused
from s1mm_assets_tests.extraction.raster.drawings import ToldRenderers, eps, image_file, pdf

MEMBERS = {
    **{f"{number}.eps": eps(b"%d" % number, box=b"0 0 %d 40" % (50 + number)) for number in range(20)},
    "photo.png": image_file("PNG"),
    "pages.pdf": pdf(kids=b"3 0 R 5 0 R"),
    "empty": b"",
}
SMALL = RasterSettings(max_side_px=50)


class Batches(ToldRenderers):
    """Remembers how many drawings were asked for at once."""

    def postscript(self, drawings: Sequence[Drawing]) -> Iterator[bytes | Refused]:
        self.asked.append(("batch", len(drawings)))
        return super().postscript(drawings)

    @property
    def sizes(self) -> list[int]:
        return [asked[1] for asked in self.asked if asked[0] == "batch"]


def drawn(
    wanted: Sequence[tuple[str, int | None] | None], renderers: ToldRenderers | None = None
) -> list[Picture | Refused | None]:
    return paper_images(wanted, MEMBERS, renderers=renderers or ToldRenderers(), settings=SMALL)


WANTED = st.none() | st.tuples(st.sampled_from(sorted(MEMBERS)), st.sampled_from([None, 0, 1]))


@given(st.lists(WANTED, max_size=25))
def test_every_figure_gets_the_image_of_its_file(wanted: list[tuple[str, int | None] | None]) -> None:
    """In order, the same as if it were the paper's only one."""
    assert drawn(wanted) == [drawn([each])[0] for each in wanted]


def test_a_file_is_drawn_once() -> None:
    """However many figures show it."""
    told = Batches()

    first, second, third = drawn([("1.eps", None), ("2.eps", None), ("1.eps", None)], told)

    assert first is third
    assert first != second
    assert told.sizes == [2]


def test_postscript_is_drawn_together_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many files at once, and so many bytes; one that is larger goes alone."""
    told, fewer = Batches(), Batches()
    wanted = [(f"{number}.eps", None) for number in range(20)]

    drawn(wanted, told)
    monkeypatch.setattr(images, "_BYTES_AT_ONCE", 3 * len(MEMBERS["19.eps"]))
    drawn(wanted, fewer)
    assert told.sizes == [16, 4]
    assert fewer.sizes == [3] * 6 + [2]

    monkeypatch.setattr(images, "_BYTES_AT_ONCE", 1)
    assert len(drawn(wanted)) == 20


def test_a_paper_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the picture that brings the paper over the limit none is kept; later files are not even drawn."""
    [picture] = drawn([("photo.png", None)])
    assert isinstance(picture, Picture)
    monkeypatch.setattr(images, "MAX_IMAGE_BYTES_PER_PAPER", 2 * len(picture.image))
    told = Batches()
    after = [(f"{number}.eps", None) for number in range(20)]

    found = drawn([("empty", None), *[("photo.png", None)] * 3, None, ("empty", None), *after], told)

    assert found[1:5] == [picture, picture, TOO_MANY_IMAGES, None]
    assert isinstance(found[0], Refused)
    assert found[5] == found[0]  # what is known of it stays true
    assert found[6:] == [TOO_MANY_IMAGES] * 20
    assert told.sizes == [14]  # those that came with the first
