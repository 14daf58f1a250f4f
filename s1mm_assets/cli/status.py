"""`s1mm status`: what the store holds and what Dagster is doing, once or for as long as somebody looks."""

import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from s1mm_assets.cli.terminal import err, out, table

if TYPE_CHECKING:
    from s1mm_assets.resources.instance_runs import InstanceRuns, RunNow

MAX_SHARE = 0.2  # of the time that may be spent on looking: a large store is looked at less often
MAX_ERROR_CHARS = 300
LINES_BESIDE = 10  # of a screen: titles, heads, the sum, the hint


class Look:
    """Store and runs, looked at again and again: only what changed is read."""

    def __init__(self) -> None:
        """Read nothing yet."""
        from s1mm_assets import definitions, reports

        self._store, self._sources = definitions.STORE, definitions.SOURCES
        self._tally = reports.Tally(self._store, reports.COUNTED)
        self.runs: InstanceRuns | None = None
        self.title = f"Store {self._store.uri}"
        self.rows = pl.DataFrame(schema={"partition": pl.String})
        self.running: Sequence[RunNow] = ()
        self.n_queued = 0
        self._troubles: dict[str, str] = {}

    def now(self) -> None:
        """Look at both.

        Raises:
            StoreError, OSError: The store cannot be read.
        """
        from s1mm_assets import reports

        if self.runs:
            with self.noting("the instance of DAGSTER_HOME does not answer", Exception):
                self.running, self.n_queued = self.runs.running(), self.runs.n_queued()
        self.rows = reports.status(self._store, self._sources, tally=self._tally)

    def again(self) -> None:
        """Look at both; where the store cannot be read, what was seen of it stays, and that is said."""
        from s1mm_assets.resources.shard_store import StoreError

        with self.noting("the store cannot be read", StoreError, OSError):
            self.now()

    @contextmanager
    def noting(self, trouble: str, *errors: type[Exception]) -> Iterator[None]:
        """Note a trouble with its error for as long as it lasts. A database's may be of any type."""
        try:
            yield
            self._troubles.pop(trouble, None)
        except errors as error:
            self._troubles[trouble] = f"{trouble}: {words_of(error)}"

    @property
    def trouble(self) -> str:
        """What could not be looked at, and why."""
        return "; ".join(self._troubles.values())

    def status_of(self, run_id: str) -> str:
        """Return how a run ended."""
        return self.runs.status_of(run_id).lower() if self.runs else ""


def show(*, as_json: bool) -> None:
    """Print the table, and below it the runs that are at work, where DAGSTER_HOME is set."""
    with opened() as look:
        look.now()
        table(look.rows, as_json=as_json, title=look.title, totals=True)
        if not as_json and (look.running or look.n_queued):
            out.print(runs_table(look))
        if look.trouble:
            err.print(look.trouble, markup=False, highlight=False)


def watch(every_s: float) -> None:
    """Show both again and again until Ctrl-C: in place in a terminal, else a line for each change."""
    try:
        with opened() as look:
            (watch_in_place if out.is_terminal else print_changes)(look, every_s)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # whoever read the lines has seen enough; let the last flush go nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def opened() -> Iterator[Look]:
    """Look at the store, and at the instance of DAGSTER_HOME; where that cannot be opened, say so."""
    look = Look()
    with ExitStack() as stack:
        if os.environ.get("DAGSTER_HOME"):
            import dagster as dg

            from s1mm_assets.resources.instance_runs import InstanceRuns

            with look.noting("the instance of DAGSTER_HOME cannot be opened", Exception):
                look.runs = InstanceRuns(stack.enter_context(dg.DagsterInstance.get()))
        yield look


def words_of(error: Exception) -> str:
    """Return the first line of an error."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:MAX_ERROR_CHARS]


def looks(look: Look, every_s: float) -> Iterator[None]:
    """Look and yield again and again; rarer where that takes long. A store that cannot be read at first is an error."""
    look_at_both = look.now
    while True:
        start = time.monotonic()
        look_at_both()
        yield
        took_s = time.monotonic() - start
        time.sleep(max(every_s, took_s / MAX_SHARE) - took_s)
        look_at_both = look.again


# --- in a terminal ---------------------------------------------------------------------------------------------------


def watch_in_place(look: Look, every_s: float) -> None:
    """Redraw the lower part of a terminal."""
    hint = Text("Ctrl-C ends this, and nothing else.", style="dim")
    with Live(console=out, auto_refresh=False) as live:
        for _ in looks(look, every_s):
            n_rows = out.height - LINES_BESIDE - max(1, len(look.running))
            parts: list[RenderableType] = [
                runs_table(look),
                store_table(look, n_rows),
                Text(look.trouble, style="red"),
                hint,
            ]
            live.update(Group(*parts), refresh=True)


def runs_table(look: Look) -> Table:
    """Return a row for each step that is running."""
    title = f"Runs: {len(look.running)} at work, {look.n_queued:,} waiting"
    shown = Table(title=title, title_justify="left")
    for name in ("run", "job", "partition", "step", "shard", "for", "last message"):
        shown.add_column(name, no_wrap=name == "last message")
    now = time.time()
    for run in look.running:
        what = (run.run_id[:8], escape(run.job), escape(run.partition))
        for step in run.steps.values():
            words = (escape(step.step), escape(step.shard), duration(now - step.since), escape(step.message))
            shown.add_row(*what, *words)
        if not run.steps:
            shown.add_row(*what, "", "", duration(now - run.since), run.status.lower())
    return shown


def store_table(look: Look, n_rows: int) -> Table:
    """Return what the store holds: the partitions that are at work first, as many as there is room for, and the sum."""
    at_work = [run.partition for run in look.running]
    rows = look.rows.sort(~pl.col("partition").is_in(at_work), maintain_order=True)
    shown = Table(title=escape(look.title), title_justify="left", show_footer=True)
    n_left = max(0, rows.height - max(1, n_rows))
    for name, dtype in rows.schema.items():
        total = f"{rows[name].sum():,}" if dtype.is_numeric() else f"and {n_left:,} more" if n_left else ""
        shown.add_column(name, justify="right" if dtype.is_numeric() else "left", footer=total)
    for row in rows.head(rows.height - n_left).iter_rows():
        shown.add_row(
            *("" if each is None else each if isinstance(each, str) else f"{each:,}" for each in row)
        )
    return shown


def duration(seconds: float) -> str:
    """Return hours, minutes and seconds."""
    return str(timedelta(seconds=max(0, int(seconds))))


# --- in a file or a pipe ---------------------------------------------------------------------------------------------


def print_changes(look: Look, every_s: float) -> None:
    """Print a line for all that is there, and then for each change."""
    before: dict[str, str] = {}
    runs: dict[str, str] = {}  # name → id
    reader = select.poll()
    reader.register(sys.stdout, 0)  # no event but that nobody reads any more
    for _ in looks(look, every_s):
        if reader.poll(0):
            raise BrokenPipeError
        now = {"waiting runs": f"{look.n_queued:,}", "trouble": look.trouble or "none"} | store_lines(
            look.rows
        )
        for run in look.running:
            now |= run_lines(run)
            runs[run_name(run.run_id)] = run.run_id
        for name, text in now.items():
            if before.get(name) != text:
                say(f"{name}: {text}")
        for name in runs.keys() - now.keys():
            say(f"{name}: {look.status_of(runs.pop(name))}")
        before = now


def store_lines(rows: pl.DataFrame) -> dict[str, str]:
    """Return what is said of each partition of the store: the doors that something has come to."""
    return {
        row.pop("partition"): ", ".join(
            f"{name} {value:,}" for name, value in row.items() if value is not None
        )
        for row in rows.iter_rows(named=True)
    }


def run_name(run_id: str) -> str:
    """Return what a run is called in lines."""
    return f"run {run_id[:8]}"


def run_lines(run: "RunNow") -> dict[str, str]:
    """Return what is said of a run and of its steps; messages and clocks would be news each time."""
    name = run_name(run.run_id)
    lines = {name: " ".join(filter(None, [run.job, run.partition, run.status.lower()]))}
    for step in run.steps.values():
        lines[f"{name} {step.step}"] = f"shard {step.shard}" if step.shard else "at work"
    return lines


def say(line: str) -> None:
    """Print a line with the time, at once: a pipe's reader waits for it."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()
