"""Reading tar headers, of papers and of the chunks that papers come in.

Why not `tarfile`: its parser of this Python can be made to loop and to backtrack for hours (CVE-2024-6232,
CVE-2025-8194), it holds extended headers of any size, and it takes an archive that is cut short for whole.
This one reads forward once, believes no size, and says of each entry only where its bytes lie.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from s1mm_assets.archives.limits import MIB, Refused
from s1mm_assets.tables import Rejection

BLOCK_BYTES = 512
MAX_EXTENDED_BYTES = MIB  # of a long name or PAX header; real ones hold a path and a few times
MAX_NUMBER = 1 << 60  # no file is larger, and a seek to it does not overflow
REGULAR = frozenset({b"0", b"\0", b"7"})
EXTENDED = frozenset({b"L", b"K", b"x", b"X", b"g"})  # they speak of the next entry, or of all
WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
ODD = {
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"6": "named pipe",
    b"S": "sparse file",
}


class ForwardStream(Protocol):
    """What is read from: a file, or bytes as they are inflated."""

    def read(self, n_bytes: int, /) -> bytes:
        """Return the next bytes, fewer only at the end."""

    def tell(self) -> int:
        """Return the position of the next byte."""


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One entry of a tar: what its header says, and where its data lie."""

    name: bytes
    size: int  # bytes of data
    offset: int  # of the data
    modified_s: int  # seconds since 1970
    oddity: str | None  # "symbolic link" …: what it is when it is neither a file nor a folder
    is_folder: bool


def is_tar(head: bytes) -> bool:
    """Whether the first block is a tar header by its checksum, or the zeros that end an archive."""
    block = head[:BLOCK_BYTES]
    return len(block) == BLOCK_BYTES and (not block.strip(b"\0") or _has_checksum(block))


def tar_entries(stream: ForwardStream) -> Iterator[TarEntry]:
    """Yield the entries up to the end-of-archive block, or to the end where none stands.

    While an entry is held, up to `size` bytes may be read from the stream, which stands at its data.

    Raises:
        Refused: corrupt or truncated, when the walk comes to the place.
    """
    extended: dict[str, bytes] = {}
    while block := _header(stream):
        kind, size = block[156:157], _number(block[124:136], "size")
        if kind in EXTENDED:
            extended |= _extended(stream, kind, size)
            continue
        entry, data_bytes = _entry(stream, block, kind, size, extended)
        extended = {}
        yield entry
        _skip_to(stream, entry.offset + data_bytes, entry.name)
        _skip_padding(stream, data_bytes)


def _header(stream: ForwardStream) -> bytes:
    """Read one header block; empty where the archive ends."""
    block = stream.read(BLOCK_BYTES)
    if not block.strip(b"\0"):
        return b""
    if len(block) < BLOCK_BYTES:
        raise Refused(Rejection.TRUNCATED, f"tar ends inside the header at byte {stream.tell() - len(block)}")
    if not _has_checksum(block):
        raise Refused(
            Rejection.CORRUPT, f"tar header at byte {stream.tell() - BLOCK_BYTES} has a wrong checksum"
        )
    return block


def _has_checksum(block: bytes) -> bool:
    try:
        declared = _number(block[148:156], "checksum")
    except Refused:
        return False
    blanked = block[:148] + b" " * 8 + block[156:]
    unsigned = sum(blanked)
    if declared == unsigned:
        return True
    return declared == unsigned - 256 * sum(byte > 127 for byte in blanked)  # as some old tars summed


def _number(digits: bytes, what: str) -> int:
    """Read an octal field, or GNU's base 256 for what does not fit one."""
    if digits[:1] == b"\x80":
        number = int.from_bytes(digits[1:], "big")
        if number > MAX_NUMBER:
            raise Refused(Rejection.CORRUPT, f"tar header: {what} is {number}")
        return number
    text = digits.split(b"\0", 1)[0].strip()
    if text.strip(b"01234567"):
        raise Refused(Rejection.CORRUPT, f"tar header: {what} is {digits!r}")
    return int(text or b"0", 8)


def _entry(
    stream: ForwardStream, block: bytes, kind: bytes, size: int, extended: dict[str, bytes]
) -> tuple[TarEntry, int]:
    """Return what the header says, and how many bytes of data follow it."""
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0]
    if prefix and block[257:263] == b"ustar\0":
        name = prefix + b"/" + name
    name = extended.get("path", name)
    size = _decimal(extended.get("size"), size)
    if kind == b"S":
        _skip_sparse_map(stream, block)
    oddity = ODD.get(kind, None if kind in REGULAR or kind == b"5" else f"entry of type {kind!r}")
    if any(key.startswith("GNU.sparse.") for key in extended):
        oddity = ODD[b"S"]
    data_bytes = 0 if kind in WITHOUT_DATA else size
    entry = TarEntry(
        name=name,
        size=data_bytes,
        offset=stream.tell(),
        modified_s=_decimal(extended.get("mtime"), _number_or_0(block[136:148])),
        oddity=oddity,
        is_folder=kind == b"5" or name.endswith(b"/"),
    )
    return entry, data_bytes


def _number_or_0(digits: bytes) -> int:
    """Read a time; one that cannot be read is no reason to refuse a paper."""
    try:
        return _number(digits, "time")
    except Refused:
        return 0


def _decimal(digits: bytes | None, otherwise: int) -> int:
    whole = (digits or b"").split(b".", 1)[0]
    return int(whole) if 0 < len(whole) < 19 and whole.isdigit() else otherwise


def _extended(stream: ForwardStream, kind: bytes, size: int) -> dict[str, bytes]:
    """Read a header that speaks of the next entry: GNU long name (L), PAX (x, X); others are passed over."""
    if size > MAX_EXTENDED_BYTES:
        raise Refused(Rejection.CORRUPT, f"tar: an extended header of {size} bytes")
    content = stream.read(size)
    if len(content) < size:
        raise Refused(Rejection.TRUNCATED, "tar ends inside an extended header")
    _skip_padding(stream, size)
    if kind == b"L":
        return {"path": content.split(b"\0", 1)[0]}
    return dict(_pax_records(content)) if kind in (b"x", b"X") else {}


def _pax_records(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield key and value of each record "<length> <key>=<value>"; stop where it is not so."""
    at = 0
    while at < len(content):
        digits = content[at : at + 20].partition(b" ")[0]
        blank, end = at + len(digits), at + int(digits) if digits.isdigit() else 0
        if not blank < end <= len(content):  # so that each turn moves on
            return
        key, equals, value = content[blank + 1 : end - 1].partition(b"=")
        if equals:
            yield key.decode("utf-8", "replace"), value
        at = end


def _skip_sparse_map(stream: ForwardStream, block: bytes) -> None:
    """Pass over the blocks by which GNU tar continues the map of a sparse file."""
    is_continued = block[482:483] == b"\x01"
    while is_continued:
        more = stream.read(BLOCK_BYTES)
        if len(more) < BLOCK_BYTES:
            raise Refused(Rejection.TRUNCATED, "tar ends inside the map of a sparse file")
        is_continued = more[504:505] == b"\x01"


def _skip_to(stream: ForwardStream, position: int, name: bytes) -> None:
    """Move forward; a file by seeking, and by reading its last byte, since a seek knows no end."""
    if hasattr(stream, "seek") and position > stream.tell():
        stream.seek(position - 1)
    while (left := position - stream.tell()) > 0:
        if not stream.read(min(left, MIB)):
            raise Refused(Rejection.TRUNCATED, f"tar ends inside {name.decode('utf-8', 'replace')!r}")


def _skip_padding(stream: ForwardStream, data_bytes: int) -> None:
    """Pass over the zeros that fill the last block; some writers leave them out at the very end."""
    stream.read(-data_bytes % BLOCK_BYTES)
