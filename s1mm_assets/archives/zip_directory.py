"""A zip's directory, and the beginning of a member, by ranges: what a package holds, without having it.

The directory stands at the end and says where each member lies. All of it is untrusted: what it declares is bounded
before it is read, and what comes out of a member is cut where the caller says. Whole zips are read in `containers`.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from s1mm_assets.archives.limits import MIB, Refused
from s1mm_assets.tables import Rejection

ReadRange = Callable[[int, int], bytes]
"""(start, end) → the bytes from start up to, and without, end."""

TAIL_BYTES = 16 * 1024  # holds the directory of a hundred members or so
LONGEST_TAIL_BYTES = 22 + 65_535 + 20  # of an end record with the longest comment, and what points to Zip64's
MAX_DIRECTORY_BYTES = 8 * MIB
MAX_MEMBERS = 20_000
MAX_NAME_BYTES = 1024

END = struct.Struct("<4s4H2LH")
END_64 = struct.Struct("<4sQ2H2L4Q")
POINTER_64 = struct.Struct("<4sLQL")
ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
STORED, DEFLATED = 0, 8
LOCAL_EXTRA_BYTES = 256  # beside the name; read with the member, so that one read suffices


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipMember:
    """A file as the directory describes it."""

    name: str
    offset: int  # of its local header in the file
    packed_bytes: int
    unpacked_bytes: int  # as declared
    method: int  # 0: stored, 8: deflated
    is_encrypted: bool


def with_tail(size: int, tail: bytes, read: ReadRange) -> ReadRange:
    """Return what reads ranges of a file whose last bytes are at hand; nothing is asked for beyond its end.

    Args:
        size: Bytes of the whole file.
        tail: Its last bytes.
        read: Reads a range that is not in the tail.
    """
    start_of_tail = size - len(tail)

    def ranged(start: int, end: int) -> bytes:
        end = min(end, size)
        if start >= end:
            return b""
        return (
            tail[start - start_of_tail : end - start_of_tail] if start >= start_of_tail else read(start, end)
        )

    return ranged


def read_directory(size: int, tail: bytes, read: ReadRange) -> list[ZipMember]:
    """Return the files that a zip lists, in its order; folders are passed over.

    Args:
        size: Bytes of the whole zip.
        tail: Its last bytes, `TAIL_BYTES` or all; where they do not hold the directory, more is read.
        read: Reads a range of it.

    Raises:
        Refused: truncated, where no end is found; corrupt; too_large.
    """
    at = _end_in(tail)
    if at is None and len(tail) < min(size, LONGEST_TAIL_BYTES):
        tail = read(max(size - LONGEST_TAIL_BYTES, 0), size)
        at = _end_in(tail)
    if at is None:
        raise Refused(Rejection.TRUNCATED, f"zip: no directory at the end of {size} bytes")
    ranged = with_tail(size, tail, read)
    n_members, n_bytes, declared, end = _place(tail, at, size - len(tail), ranged)
    if n_bytes > MAX_DIRECTORY_BYTES or n_members > MAX_MEMBERS:
        raise Refused(Rejection.TOO_LARGE, f"zip: a directory of {n_bytes} bytes, {n_members} members")
    start = end - n_bytes
    shift = start - declared  # of all offsets: what was put before the zip
    if start < 0 or shift < 0:
        raise Refused(Rejection.CORRUPT, f"zip: the directory of {n_bytes} bytes begins before the file")
    return _members(ranged(start, end), n_members, shift)


def _end_in(tail: bytes) -> int | None:
    """Where the end record begins: the last whose comment reaches to the end, else the last that fits."""
    fitting = None
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if at + END.size <= len(tail):
            after = at + END.size + END.unpack_from(tail, at)[7]
            if after == len(tail):
                return at
            fitting = at if fitting is None and after < len(tail) else fitting
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return fitting


def _place(tail: bytes, at: int, start_of_tail: int, read: ReadRange) -> tuple[int, int, int, int]:
    """Return the directory's members, bytes, declared offset, and where it ends."""
    _, _, _, _, n_members, n_bytes, declared, _ = END.unpack_from(tail, at)
    end = start_of_tail + at
    is_64 = n_members == 0xFFFF or 0xFFFFFFFF in (n_bytes, declared)
    if not is_64 or at < POINTER_64.size:
        return n_members, n_bytes, declared, end
    magic, _, offset, _ = POINTER_64.unpack_from(tail, at - POINTER_64.size)
    if magic != b"PK\x06\x07":
        return n_members, n_bytes, declared, end
    beside = end - POINTER_64.size - END_64.size  # where it lies when something was put before the zip
    for place in (offset, beside):
        if 0 <= place <= beside:
            record = read(place, place + END_64.size)
            if record[:4] == b"PK\x06\x06" and len(record) == END_64.size:
                *_, n_members, n_bytes, declared = END_64.unpack(record)
                return n_members, n_bytes, declared, place
    raise Refused(Rejection.CORRUPT, f"zip: no Zip64 end record at {offset}")


def _members(directory: bytes, n_members: int, shift: int) -> list[ZipMember]:
    members: list[ZipMember] = []
    at = 0
    for _ in range(n_members):
        if directory[at : at + 4] != b"PK\x01\x02" or at + ENTRY.size > len(directory):
            raise Refused(Rejection.CORRUPT, f"zip: no entry at byte {at} of the directory")
        fields = ENTRY.unpack_from(directory, at)
        flags, method, packed, unpacked = fields[3], fields[4], fields[8], fields[9]
        name_bytes, extra_bytes, comment_bytes, offset = *fields[10:13], fields[16]
        name_at = at + ENTRY.size
        at = name_at + name_bytes + extra_bytes + comment_bytes
        extra = directory[name_at + name_bytes : name_at + name_bytes + extra_bytes]
        unpacked, packed, offset = _in_64(extra, (unpacked, packed, offset))
        name = _decoded(directory[name_at : name_at + name_bytes])
        if not name.endswith(("/", "\\")) and name_bytes <= MAX_NAME_BYTES:
            members.append(
                ZipMember(
                    name=name,
                    offset=offset + shift,
                    packed_bytes=packed,
                    unpacked_bytes=unpacked,
                    method=method,
                    is_encrypted=bool(flags & 1),
                )
            )
    return members


def _in_64(extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return unpacked, packed and offset, those that did not fit 32 bits from the extra field."""
    at = 0
    while at + 4 <= len(extra):
        tag, n_bytes = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            longs = list(
                struct.unpack_from(f"<{n_bytes // 8}Q", extra[at + 4 : at + 4 + n_bytes].ljust(n_bytes))
            )
            unpacked, packed, offset = (longs.pop(0) if v == 0xFFFFFFFF and longs else v for v in values)
            return unpacked, packed, offset
        at += 4 + n_bytes
    return values


def _decoded(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp437")


def read_beginning(member: ZipMember, read: ReadRange, max_packed: int, max_unpacked: int) -> bytes:
    """Return how a member begins: what its first packed bytes unpack to; all of it where it is no longer.

    Args:
        member: Of the directory.
        read: Reads a range of the zip.
        max_packed: Packed bytes to read.
        max_unpacked: Bytes to return at most.

    Raises:
        Refused: corrupt, or unsupported_archive: encrypted, or neither stored nor deflated.
    """
    if member.is_encrypted or member.method not in (STORED, DEFLATED):
        how = "is encrypted" if member.is_encrypted else f"has compression type {member.method}"
        raise Refused(Rejection.UNSUPPORTED_ARCHIVE, f"zip: {member.name[:200]!r} {how}")
    n_packed = min(member.packed_bytes, max_packed)
    around = LOCAL.size + len(member.name.encode()) + LOCAL_EXTRA_BYTES
    piece = read(member.offset, member.offset + around + n_packed)
    if piece[:4] != b"PK\x03\x04" or len(piece) < LOCAL.size:
        raise Refused(Rejection.CORRUPT, f"zip: {member.name[:200]!r} is not at byte {member.offset}")
    *_, name_bytes, extra_bytes = LOCAL.unpack_from(piece)
    at = LOCAL.size + name_bytes + extra_bytes
    packed = piece[at : at + n_packed]
    if member.method == STORED:
        return packed[:max_unpacked]
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, max_unpacked)
    except zlib.error as error:
        raise Refused(Rejection.CORRUPT, f"zip: {member.name[:200]!r}: {error}") from None
