"""The directory of a zip by ranges: the same members as the whole zip has, from as few bytes as that takes."""

import io
import struct
import zipfile
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.archives.limits import Refused
from s1mm_assets.archives.zip_directory import (
    LONGEST_TAIL_BYTES,
    MAX_DIRECTORY_BYTES,
    TAIL_BYTES,
    ReadRange,
    ZipMember,
    read_beginning,
    read_directory,
    with_tail,
)
from s1mm_assets.tables import Rejection

FILES = {
    "manifest.xml": b"<manifest/>",
    "content/577295.xml": b"<article>" + b"words " * 50_000,
    "content/ü.tif": bytes(range(256)) * 40,
    "empty": b"",
}


class Ranges:
    """A file read by ranges, each of them recorded."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.read: list[tuple[int, int]] = []

    def __call__(self, start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(self.data)  # what a server would refuse is not asked
        self.read.append((start, end))
        return self.data[start:end]


def zipped(
    files: dict[str, bytes] = FILES, comment: bytes = b"", method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as container:
        container.mkdir("content")
        for name, data in files.items():
            container.writestr(name, data)
        container.comment = comment
    return packed.getvalue()


def listed(data: bytes, n_tail: int = TAIL_BYTES) -> tuple[list[ZipMember], Ranges]:
    ranges = Ranges(data)
    return read_directory(len(data), data[-n_tail:], ranges), ranges


def contents(data: bytes) -> dict[str, bytes]:
    members, ranges = listed(data)
    return {each.name: read_beginning(each, within(ranges), 10**9, 10**9) for each in members}


def within(ranges: Ranges) -> ReadRange:
    """Nothing beyond the end is asked for."""
    return with_tail(len(ranges.data), b"", ranges)


def as_zip64(data: bytes) -> bytes:
    """The zip with Zip64's end records, as writers of large ones make them."""
    at = data.rfind(b"PK\x05\x06")
    n_members, n_bytes, offset = struct.unpack_from("<HLL", data, at + 10)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, n_members, n_members, n_bytes, offset)
    pointer = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:at] + record + pointer + end


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("comment", [b"", b"a comment", b"PK\x05\x06" * 9, b"PK\x05\x06" + bytes(19)])
def test_members_are_those_of_the_zip(method: int, comment: bytes) -> None:
    """Names, sizes and bytes; folders are passed over, and a comment that looks like an end is none."""
    data = zipped(comment=comment, method=method)

    members, ranges = listed(data)

    assert contents(data) == FILES
    assert [each.unpacked_bytes for each in members] == [len(content) for content in FILES.values()]
    assert ranges.read == []  # the tail held it all


def test_zip64_is_read() -> None:
    assert contents(as_zip64(zipped())) == FILES


def test_a_huge_member_has_its_sizes_from_the_extra_field() -> None:
    """Its sizes and its place do not fit 32 bits."""
    extra = struct.pack("<2H3Q", 1, 24, 7 << 32, 5 << 32, 3 << 32)
    sizes = (0xFFFFFFFF, 0xFFFFFFFF)
    entry = struct.pack(
        "<4s6H3L5H2L", b"PK\x01\x02", 45, 45, 0, 8, 0, 0, 0, *sizes, 9, len(extra), 0, 0, 0, 0, 0xFFFFFFFF
    )
    directory = entry + b"large.tif" + extra
    data = directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), 0, 0)

    (member,) = read_directory(len(data), data, Ranges(data))

    assert (member.unpacked_bytes, member.packed_bytes, member.offset) == (7 << 32, 5 << 32, 3 << 32)


def test_what_stands_before_the_zip_shifts_it() -> None:
    """As in a self-extracting file, or one that begins with a message of a proxy."""
    assert contents(b"<!-- -->" * 10 + zipped()) == FILES
    assert contents(b"<!-- -->" * 10 + as_zip64(zipped())) == FILES


def test_a_longer_directory_and_a_longer_comment_cost_one_more_read_each() -> None:
    many = {f"content/577295v1_fig{n}.tif": b"" for n in range(400)}
    data = zipped(many, comment=b"-" * 60_000)

    members, ranges = listed(data)

    assert [each.name for each in members] == list(many)
    assert len(ranges.read) == 2
    assert sum(end - start for start, end in ranges.read) < LONGEST_TAIL_BYTES + 100 * 400


def test_only_the_beginning_of_a_member_is_read() -> None:
    """However long it is, and however well it packs."""
    noise = "".join(f"{n * 7919 % 104729:x}" for n in range(400_000)).encode()
    data = zipped({"content/1.xml": noise})
    (member,), ranges = listed(data)

    head = read_beginning(member, ranges, 10_000, 10**9)

    assert noise.startswith(head)
    assert 10_000 < len(head) < 50_000
    assert sum(end - start for start, end in ranges.read) < 11_000
    assert read_beginning(member, ranges, 10_000, 500) == noise[:500]


def test_a_bomb_is_cut() -> None:
    (member,), ranges = listed(zipped({"bomb.xml": bytes(50_000_000)}))

    assert len(read_beginning(member, within(ranges), 10**9, 1000)) == 1000


@pytest.mark.parametrize(
    ("data", "rejection"),
    [
        (b"", Rejection.TRUNCATED),
        (b"<html>", Rejection.TRUNCATED),
        (zipped()[:-300], Rejection.TRUNCATED),
        (zipped()[-100:], Rejection.CORRUPT),
        (zipped().replace(b"PK\x01\x02", b"PK\x01\x03"), Rejection.CORRUPT),
        (as_zip64(zipped()).replace(b"PK\x06\x06", b"PK\x06\x05"), Rejection.CORRUPT),
        (
            struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, MAX_DIRECTORY_BYTES + 1, 0, 0),
            Rejection.TOO_LARGE,
        ),
    ],
    ids=["empty", "HTML", "cut", "its end alone", "an entry", "Zip64's record", "a directory too large"],
)
def test_what_is_no_zip_is_refused(data: bytes, rejection: Rejection) -> None:
    with pytest.raises(Refused) as refused:
        listed(data)

    assert refused.value.rejection is rejection
    assert refused.value.evidence


def test_members_that_cannot_be_read_are_refused() -> None:
    data = zipped()
    members, ranges = listed(data)
    member = members[1]
    broken = Ranges(data[: member.offset + 60] + b"\xff" * 900 + data[member.offset + 960 :])

    for each, source in (
        (replace(member, is_encrypted=True), ranges),
        (replace(member, method=12), ranges),
        (replace(member, offset=member.offset + 1), ranges),
        (replace(member, offset=1 << 60), ranges),
        (member, broken),
    ):
        with pytest.raises(Refused):
            read_beginning(each, within(source), 10**9, 10**9)


@given(st.data())
def test_damage_raises_nothing_else(data: st.DataObject) -> None:
    """Whatever bytes are changed: members, or a refusal; and nothing beyond the file is asked for."""
    damaged = bytearray(data.draw(st.sampled_from([zipped(), as_zip64(zipped())])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(max(len(damaged) - 600, 0), len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    n_tail = data.draw(st.integers(0, len(damaged)))
    ranges = Ranges(bytes(damaged))
    with suppress(Refused):
        for member in read_directory(len(damaged), bytes(damaged[len(damaged) - n_tail :]), ranges):
            assert len(read_beginning(member, within(ranges), 5_000, 400_000)) <= 400_000
