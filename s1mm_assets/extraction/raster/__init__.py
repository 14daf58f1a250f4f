"""Figure files of any format become the PNG or JPEG that is released.

Belongs here: what a file really is, how large it is drawn, what may pass unchanged, how it is encoded. Does
not: child processes and clocks, which `Renderers` brings in.
"""

from typing import TYPE_CHECKING

from s1mm_assets.extraction.raster.formats import sniff
from s1mm_assets.extraction.raster.pictures import Box, Drawing, FigureFile, Page, Picture, Refused, Renderers
from s1mm_assets.extraction.settings import RasterSettings
from s1mm_assets.on_demand import on_demand

if TYPE_CHECKING:
    from s1mm_assets.extraction.raster.bitmaps import encode
    from s1mm_assets.extraction.raster.pdf import draw
    from s1mm_assets.extraction.raster.rasterize import rasterize_all
else:
    __getattr__ = on_demand(
        __name__, {"bitmaps": ["encode"], "pdf": ["draw"], "rasterize": ["rasterize_all"]}
    )

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
    "rasterize_all",
    "sniff",
]
