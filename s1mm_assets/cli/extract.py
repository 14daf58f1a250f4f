"""`s1mm extract`: the figures of some files, without a store."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from s1mm_assets.archives.bundle import without_suffix
from s1mm_assets.archives.local import papers_in, unique_ids
from s1mm_assets.cli.terminal import UsageError, bars
from s1mm_assets.definitions import LAYOUT, RENDERERS, SETTINGS, WORKERS
from s1mm_assets.extraction import PaperJob, PaperRead, PaperReader
from s1mm_assets.extraction.stage import settled
from s1mm_assets.resources.sources.reading import RangeReader, delivery_at
from s1mm_assets.resources.sources.registry import BundleReader
from s1mm_assets.stages import Unread
from s1mm_assets.tables import FigureCandidate


def files_in(paths: Sequence[Path]) -> list[Path]:
    """Return the papers named, and those in the folders named, in order: files, and folders of loose files."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [f"it/{each.relative_to(path)}" for each in path.rglob("*") if each.is_file()]
            files += [path / found.removeprefix("it/") for found in papers_in(inside)]
        elif path.is_file():
            files.append(path)
        else:
            raise UsageError(
                f"{path} does not exist: name a bundle (.tar.gz, .gz, .zip, .meca), a PDF, "
                "an article in JATS (.xml), or a folder of them"
            )
    return files


def figures_of(paths: Sequence[Path], images: Path | None, overlay: Path | None) -> Iterator[dict[str, Any]]:
    """Yield one line per figure, and one per paper that gave none.

    Args:
        paths: Papers, or folders of them.
        images: Where each figure's image is written.
        overlay: Where the marked pages of PDFs are written.
    """
    files = files_in(paths)
    jobs = [
        PaperJob(
            source="local",
            paper_id=named_as_the_file(uri, paper_id),
            uri=uri,
            offset=0,
            length=delivered.size if (delivered := delivery_at("/", uri)) else 0,
        )
        for uri, paper_id in unique_ids([uri_of(path) for path in files]).items()
    ]
    reader = PaperReader(
        read_bundle=BundleReader(RangeReader("/")),
        renderers=RENDERERS.pictures(),
        raster=SETTINGS.raster,
        detector=LAYOUT.detector(SETTINGS.pdf.detector, SETTINGS.pdf.mineru_tier),
        pdf=SETTINGS.pdf,
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
        if overlay is not None:
            pages = workers.map(reader.overlays, jobs, what="papers", total=len(jobs))
            for job, drawn in zip(jobs, pages, strict=True):
                if isinstance(drawn, list):
                    write_overlays(overlay, job.paper_id, drawn)


def uri_of(path: Path) -> str:
    """Return a path as seen from the root of the file system; a folder's with a slash at its end."""
    uri = str(path.absolute()).lstrip("/")
    return f"{uri}/" if path.is_dir() else uri


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


def write_overlays(folder: Path, paper_id: str, pages: Sequence[tuple[int, bytes]]) -> None:
    """Write a paper's marked pages as `<paper>_page<number>.png`, numbers from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, png in pages:
        (folder / f"{file_stem(paper_id)}_page{number + 1:03d}.png").write_bytes(png)


def file_stem(paper_id: str) -> str:
    """Return a paper's id with nothing in it that a path could read; different ids stay different."""
    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in paper_id)
    if stem == paper_id:
        return stem
    digest = hashlib.sha256(paper_id.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{stem}_{digest[:8]}"  # "p.v1" and "p_v1" are two papers


def write_image(folder: Path, figure: FigureCandidate) -> None:
    """Write a figure's image as `<paper>_f<figure>_p<panel>.png`, with nothing in the name that a path could read."""
    folder.mkdir(parents=True, exist_ok=True)
    ordinals = figure.figure_id.rpartition("#")[2].replace(".", "_p")
    suffix = {"jpeg": "jpg"}.get(figure.image_format or "", figure.image_format)
    (folder / f"{file_stem(figure.paper_id)}_f{ordinals}.{suffix}").write_bytes(figure.image or b"")
