"""The command itself: every subcommand with its options and what `--help` says of it."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from s1mm_assets.cli.terminal import UsageError, out, plain_errors, table
from s1mm_assets.tables import Rejection

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Scientific figure-text pairs from open-access papers: extract, build, judge and verify.\n\n"
    "Store, sources, release and settings are found by S1MM_STORE, S1MM_SOURCES, S1MM_RELEASE and S1MM_SETTINGS.",
)
Partitions = Annotated[
    list[str] | None,
    typer.Option("--partition", "-p", help="Only this partition, e.g. 'arxiv|2019'; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def known_partitions(keys: list[str] | None) -> list[str] | None:
    """Return the partition keys given; refuse one that is none."""
    from s1mm_assets.partitions import SOURCE_BY_YEAR

    for key in keys or ():
        if not SOURCE_BY_YEAR.has_partition_key(key):
            raise UsageError(f"{key} is not a partition: write 'source|year', for example 'arxiv|2019'")
    return keys


@app.command()
@plain_errors
def demo(
    folder: Annotated[Path, typer.Option(help="Where sources, store and release of the demo go.")] = Path(
        "var/demo"
    ),
) -> None:
    """Pack the example corpus as arXiv would, and build a release from it, apart from all other data."""
    for name in ("sources", "store", "release"):
        os.environ[f"S1MM_{name.upper()}"] = str((folder / name).absolute())
    from s1mm_assets.cli.build import build_all, pack_examples

    pack_examples()
    raise typer.Exit(build_all(None))


@app.command()
@plain_errors
def build(partition: Partitions = None) -> None:
    """Materialize every partition that has papers, then the publication. Done work is not done again."""
    from s1mm_assets.cli.build import build_all

    raise typer.Exit(build_all(known_partitions(partition)))


@app.command()
@plain_errors
def extract(
    paths: Annotated[
        list[Path], typer.Argument(help="Bundles, PDFs, JATS, or folders of them.", metavar="PATH…")
    ],
    images: Annotated[
        Path | None, typer.Option(help="Write each figure's PNG or JPEG into this folder.")
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(help="Draw boxes, captions and confidences on the pages of PDFs, into this folder."),
    ] = None,
) -> None:
    """Print the figures of papers as JSON Lines, one object per figure; needs no store.

    A paper that gives no figures is one line with figure_id null and its rejection. Exit code 1 when no paper
    gave a figure.
    """
    from s1mm_assets.cli.extract import figures_of

    n_figures = 0
    for line in figures_of(paths, images, overlay):
        n_figures += line["figure_id"] is not None
        text = json.dumps(line, ensure_ascii=False) + "\n"
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode())  # a file's name may not be UTF-8
    raise typer.Exit(0 if n_figures else 1)


@app.command()
@plain_errors
def verify(release: Annotated[Path, typer.Argument(help="The release's folder.")]) -> None:
    """Check every byte and every join of a release against its manifest. Exit code 1 where something is wrong."""
    from s1mm_assets.cli.build import problems_of

    problems = problems_of(release)
    for problem in problems:
        out.print(f"{problem.kind} {problem.path}: {problem.detail}", highlight=False, markup=False)
    out.print(f"{release}: {len(problems)} problems" if problems else f"{release}: sound")
    raise typer.Exit(1 if problems else 0)


@app.command()
@plain_errors
def status(as_json: AsJson = False) -> None:
    """Show what the store holds: rows at every door, by partition."""
    from s1mm_assets import reports
    from s1mm_assets.definitions import STORE

    rows = reports.status(STORE)
    table(rows, as_json=as_json, title=f"Store {STORE.uri}", totals=True)


@app.command()
@plain_errors
def failures(
    partition: Partitions = None,
    reason: Annotated[Rejection | None, typer.Option(help="Only this rejection.", show_choices=False)] = None,
    examples: Annotated[int, typer.Option(help="Rows shown of each rejection.", min=0)] = 2,
    as_json: AsJson = False,
) -> None:
    """Show what was rejected, where and why, counted, with examples."""
    from s1mm_assets import reports
    from s1mm_assets.definitions import STORE

    found = reports.failures(STORE, partitions=known_partitions(partition), reason=reason)
    table(reports.counted(found, examples), as_json=as_json, title="Rejected, where first turned away")


@app.command()
@plain_errors
def retry(partition: Partitions = None) -> None:
    """Do again the shards with rows that the environment rejected: time, memory, crashes, missing renderers."""
    from s1mm_assets.cli.build import retry_failed

    raise typer.Exit(retry_failed(known_partitions(partition)))


@app.command()
@plain_errors
def gc(
    older_than_hours: Annotated[
        float, typer.Option(help="Spare what was named since: a run may need it.", min=0)
    ] = 24,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, remove nothing.")] = False,
) -> None:
    """Remove tables that no commit or partition record names any more."""
    from s1mm_assets.definitions import STORE
    from s1mm_assets.resources.shard_garbage import collect

    report = collect(STORE, older_than_hours * 3600, is_dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    out.print(f"{verb} {len(report.paths)} files, {report.n_bytes / 2**20:.1f} MiB")


@app.command()
@plain_errors
def settings() -> None:
    """Print every setting that shapes the data, with its value, as TOML."""
    from s1mm_assets.definitions import SETTINGS

    for section, values in SETTINGS.as_dict().items():
        out.print(f"[{section}]", markup=False)
        for name, value in values.items():
            out.print(f"{name} = {json.dumps(value)}", markup=False, highlight=False)
        out.print()
