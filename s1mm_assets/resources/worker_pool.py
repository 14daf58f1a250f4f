"""The worker pool: a function over untrusted items, in processes that may hang, crash or swell without harm.

Here: its settings, how many workers the machine bears, the order of results, and how much is in flight. How
workers are led is in worker_crew, what starts and watches them in worker_nursery, what they do in worker_life.
"""

import atexit
import logging
import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from types import TracebackType
from typing import Any, Self

import dagster as dg
from pydantic import Field, PrivateAttr

from s1mm_assets.resources import machine
from s1mm_assets.resources.log_lines import Item, RejectedItems
from s1mm_assets.resources.progress import Progress
from s1mm_assets.resources.worker_caps import Caps
from s1mm_assets.resources.worker_crew import Crew, Task
from s1mm_assets.resources.worker_life import describe
from s1mm_assets.stages import Failed
from s1mm_assets.tables import Rejection

PRELOAD: tuple[str, ...] = (
    "PIL.Image",
    "dagster",
    "defusedxml.ElementTree",
    "isal.igzip_lib",
    "numpy",
    "pylatexenc.latexwalker",
    "pypdfium2",
)
"""Modules that are imported once, before workers are forked. None may start a thread when it is imported,
which rules out all that imports polars: each worker does that itself, in a quarter of a second."""

MEMORY_SHARE = 0.8
"""Of the memory that may be used, how much the workers may hold together."""

_IN_FLIGHT_PER_WORKER = 16  # so that one slow paper at the front does not leave the other workers idle
_FIRST_GUESS_BYTES = 1 << 20  # the size of a result, before there is any
_MIB = 1 << 20


_crews: dict[tuple[int, int, float, int], Crew] = {}


@atexit.register
def end_workers() -> None:
    """End the workers of every pool of this process."""
    while _crews:
        _crews.popitem()[1].close()


class WorkerPool(dg.ConfigurableResource[Any]):
    """Worker processes with caps per task. `map` is a `stages.MapItems`.

    Workers start at the first `map` and serve the later ones of every equal pool, because Dagster makes a new pool
    of the fields for each step; they end with the process, or with the `with` block.
    """

    n_workers: int = Field(default=0, ge=0, description="0: as many as cores and memory bear")
    cpu_limit_s: int = Field(default=120, ge=1, description="CPU time of one task")
    wall_limit_s: float = Field(default=240.0, gt=0, description="wall-clock time of one task")
    memory_limit_mib: int = Field(
        default=2048, ge=1, description="resident memory of one worker with its children"
    )
    in_flight_limit_mib: int = Field(
        default=512, ge=1, description="items and results that wait in this process"
    )

    _log: logging.Logger = PrivateAttr(default_factory=lambda: logging.getLogger(__name__))
    _rejected: RejectedItems = PrivateAttr(default_factory=RejectedItems)

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        what: str = "items",
        total: int | None = None,
    ) -> Generator[Any | Failed, None, None]:
        """Apply a function to each item in worker processes; yield results in the order of items.

        Args:
            function: Picklable, importable from a module (not from the main script).
            items: Read lazily, a bounded number and size ahead. An item may say by `.length` how many bytes
                it will take in memory beyond itself.
            what: Names the items in the progress log.
            total: How many items there are, where that is known.

        Yields:
            The result, or `Failed`: timed_out, out_of_memory, or worker_crashed for all that the function
            raises or does to its process. Evidence is the same on every run. The first hundred are logged.

        Raises:
            WorkerPoolError: No item is at fault: workers cannot start or cannot load the function.
        """
        pickled = pickle.dumps(function)
        crew = self._ready_crew()
        progress = Progress(what, total, self._log)
        window = _Window(_IN_FLIGHT_PER_WORKER * crew.n_workers, self.in_flight_limit_mib * _MIB)
        source = enumerate(items, start=1)
        known: deque[Item] = deque()  # those in the window
        try:
            while True:
                while window.has_room():
                    for number, each in islice(source, 1):
                        window.append(_submit(crew, pickled, each))
                        known.append(Item.of(each, number))
                        break
                    else:
                        break
                if not window.tasks:
                    return
                result = _result(window.tasks[0], progress)
                window.popleft()
                item = known.popleft()
                if isinstance(result, Failed):
                    self._rejected.tell(what, item, result, self._log)
                progress.step()
                yield result
        finally:
            crew.abandon(window.tasks)

    def close(self) -> None:
        """End the workers and what they started, also those of equal pools; a later `map` starts new ones."""
        self._rejected.end(self._log)
        crew = _crews.pop(self._crew_key(), None)
        if crew is not None:
            crew.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Log to the Dagster run."""
        if context.log is not None:
            self._log = context.log

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 - Dagster's
        """Say what was not said of each; the workers serve the next step."""
        self._rejected.end(self._log)

    def _crew_key(self) -> tuple[int, int, float, int]:
        return self.n_workers, self.cpu_limit_s, self.wall_limit_s, self.memory_limit_mib

    def _ready_crew(self) -> Crew:
        """Return the running crew, or start one."""
        crew = _crews.get(self._crew_key())
        if crew is None or not crew.is_usable:
            self.close()
            n_workers, memory_bytes = self._fitting()
            caps = Caps(cpu_s=self.cpu_limit_s, wall_s=self.wall_limit_s, memory_bytes=memory_bytes)
            crew = _crews[self._crew_key()] = Crew(n_workers, caps, PRELOAD)
        return crew

    def _fitting(self) -> tuple[int, int]:
        """Return how many workers there can be, and the memory cap of each in bytes."""
        usable_bytes = int(machine.usable_memory_bytes() * MEMORY_SHARE)
        cap_bytes = min(self.memory_limit_mib * _MIB, usable_bytes)
        if cap_bytes < self.memory_limit_mib * _MIB:
            self._log.warning(
                f"memory_limit_mib lowered from {self.memory_limit_mib} to {cap_bytes // _MIB}: "
                f"{MEMORY_SHARE:.0%} of the memory that may be used"
            )
        wanted = self.n_workers or machine.usable_cores()
        fitting = min(wanted, usable_bytes // cap_bytes)
        if fitting < self.n_workers:
            self._log.warning(
                f"n_workers lowered from {self.n_workers} to {fitting}: workers of {cap_bytes // _MIB} MiB "
                f"must fit into {usable_bytes // _MIB} MiB, {MEMORY_SHARE:.0%} of the memory that may be used"
            )
        return fitting, cap_bytes


class _Window:
    """The tasks of one map whose results were not yet taken, oldest first: bounded in number and in bytes.

    What a task will give is not known before; until then it counts as much as the results so far, on average.
    """

    def __init__(self, max_tasks: int, max_bytes: int) -> None:
        self.tasks: deque[Task] = deque()
        self._max_tasks = max_tasks
        self._max_bytes = max_bytes
        self._n_taken = 1
        self._taken_bytes = _FIRST_GUESS_BYTES

    def has_room(self) -> bool:
        """Whether one more item may be read."""
        if not self.tasks:
            return True
        if len(self.tasks) >= self._max_tasks:
            return False
        sizes = [(task.item_bytes, task.result_bytes()) for task in self.tasks]
        done = [size for _, size in sizes if size is not None]
        expected = (self._taken_bytes + sum(done)) // (self._n_taken + len(done))
        held = sum(done) + sum(max(item, expected) for item, size in sizes if size is None)
        return held + expected <= self._max_bytes

    def append(self, task: Task) -> None:
        """Add the youngest."""
        self.tasks.append(task)

    def popleft(self) -> None:
        """Drop the oldest, whose result was taken."""
        self._n_taken += 1
        self._taken_bytes += self.tasks.popleft().result_bytes() or 0


def _submit(crew: Crew, function: bytes, item: Any) -> Task:
    """Queue one item; an item that cannot be pickled fails here, and alone."""
    try:
        pickled = pickle.dumps(item, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        task = Task(function, b"", 0)
        task.outcome.set_result(Failed(Rejection.WORKER_CRASHED, describe(error)))
        return task
    declared = getattr(item, "length", None)
    return crew.submit(function, pickled, len(pickled) + (declared if isinstance(declared, int) else 0))


def _result(task: Task, progress: Progress) -> Any | Failed:
    """Wait for one result, reporting progress meanwhile."""
    while True:
        try:
            outcome = task.outcome.result(timeout=progress.next_line_in_s())
            break
        except TimeoutError:
            progress.line()
    if isinstance(outcome, Failed):
        return outcome
    try:
        return pickle.loads(outcome)  # noqa: S301 - from a worker
    except Exception as error:
        return Failed(Rejection.WORKER_CRASHED, f"result cannot be read: {describe(error)}")
