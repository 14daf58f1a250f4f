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
batch_app = typer.Typer(
    no_args_is_help=True,
    help="Recaptions by `vllm run-batch` on a cluster that this one does not reach.\n\n"
    "s1mm build --until filtered_figures; s1mm batch write; vllm run-batch there, with the model and revision of "
    "the settings; s1mm batch read; write and read again until nothing is left to ask; s1mm build.",
)
app.add_typer(batch_app, name="batch")
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
def build(
    partition: Partitions = None,
    until: Annotated[
        str | None,
        typer.Option(help="Stop after this asset, e.g. filtered_figures: before a GPU is needed."),
    ] = None,
) -> None:
    """Materialize every partition that has papers, then the publication. Done work is not done again."""
    from s1mm_assets.cli.build import build_all

    raise typer.Exit(build_all(known_partitions(partition), until))


@app.command()
@plain_errors
def acquire(
    partition: Annotated[
        list[str],
        typer.Option("--partition", "-p", help="Of this partition, e.g. 'arxiv|2019'; may be repeated."),
    ],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List, and say what would be fetched and what it costs.")
    ] = False,
    max_usd: Annotated[
        float | None,
        typer.Option(
            help="What a partition may cost now; else [acquisition] max_usd.", min=0, show_default=False
        ),
    ] = None,
) -> None:
    """Fetch what publishers offer of a year into S1MM_SOURCES.

    [acquisition] in the settings names the publishers that may be asked (arxiv, biorxiv, medrxiv, chemrxiv,
    nature_communications) and a contact. Files that are there are not fetched again, broken ones go on where they
    broke off. The buckets of arXiv, bioRxiv and medRxiv are paid for by whoever downloads: AWS credentials come from
    the environment, and nothing is begun that costs more than it may. Listing costs requests, also with --dry-run.
    `s1mm build -p` does the same before it builds.
    """
    from s1mm_assets.cli.acquire import land

    known_partitions(partition)
    raise typer.Exit(land(partition, is_dry_run=dry_run, max_usd=max_usd))


@app.command()
@plain_errors
def fetch(
    arxiv_id: Annotated[
        str, typer.Argument(help="Of any era, e.g. 2301.01234, 2301.01234v2, hep-ph/0001001.")
    ],
    folder: Annotated[Path, typer.Option("--out", help="The folder it goes to.")] = Path(),
) -> None:
    """Fetch the source of one paper from arXiv, to try `s1mm extract` on it.

    For many papers, acquire arXiv's chunks instead: arXiv asks for no more than one such request in three seconds.
    """
    from s1mm_assets.cli.acquire import fetch_paper

    fetch_paper(arxiv_id, folder)


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
def verify(
    release: Annotated[
        str,
        typer.Argument(
            help="A folder, a git checkout, or hf://datasets/<owner>/<name>[@revision] on the Hub."
        ),
    ],
    *,
    bytes_only: Annotated[
        bool, typer.Option("--bytes-only", help="Only lengths and SHA-256: nothing is unpacked or joined.")
    ] = False,
    workers: Annotated[
        int, typer.Option(help="Processes; 0: as many as there are cores and memory for.", min=0)
    ] = 0,
    state: Annotated[
        Path | None,
        typer.Option(help="Where it is kept how far an interrupted verification had come."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte and every join of a release against its manifest. Exit code 1 where something is wrong.

    Lengths, SHA-256 and Xet hashes; archives are unpacked, in memory, and Parquet is decoded, and both compared with
    their records. Files on the Hub, and pointers of git-LFS, are compared by what is said of them. Interrupted, it
    goes on where it was; once it has come to its end, the next call reads everything again.
    """
    from s1mm_assets.cli.verify import check

    raise typer.Exit(check(release, bytes_only=bytes_only, n_workers=workers, state=state, as_json=as_json))


@app.command()
@plain_errors
def publish(
    repository: Annotated[
        str | None, typer.Argument(help="On the Hub, e.g. my-lab/figures; else [release] repository.")
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, send nothing.")] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Where the repository is not there yet, make it public.")
    ] = False,
) -> None:
    """Send the release to the Hugging Face Hub, verify what arrived, and tag its version.

    What is there already is not sent again, so an interrupted call goes on. HF_TOKEN holds the token. Refused are
    recaptions of the engine context, scores that nobody evaluated, mixed prompts, models and code versions, and images
    whose licence does not allow it, each unless [publication] allows it by name.
    """
    from s1mm_assets.cli.publish import publish as upload

    upload(repository, is_dry_run=dry_run, is_public=public)


@app.command()
@plain_errors
def rehydrate(
    release: Annotated[Path, typer.Argument(help="The release's folder; its recipes are enough.")],
    *,
    papers: Annotated[
        Path,
        typer.Option(
            help="Your copy of the papers: a folder as S1MM_SOURCES is, or one of bundles and PDFs."
        ),
    ],
    target: Annotated[Path, typer.Option("--out", help="The folder for what is rebuilt; it must not exist.")],
    report: Annotated[
        Path | None, typer.Option(help="Write what could not be rebuilt into this file, as JSON Lines.")
    ] = None,
) -> None:
    """Rebuild the images that their licences keep out of a release, from your own copy of the papers.

    Only an image that is the same to the byte counts as rebuilt: take the versions of renderers and the settings
    that the release's manifest names. The result is a release of its own, with captions, that verifies and loads; it
    is not for passing on. Exit code 1 where something could not be rebuilt.
    """
    from s1mm_assets.cli.rehydrate import rebuild

    raise typer.Exit(0 if rebuild(release, papers, target, report) else 1)


@app.command("import")
@plain_errors
def import_published(
    folder: Annotated[
        Path, typer.Argument(help="The published dataset's folder: arXiv/, bioRxiv/ … lie in it.")
    ],
    *,
    partition: Partitions = None,
    report: Annotated[Path | None, typer.Option(help="Write the defects into this file, as JSON.")] = None,
    year: Annotated[
        int | None, typer.Option(help="Of papers whose year neither a file's name nor an id tells.")
    ] = None,
    until: Annotated[str, typer.Option(help="Stop after this asset, e.g. recaptions.")] = "hf_publication",
    scratch: Annotated[
        Path | None, typer.Option(help="Where the index and up to 8 GiB of images lie meanwhile.")
    ] = None,
) -> None:
    """Read the published layout of S1-MMAlign into the store, say what is wrong with it, and release it anew.

    Images and captions become figures, which are filtered as all others; recaptions are those published. A run that
    was stopped goes on when it is called again. Exit code 1 where a check or the release failed; defects of the
    folder are no failure.
    """
    from s1mm_assets.cli.importing import import_folder

    keys = known_partitions(partition)
    code = import_folder(folder, keys, report=report, fallback_year=year, until=until, scratch=scratch)
    raise typer.Exit(code)


@app.command()
@plain_errors
def plan(
    *,
    source: Annotated[str, typer.Option(help="Whose papers, e.g. arxiv.")],
    year: Annotated[
        list[int] | None, typer.Option(help="Only this year; may be repeated. Else all there are.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Figures per second and GPU; 20 is assumed.", min=0.001, show_default=False),
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(help="GPUs at work; 8 are assumed.", min=1, show_default=False)
    ] = None,
    egress_usd_per_gb: Annotated[
        float | None,
        typer.Option(
            help="What 10^9 bytes from the source cost; 0.09 is assumed of a bucket, 0 of a folder.",
            min=0,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a backfill will take: papers, figures, tokens, GPU hours, disk, bytes from the source and their cost.

    Every number says where it comes from: counted in the store or listed by the source, else from the nearest three
    years of this source in the store, else from the averages of the S1-MMAlign paper, else assumed. A "?" is not
    known. What was paid for already, in the answer log or in current recaptions, is not counted again. Tokens are
    estimated on up to 200 figures, always the same. Nothing is written, no server is asked.
    """
    from s1mm_assets.cli.plan import show

    show(source, year or (), rate=rate, gpus=gpus, usd_per_gb=egress_usd_per_gb, as_json=as_json)


@app.command()
@plain_errors
def status(
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until Ctrl-C; in a pipe, a line for each change.")
    ] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Show what was acquired and what the store holds, by partition: files of the publisher, rows at every door.

    Where DAGSTER_HOME is set, also the runs at work: partition, step, shard, since when.
    """
    from s1mm_assets.cli import status

    if watch and as_json:
        raise UsageError("--watch prints no JSON: s1mm metrics serves what programs watch")
    if watch:
        status.watch(every)
    else:
        status.show(as_json=as_json)


@app.command()
@plain_errors
def metrics(
    *,
    port: Annotated[int, typer.Option(help="Of the page /metrics; 0: any.", min=0, max=65535)] = 9464,
    host: Annotated[
        str, typer.Option(help="The address that is listened at; nobody is asked who they are.")
    ] = ("127.0.0.1"),
    once: Annotated[bool, typer.Option("--once", help="Print the page, serve nothing.")] = False,
) -> None:
    """Serve Prometheus metrics of store, acquisition and runs (those of the instance of DAGSTER_HOME).

    It reads partition records, ledgers, and one column of each new file; what takes long is read while the page
    shows how it was. s1mm_scrape_error says what could not be read.
    """
    from s1mm_assets.cli import metrics

    if once:
        typer.echo(metrics.page(), nl=False)
    else:
        metrics.serve(host, port)


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
def retry(
    partition: Partitions = None,
    reason: Annotated[
        list[Rejection] | None,
        typer.Option(
            help="Only this rejection, and answers of models too, e.g. answer_refusal; may be repeated.",
            show_choices=False,
        ),
    ] = None,
) -> None:
    """Do again the rows that the environment rejected: time, memory, crashes, missing renderers, failed requests.

    With --reason answer_…, models are asked again about the figures whose answers were rejected for it, and about
    no others. The request is the same as before: a server that was out of order is made good, a model that is
    simply bad at a figure may be again. What lies in the paper (drawn_in_tex …) is refused: after an update, or
    with other settings, `s1mm build` does by itself what they touch.
    """
    from s1mm_assets.cli.build import retry_failed

    raise typer.Exit(retry_failed(known_partitions(partition), reason or ()))


@app.command()
@plain_errors
def gallery(
    partition: Annotated[str, typer.Argument(help="Of this partition, e.g. 'arxiv|2019'.")],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Where it goes; by default gallery-<partition>.html here.")
    ] = None,
) -> None:
    """Copy the page on which people judge a sample of a partition's figures: kept and rejected ones.

    It needs no network. The keys g and b judge, ? lists the others; the button saves the verdicts as CSV.
    """
    from s1mm_assets.cli.gallery import copy_gallery

    known_partitions([partition])
    copy_gallery(partition, out_file)


@app.command()
@plain_errors
def verdicts(
    files: Annotated[list[Path], typer.Argument(help="As the gallery saved them.", metavar="CSV…")],
) -> None:
    """Put what people judged in galleries where the asset check reads it: an estimate of the precision."""
    from s1mm_assets.cli.gallery import take_verdicts

    take_verdicts(files)


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
    """Print every setting with its value, as TOML."""
    import tomli_w

    from s1mm_assets.definitions import SETTINGS

    typer.echo(tomli_w.dumps(SETTINGS.as_dict()))


Partition = Annotated[str, typer.Option("--partition", "-p", help="Of this partition, e.g. 'arxiv|2019'.")]


@batch_app.command("write")
@plain_errors
def batch_write(
    folder: Annotated[Path, typer.Argument(help="Where the files of requests go.")],
    partition: Partition,
    max_mib: Annotated[int, typer.Option(help="Of one file; then the next begins.", min=1)] = 200,
) -> None:
    """Write what is still to be asked about a partition's kept figures as OpenAI batch files, images included.

    Answers that are in the answer log are not asked for. The folder's files of this partition are replaced; the
    same log gives the same bytes. No server is needed.
    """
    from s1mm_assets.cli.batch import write

    known_partitions([partition])
    write(partition, folder, max_mib)


@batch_app.command("read")
@plain_errors
def batch_read(
    results: Annotated[list[Path], typer.Argument(help="What vllm run-batch wrote.", metavar="RESULT…")],
    partition: Partition,
) -> None:
    """Put the results of batches into the answer log, from which `s1mm build` commits without any server.

    Errors, truncated lines, and results of another prompt, model, image or partition are counted and named, and
    change nothing. Results can be read again, in any order and number. Which weights answered cannot be seen in a
    result: it counts as of the settings' model_revision.
    """
    from s1mm_assets.cli.batch import read

    known_partitions([partition])
    read(partition, results)
