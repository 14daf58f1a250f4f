"""`s1mm rehydrate`: images that licences keep out of a release, rebuilt from the user's own papers."""

import json
from pathlib import Path

import polars as pl

from s1mm_assets.cli.terminal import UsageError, bars, err, out, table
from s1mm_assets.definitions import LAYOUT, RENDERERS, SETTINGS, SOURCES, WORKERS
from s1mm_assets.extraction import PaperReader
from s1mm_assets.release import PublicationError
from s1mm_assets.resources.rehydration import REBUILT, RehydrationError, rehydrate
from s1mm_assets.resources.release_folder import LocalFolder, ReleaseFolder

N_SHOWN = 10


def rebuild(release: Path, papers: Path, target: Path, report: Path | None) -> bool:
    """Rebuild images and say what became of each; return whether all were."""
    for folder in (release, papers):
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is there already: name a folder that is not")
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    for line in RENDERERS.missing(RENDERERS.versions()):
        err.print(f"warning: {line}", highlight=False, markup=False)
    reader = PaperReader(
        read_bundle=SOURCES.bundles("local"),  # each paper brings its own
        renderers=RENDERERS.pictures(),
        raster=SETTINGS.raster,
        detector=LAYOUT.detector(SETTINGS.pdf.detector, SETTINGS.pdf.mineru_tier),
        pdf=SETTINGS.pdf,
    )
    try:
        with WORKERS as workers, bars("rehydrate"):
            found = rehydrate(
                LocalFolder(release.absolute()),
                papers.absolute(),
                ReleaseFolder(path=str(target.absolute())),
                reader=reader,
                map_papers=workers.map,
            )
    except (RehydrationError, PublicationError) as error:
        raise UsageError(str(error)) from error
    rows = [{"outcome": outcome, "figures": n} for outcome, n in found.counts.most_common()]
    table(pl.DataFrame(rows), as_json=False, title=f"Rebuilt in {target}", totals=True)
    for each in found.failed[:N_SHOWN]:
        said = f" ({each['evidence']})" if each["evidence"] else ""
        out.print(f"{each['figure_id']}: {each['outcome']}{said}", highlight=False, markup=False)
    if len(found.failed) > N_SHOWN and report is None:
        out.print(f"and {len(found.failed) - N_SHOWN:,} more: --report FILE lists them all")
    if report is not None:
        lines = [json.dumps(each, ensure_ascii=False) for each in found.failed]
        report.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return found.counts[REBUILT] == found.counts.total()
