"""Bundles as papers come in them, built by the tests themselves."""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping

MTIME = 1_262_304_000  # 2010-01-01
TEX = rb"""\documentclass{article}
\begin{document}
\begin{figure}\includegraphics{a}\caption{One.}\end{figure}
\end{document}
"""
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
PDF = b"%PDF-1.4\n1 0 obj\n<< /CreationDate (D:20120304050607Z) >>\nendobj\n%%EOF\n"
PAPER = {"main.tex": TEX, "a.png": PNG}


def tar(members: Mapping[str, bytes] | Iterable[tuple[str | tarfile.TarInfo, bytes]], **kwargs: int) -> bytes:
    """A tar of these members, in order; a TarInfo stands for itself."""
    packed = io.BytesIO()
    pairs = members.items() if isinstance(members, Mapping) else members
    with tarfile.open(fileobj=packed, mode="w", **kwargs) as container:  # type: ignore[call-overload]
        for name, content in pairs:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size, info.mtime = len(content), MTIME
            container.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def gz(data: bytes) -> bytes:
    """Gzip as arXiv packs it, without name and time."""
    return gzip.compress(data, mtime=0)


def tar_gz(members: Mapping[str, bytes] | Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> bytes:
    return gz(tar(members))


def zipped(members: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as container:
        for name, content in members.items():
            container.writestr(zipfile.ZipInfo(name, (2011, 2, 3, 4, 5, 6)), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def gzip_bomb(n_mib: int, head: bytes = b"") -> bytes:
    """Zeros that pack a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(head), *(packer.compress(bytes(1 << 20)) for _ in range(n_mib)), packer.flush()]
    return b"".join(parts)


def header(name: bytes, size_field: bytes, kind: bytes = b"0") -> bytes:
    """A tar header with a sound checksum and any size field."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108], block[124:136], block[136:148] = b"0000644\0", size_field, b"00000000000\0"
    block[148:156], block[156:157], block[257:265] = b" " * 8, kind, b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
