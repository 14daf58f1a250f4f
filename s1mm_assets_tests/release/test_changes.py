"""Tests of s1mm_assets.release.changes: what a version lists against the one before."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s1mm_assets.release import PublicationError, ReleaseSettings
from s1mm_assets.release.manifest import Manifest, load_manifest
from s1mm_assets.release.verify import verify
from s1mm_assets.resources.release_folder import LocalFolder
from s1mm_assets_tests.release.shards import Figure, Pieces, make, tree

FIGURES = [Figure(number=n, paper_id=f"2301.0000{n}") for n in (1, 2, 3)]


def published(folder: Path, *shards: list[Figure], **settings: Any) -> tuple[Manifest, list[dict[str, Any]]]:
    """Publish shards as the next version; return its manifest and its list of changes."""
    pieces = Pieces([make(figures, shard=f"chunk_{i:03}") for i, figures in enumerate(shards)])
    pieces.publish(folder, settings=ReleaseSettings(**settings))
    manifest = load_manifest((folder / "manifest.json").read_bytes())
    path = folder / f"changes/{manifest.version}.jsonl"
    assert verify(LocalFolder(folder)) == []
    return manifest, [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def listed(changes: list[dict[str, Any]]) -> list[tuple[str, str, list[str]]]:
    return [(each["change"], each["figure_id"], each["columns"]) for each in changes]


def test_the_first_version_lists_nothing(tmp_path: Path) -> None:
    """All of it is new; a list would be as long as the release."""
    manifest, changes = published(tmp_path / "r", FIGURES)

    assert (manifest.version, manifest.history[0].n_added, changes) == (1, 3, [])


def test_records_are_added_removed_and_changed(tmp_path: Path) -> None:
    """With the columns that differ; what is equal is not listed, and unchanged pieces keep their bytes."""
    published(tmp_path / "r", FIGURES[:1], FIGURES[1:])
    before = tree(tmp_path / "r")
    other = replace(FIGURES[1], recaption="Another.", grounding=0.25)
    added = replace(FIGURES[2], paper_id="2301.00009")

    manifest, changes = published(tmp_path / "r", FIGURES[:1], [other, added])

    assert listed(changes) == [
        ("changed", other.figure_id, ["recaption", "grounding"]),
        ("added", added.figure_id, []),
        ("removed", FIGURES[2].figure_id, []),
    ]
    last = manifest.history[-1]
    assert (last.version, last.n_records, last.n_added, last.n_removed, last.n_changed) == (2, 3, 1, 1, 1)
    assert tree(tmp_path / "r")["arxiv/data/2023/00000.parquet"] == before["arxiv/data/2023/00000.parquet"]


def test_a_record_is_the_same_where_paper_and_image_are(tmp_path: Path) -> None:
    """A paper read anew may count its figures otherwise: the id changed, the record is not another."""
    image = FIGURES[0].content
    published(tmp_path / "r", [replace(FIGURES[0], image=image)])

    _, changes = published(tmp_path / "r", [replace(FIGURES[0], image=image, number=4)])

    assert [each["change"] for each in changes] == ["changed"]
    assert {"figure_id", "image_path"} <= set(changes[0]["columns"])


def test_a_licence_that_is_taken_back_shows(tmp_path: Path) -> None:
    """The record goes to the recipes: its image and its words changed."""
    published(tmp_path / "r", FIGURES)

    manifest, changes = published(tmp_path / "r", [replace(FIGURES[0], licence=None), *FIGURES[1:]])

    assert [(each["change"], each["figure_id"]) for each in changes] == [("changed", FIGURES[0].figure_id)]
    assert {"image", "caption", "licence", "recipe"} <= set(changes[0]["columns"])
    assert manifest.history[-1].n_records == 2


def test_versions_count_on(tmp_path: Path) -> None:
    """Each with its own list; nothing new is no version; a number may be chosen, but not gone back to."""
    for n in (1, 2, 3):
        manifest, _ = published(tmp_path / "r", FIGURES[:n])
    again, _ = published(tmp_path / "r", FIGURES)
    assert [each.version for each in manifest.history] == [1, 2, 3]
    assert again == manifest
    assert [path for path in tree(tmp_path / "r") if path.startswith("changes/")] == ["changes/3.jsonl"]

    chosen, _ = published(tmp_path / "r", FIGURES[:2], version=10)
    assert chosen.version == 10
    with pytest.raises(PublicationError, match="version 10 stands"):
        published(tmp_path / "r", FIGURES, version=9)


def test_a_damaged_release_is_made_again_under_its_version(tmp_path: Path) -> None:
    """From the same pieces: history and list stay."""
    published(tmp_path / "r", FIGURES[:2])
    manifest, _ = published(tmp_path / "r", FIGURES)
    before = tree(tmp_path / "r")
    (tmp_path / "r/arxiv/jsonl/2023.jsonl").unlink()

    assert published(tmp_path / "r", FIGURES)[0] == manifest
    assert tree(tmp_path / "r") == before


@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_records_that_are_gone_are_not_called_new(tmp_path: Path, damage: str) -> None:
    """The release that stands lacks some: what is new cannot be told."""
    published(tmp_path / "r", FIGURES[:2])
    records = tmp_path / "r/arxiv/jsonl/2023.jsonl"
    records.unlink() if damage == "missing" else records.write_bytes(records.read_bytes()[:-5])

    with pytest.raises(PublicationError, match="missing or cut short"):
        published(tmp_path / "r", FIGURES)


def test_what_cannot_be_compared_with_is_not_overwritten(tmp_path: Path) -> None:
    """A line that is none, of the same length: the error says where to look."""
    published(tmp_path / "r", FIGURES[:2])
    records = tmp_path / "r/arxiv/jsonl/2023.jsonl"
    records.write_bytes(b"{" * (records.stat().st_size - 1) + b"\n")

    with pytest.raises(PublicationError, match="cannot be compared"):
        published(tmp_path / "r", FIGURES)
    assert load_manifest((tmp_path / "r/manifest.json").read_bytes()).version == 1
