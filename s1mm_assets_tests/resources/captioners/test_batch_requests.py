"""Batches of requests: what is written for clusters elsewhere."""

import base64
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from s1mm_assets.recaptioning.request import model_size
from s1mm_assets.resources.captioners.batch_requests import write_batch
from s1mm_assets.resources.captioners.batch_results import read_batch
from s1mm_assets.resources.shard_store import ShardStore, StoreError
from s1mm_assets_tests.fakes import FailingMap, map_here
from s1mm_assets_tests.resources.captioners import figures
from s1mm_assets_tests.resources.captioners.batches import (
    MAX_BYTES,
    N_ALL,
    engine,
    requests_in,
    store_of_figures,
)
from s1mm_assets_tests.resources.captioners.figures import PARTITION, SETTINGS, SHARDS


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return store_of_figures(tmp_path)


def test_every_kept_figure_is_a_request_that_run_batch_takes(store: ShardStore, tmp_path: Path) -> None:
    """Keys as ids, in order, each with its own image within the model's window."""
    written = write_batch(engine(store), PARTITION, tmp_path / "out", MAX_BYTES)

    rows = requests_in(written.files)
    assert (written.n_requests, written.n_answered, written.unsendable) == (N_ALL, 0, [])
    assert len({row["custom_id"] for row in rows}) == len(rows) == N_ALL
    assert {(row["method"], row["url"]) for row in rows} == {("POST", "/v1/chat/completions")}
    assert {row["body"]["model"] for row in rows} == {SETTINGS.model}
    urls = [row["body"]["messages"][1]["content"][1]["image_url"]["url"] for row in rows]
    for url in urls:
        with Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))) as image:
            assert image.size == model_size(image.size, SETTINGS.image)


def test_files_are_cut_by_size_and_repeat_byte_for_byte(store: ShardStore, tmp_path: Path) -> None:
    """None is larger than asked for; a second call writes the same, and takes away what is no more needed."""
    folder = tmp_path / "out"
    whole = write_batch(engine(store), PARTITION, folder, MAX_BYTES)
    text = b"".join(path.read_bytes() for path in whole.files)
    line_bytes = max(map(len, text.splitlines(keepends=True)))

    cut = write_batch(engine(store), PARTITION, folder, 3 * line_bytes)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_batch(engine(store), PARTITION, folder, 3 * line_bytes)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert len(first) == len(cut.files) > 3
    assert all(len(data) <= 3 * line_bytes for data in first.values())
    assert b"".join(path.read_bytes() for path in cut.files) == text
    single = write_batch(engine(store), PARTITION, folder, 1)
    assert len(single.files) == N_ALL  # a request that is larger has a file of its own
    assert write_batch(engine(store), PARTITION, folder, MAX_BYTES).files == list(folder.iterdir())


def test_an_image_that_cannot_be_sent_is_named(store: ShardStore, tmp_path: Path) -> None:
    """The others are written."""
    victim = figures.picture(2)
    broken = FailingMap(lambda image: image == victim)

    written = write_batch(engine(store, map_items=broken), PARTITION, tmp_path / "out", MAX_BYTES)

    assert written.n_requests == N_ALL - len(SHARDS)
    assert len(written.unsendable) == len(SHARDS)
    assert written.unsendable[0].startswith("arxiv:chunk_001-0#3.1 ")


def test_a_failed_writing_leaves_nothing_half_written(store: ShardStore, tmp_path: Path) -> None:
    """Only whole files stand under the names of files of requests."""

    def killed(function: Any, items: Any, **_: Any) -> Iterator[Any]:
        yield from islice(map_here(function, items), 3)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_batch(engine(store, map_items=killed), PARTITION, tmp_path / "out", MAX_BYTES)

    assert list((tmp_path / "out").iterdir()) == []


def test_without_decisions_nothing_can_be_asked(tmp_path: Path) -> None:
    """The message says which command gives them."""
    store = ShardStore(uri=str(tmp_path / "store"))

    with pytest.raises(StoreError, match="s1mm build --until filtered_figures"):
        write_batch(engine(store), PARTITION, tmp_path / "out", MAX_BYTES)
    store.pin(store.derive(figures.candidates(1, {}), PARTITION, shards=SHARDS))
    with pytest.raises(StoreError, match="filtered_figures has not been materialized"):
        read_batch(engine(store), PARTITION, [])
