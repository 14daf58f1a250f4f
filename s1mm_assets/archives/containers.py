"""Walking what a paper was packed in: one entry at a time, nothing unpacked before it is asked for.

Knows gzip, tar and zip, and one file without any of them. Does not know what the entries mean.
"""

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from s1mm_assets.archives.inflate import Inflated
from s1mm_assets.archives.limits import MIB, Budget, Refused
from s1mm_assets.archives.sniff import HEAD_BYTES, Form, form_of
from s1mm_assets.archives.tar import ForwardStream, TarEntry, is_tar, tar_entries
from s1mm_assets.tables import Rejection

ZIP_ENTRY_MAGIC = b"PK\x01\x02"
MAX_DEPTH = 2  # gzip inside gzip; there are files that hold themselves
PDF_DATE = re.compile(
    rb"(?:/(?:CreationDate|ModDate)\s*\(D:|<xmp:(?:Create|Modify)Date>)(\d{4})-?(\d\d)-?(\d\d)"
)
ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What `zipfile` raises over bytes that are no sound zip, found by fuzzing it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a container. `read` works until the next entry is asked for."""

    name: bytes | None  # None: the container holds one file and does not name it
    read: Callable[[], bytes]
    modified: date | None
    oddity: str | None = None  # "symbolic link" …: what it is when it is no file


def entries(data: bytes, budget: Budget, warn: Callable[[str], None], depth: int = 0) -> Iterator[Entry]:
    """Yield what a delivery holds; folders are passed over.

    Args:
        data: The delivery as it came.
        budget: Counts what comes out.
        warn: Is told what was passed over.
        depth: How many layers of gzip are around `data`.

    Raises:
        Refused: When the walk comes to a place that is damaged, or to a limit. What was yielded before may
            then be part of a damaged whole.
    """
    form = form_of(data)
    if form is Form.GZIP:
        yield from _gzip_entries(data, budget, warn, depth)
    elif form is Form.TAR:
        yield from _tar_entries(io.BytesIO(data), budget, counts=True)
    elif form is Form.ZIP:
        yield from _zip_entries(data, budget)
    elif form is Form.OTHER_ARCHIVE:
        raise Refused(Rejection.UNSUPPORTED_ARCHIVE, f"starts with {data[:6].hex(' ')}: not gzip, tar or zip")
    elif form is Form.BINARY:
        raise Refused(Rejection.CORRUPT, f"starts with {data[:6].hex(' ')}: no known format")
    elif data:
        yield Entry(name=None, read=lambda: data, modified=_pdf_date(data))


def _gzip_entries(data: bytes, budget: Budget, warn: Callable[[str], None], depth: int) -> Iterator[Entry]:
    if depth > MAX_DEPTH:
        raise Refused(Rejection.UNSUPPORTED_ARCHIVE, f"gzip inside gzip, more than {MAX_DEPTH} deep")
    stream = Inflated(data, budget)
    head = stream.peek(HEAD_BYTES)
    if is_tar(head):
        yield from _tar_entries(stream, budget, counts=False)
        stream.drain()
    elif form_of(head) in (Form.GZIP, Form.ZIP, Form.OTHER_ARCHIVE):
        yield from entries(stream.read_all(), budget, warn, depth + 1)
    elif head:
        modified_s = int.from_bytes(data[4:8], "little")
        yield Entry(name=None, read=stream.read_all, modified=_date(modified_s))
        stream.drain()
    if stream.trailing_bytes:
        warn(f"{stream.trailing_bytes} bytes after the end of the gzip data were passed over")


def _tar_entries(stream: ForwardStream, budget: Budget, *, counts: bool) -> Iterator[Entry]:
    """Yield the files of a tar. `counts`: its bytes were not yet counted by a decompressor."""
    for entry in tar_entries(stream):
        budget.count_member()
        if entry.is_folder:
            continue
        budget.can_hold(entry.size)

        def read(entry: TarEntry = entry) -> bytes:
            content = stream.read(entry.size)  # where it is short, the walk says so
            if counts:
                budget.spend(len(content))
            return content

        yield Entry(entry.name, read, _date(entry.modified_s), entry.oddity)


def _zip_entries(data: bytes, budget: Budget) -> Iterator[Entry]:
    if data.count(ZIP_ENTRY_MAGIC) > budget.limits.max_members:  # before zipfile makes an object of each
        raise Refused(Rejection.TOO_LARGE, f"more than {budget.limits.max_members} members")
    try:
        container = zipfile.ZipFile(io.BytesIO(data))
    except ZIP_FAULTS as error:
        # The directory stands at the end: without it the file was most likely cut.
        cut = b"PK\x05\x06" not in data
        raise Refused(Rejection.TRUNCATED if cut else Rejection.CORRUPT, f"zip: {error}") from None
    with container:
        for info in container.infolist():
            budget.count_member()
            if not info.is_dir():
                yield _zip_entry(container, info, budget)


def _zip_entry(container: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> Entry:
    if info.flag_bits & 0x1:
        raise Refused(Rejection.UNSUPPORTED_ARCHIVE, f"zip: {info.filename!r} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others inflate a whole block at once, however large: they cannot be held to a limit.
        raise Refused(
            Rejection.UNSUPPORTED_ARCHIVE, f"zip: {info.filename!r} has compression type {info.compress_type}"
        )
    budget.can_hold(info.file_size)

    def read() -> bytes:
        return _read_zipped(container, info, budget)

    mode = info.external_attr >> 16
    return Entry(_zip_name(info), read, _zip_date(info), "symbolic link" if stat.S_ISLNK(mode) else None)


def _read_zipped(container: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> bytes:
    whole = io.BytesIO()
    try:
        with container.open(info) as stream:
            while piece := stream.read(MIB):
                budget.spend(len(piece))
                whole.write(piece)
    except EOFError as error:
        raise Refused(Rejection.TRUNCATED, f"zip: {info.filename!r}: {error}") from None
    except ZIP_FAULTS as error:
        raise Refused(Rejection.CORRUPT, f"zip: {info.filename!r}: {error}") from None
    if whole.tell() != info.file_size:
        raise Refused(
            Rejection.CORRUPT, f"zip: {info.filename!r} has {whole.tell()} bytes of {info.file_size}"
        )
    return whole.getvalue()


def _zip_name(info: zipfile.ZipInfo) -> bytes:
    """The name as packed: where the flag for UTF-8 is missing, zipfile has read it as code page 437."""
    return info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")


def _zip_date(info: zipfile.ZipInfo) -> date | None:
    try:
        return date(*info.date_time[:3])
    except ValueError:
        return None


def _date(seconds: int) -> date | None:
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).date() if seconds else None
    except OverflowError:
        return None


def _pdf_date(data: bytes) -> date | None:
    """Return the newest date that a PDF gives of itself in the clear; None of anything else."""
    dates = []
    for match in PDF_DATE.finditer(data):
        try:
            dates.append(date(*(int(part) for part in match.groups())))
        except ValueError:
            continue
    return max(dates, default=None)
