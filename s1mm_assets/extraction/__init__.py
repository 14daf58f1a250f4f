"""Papers → figures with their captions and citing text: LaTeX (latex/), JATS (jats/), PDF (pdf/), images (raster/)."""

from typing import TYPE_CHECKING

from s1mm_assets.extraction.rows import PaperJob
from s1mm_assets.extraction.settings import PdfSettings, RasterSettings
from s1mm_assets.extraction.stage import SUMMARISED, VERSION, stage, summary
from s1mm_assets.on_demand import on_demand

if TYPE_CHECKING:
    from s1mm_assets.extraction.papers import PaperRead, PaperReader
    from s1mm_assets.extraction.pdf.layout import LayoutDetector
else:
    __getattr__ = on_demand(
        __name__, {"papers": ["PaperRead", "PaperReader"], "pdf.layout": ["LayoutDetector"]}
    )

__all__ = [
    "SUMMARISED",
    "VERSION",
    "LayoutDetector",
    "PaperJob",
    "PaperRead",
    "PaperReader",
    "PdfSettings",
    "RasterSettings",
    "stage",
    "summary",
]
