"""Which format a figure file really has. Names are not looked at: in papers, extensions lie."""

import zlib

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),  # BigTIFF
    (b"MM\0+", "tiff"),
    (b"\xc5\xd0\xd3\xc6", "postscript"),  # DOS binary: an EPS with a preview
    (b"%PDF-", "pdf"),
)
_PRINTER_JOB = b"\x1b%-12345X"  # PJL before the PostScript, from printer drivers
_BLANK = b" \t\r\n\f\0\x04"  # \x04: end of transmission, left over from serial lines
_GZIP_MAGIC = b"\x1f\x8b\x08"
_HEAD_BYTES = 4096  # readers of PDF take 1024 bytes of foreign matter before the header; poppler takes more


def sniff(data: bytes) -> str:
    """Return png, jpeg, gif, bmp, tiff, pdf, postscript, svg, or unknown."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data.startswith(b"BM") and data[6:10] == b"\0\0\0\0":
        return "bmp"
    head = data[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip(_BLANK)
    if head.startswith(b"%!") or (head.startswith(_PRINTER_JOB) and b"%!PS" in head):
        return "postscript"
    if b"%PDF-" in head:
        return "pdf"
    if head.startswith(b"<") and b"<svg" in head:
        return "svg"
    return "unknown"


def inflated(data: bytes, limit: int) -> bytes:
    """Return what a file holds that gzip made smaller (.svgz, .eps.gz), at most `limit` + 1 bytes; else the file.

    Raises:
        ValueError: It is damaged, or ends too early.
    """
    if not data.startswith(_GZIP_MAGIC):
        return data
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        content = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not stream.eof and len(content) <= limit:
        raise ValueError("ends too early")
    return content
