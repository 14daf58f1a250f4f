"""Members of packages as tests need them: bytes that are what their names say."""

import re

MAGIC = {
    "tif": b"II*\0",
    "gif": b"GIF89a",
    "png": b"\x89PNG\r\n\x1a\n",
    "pdf": b"%PDF-1.4",
    "eps": b"%!PS-Adobe-3.0",
}
JPEG = b"\xff\xd8\xff"


def image(path: str) -> bytes:
    """A file that its first bytes show to be what its name says; JPEG where the name says nothing."""
    return MAGIC.get(path.rpartition(".")[2].lower(), JPEG) + path.encode()


def package(xml: bytes, path: str = "content/paper.xml") -> dict[str, bytes]:
    """An article with the files that its comment `<!-- files: a.tif b.jpg -->` names."""
    named = re.search(rb"<!-- files: (.*?) -->", xml)
    files = named[1].decode().split() if named else []
    return {path: xml, **{name: image(name) for name in files}}
