"""From a figure file to its picture: which way each format goes."""

from s1mm_assets.extraction.raster.bitmaps import rasterize_bitmap
from s1mm_assets.extraction.raster.formats import sniff
from s1mm_assets.extraction.raster.pdf import rasterize_pdf
from s1mm_assets.extraction.raster.pictures import Picture, RasterSettings, Refused, Renderers
from s1mm_assets.extraction.raster.postscript import rasterize_postscript
from s1mm_assets.tables import Rejection


def rasterize(
    data: bytes, name: str, *, page: int | None, renderers: Renderers, settings: RasterSettings
) -> Picture | Refused:
    """Return the PNG or JPEG that is released for one figure file. Never raises, whatever the bytes.

    Args:
        data: The file as the paper's bundle holds it.
        name: The bundle member; it serves as evidence only, the format is read from the bytes.
        page: Of a PDF, 0-based; None is the first. Other formats give their first page or frame.
        renderers: What draws in a child process.
        settings: Sizes, resolutions and limits.

    Returns:
        The picture, or why there is none: image_unreadable, image_too_large, image_unsupported,
        renderer_missing, timed_out, out_of_memory.
    """
    if len(data) > settings.max_source_bytes:
        limit = settings.max_source_bytes
        return Refused(Rejection.IMAGE_TOO_LARGE, f"{len(data)} bytes, more than {limit}")
    image_format = sniff(data)
    if image_format in ("png", "jpeg", "gif", "bmp", "tiff"):
        return rasterize_bitmap(data, image_format, settings)
    if image_format == "pdf":
        return rasterize_pdf(data, page or 0, renderers, settings)
    if image_format == "postscript":
        return rasterize_postscript(data, renderers, settings)
    if not data:
        return Refused(Rejection.IMAGE_UNREADABLE, "an empty file")
    what = "SVG" if image_format == "svg" else f"no image format known here, begins with {data[:16]!r}"
    return Refused(Rejection.IMAGE_UNSUPPORTED, f"{name}: {what}")
