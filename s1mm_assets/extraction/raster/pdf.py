"""A page of a PDF file, by pdfium in this process, else by a second renderer that is handed in."""

import ctypes
from collections.abc import Callable

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from PIL import Image

from s1mm_assets.extraction.raster.bitmaps import encode, encode_drawn
from s1mm_assets.extraction.raster.pictures import Picture, Refused, Renderers
from s1mm_assets.extraction.settings import RasterSettings
from s1mm_assets.tables import Rejection


def rasterize_pdf(
    data: bytes, page: int, renderers: Renderers, settings: RasterSettings
) -> Picture | Refused:
    """Return one page (0-based) within its crop box, turned as displayed, on white.

    A page that took all of its time is not tried again.
    """
    first = _by_pdfium(data, page, renderers.stopwatch(), settings)
    if not isinstance(first, Refused):
        return first
    if first.rejection is not Rejection.IMAGE_UNREADABLE:
        return first
    second = _by_second_renderer(data, page, renderers, settings)
    if isinstance(second, Refused) and second.rejection is Rejection.IMAGE_UNREADABLE:
        return Refused(Rejection.IMAGE_UNREADABLE, f"{first.evidence}; {second.evidence}")
    return second


def _by_pdfium(
    data: bytes, page: int, is_time_up: Callable[[], bool], settings: RasterSettings
) -> Picture | Refused:
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        return Refused(Rejection.IMAGE_UNREADABLE, f"pdfium: {error}")
    try:
        if not 0 <= page < len(document):
            return Refused(Rejection.IMAGE_UNREADABLE, f"pdfium: page {page} of {len(document)}, from 0")
        displayed = document[page]
        image = draw(displayed, settings.size_px(*displayed.get_size()), is_time_up)
    except pdfium.PdfiumError as error:
        return Refused(Rejection.IMAGE_UNREADABLE, f"pdfium: {error}")
    finally:
        document.close()
    if image is None:
        return Refused(Rejection.TIMED_OUT, "pdfium: drawing the page took too long")
    return encode(image, "png", "pdfium", settings)


def draw(
    page: pdfium.PdfPage,
    size_px: tuple[int, int],
    is_time_up: Callable[[], bool],
    *,
    page_px: tuple[int, int] | None = None,
    offset_px: tuple[int, int] = (0, 0),
    with_annotations: bool = True,
) -> Image.Image | None:
    """Draw a page, or a window of it, on white, asking between steps whether to go on.

    Args:
        page: As displayed: within its crop box, and turned.
        size_px: Width and height of the picture.
        is_time_up: Says when to stop.
        page_px: Width and height of the whole page at this resolution; None is `size_px`.
        offset_px: Where on the page the picture begins.
        with_annotations: Links have frames, which are no part of a figure in the running text.

    Returns:
        The picture in RGB; None if time was up.

    Raises:
        pdfium.PdfiumError: It cannot be drawn.
    """
    bitmap = pdfium.PdfBitmap.new_native(*size_px, pdfium_c.FPDFBitmap_BGR)
    bitmap.fill_rect((255, 255, 255, 255), 0, 0, *size_px)
    pause = pdfium_c.IFSDK_PAUSE(version=1)
    pdfium.internal.set_callback(pause, "NeedToPauseNow", lambda _: int(is_time_up()))
    place = (-offset_px[0], -offset_px[1], *(page_px or size_px))
    flags = pdfium_c.FPDF_ANNOT if with_annotations else 0
    status = pdfium_c.FPDF_RenderPageBitmap_Start(bitmap, page, *place, 0, flags, ctypes.byref(pause))
    pdfium_c.FPDF_RenderPage_Close(page)
    if status == pdfium_c.FPDF_RENDER_TOBECONTINUED:
        return None
    if status != pdfium_c.FPDF_RENDER_DONE:
        raise pdfium.PdfiumError("Failed to render page.")
    image: Image.Image = bitmap.to_pil()
    return image


def _by_second_renderer(
    data: bytes, page: int, renderers: Renderers, settings: RasterSettings
) -> Picture | Refused:
    drawn = renderers.pdf_second_try(data, page, settings.max_side_px)
    if isinstance(drawn, Refused):
        return drawn
    size = settings.size_px(drawn.width_pt, drawn.height_pt)
    return encode_drawn(drawn.ppm, size, "poppler", settings)
