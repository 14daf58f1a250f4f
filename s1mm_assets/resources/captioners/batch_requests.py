"""Requests as OpenAI batch files, for clusters that run `vllm run-batch` elsewhere.

A request's `custom_id` is its key in the answer log.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from s1mm_assets.recaptioning.request import body_bytes
from s1mm_assets.recaptioning.stage import kept_figures, requests_of, stage
from s1mm_assets.recaptioning.window import CaptionAnswer, CaptionRequest
from s1mm_assets.resources.captioners.answer_log import AnswerLog
from s1mm_assets.resources.captioners.vllm import Asked, VllmCaptioner, model_image_url_or_failed
from s1mm_assets.resources.shard_store import ShardStore, StoredShard, StoreError, check_inputs
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.stages import Failed, ShardReader, Stage

URL = b"/v1/chat/completions"


@dataclass(slots=True, kw_only=True)
class BatchWritten:
    """What was written for one partition."""

    files: list[Path] = field(default_factory=list)
    n_requests: int = 0
    n_answered: int = 0  # figures whose answer is in the log
    unsendable: list[str] = field(
        default_factory=list
    )  # figure_id and why: a build rejects them without a server


def pinned_inputs(store: ShardStore, partition: str) -> list[ShardSet]:
    """Return the handles that recaptions are made from.

    Raises:
        StoreError: One has not been materialized, or they do not belong together.
    """
    inputs = []
    for asset in ("figure_candidates", "filtered_figures"):
        handle = store.pinned(asset, partition)
        if handle is None:
            raise StoreError(
                f"{partition}: {asset} has not been materialized: "
                f"s1mm build --until filtered_figures --partition '{partition}'"
            )
        inputs.append(handle)
    check_inputs(inputs, [commit.shard for commit in inputs[0].shards])
    return inputs


def readers(
    store: ShardStore, made: Stage, partition: str, inputs: Sequence[ShardSet]
) -> Iterator[ShardReader]:
    """Yield what a stage reads, shard by shard."""
    for commits in zip(*(each.shards for each in inputs), strict=True):
        parents = {commit.asset: commit for commit in commits}
        yield StoredShard(store, made, partition, commits[0].shard, parents)


def write_batch(engine: VllmCaptioner, partition: str, folder: Path, max_bytes: int) -> BatchWritten:
    """Write the next request of every kept figure that has no answer in the log.

    What the folder holds of the partition is replaced: the same log gives the same files, byte for byte.

    Args:
        engine: Asks; no server is started.
        partition: The partition key.
        folder: Where the files go.
        max_bytes: Of one file; a request that is larger has a file of its own.

    Raises:
        StoreError: The filters have not decided yet.
        OSError: The folder cannot be written, or the log not be read.
    """
    written = BatchWritten()
    inputs = pinned_inputs(engine.store, partition)
    files = _BatchFiles(folder, partition.replace("|", "_"), max_bytes)
    try:
        for reader in readers(engine.store, stage(engine), partition, inputs):
            for line in _lines(engine, reader, written):
                files.add(line)
                written.n_requests += 1
        written.files = files.finish()
    finally:
        files.abandon()
    return written


def _lines(engine: VllmCaptioner, reader: ShardReader, written: BatchWritten) -> Iterator[bytes]:
    """Yield the requests of a shard as lines, in the order of its figures."""
    with AnswerLog.open(engine.store, reader.partition, reader.shard) as log:
        waiting: deque[tuple[Asked, int]] = deque()
        images = _images(engine, requests_of(reader, kept_figures(reader)), log, waiting, written)
        ready = partial(model_image_url_or_failed, engine.settings.image)
        for image_url in engine.map_items(ready, images, what="images made ready"):
            asked, attempt = waiting.popleft()
            if isinstance(image_url, Failed):
                written.unsendable.append(f"{asked.figure_id} {image_url.rejection}: {image_url.evidence}")
            else:
                yield _line(engine, asked, attempt, image_url)


def _images(
    engine: VllmCaptioner,
    requests: Iterator[CaptionRequest],
    log: AnswerLog,
    waiting: deque[tuple[Asked, int]],
    written: BatchWritten,
) -> Iterator[bytes]:
    """Yield the images of the figures that are to be asked about, and note which these are."""
    for request in requests:
        asked = engine.asked(request)
        found = engine.next_attempt(asked, log)
        if isinstance(found, CaptionAnswer):
            written.n_answered += 1
        else:
            waiting.append((asked, found))
            yield request.image or b""


def _line(engine: VllmCaptioner, asked: Asked, attempt: int, image_url: bytes) -> bytes:
    sampling = engine.sampling(attempt)
    body = body_bytes(engine.settings.model, asked.text, sampling, image_url)
    key = engine.key(asked, attempt).encode()
    return b'{"custom_id": "%b", "method": "POST", "url": "%b", "body": %b}\n' % (key, URL, body)


class _BatchFiles:
    """Numbered files of one partition in a folder; each appears whole, under its name."""

    def __init__(self, folder: Path, stem: str, max_bytes: int) -> None:
        self.folder, self.stem, self.max_bytes = folder, stem, max_bytes
        self.paths: list[Path] = []
        self._stream: IO[bytes] | None = None
        self._n_bytes = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def _part(self) -> Path:
        return self.folder / f"{self.stem}.part"

    def add(self, line: bytes) -> None:
        if self._stream is not None and self._n_bytes + len(line) > self.max_bytes:
            self._publish()
        if self._stream is None:
            self._stream = self._part.open("wb")
        self._stream.write(line)
        self._n_bytes += len(line)

    def _publish(self) -> None:
        if self._stream is None:
            return
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        path = self.folder / f"{self.stem}-{len(self.paths) + 1:05d}.jsonl"
        self._part.replace(path)
        self.paths.append(path)
        self._stream, self._n_bytes = None, 0

    def finish(self) -> list[Path]:
        """Publish the last file; take away those of an earlier writing that are no more needed."""
        self._publish()
        self._part.unlink(missing_ok=True)  # of a writing that was killed
        for path in self.folder.glob(f"{self.stem}-[0-9][0-9][0-9][0-9][0-9].jsonl"):
            if path not in self.paths:
                path.unlink()
        return self.paths

    def abandon(self) -> None:
        """Leave nothing half written."""
        if self._stream is not None:
            self._stream.close()
            self._part.unlink()
