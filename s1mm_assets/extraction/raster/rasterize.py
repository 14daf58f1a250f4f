"""From figure files to their pictures: which way each format goes."""

from collections.abc import Sequence

from s1mm_assets.extraction.raster.bitmaps import rasterize_bitmap
from s1mm_assets.extraction.raster.formats import inflated, sniff
from s1mm_assets.extraction.raster.pdf import rasterize_pdf
from s1mm_assets.extraction.raster.pictures import FigureFile, Picture, Refused, Renderers
from s1mm_assets.extraction.raster.postscript import rasterize_postscript
from s1mm_assets.extraction.raster.svg import rasterize_svg
from s1mm_assets.extraction.settings import RasterSettings
from s1mm_assets.tables import Rejection


def rasterize(
    data: bytes, name: str, *, page: int | None, renderers: Renderers, settings: RasterSettings
) -> Picture | Refused:
    """Return the PNG or JPEG that is released for one figure file: `rasterize_all` of it alone."""
    return rasterize_all([FigureFile(data, name, page)], renderers=renderers, settings=settings)[0]


def rasterize_all(
    files: Sequence[FigureFile], *, renderers: Renderers, settings: RasterSettings
) -> list[Picture | Refused]:
    """Return what is released for each figure file. Never raises, whatever the bytes.

    A file gives the same alone as among others; together, PostScript costs less.

    Args:
        files: As the paper's bundle holds them, or compressed by gzip.
        renderers: What draws in child processes.
        settings: Sizes, resolutions and limits.

    Returns:
        In the order given, the picture or why there is none: image_unreadable, image_too_large,
        image_unsupported, renderer_missing, timed_out, out_of_memory.
    """
    contents = [_content(file.data, settings) for file in files]
    programs = [data for data in contents if isinstance(data, bytes) and sniff(data) == "postscript"]
    drawn = iter(rasterize_postscript(programs, renderers, settings) if programs else ())
    return [
        data
        if isinstance(data, Refused)
        else next(drawn)
        if sniff(data) == "postscript"
        else _rasterized(data, file, renderers, settings)
        for file, data in zip(files, contents, strict=True)
    ]


def _content(data: bytes, settings: RasterSettings) -> bytes | Refused:
    """Return the file as it was before it was compressed, within the limit."""
    limit = settings.max_source_bytes
    if len(data) > limit:
        return Refused(Rejection.IMAGE_TOO_LARGE, f"{len(data)} bytes, more than {limit}")
    try:
        content = inflated(data, limit)
    except ValueError as error:
        return Refused(Rejection.IMAGE_UNREADABLE, f"gzip: {error}")
    if len(content) > limit:
        return Refused(Rejection.IMAGE_TOO_LARGE, f"gzip: more than {limit} bytes")
    return content


def _rasterized(
    data: bytes, file: FigureFile, renderers: Renderers, settings: RasterSettings
) -> Picture | Refused:
    """Return the picture of one file that is no PostScript."""
    image_format = sniff(data)
    if image_format in ("png", "jpeg", "gif", "bmp", "tiff"):
        return rasterize_bitmap(data, image_format, settings)
    if image_format == "pdf":
        return rasterize_pdf(data, file.page or 0, renderers, settings)
    if image_format == "svg":
        return rasterize_svg(data, renderers, settings)
    if not data:
        return Refused(Rejection.IMAGE_UNREADABLE, "an empty file")
    what = f"no image format known here, begins with {data[:16]!r}"
    return Refused(Rejection.IMAGE_UNSUPPORTED, f"{file.name}: {what}")
