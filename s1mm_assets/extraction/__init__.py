"""Papers → figures with their captions and citing text: LaTeX (latex/), images (raster), PDF and JATS to come."""

from s1mm_assets.extraction.papers import PaperRead, PaperReader
from s1mm_assets.extraction.pdf import LayoutDetector, PdfSettings
from s1mm_assets.extraction.raster import RasterSettings
from s1mm_assets.extraction.rows import PaperJob
from s1mm_assets.extraction.stage import SUMMARISED, VERSION, stage, summary

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
