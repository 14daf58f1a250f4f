"""One paper as delivered → its `papers` row and its `figures` rows: what a worker does in one task.

Here the parts meet: a bundle's figures are read (latex/, jats/, pdf/), their images rendered (raster/). What is
found out about a figure is said in its row; nothing here raises for what a paper holds.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Protocol

from s1mm_assets.extraction.images import paper_images
from s1mm_assets.extraction.jats import JatsFigure, JatsPaper, read_jats
from s1mm_assets.extraction.latex import LatexFigure, LatexPaper, read_paper
from s1mm_assets.extraction.pdf import (
    LayoutDetector,
    PdfFigure,
    PdfPaper,
    PdfSettings,
    overlays,
    read_pdf,
)
from s1mm_assets.extraction.raster import Picture, RasterSettings, Refused, Renderers, sniff
from s1mm_assets.extraction.rows import Method, PaperJob, markup_row, paper_row, pdf_row, rejected_row
from s1mm_assets.stages import Unread
from s1mm_assets.tables import FigureCandidate, Paper, Rejection

SURE_ENOUGH, ALIKE = 0.6, 0.7  # of a PDF's figure that stands in for a missing file
CHILD_RENDERERS = ("pdfium", "poppler", "ghostscript", "resvg")
PDF_RENDERERS = ("pdfium", "pillow")  # Pillow scales pages for the detector, and encodes what is cut out
ANCILLARY = "anc/"  # arXiv: files beside the paper, not of it


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
    detector: LayoutDetector
    pdf: PdfSettings

    def __call__(self, job: PaperJob) -> PaperRead | Unread:
        """Read one paper; every outcome is a row, but for bytes that the source does not give."""
        try:
            bundle = self.read_bundle(job.uri, job.offset, job.length, job.paper_id, job.sha256)
        except OSError as error:
            return Unread(f"{type(error).__name__}: {error}")
        if bundle.rejection not in (None, Rejection.NO_IMAGES):
            return rejected(job, bundle.rejection, bundle.evidence)
        if bundle.kind == "latex":
            return self._latex(job, bundle)
        if bundle.kind in ("jats", "meca"):
            return self._jats(job, bundle)
        if bundle.kind == "pdf":
            return self._pdf(job, pdf_among(bundle.members))
        why = f"no extractor is configured for papers that come as {bundle.kind}"
        return rejected(job, Rejection.NO_EXTRACTOR, why)

    def overlays(self, job: PaperJob) -> list[tuple[int, bytes]]:
        """Return the pages of a paper's PDF with what was found drawn on them: 0-based number, PNG."""
        bundle = self.read_bundle(job.uri, job.offset, job.length, job.paper_id, job.sha256)
        pdf = b""
        if bundle.kind == "pdf":
            pdf = pdf_among(bundle.members)
        elif bundle.kind in ("jats", "meca"):
            pdf = pdf_beside(read_jats(bundle.members, name=job.paper_id), bundle.members)
        return list(overlays(pdf, self._read_pdf(job, pdf), self.renderers.stopwatch)) if pdf else []

    def _latex(self, job: PaperJob, bundle: Bundle) -> PaperRead:
        latex = read_paper(bundle.members, name=job.paper_id)
        images = self._images(latex.figures, bundle.members)
        rows = [
            markup_row(job, figure, image, bundle.members)
            for figure, image in zip(latex.figures, images, strict=True)
        ]
        return read_as(job, "latex", latex, rows, or_else=(bundle.rejection, bundle.evidence))

    def _jats(self, job: PaperJob, bundle: Bundle) -> PaperRead:
        """Read the markup; where it or an image is missing, the PDF beside it fills the gap."""
        jats = read_jats(bundle.members, name=job.paper_id)
        images = self._images(jats.figures, bundle.members)
        has_gaps = not images or not all(isinstance(image, Picture) for image in images)
        pdf = pdf_beside(jats, bundle.members)
        if not has_gaps or not pdf:
            rows = [
                markup_row(job, figure, image, bundle.members)
                for figure, image in zip(jats.figures, images, strict=True)
            ]
            return read_as(job, "jats", jats, rows)
        read = self._read_pdf(job, pdf)
        if not jats.figures and read.figures:
            known = replace(
                job,
                title=job.title or jats.title,
                abstract=job.abstract or jats.abstract,
                authors=job.authors or tuple(jats.authors),
            )
            return pdf_read(known, read, self.detector)
        rows = [
            markup_row(job, figure, image, bundle.members, same_figure(figure, jats, read))
            for figure, image in zip(jats.figures, images, strict=True)
        ]
        return read_as(job, "jats", jats, rows, used=frozenset({*PDF_RENDERERS, self.detector.component}))

    def _pdf(self, job: PaperJob, data: bytes) -> PaperRead:
        return pdf_read(job, self._read_pdf(job, data), self.detector)

    def _read_pdf(self, job: PaperJob, data: bytes) -> PdfPaper:
        return read_pdf(
            data,
            name=job.paper_id,
            detector=self.detector,
            stopwatch=self.renderers.stopwatch,
            settings=self.pdf,
            raster=self.raster,
        )

    def _images(
        self, figures: Sequence[LatexFigure] | Sequence[JatsFigure], members: Mapping[str, bytes]
    ) -> list[Picture | Refused | None]:
        wanted = [
            None if figure.image_member is None else (figure.image_member, figure.page) for figure in figures
        ]
        return paper_images(wanted, members, renderers=self.renderers, settings=self.raster)


def pdf_beside(jats: JatsPaper, members: Mapping[str, bytes]) -> bytes:
    """Return the PDF of a paper in JATS: the one that package or article name, else the only one; or empty."""
    return members[jats.pdf_member] if jats.pdf_member else pdf_among(members)


def pdf_among(members: Mapping[str, bytes]) -> bytes:
    """Return the PDF of a bundle, ancillary files aside; empty if there is none, or no telling which it is."""
    pdfs = [data for path, data in members.items() if sniff(data) == "pdf" and not path.startswith(ANCILLARY)]
    return pdfs[0] if len(pdfs) == 1 else b""


def read_as(
    job: PaperJob,
    method: Method,
    read: LatexPaper | JatsPaper | PdfPaper,
    rows: list[FigureCandidate],
    *,
    or_else: tuple[Rejection | None, str | None] = (None, None),
    used: frozenset[str] = frozenset(),
) -> PaperRead:
    """Return a paper with its rows.

    Args:
        job: The paper.
        method: How it was read.
        read: What the extractor made of it.
        rows: Its figures.
        or_else: Why there are no figures, where the extractor does not say; else no_figures.
        used: Renderers and models that were used whatever became of the images.
    """
    rejection: str | None = read.rejection
    evidence = read.evidence
    if rejection is None and not rows:
        rejection, evidence = or_else[0] or Rejection.NO_FIGURES, or_else[1]
    paper = paper_row(job, read, rows, method=method, rejection=rejection, evidence=evidence)
    return PaperRead(paper=paper, figures=rows, renderers=used.union(*map(renderers_of, rows)))


def pdf_read(job: PaperJob, read: PdfPaper, detector: LayoutDetector) -> PaperRead:
    """Return a paper that came as PDF."""
    rows = [pdf_row(job, figure) for figure in read.figures]
    return read_as(job, "pdf", read, rows, used=frozenset({*PDF_RENDERERS, detector.component}))


def same_figure(figure: JatsFigure, jats: JatsPaper, read: PdfPaper) -> PdfFigure | None:
    """Return the figure of the PDF that is surely a figure of the markup: one number, one image, one caption."""
    if not figure.figure_number or figure.environment.startswith("sub-article"):
        return None
    marked = [each for each in jats.figures if each.figure_number == figure.figure_number]
    drawn = [each for each in read.figures if named(each) == figure.figure_number]
    if len(marked) != 1 or len(drawn) != 1 or (drawn[0].confidence or 0) < SURE_ENOUGH:
        return None
    one, other = (re.sub(r"\W+", "", each.caption).lower()[:200] for each in (figure, drawn[0]))
    is_alike = SequenceMatcher(None, one, other, autojunk=False).ratio() >= ALIKE
    return drawn[0] if is_alike else None


def named(figure: PdfFigure) -> str:
    """Return a figure's number as JATS has it: with its kind where it is no figure."""
    return (
        figure.figure_number if figure.kind == "figure" else f"{figure.kind.title()} {figure.figure_number}"
    )


def renderers_of(figure: FigureCandidate) -> set[str]:
    """What a row depends on: Pillow judges every image; those that failed are named in the evidence."""
    if figure.image_member is None:
        return set()
    evidence = (figure.evidence or "").lower() if figure.image is None else ""
    used = {"pillow", figure.renderer or "", *(name for name in CHILD_RENDERERS if name in evidence)}
    return used | {"pdfium"} if "poppler" in used else used  # poppler is only asked where pdfium failed


def rejected(job: PaperJob, rejection: Rejection | str | None, evidence: str | None) -> PaperRead:
    """Return a paper that was not read, and why."""
    return PaperRead(paper=rejected_row(job, rejection, evidence), figures=[], renderers=frozenset())
