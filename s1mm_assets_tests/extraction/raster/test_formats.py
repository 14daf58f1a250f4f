"""What a file really is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.extraction.raster import sniff
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.raster.drawings import draw, eps, image_file, pdf, refusal, with_dos_header


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (image_file("PNG"), "png"),
        (image_file("JPEG"), "jpeg"),
        (image_file("GIF"), "gif"),
        (image_file("BMP"), "bmp"),
        (image_file("TIFF"), "tiff"),
        (pdf(), "pdf"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + pdf(), "pdf"),
        (eps(b""), "postscript"),
        (with_dos_header(eps(b"")), "postscript"),
        (b"\x04\r\n" + eps(b""), "postscript"),
        (b"\x1b%-12345X@PJL ENTER LANGUAGE=POSTSCRIPT\n" + eps(b""), "postscript"),
        (eps(b"% carries %PDF-1.4 inside"), "postscript"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg/>", "svg"),
        (b"<html><body>404 Not Found</body></html>", "unknown"),
        (b"BM is how this text begins", "unknown"),
        (b"", "unknown"),
    ],
)
def test_formats_are_told_by_content(data: bytes, expected: str) -> None:
    """Each format is known by its first bytes, behind what printers, mail and editors put before them."""
    assert sniff(data) == expected


@given(st.binary(max_size=64))
def test_any_bytes_have_a_format(data: bytes) -> None:
    """Sniffing never raises."""
    assert sniff(data) in {"png", "jpeg", "gif", "bmp", "tiff", "pdf", "postscript", "svg", "unknown"}


@pytest.mark.parametrize("data", [b"<html>404</html>", b"II*", b"\x93NUMPY"])
def test_what_is_no_image_is_unsupported(data: bytes) -> None:
    """The refusal names the file."""
    picture = draw(data)

    assert refusal(picture) is Rejection.IMAGE_UNSUPPORTED
    assert "fig/plot.eps" in str(picture)


def test_an_empty_file_is_unreadable() -> None:
    """A file without bytes is a broken image, not a new format."""
    assert refusal(draw(b"")) is Rejection.IMAGE_UNREADABLE
