"""What the subcommands share of the terminal: consoles, tables, errors in plain words."""

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import polars as pl
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

LINE_INTERVAL_S = 5.0  # between lines of progress where no terminal shows bars
FILE_WIDTH = 200  # of a table that goes to a file or a pipe
out = Console(soft_wrap=True, width=None if sys.stdout.isatty() else FILE_WIDTH)
err = Console(stderr=True, soft_wrap=True)
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class UsageError(Exception):
    """The call cannot be carried out; the message says what to do."""


def explains_itself(error: Exception) -> bool:
    """Whether an error's own words tell a user what to do: those of settings, addresses and files do."""
    from pyarrow import ArrowInvalid
    from pydantic import ValidationError

    from s1mm_assets.archives.local import MetadataError
    from s1mm_assets.resources.clip_encoder import ClipUnavailableError
    from s1mm_assets.resources.masked_language_model import ModelMissingError, ModelUnusableError
    from s1mm_assets.resources.publishers import PublisherError
    from s1mm_assets.resources.settings import SettingsError
    from s1mm_assets.resources.shard_store import StoreError
    from s1mm_assets.resources.sources.reading import SourceError

    ours = (UsageError, SettingsError, StoreError, SourceError, PublisherError, MetadataError)
    models = (ClipUnavailableError, ModelMissingError, ModelUnusableError)
    return isinstance(error, (*ours, *models, OSError, ArrowInvalid, ValidationError))


def plain_errors(command: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Show errors that explain themselves as one line, without a traceback; exit code 2."""

    @functools.wraps(command)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            if not explains_itself(error):
                raise
            err.print(f"s1mm: {error}", highlight=False, markup=False)
            raise typer.Exit(2) from error

    return wrapped


@contextmanager
def bars(title: str) -> Iterator[None]:
    """Show how far the worker pool is, a bar per kind of item, while a terminal is looking."""
    from s1mm_assets.resources.progress import progress_to

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}
        next_line = time.monotonic() + LINE_INTERVAL_S

        def show(what: str, done: int, total: int | None) -> None:
            nonlocal next_line
            if what not in tasks:
                tasks[what] = progress.add_task(escape(f"{title} {what}"))
            progress.update(tasks[what], completed=done, total=total)
            if not err.is_terminal and time.monotonic() > next_line:
                err.print(f"{title} {what}: {done}/{total or '?'}", markup=False, highlight=False)
                next_line = time.monotonic() + LINE_INTERVAL_S

        with progress_to(show):
            yield


def table(rows: pl.DataFrame, *, as_json: bool, title: str, totals: bool = False) -> None:
    """Print rows for people, or as one JSON array."""
    if as_json:
        sys.stdout.write(rows.write_json() + "\n")
        return
    shown = Table(title=escape(title), title_justify="left", show_footer=totals)
    for name, dtype in rows.schema.items():
        total = f"{rows[name].sum():,}" if totals and dtype.is_numeric() else ""
        shown.add_column(name, justify="right" if dtype.is_numeric() else "left", footer=total)
    for row in rows.iter_rows():
        shown.add_row(
            *(f"{value:,}" if isinstance(value, int) else escape(str(value or "")) for value in row)
        )
    out.print(shown)
