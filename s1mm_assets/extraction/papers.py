"""One paper as delivered → its `papers` row and its `figures` rows: what a worker does in one task.

Here the parts meet: a bundle's figures are read (latex/), their images rendered (raster). What is found out
about a figure is said in its row; nothing here raises for what a paper holds.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from s1mm_assets.extraction.latex import LatexFigure, LatexPaper, read_paper
from s1mm_assets.extraction.raster import Picture, RasterSettings, Refused, Renderers, rasterize
from s1mm_assets.stages import Unread
from s1mm_assets.tables import FigureCandidate, Paper, Rejection

CHILD_RENDERERS = ("pdfium", "poppler", "ghostscript")
MAX_IMAGE_BYTES_PER_PAPER = 512 * 2**20  # results cross a pipe and wait in memory for their turn


class Bundle(Protocol):
    """A paper's bytes, opened: what `archives.open_bundle` returns."""

    @property
    def kind(self) -> str:
        """What was delivered: latex, pdf and so on."""

    @property
    def members(self) -> Mapping[str, bytes]:
        """Path in the bundle → bytes."""

    @property
    def rejection(self) -> Rejection | None:
        """Why it cannot be read."""

    @property
    def evidence(self) -> str | None:
        """What was seen."""


class ReadBundle(Protocol):
    """Fetch and open one delivered paper; picklable."""

    def __call__(self, uri: str, offset: int, length: int, name: str, sha256: str | None) -> Bundle:
        """Return the opened bundle of a paper; OSError where its bytes are not to be had, or are others."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRead:
    """What one paper gave."""

    paper: Paper
    figures: list[FigureCandidate]
    renderers: frozenset[str]  # those that its images depend on


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperReader:
    """The picklable function that a worker applies to each `PaperJob`."""

    read_bundle: ReadBundle
    renderers: Renderers
    raster: RasterSettings

    def __call__(self, job: PaperJob) -> PaperRead | Unread:
        """Read one paper; every outcome is a row, but for bytes that the source does not give."""
        try:
            bundle = self.read_bundle(job.uri, job.offset, job.length, job.paper_id, job.sha256)
        except OSError as error:
            return Unread(f"{type(error).__name__}: {error}")
        if bundle.rejection not in (None, Rejection.NO_IMAGES):
            return rejected(job, bundle.rejection, bundle.evidence)
        if bundle.kind != "latex":
            why = f"no extractor is configured for papers that come as {bundle.kind}"
            return rejected(job, Rejection.NO_EXTRACTOR, why)
        latex = read_paper(bundle.members, name=job.paper_id)
        figures = self._figures(job, latex, bundle.members)
        rejection: str | None = latex.rejection
        evidence = latex.evidence
        if rejection is None and not figures:
            rejection, evidence = bundle.rejection or Rejection.NO_FIGURES, bundle.evidence
        return PaperRead(
            paper=Paper(
                paper_id=job.paper_id,
                method="latex",
                main_file=latex.main_file,
                encoding=latex.encoding,
                title=job.title or latex.title,
                abstract=job.abstract or latex.abstract,
                authors=list(job.authors or latex.authors),
                n_figures=len({f.figure_ordinal for f in latex.figures if f.figure_number}),
                n_rows=len(figures),
                n_images=sum(figure.image is not None for figure in figures),
                warnings=list(latex.warnings),
                rejection=rejection,
                evidence=evidence,
            ),
            figures=figures,
            renderers=frozenset(each for figure in figures for each in renderers_of(figure)),
        )

    def _figures(
        self, job: PaperJob, latex: LatexPaper, members: Mapping[str, bytes]
    ) -> list[FigureCandidate]:
        pictures: dict[tuple[str, int | None], Picture | Refused] = {}
        rows, n_bytes = [], 0
        for figure in latex.figures:
            picture: Picture | Refused | None = None
            if figure.image_member is not None:
                key = (figure.image_member, figure.page)
                if key not in pictures:
                    pictures[key] = rasterize(
                        members[figure.image_member],
                        figure.image_member,
                        page=figure.page,
                        renderers=self.renderers,
                        settings=self.raster,
                    )
                picture = pictures[key]
            if isinstance(picture, Picture):
                n_bytes += len(picture.image)
                if n_bytes > MAX_IMAGE_BYTES_PER_PAPER:
                    evidence = f"the paper's images are more than {MAX_IMAGE_BYTES_PER_PAPER} bytes"
                    picture = Refused(Rejection.IMAGE_TOO_LARGE, evidence)
            rows.append(candidate(job, figure, picture, members))
        return rows


def renderers_of(figure: FigureCandidate) -> set[str]:
    """What a row depends on: Pillow judges every image; those that failed are named in the evidence."""
    if figure.image_member is None:
        return set()
    evidence = (figure.evidence or "").lower() if figure.image is None else ""
    used = {"pillow", figure.renderer or "", *(name for name in CHILD_RENDERERS if name in evidence)}
    return used | {"pdfium"} if "poppler" in used else used  # poppler is only asked where pdfium failed


def candidate(
    job: PaperJob, figure: LatexFigure, picture: Picture | Refused | None, members: Mapping[str, bytes]
) -> FigureCandidate:
    """Return the row of one figure environment's image."""
    rejection: Rejection | None = None
    evidence = figure.ambiguous
    if isinstance(picture, Refused):
        rejection, evidence = picture.rejection, picture.evidence
    elif picture is None and figure.drawn_in_tex:
        rejection, evidence = Rejection.DRAWN_IN_TEX, figure.drawn_by
    elif picture is None:
        rejection, evidence = Rejection.GRAPHICS_MISSING, figure.graphics_path
    image = picture.image if isinstance(picture, Picture) else None
    return FigureCandidate(
        figure_id=f"{job.source}:{job.paper_id}#{figure.figure_ordinal}.{figure.panel_ordinal}",
        paper_id=job.paper_id,
        figure_number=figure.figure_number,
        method="latex",
        environment=figure.environment,
        labels=list(figure.labels),
        caption=figure.caption,
        sub_caption=figure.sub_caption,
        parent_caption=figure.parent_caption,
        caption_raw=figure.caption_raw,
        mentions=[dict(mention) for mention in figure.mentions],
        graphics_path=figure.graphics_path,
        image_member=figure.image_member,
        page=figure.page,
        bbox=None,
        confidence=None,
        image=image,
        image_format=picture.image_format if isinstance(picture, Picture) else None,
        image_size_bytes=len(image) if image is not None else None,
        source_size_bytes=len(members[figure.image_member]) if figure.image_member else None,
        width_px=picture.width_px if isinstance(picture, Picture) else None,
        height_px=picture.height_px if isinstance(picture, Picture) else None,
        sha256=hashlib.sha256(image).hexdigest() if image is not None else None,
        renderer=picture.renderer if isinstance(picture, Picture) else None,
        rejection=rejection,
        evidence=evidence,
    )


def rejected(job: PaperJob, rejection: Rejection | str | None, evidence: str | None) -> PaperRead:
    """Return the row of a paper that gave no figures, and why."""
    paper = Paper(
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
    return PaperRead(paper=paper, figures=[], renderers=frozenset())
