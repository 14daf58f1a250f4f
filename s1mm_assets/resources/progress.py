"""How far a long piece of work is: a line in the log every few seconds, and bars where a terminal is looking."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PROGRESS_INTERVAL_S = 5.0

ProgressListener = Callable[[str, int, int | None], None]
"""Is told what is done, how many are, and of how many in total if that is known."""

_listeners: list[ProgressListener] = []


@contextmanager
def progress_to(listener: ProgressListener) -> Iterator[None]:
    """Tell a listener of each item of this process that is done, for bars in a terminal.

    It is not a field of a resource, because Dagster makes a new one of the fields for each run.
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class Progress:
    """One line every few seconds: done, total, rate, time to go."""

    def __init__(self, what: str, total: int | None, log: logging.Logger) -> None:
        self._what = what
        self._total = total
        self._log = log
        self._done = 0
        self._start_s = self._last_s = time.monotonic()

    def step(self) -> None:
        """Count one more as done, and say so now and then."""
        self._done += 1
        for listener in _listeners:
            listener(self._what, self._done, self._total)
        if self.next_line_in_s() <= 0 or (self._done == self._total and self._last_s > self._start_s):
            self.line()

    def next_line_in_s(self) -> float:
        """Return in how many seconds the next line is due."""
        return self._last_s + PROGRESS_INTERVAL_S - time.monotonic()

    def line(self, more: str = "") -> None:
        """Say how far it is, and what else there is to say."""
        self._last_s = time.monotonic()
        elapsed_s = self._last_s - self._start_s
        rate = self._done / elapsed_s if elapsed_s else 0.0
        of_total = f"/{self._total:,}" if self._total is not None else ""
        to_go = ""
        if self._total is not None and rate and self._done < self._total:
            minutes, seconds = divmod(round((self._total - self._done) / rate), 60)
            to_go = f", ETA {minutes}:{seconds:02d}"
        self._log.info(f"{self._what}: {self._done:,}{of_total}, {rate:.1f}/s{to_go}{more}")
