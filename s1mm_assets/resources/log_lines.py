"""What log lines know beyond their words: shard, paper, run; and one JSON object a line for those who collect logs.

How an instance is told to write such lines is in dagster.yaml, section `python_logs`.
"""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from s1mm_assets.stages import Failed

MAX_LINE_CHARS = 16_000  # container runtimes cut longer lines in two; ASCII, so as many bytes
MAX_NAMED = 100  # rejected items, of one pool: a step, or a run in one process
PARTITION_TAG = "dagster/partition"


@dataclass(frozen=True, slots=True)
class Making:
    """The shard that is being made."""

    asset: str
    partition: str
    shard: str


_making: ContextVar[Making | None] = ContextVar("making", default=None)
_all_making: list[Making] = []  # of this process
_lock = threading.Lock()


@contextmanager
def shard_in_logs(asset: str, partition: str, shard: str) -> Iterator[None]:
    """Let every line that is logged within name its shard, whichever logger it comes from.

    Threads that are started within begin without a context of their own: their lines name the shard as long as it is
    the only one that this process is making, and none else.
    """
    making = Making(asset, partition, shard)
    token = _making.set(making)
    with _lock:
        _all_making.append(making)
    try:
        yield
    finally:
        with _lock:
            _all_making.remove(making)
        _making.reset(token)


def shard_now() -> Making | None:
    """Return the shard that a line logged here belongs to, if that is certain."""
    making = _making.get()
    if making is not None:
        return making
    with _lock:
        return _all_making[0] if len(_all_making) == 1 else None


class JsonLines(logging.Formatter):
    """One JSON object a line, in ASCII, with what is known of: see `fields_of`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; of one that would be too long, the middle of its longest text is left out."""
        fields = fields_of(record)
        error = fields.get("error") or (self.formatException(record.exc_info) if record.exc_info else None)
        fields = {name: value for name, value in {**fields, "error": error}.items() if value}
        while len(line := json.dumps(fields)) > MAX_LINE_CHARS:
            longest = max(fields, key=lambda name: len(fields[name]))
            fields[longest] = without_middle(fields[longest])
        return line


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return time (UTC), level, logger, message, and what is known of run, step, asset, shard, paper and error."""
    meta: dict[str, Any] = getattr(record, "dagster_meta", None) or {}
    making, event = shard_now(), meta.get("dagster_event")
    partition = (meta.get("job_tags") or {}).get(PARTITION_TAG)
    event_error = getattr(event.event_specific_data, "error", None) if event else None
    asset = event.asset_key if event else None
    return {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": str(meta.get("orig_message") or record.getMessage()),
        "event": event.event_type_value if event else None,
        "run_id": meta.get("run_id"),
        "job": meta.get("job_name"),
        "partition": partition or (making.partition if making else None),
        "step": meta.get("step_key"),
        "asset": asset.to_user_string() if asset else making.asset if making else None,
        "shard": making.shard if making else None,
        "paper": getattr(record, "paper", None),
        "error": event_error.to_string() if event_error else None,
    }


def without_middle(text: str) -> str:
    """Return half of a text: how it begins and how it ends."""
    quarter = len(text) // 4
    return f"{text[:quarter]} … {text[-quarter:]}"


@dataclass(frozen=True, slots=True)
class Item:
    """What an item of a worker pool is called."""

    name: str
    paper: str | None = None

    @classmethod
    def of(cls, item: object, number: int) -> "Item":
        """Return the name of an item's figure, else of its paper, else its number."""
        paper, figure = getattr(item, "paper_id", None), getattr(item, "figure_id", None)
        if isinstance(figure, str):  # <source>:<paper>#<ordinals>
            return cls(figure, figure.partition(":")[2].rpartition("#")[0] or None)
        return cls(paper, paper) if isinstance(paper, str) else cls(f"no. {number}")


class RejectedItems:
    """Says of each item that a worker pool rejects what it was, up to a number; of the rest how many there were."""

    def __init__(self) -> None:
        """Nothing was rejected yet."""
        self.n = 0
        self._n_told = 0

    def tell(self, what: str, item: Item, failed: Failed, log: logging.Logger) -> None:
        """Warn of one more."""
        self.n += 1
        if self.n > MAX_NAMED:
            return
        self._n_told = self.n
        more = "; more are counted, not named" if self.n == MAX_NAMED else ""
        words = f"{what}: {item.name}: {failed.rejection.value}: {failed.evidence}"
        paper = printable(item.paper) if item.paper else None
        log.warning("%s%s", printable(words), more, extra={"paper": paper})

    def end(self, log: logging.Logger) -> None:
        """Say how many there were, where not each was named."""
        if self.n > self._n_told:
            self._n_told = self.n
            log.warning("the worker pool rejected %s items, of which %s were named", f"{self.n:,}", MAX_NAMED)


def printable(text: str) -> str:
    """Return a text of a paper with what could move a terminal's cursor, or is no text, written out."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
