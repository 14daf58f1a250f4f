"""What an extractor read → rows of `figures` and `papers`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from s1mm_assets.extraction.raster.pictures import Picture, Refused
from s1mm_assets.tables import FigureCandidate, Paper, Rejection

if TYPE_CHECKING:
    from s1mm_assets.extraction.jats import JatsFigure, JatsPaper
    from s1mm_assets.extraction.latex import LatexFigure, LatexPaper
    from s1mm_assets.extraction.pdf import PdfFigure, PdfPaper

Method = Literal["latex", "jats", "pdf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperJob:
    """One paper to read."""

    source: str
    paper_id: str
    uri: str
    offset: int
    length: int  # bytes; the worker pool bounds what is in flight by it
    sha256: str | None = None  # of the bytes that were recorded, where they were
    title: str | None = None
    abstract: str | None = None
    authors: tuple[str, ...] = ()


def markup_row(
    job: PaperJob,
    figure: LatexFigure | JatsFigure,
    picture: Picture | Refused | None,
    members: Mapping[str, bytes],
    drawn: PdfFigure | None = None,
) -> FigureCandidate:
    """Return the row of one image that LaTeX or JATS includes.

    Args:
        job: The paper.
        figure: As its source has it.
        picture: Its file, rendered; None where the bundle has none.
        members: Path in the bundle → bytes.
        drawn: The same figure in the paper's PDF, which fills the gap where the file is missing.
    """
    from s1mm_assets.extraction.jats import JatsFigure

    rejection, evidence = absence(figure, picture)
    if rejection is not None and drawn is not None and isinstance(drawn.picture, Picture):
        picture, evidence = drawn.picture, f"cut out of the PDF; its own file: {rejection.value}"
        rejection = None
    else:
        drawn = None
    return FigureCandidate(
        figure_id=f"{job.source}:{job.paper_id}#{figure.figure_ordinal}.{figure.panel_ordinal}",
        paper_id=job.paper_id,
        figure_number=figure.figure_number,
        method="jats" if isinstance(figure, JatsFigure) else "latex",
        environment=figure.environment,
        labels=list(figure.labels),
        caption=figure.caption,
        sub_caption=figure.sub_caption,
        parent_caption=figure.parent_caption,
        caption_raw=figure.caption_raw,
        mentions=[dict(mention) for mention in figure.mentions],
        graphics_path=figure.graphics_path,
        image_member=figure.image_member,
        page=figure.page if drawn is None else drawn.page,
        bbox=None if drawn is None else drawn.bbox,
        confidence=None if drawn is None else drawn.confidence,
        source_size_bytes=len(members[figure.image_member]) if figure.image_member else None,
        rejection=rejection,
        evidence=evidence,
        rights=figure.rights if isinstance(figure, JatsFigure) else None,
        **image_columns(picture),
    )


def absence(
    figure: LatexFigure | JatsFigure, picture: Picture | Refused | None
) -> tuple[Rejection | None, str | None]:
    """Return why a figure has no picture of its own, and what was seen of it; of one that has, what is ambiguous."""
    from s1mm_assets.extraction.latex import LatexFigure

    if isinstance(picture, Refused):
        return picture.rejection, picture.evidence
    if picture is not None:
        return None, figure.ambiguous
    if isinstance(figure, LatexFigure) and figure.drawn_in_tex:
        return Rejection.DRAWN_IN_TEX, figure.drawn_by
    return Rejection.GRAPHICS_MISSING, figure.graphics_path


def pdf_row(job: PaperJob, figure: PdfFigure) -> FigureCandidate:
    """Return the row of one figure that was found on the pages of a PDF."""
    return FigureCandidate(
        figure_id=f"{job.source}:{job.paper_id}#{figure.figure_ordinal}.1",
        paper_id=job.paper_id,
        figure_number=figure.figure_number,
        method="pdf",
        environment=figure.kind,
        labels=[],
        caption=figure.caption,
        sub_caption=None,
        parent_caption=None,
        caption_raw=None,
        mentions=[dict(mention) for mention in figure.mentions],
        graphics_path=None,
        image_member=None,
        page=figure.page,
        bbox=figure.bbox,
        confidence=figure.confidence,
        source_size_bytes=None,
        rejection=figure.rejection,
        evidence=figure.evidence,
        **image_columns(figure.picture),
    )


def image_columns(picture: Picture | Refused | None) -> dict[str, Any]:
    """Return the columns that tell of the image itself; all null where there is none."""
    if not isinstance(picture, Picture):
        names = ("image", "image_format", "image_size_bytes", "width_px", "height_px", "sha256", "renderer")
        return dict.fromkeys(names)
    return {
        "image": picture.image,
        "image_format": picture.image_format,
        "image_size_bytes": len(picture.image),
        "width_px": picture.width_px,
        "height_px": picture.height_px,
        "sha256": hashlib.sha256(picture.image).hexdigest(),
        "renderer": picture.renderer,
    }


def paper_row(
    job: PaperJob,
    read: LatexPaper | JatsPaper | PdfPaper,
    figures: Sequence[FigureCandidate],
    *,
    method: Method,
    rejection: str | None,
    evidence: str | None,
) -> Paper:
    """Return the row of a paper that was read; what the source's metadata says of it counts first."""
    from s1mm_assets.extraction.jats import JatsPaper
    from s1mm_assets.extraction.pdf import PdfPaper

    source = None if isinstance(read, PdfPaper) else read
    return Paper(
        paper_id=job.paper_id,
        method=method,
        main_file=source.main_file if source else None,
        encoding=source.encoding if source else None,
        title=job.title or read.title,
        abstract=job.abstract or read.abstract,
        authors=list(job.authors or (source.authors if source else ())),
        n_figures=len({ordinal_of(figure) for figure in figures if figure.figure_number}),
        n_rows=len(figures),
        n_images=sum(figure.image is not None for figure in figures),
        warnings=list(read.warnings),
        rejection=rejection,
        evidence=evidence,
        licence=read.licence if isinstance(read, JatsPaper) else None,
    )


def ordinal_of(figure: FigureCandidate) -> str:
    """Return which figure of its paper a row belongs to; panels share it."""
    return figure.figure_id.rpartition("#")[2].partition(".")[0]


def rejected_row(job: PaperJob, rejection: Rejection | str | None, evidence: str | None) -> Paper:
    """Return the row of a paper that was not read, and why."""
    return Paper(
        paper_id=job.paper_id,
        method=None,
        main_file=None,
        encoding=None,
        title=job.title,
        abstract=job.abstract,
        authors=list(job.authors),
        n_figures=0,
        n_rows=0,
        n_images=0,
        warnings=[],
        rejection=rejection,
        evidence=evidence,
    )
