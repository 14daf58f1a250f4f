"""The answer log: what a model has answered is never asked twice. One log per shard of `recaptions`.

Any number of writers may have a shard's log open at a time. Of several answers to one request the first counts, so
that what a shard was committed from keeps counting when others come later. First is by stamp, then by writer: the
clock in nanoseconds at writing, but always more than the stamps that the writer has read, so that where clocks differ
nothing gets before what it was written after. A tombstone forgets what comes before it. Two writers that have not
read each other may both have asked: after `refresh` both, and all later readers, get the same answer. Stamps stay in
the log, outside every digest. `s1mm gc` leaves the logs alone: GPU hours lie there.
"""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

from s1mm_assets.recaptioning.answer import MAX_RAW_CHARS
from s1mm_assets.resources.captioners.answer_segments import (
    LocalFile,
    LoggedAnswer,
    Objects,
    Record,
    Segment,
    Tombstone,
    answers_that_count,
    folder_of,
    read_segments,
    take_up,
    times_forgotten,
)
from s1mm_assets.resources.shard_store import ShardStore, StoreError

__all__ = ["AnswerLog", "LoggedAnswer", "logged"]

SEGMENT_ANSWERS = 500  # so many are put into an object store without waiting for more
HURRIED_S = 0.5  # an answer waits for others when a log is hurried
MAX_TEXT_CHARS = MAX_RAW_CHARS + 1  # more is never read; one more shows that there was more


def logged(store: ShardStore, partition: str, shard: str) -> Iterator[LoggedAnswer]:
    """Yield the answers of a shard that count, one per key, first come first, with what they took.

    Raises:
        OSError: The log cannot be read.
    """
    segments = read_segments(store, folder_of(store, partition, shard), known={})
    yield from answers_that_count(
        chain.from_iterable(segment.records for segment in segments.values())
    ).values()


class AnswerLog:
    """The log of one shard, open for reading and writing."""

    def __init__(self, store: ShardStore, partition: str, shard: str, flush_interval_s: float) -> None:
        self._store = store
        self._where = f"{partition} {shard}"
        self._folder = folder_of(store, partition, shard)
        self._writer = uuid.uuid4().hex
        self._order = (
            threading.Lock()
        )  # held to write, and to read: a record's stamp is over all that was read
        self._stamp_ns = 0
        self._own: list[Record] = []
        self._others: dict[str, Segment] = {}
        self._answers: dict[str, LoggedAnswer] = {}  # those that count
        self._n_forgotten: Counter[str] = Counter()
        self.refresh()

        self._changed = threading.Condition()  # guards what follows
        self._waiting: list[tuple[LoggedAnswer | Tombstone, Future[Any]]] = []
        self._is_urgent = False
        self._is_closed = False
        self._error: BaseException | None = None
        stem = f"{self._folder}/{self._writer}"
        self._segments: LocalFile | Objects
        if store.is_local:
            self._segments, self._gather_s = LocalFile(Path(store.path()), Path(f"{stem}-0.jsonl")), 0.0
        else:
            self._segments, self._gather_s = Objects(store.fs, stem), flush_interval_s
        # A daemon: a process that leaves a log open ends all the same.
        self._thread = threading.Thread(target=self._write_all, name=f"answers of {shard}", daemon=True)
        self._thread.start()

    @classmethod
    @contextmanager
    def open(
        cls, store: ShardStore, partition: str, shard: str, *, flush_interval_s: float = 3.0
    ) -> Iterator[Self]:
        """Open a shard's log; on leaving, all that was appended is durable.

        Args:
            store: The store that holds the log.
            partition: The partition key.
            shard: The shard's name.
            flush_interval_s: How long an answer waits for more to be put with it, in seconds; on an object store.

        Raises:
            OSError: The log cannot be read.
            StoreError: On leaving: not all could be written.
        """
        log = cls(store, partition, shard, flush_interval_s)
        try:
            yield log
        finally:
            log._close()
        if log._error:  # not in place of what the body raised
            raise log._failure()

    def get(self, key: str) -> LoggedAnswer | None:
        """Return the answer to a request, if it is durable; of other writers, as of the last `refresh`."""
        return self._answers.get(key)

    def n_forgotten(self, figure_id: str) -> int:
        """Return how many tombstones name a figure, of all writers; of others, as of the last `refresh`."""
        return self._n_forgotten[figure_id]

    def append(self, answer: LoggedAnswer) -> Future[None]:
        """Log an answer, from any thread; the future is done when it is durable, or holds a `StoreError`.

        A text is cut where no reader reads on.

        Raises:
            StoreError: The store has failed before.
        """
        if answer.text is not None:
            answer = replace(answer, text=answer.text[:MAX_TEXT_CHARS])
        return self._submit(answer)

    def hurry(self) -> None:
        """Let no answer wait long for others from now on: few are still to come. From any thread, any number of times.

        What waits is written at once, and what comes later within `HURRIED_S`.
        """
        with self._changed:
            if self._gather_s > HURRIED_S:
                self._gather_s = HURRIED_S
                self._is_urgent |= bool(self._waiting)
                self._changed.notify()

    def forget(self, figure_ids: Collection[str]) -> int:
        """Forget, durably, what was logged of these figures until now; return the number of answers.

        Raises:
            StoreError: The store fails or has failed before.
        """
        n_forgotten: int = self._submit(Tombstone(frozenset(figure_ids)), is_urgent=True).result()
        return n_forgotten

    def refresh(self) -> None:
        """Read what other writers have logged; from now on `get` answers as it will to whoever opens the log later.

        Raises:
            OSError: The log cannot be read.
        """
        with self._order:
            read = read_segments(self._store, self._folder, known=self._others, but_of=self._writer)
            self._others.update(read)
            records = [*self._own, *chain.from_iterable(each.records for each in self._others.values())]
            self._stamp_ns = max((record.stamp_ns for record in records), default=0)
            self._answers = answers_that_count(records)
            self._n_forgotten = times_forgotten(record.content for record in records)

    def _submit(self, content: LoggedAnswer | Tombstone, *, is_urgent: bool = False) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # who no longer waits does not take the answer back
        with self._changed:
            if self._error:
                raise self._failure()
            if self._is_closed:
                raise ValueError(f"the answer log of {self._where} is closed")
            self._waiting.append((content, future))
            self._is_urgent |= is_urgent
            self._changed.notify()
        return future

    def _close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _failure(self) -> StoreError:
        failure = StoreError(f"answers of {self._where} cannot be logged: {self._error}")
        failure.__cause__ = self._error
        return failure

    # --- the thread that writes ----------------------------------------------------------------------------

    def _write_all(self) -> None:
        """Write what waits until closed. After an error nothing is tried: a failed fsync may have dropped data."""
        batch: list[tuple[LoggedAnswer | Tombstone, Future[Any]]] = []
        try:
            while batch := self._take():
                results = self._write([content for content, _ in batch])
                for (_, future), result in zip(batch, results, strict=True):
                    future.set_result(result)
        except BaseException as error:  # whatever it is, those who wait must hear of it
            with self._changed:
                self._error = error
                batch, self._waiting = [*batch, *self._waiting], []
            for _, future in batch:
                if not future.done():
                    future.set_exception(self._failure())
        finally:
            self._segments.close()

    def _take(self) -> list[tuple[LoggedAnswer | Tombstone, Future[Any]]]:
        """Wait for something to write and, on an object store, for more; return nothing when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            self._changed.wait_for(
                lambda: self._is_closed or self._is_urgent or len(self._waiting) >= SEGMENT_ANSWERS,
                timeout=self._gather_s,
            )
            batch, self._waiting, self._is_urgent = self._waiting, [], False
        return batch

    def _write(self, contents: list[LoggedAnswer | Tombstone]) -> list[int | None]:
        """Write records with one fsync or PUT, then let them count."""
        with self._order:
            first_ns = max(time.time_ns(), self._stamp_ns + 1)
            records = [Record(first_ns + i, self._writer, each) for i, each in enumerate(contents)]
            self._segments.write(b"".join(record.line() for record in records))
            self._stamp_ns = records[-1].stamp_ns
            self._own += records
            self._n_forgotten.update(times_forgotten(contents))
            return [take_up(self._answers, content) for content in contents]
