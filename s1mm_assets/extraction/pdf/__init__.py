"""Figures of PDFs: whole, with their own captions and what the paper says about them.

`read_pdf` takes a file and gives a `PdfPaper`. The layout detector is handed in.
"""

from typing import TYPE_CHECKING

from s1mm_assets.extraction.pdf.layout import LayoutDetector
from s1mm_assets.extraction.settings import PdfSettings
from s1mm_assets.on_demand import on_demand

if TYPE_CHECKING:
    from s1mm_assets.extraction.pdf.overlay import overlays
    from s1mm_assets.extraction.pdf.paper import PdfFigure, PdfPaper, Stopwatch, read_pdf
else:
    __getattr__ = on_demand(
        __name__, {"overlay": ["overlays"], "paper": ["PdfFigure", "PdfPaper", "Stopwatch", "read_pdf"]}
    )

__all__ = ["LayoutDetector", "PdfFigure", "PdfPaper", "PdfSettings", "Stopwatch", "overlays", "read_pdf"]
