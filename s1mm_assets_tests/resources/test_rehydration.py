"""Tests of s1mm_assets.resources.rehydration: which figure of the user's copy is a recipe's."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from s1mm_assets.extraction import PaperRead, PaperReader
from s1mm_assets.release.records import caption_sha256
from s1mm_assets.resources.rehydration import (
    IMPORTED,
    NO_FIGURE,
    NO_PAPER,
    NOT_READ,
    OTHER_CAPTION,
    OTHER_IMAGE,
    Recipes,
    RehydrationError,
    match_of,
    rehydrate,
)
from s1mm_assets.resources.release_folder import LocalFolder, ReleaseFolder
from s1mm_assets.tables import FigureCandidate
from s1mm_assets_tests.release.shards import Figure, Pieces, candidate, make, paper

OURS = candidate(Figure(caption="Rats."))
OTHER = candidate(Figure(number=3, caption="Mice."))


def recipe(**columns: Any) -> dict[str, Any]:
    """The recipe of OURS."""
    how = {"kind": "latex", "renderer": "pdfium", "caption_sha256": caption_sha256("Rats.")}
    return {"figure_id": OURS.figure_id, "image_sha256": OURS.sha256, "recipe": how | columns}


def read(*figures: FigureCandidate) -> PaperRead:
    return PaperRead(paper=paper(Figure()), figures=list(figures), renderers=frozenset())


@pytest.mark.parametrize("figures", [[OURS, OTHER], [OTHER, replace(OURS, figure_id="arxiv:2301.01234#7.1")]])
def test_image_and_caption_make_the_figure(figures: list[FigureCandidate]) -> None:
    """Also where the paper's figures are counted otherwise."""
    figure, failure, _ = match_of(recipe(), read(*figures))

    assert failure is None
    assert figure is not None
    assert (figure.sha256, figure.caption) == (OURS.sha256, "Rats.")


def test_of_equal_images_the_caption_decides() -> None:
    """A copy of another version may show the same image twice."""
    twin = replace(OTHER, image=OURS.image, sha256=OURS.sha256)

    assert match_of(recipe(), read(twin, replace(OURS, figure_id="arxiv:2301.01234#9.1")))[0] is not None
    assert match_of(recipe(), read(twin))[:2] == (None, OTHER_CAPTION)
    assert match_of(recipe(), read(replace(twin, figure_id=OURS.figure_id)))[:2] == (None, OTHER_CAPTION)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (None, NO_PAPER),
        ("TimeoutError", NOT_READ),
        (read(OTHER), NO_FIGURE),
        (read(replace(OURS, sha256="0" * 64)), OTHER_IMAGE),
    ],
)
def test_what_is_not_rebuilt_says_why(found: PaperRead | str | None, outcome: str) -> None:
    """One reason each."""
    assert match_of(recipe(), found)[:2] == (None, outcome)


def test_what_was_imported_has_no_paper() -> None:
    """Its image came from a published dataset."""
    assert match_of(recipe(kind="published"), read(OURS))[:2] == (None, IMPORTED)


def test_recipes_are_found_by_paper(tmp_path: Path) -> None:
    """Line by line, wherever they stand in the file."""
    figures = [
        Figure(number=n, paper_id=paper_id, licence=None)
        for n in (1, 2)
        for paper_id in ("2301.00001", "2301.00002")
    ]
    Pieces([make(figures)]).publish(tmp_path / "release")
    recipes = Recipes(LocalFolder(tmp_path / "release"), "arxiv/recipes/2023.jsonl")

    assert list(recipes) == ["2301.00001", "2301.00002"]
    assert [each["figure_id"] for each in recipes.of("2301.00002")] == [
        f"arxiv:2301.00002#{n}.1" for n in (1, 2)
    ]
    assert "2301.00003" not in recipes


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b'{"paper_id": "1"}\n', b'{"recipe": "x"}\n'])
def test_a_line_that_is_no_recipe_is_refused(tmp_path: Path, line: bytes) -> None:
    """The error names the file."""
    (tmp_path / "arxiv/recipes").mkdir(parents=True)
    (tmp_path / "arxiv/recipes/2023.jsonl").write_bytes(line)

    with pytest.raises(RehydrationError, match=r"arxiv/recipes/2023\.jsonl holds a line that is no recipe"):
        Recipes(LocalFolder(tmp_path), "arxiv/recipes/2023.jsonl")


def test_a_release_without_recipes_needs_none(tmp_path: Path) -> None:
    """The error says so."""
    Pieces([make([Figure()])]).publish(tmp_path / "release")

    with pytest.raises(RehydrationError, match="no recipes"):
        rehydrate(
            LocalFolder(tmp_path / "release"),
            tmp_path,
            ReleaseFolder(path=str(tmp_path / "out")),
            reader=Mock(spec=PaperReader),  # nothing is read
            map_papers=Mock(),
        )
