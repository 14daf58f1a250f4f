"""Figure files of any format become the PNG or JPEG that is released.

Belongs here: what a file really is, how large it is drawn, what may pass unchanged, how it is encoded. Does
not: child processes and clocks, which `Renderers` brings in.
"""

from s1mm_assets.extraction.raster.bitmaps import encode
from s1mm_assets.extraction.raster.formats import sniff
from s1mm_assets.extraction.raster.pdf import draw
from s1mm_assets.extraction.raster.pictures import (
    Box,
    Drawing,
    FigureFile,
    Page,
    Picture,
    RasterSettings,
    Refused,
    Renderers,
)
from s1mm_assets.extraction.raster.rasterize import rasterize, rasterize_all

__all__ = [
    "Box",
    "Drawing",
    "FigureFile",
    "Page",
    "Picture",
    "RasterSettings",
    "Refused",
    "Renderers",
    "draw",
    "encode",
    "rasterize",
    "rasterize_all",
    "sniff",
]
