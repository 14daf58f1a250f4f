"""What shapes the figures that are extracted; part of the stage's fingerprint."""

from dataclasses import dataclass
from math import ceil

POINTS_PER_INCH = 72.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterSettings:
    """What shapes the pictures.

    The resolution of drawings without pixels of their own is chosen for a vision encoder: Qwen3-VL advises
    256 to 1280 tokens of about 1024 pixels, so a long side of 1024 px (768 tokens at 4:3) loses nothing to
    it, and 2048 px leaves room for people and for cropping. Drawings smaller than that at `vector_dpi` are
    drawn finer, but not beyond `max_vector_dpi`: an icon stays small, and the filters see that it is one.
    """

    max_side_px: int = 2048  # no released picture is larger, whatever its source
    vector_dpi: float = 300.0  # of the size that the drawing says it has
    vector_side_px: int = 1024  # small drawings are drawn finer until their long side has this many pixels …
    max_vector_dpi: float = 600.0  # … or their resolution is this
    max_source_pixels: int = 90_000_000  # of one frame; making it smaller takes up to 13 bytes a pixel
    max_source_bytes: int = 128 * 2**20
    jpeg_quality: int = 92  # of JPEGs that cannot stay as they are
    png_level: int = 6  # against level 2, 12 % smaller for 40 ms more: paid once, saved at every download

    def dpi(self, width_pt: float, height_pt: float) -> float:
        """Return the resolution, in pixels per inch, at which a drawing of this size is rendered."""
        inches = max(width_pt, height_pt) / POINTS_PER_INCH
        finer = min(self.vector_side_px / inches, self.max_vector_dpi)
        return min(max(self.vector_dpi, finer), self.max_side_px / inches)

    def size_px(self, width_pt: float, height_pt: float) -> tuple[int, int]:
        """Return width and height in pixels at that resolution, each from 1 to `max_side_px`."""
        scale = self.dpi(width_pt, height_pt) / POINTS_PER_INCH
        width, height = (ceil(round(side * scale, 3)) for side in (width_pt, height_pt))
        return max(1, min(width, self.max_side_px)), max(1, min(height, self.max_side_px))


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfSettings:
    """What shapes the figures that are read from PDFs."""

    detector: str = "rapid-layout"  # who says what lies where on a page
    mineru_tier: str = "flash"  # of the detector mineru: flash works without models
    min_confidence: float = 0.3  # of a pair of picture and caption; below it is association_uncertain
