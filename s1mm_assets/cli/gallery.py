"""`s1mm gallery` and `s1mm verdicts`: the page that people judge figures on, and what they judged."""

from collections.abc import Sequence
from pathlib import Path

from s1mm_assets.cli.terminal import UsageError, out
from s1mm_assets.definitions import STORE
from s1mm_assets.metrics.verdicts import VerdictError
from s1mm_assets.resources.galleries import PAGE, folder_of, put_verdicts


def copy_gallery(partition: str, target: Path | None) -> None:
    """Copy a partition's gallery to a local file, and say where it is."""
    path = target or Path(f"gallery-{partition.replace('|', '-')}.html")
    try:
        with STORE.fs.open_input_stream(f"{folder_of(STORE, partition)}/{PAGE}") as stream:
            page = stream.read()
    except FileNotFoundError as error:
        raise UsageError(
            f"{partition} has no gallery yet: materialize its quality_metrics, or `s1mm build -p '{partition}'`"
        ) from error
    path.write_bytes(page)
    out.print(
        f"{path}: open it in a browser, judge, save; then: s1mm verdicts FILE", highlight=False, markup=False
    )


def take_verdicts(files: Sequence[Path]) -> None:
    """Put files of verdicts where the check of their partitions reads them."""
    for file in files:
        try:
            keys = put_verdicts(STORE, file.name, file.read_bytes())
        except (VerdictError, OSError) as error:
            raise UsageError(str(error)) from error
        out.print(f"{file}: taken for {', '.join(keys)}", highlight=False, markup=False)
    out.print("The check people_judge_kept_figures_good counts them when quality_metrics is checked next.")
