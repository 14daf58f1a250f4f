"""`s1mm extract`: the figures of some files, without a store."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from s1mm_assets.archives.bundle import without_suffix
from s1mm_assets.archives.local import is_delivery, unique_ids
from s1mm_assets.cli.terminal import UsageError, bars
from s1mm_assets.definitions import RENDERERS, SETTINGS, WORKERS
from s1mm_assets.extraction import PaperJob, PaperRead, PaperReader
from s1mm_assets.extraction.stage import settled
from s1mm_assets.resources.sources.reading import RangeReader
from s1mm_assets.resources.sources.registry import BundleReader
from s1mm_assets.stages import Unread
from s1mm_assets.tables import FigureCandidate


def files_in(paths: Sequence[Path]) -> list[Path]:
    """Return the files named, and those in the folders named, in order."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(each for each in path.rglob("*") if each.is_file() and is_delivery(each.name))
        elif path.is_file():
            files.append(path)
        else:
            raise UsageError(
                f"{path} does not exist: name a bundle (.tar.gz, .gz, .zip), a PDF, or a folder of them"
            )
    return files


def figures_of(paths: Sequence[Path], images: Path | None) -> Iterator[dict[str, Any]]:
    """Yield one line per figure, and one per paper that gave none; write the images where a folder is given."""
    files = files_in(paths)
    jobs = [
        PaperJob(
            source="local",
            paper_id=named_as_the_file(uri, paper_id),
            uri=uri,
            offset=0,
            length=Path(uri).stat().st_size,
        )
        for uri, paper_id in unique_ids([str(path.absolute()) for path in files]).items()
    ]
    reader = PaperReader(
        read_bundle=BundleReader(RangeReader("/")), renderers=RENDERERS.pictures(), raster=SETTINGS.raster
    )
    with WORKERS as workers, bars("extract"):
        outcomes = workers.map(reader, jobs, what="papers", total=len(jobs))
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Unread):
                raise UsageError(f"{job.uri}: {outcome.evidence}")
            read = settled(job, outcome)
            for figure in read.figures:
                if images is not None and figure.image is not None:
                    write_image(images, figure)
                yield line(figure)
            if not read.figures:
                yield empty_line(read)


def named_as_the_file(uri: str, paper_id: str) -> str:
    """Return the file's name without its suffix where that is unique: "hep-ph0001001" gets no slash here."""
    name = without_suffix(Path(uri).name)
    return name if paper_id.replace("/", "") == name else paper_id


def line(figure: FigureCandidate) -> dict[str, Any]:
    """Return what is printed of one figure."""
    return {
        "paper_id": figure.paper_id,
        "figure_id": figure.figure_id,
        "figure_number": figure.figure_number,
        "image": figure.image_member or figure.graphics_path,
        "caption": figure.caption,
        "sub_caption": figure.sub_caption,
        "parent_caption": figure.parent_caption,
        "caption_raw": figure.caption_raw,
        "labels": figure.labels,
        "mentions": figure.mentions,
        "method": figure.method,
        "page": figure.page,
        "bbox": figure.bbox,
        "confidence": figure.confidence,
        "width_px": figure.width_px,
        "height_px": figure.height_px,
        "rejection": figure.rejection,
    }


def empty_line(read: PaperRead) -> dict[str, Any]:
    """Return what is printed of a paper that gave no figures: the same keys, all null but for the reason."""
    keys = dict.fromkeys(
        (
            *("paper_id", "figure_id", "figure_number", "image", "caption", "sub_caption", "parent_caption"),
            *("caption_raw", "labels", "mentions", "method", "page", "bbox", "confidence"),
            *("width_px", "height_px", "rejection"),
        )
    )
    paper = read.paper
    return {**keys, "paper_id": paper.paper_id, "method": paper.method, "rejection": paper.rejection}


def write_image(folder: Path, figure: FigureCandidate) -> None:
    """Write a figure's image as `<paper>_f<figure>_p<panel>.png`, with nothing in the name that a path could read."""
    folder.mkdir(parents=True, exist_ok=True)
    ordinals = figure.figure_id.rpartition("#")[2].replace(".", "_p")
    paper = "".join(c if c.isalnum() or c in "-_" else "_" for c in figure.paper_id)
    if paper != figure.paper_id:  # "p.v1" and "p_v1" are two papers
        digest = hashlib.sha256(figure.paper_id.encode("utf-8", "surrogateescape")).hexdigest()
        paper = f"{paper}_{digest[:8]}"
    suffix = {"jpeg": "jpg"}.get(figure.image_format or "", figure.image_format)
    (folder / f"{paper}_f{ordinals}.{suffix}").write_bytes(figure.image or b"")
