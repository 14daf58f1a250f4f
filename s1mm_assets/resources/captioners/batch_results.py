"""The results of OpenAI batch files, into the answer log.

Reading computes the keys from the store again, so that results need nothing beside them, and those of another prompt,
model or image are told apart from what is asked now.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from s1mm_assets.recaptioning.stage import kept_figures, requests_of, stage
from s1mm_assets.resources.captioners.answer_log import AnswerLog, LoggedAnswer
from s1mm_assets.resources.captioners.batch_requests import pinned_inputs, readers
from s1mm_assets.resources.captioners.http_answers import MAX_ANSWER_BYTES, checked
from s1mm_assets.resources.captioners.vllm import Asked, VllmCaptioner
from s1mm_assets.stages import Stage

SERVER = "batch"  # stands in the log where a server's address does
KEY = re.compile("[0-9a-f]{64}")
HTTP_OK = 200
N_EXAMPLES = 3  # of each outcome
MAX_DETAIL_CHARS = 200

LOGGED = "logged"  # what becomes of results, as it is reported
KNOWN = "in the log before"
FORGOTTEN = "forgotten by s1mm retry"
REPEATED = "repeated"
ERROR = "error"
UNREADABLE = "unreadable"
STALE = "of another prompt, model, image or partition"
FOREIGN = "no request of s1mm"


@dataclass(slots=True, kw_only=True)
class BatchRead:
    """What became of the results that were read."""

    outcomes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    n_to_ask: int = 0  # figures that still have no answer that can be used, and attempts left

    def note(self, outcome: str, where: str, detail: str = "") -> None:
        """Count a result; keep the first few that were not simply logged."""
        self.outcomes[outcome] += 1
        examples = self.examples.setdefault(outcome, [])
        if outcome != LOGGED and len(examples) < N_EXAMPLES:
            examples.append(f"{where} {detail}".strip())


def read_batch(engine: VllmCaptioner, partition: str, results: Sequence[Path]) -> BatchRead:
    """Put the results of batches into the answer log; what cannot be used is counted, with examples.

    Reading the same results again changes nothing.

    Raises:
        StoreError: The filters have not decided yet, or answers cannot be kept.
        OSError: A file of results cannot be read.
    """
    report = BatchRead()
    inputs = pinned_inputs(engine.store, partition)
    found = _found(results, report)
    for reader in readers(engine.store, texts_only(stage(engine)), partition, inputs):
        with AnswerLog.open(engine.store, reader.partition, reader.shard) as log:
            asked = [engine.asked(request) for request in requests_of(reader, kept_figures(reader))]
            _log_answers(engine, asked, found, log, report)
            report.n_to_ask += sum(isinstance(engine.next_attempt(each, log), int) for each in asked)
    for place in found.values():
        report.note(STALE, place.name)
    return report


def texts_only(made: Stage) -> Stage:
    """Return a stage that reads no images."""
    reads = {
        asset: {
            table: tuple(name for name in columns if name != "image") for table, columns in tables.items()
        }
        for asset, tables in made.reads.items()
    }
    return replace(made, reads=reads)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a result stands."""

    path: Path
    number: int  # of the line, from 1
    offset: int  # bytes

    @property
    def name(self) -> str:
        return f"{self.path.name}:{self.number}"


def _found(results: Sequence[Path], report: BatchRead) -> dict[bytes, _Place]:
    """Return where the sound results stand, by key; only their places are held, not their texts."""
    places: dict[bytes, _Place] = {}
    for path in results:
        with path.open("rb") as stream:
            for number, offset, line in _lines_of(stream):
                place = _Place(path, number, offset)
                if line is None:
                    report.note(UNREADABLE, place.name, f"a line has more than {MAX_ANSWER_BYTES} bytes")
                elif line.strip():
                    key = _sound_key(line, place, report)
                    if key is not None and places.setdefault(key, place) is not place:
                        report.note(REPEATED, place.name)
    return places


def _lines_of(stream: IO[bytes]) -> Iterator[tuple[int, int, bytes | None]]:
    """Yield number, offset and content of each line; None for one that no answer can need."""
    number = offset = 0
    while line := stream.readline(MAX_ANSWER_BYTES):
        number += 1
        start, is_long = offset, False
        offset += len(line)
        part = line
        while len(part) == MAX_ANSWER_BYTES and not part.endswith(b"\n"):
            part = stream.readline(MAX_ANSWER_BYTES)
            offset += len(part)
            is_long |= bool(part)
        yield number, start, None if is_long else line


def _sound_key(line: bytes, place: _Place, report: BatchRead) -> bytes | None:
    """Return the key of a result that can be used; note why another cannot."""
    try:
        key, _ = _result(line)
    except _NotAnsweredError as error:
        report.note(ERROR, place.name, str(error))
    except (ValueError, RecursionError) as error:
        report.note(UNREADABLE, place.name, " ".join(str(error).split())[:MAX_DETAIL_CHARS])
    else:
        if KEY.fullmatch(key):
            return bytes.fromhex(key)
        report.note(FOREIGN, place.name, repr(key)[:MAX_DETAIL_CHARS])
    return None


class _NotAnsweredError(Exception):
    """A result that says that there is none."""


def _result(line: bytes) -> tuple[str, Mapping[str, Any]]:
    """Return custom_id and the fields of a logged answer.

    Raises:
        ValueError: It is no result of a chat completion.
        _NotAnsweredError: The batch could not answer this request.
    """
    row = json.loads(line)
    if not isinstance(row, dict) or not isinstance(row.get("custom_id"), str):
        raise ValueError("it has no custom_id")
    response = row.get("response")
    response = response if isinstance(response, dict) else {}
    status, body = response.get("status_code"), response.get("body")
    if row.get("error") or status != HTTP_OK:
        raise _NotAnsweredError(f"{status}: {json.dumps(row.get('error') or body)}"[:MAX_DETAIL_CHARS])
    answer = checked(json.dumps(body).encode())
    choice, usage = answer["choices"][0], answer.get("usage") or {}
    return row["custom_id"], {
        "text": choice["message"].get("content"),
        "finish_reason": choice.get("finish_reason"),
        "n_prompt_tokens": usage.get("prompt_tokens"),
        "n_completion_tokens": usage.get("completion_tokens"),
    }


def _log_answers(
    engine: VllmCaptioner,
    figures: Sequence[Asked],
    found: dict[bytes, _Place],
    log: AnswerLog,
    report: BatchRead,
) -> None:
    """Log what was answered to any attempt of some figures; return when it is durable."""
    waiting: list[Future[None]] = []
    for asked in figures:
        attempts = engine.attempts(asked, log)
        for attempt in range(attempts.stop):
            key = engine.key(asked, attempt)
            place = found.pop(bytes.fromhex(key), None)
            if place is None:
                continue
            outcome = FORGOTTEN if attempt < attempts.start else LOGGED if log.get(key) is None else KNOWN
            report.note(outcome, place.name)
            if outcome == LOGGED:
                waiting.append(log.append(_answer(key, asked.figure_id, place)))
    for future in waiting:
        future.result()


def _answer(key: str, figure_id: str, place: _Place) -> LoggedAnswer:
    with place.path.open("rb") as stream:
        stream.seek(place.offset)
        _, fields = _result(stream.readline())
    return LoggedAnswer(key=key, figure_id=figure_id, **fields, latency_s=0.0, n_tries=1, server=SERVER)
