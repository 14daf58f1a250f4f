"""Tests of s1mm_assets.resources.dataset_loader: `datasets` itself reads small releases."""

import json
import shutil
from pathlib import Path

import pytest

from s1mm_assets.release import PartitionFacts, ReleaseSettings, dataset_card, publish
from s1mm_assets.resources.dataset_loader import MAX_PROBLEMS, DatasetLoader, differences
from s1mm_assets.resources.release_folder import ReleaseFolder
from s1mm_assets_tests.release.shards import Pieces, example


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with its own card, of two sources and two years, with null ids and odd names."""
    pieces = example(row_group_rows=2)
    folder = tmp_path_factory.mktemp("release") / "re lease"
    publish(
        pieces.pieces,
        pieces.open,
        ReleaseFolder(path=str(folder)),
        settings=ReleaseSettings(part_bytes=300),
        readme=card(["arxiv", "local"]),
        dataset={},
    )
    return folder


def card(sources: list[str]) -> str:
    facts = [
        PartitionFacts(
            source=source,
            year=2023,
            n_papers=1,
            n_figures=1,
            n_records=1,
            n_record_papers=1,
            n_bytes={},
            rejections={},
            licences={},
            engines={},
        )
        for source in sources
    ]
    scores = {"CLIP score": "a", "pseudo-perplexity": "b"}
    return dataset_card(facts, settings=ReleaseSettings(), thresholds={}, score_settings=scores)


def test_datasets_gives_back_every_record(release: Path) -> None:
    """Same figures, captions and recaptions, same images, in the order of the records, streamed and plain."""
    assert DatasetLoader().differences(release) == []


def test_a_row_that_differs_is_found_in_every_mode(release: Path, tmp_path: Path) -> None:
    """The first row of the first file says something else here; the others are well."""
    shutil.copytree(release, tmp_path, dirs_exist_ok=True)
    records = sorted(tmp_path.glob("*/jsonl/*.jsonl"))[0]
    records.write_bytes(records.read_bytes().replace(b"A caption.", b"Another.", 1))

    found = DatasetLoader().differences(tmp_path)

    assert [each.partition(" is loaded")[0] for each in found] == [
        f"{mode}: row 0: arxiv:math.GT/0309136#1.1 (image {json.loads(line)['image_sha256'][:12]})"
        for mode in ("streaming", "plain")
        for line in records.read_text().splitlines()[:1]
    ]


def test_what_does_not_load_is_a_problem(tmp_path: Path) -> None:
    """Not an exception: its last line says why."""
    example().publish(tmp_path / "release")
    for path in (tmp_path / "release").glob("*/data/*.parquet"):
        path.write_bytes(b"PAR1")

    problems = DatasetLoader(max_plain_bytes=0).differences(tmp_path / "release")

    assert len(problems) == 1
    assert problems[0].startswith("load_dataset fails: ")


def test_a_release_without_records_has_nothing_to_load(tmp_path: Path) -> None:
    """`datasets` would refuse it; it is still well."""
    Pieces([]).publish(tmp_path / "release")

    assert DatasetLoader().differences(tmp_path / "release") == []


def test_differences_are_named_and_few() -> None:
    """Another text, another image, a row too few: the message has the figure."""
    row = ("arxiv:1#1.1", "caption", "recaption", "0" * 64)

    assert differences([row], [row]) == []
    assert differences([], [row]) == [
        "row 0: nothing is loaded, arxiv:1#1.1 (image 000000000000) is recorded"
    ]
    assert len(differences([(*row[:3], "1")], [row])) == 1
    assert len(differences([row] * 100, [])) == MAX_PROBLEMS
