"""Pages with what was found drawn on them, for people to look at."""

from collections.abc import Callable, Iterator
from io import BytesIO

import pypdfium2 as pdfium
from PIL import Image, ImageDraw

from s1mm_assets.extraction.pdf.document import opened, pages_of
from s1mm_assets.extraction.pdf.paper import PdfFigure, PdfPaper

OVERLAY_DPI = 100.0
_PAIRED, _UNSURE, _CAPTION, _DETECTED = "#d00000", "#e08000", "#0060d0", "#a0a0a0"
_MIN_SCORE = 0.25  # of the detector's boxes that are shown


def overlays(
    data: bytes, paper: PdfPaper, stopwatch: Callable[[], Callable[[], bool]]
) -> Iterator[tuple[int, bytes]]:
    """Yield the pages that hold a figure or a caption, as PNG, with their 0-based number.

    Grey are the detector's boxes with kind and score, blue the captions, red the figures with number and
    confidence, orange those that were not sure enough; a line joins a figure with its caption.
    """
    busy = {figure.page for figure in paper.figures}
    busy |= {page for figure in paper.figures for page, _ in figure.caption_boxes}
    if not busy:
        return
    with opened(data) as document:
        for page in pages_of(document):
            if page.number not in busy:
                continue
            try:
                picture = page.draw(OVERLAY_DPI / 72, stopwatch())
            except pdfium.PdfiumError:
                picture = None
            if picture is not None:
                _mark(picture, page.number, paper)
                out = BytesIO()
                picture.save(out, "PNG", compress_level=2)
                yield page.number, out.getvalue()


def _mark(picture: Image.Image, page: int, paper: PdfPaper) -> None:
    """Draw what is known of one page on its picture."""
    pen = ImageDraw.Draw(picture)
    for box in paper.layout[page]:
        if box.score >= _MIN_SCORE:
            _frame(pen, box.bbox, _DETECTED, f"{box.kind} {box.score:.2f}", 1)
    for figure in paper.figures:
        for number, caption in figure.caption_boxes:
            if number == page:
                _frame(pen, caption, _CAPTION, f"caption of {figure.kind} {figure.figure_number}", 2)
        if figure.page == page and figure.bbox is not None:
            colour = _PAIRED if figure.rejection is None else _UNSURE
            _frame(pen, figure.bbox, colour, _says(figure), 3)
            _join(pen, figure, page, colour)


def _says(figure: PdfFigure) -> str:
    elsewhere = {number for number, _ in figure.caption_boxes} - {figure.page}
    where = f", caption on page {min(elsewhere)}" if elsewhere else ""
    why = f", {figure.rejection.value}" if figure.rejection else ""
    return f"{figure.kind} {figure.figure_number}: {figure.confidence}{where}{why}"


def _frame(
    pen: ImageDraw.ImageDraw, box: tuple[float, ...] | list[float], colour: str, label: str, width: int
) -> None:
    scaled = [side * OVERLAY_DPI / 72 for side in box]
    pen.rectangle(scaled, outline=colour, width=width)
    pen.text((scaled[0] + 3, scaled[1] + 2), label, fill=colour)


def _join(pen: ImageDraw.ImageDraw, figure: PdfFigure, page: int, colour: str) -> None:
    caption = next((box for number, box in figure.caption_boxes if number == page), None)
    if caption is None or figure.bbox is None:
        return
    ends = [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in (figure.bbox, caption)]
    pen.line([(x * OVERLAY_DPI / 72, y * OVERLAY_DPI / 72) for x, y in ends], fill=colour, width=2)
