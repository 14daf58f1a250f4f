"""Tests of s1mm_assets.release.image_archives."""

import gzip
import hashlib
import io
import subprocess
import tarfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from s1mm_assets.release.image_archives import (
    END,
    HEADER,
    ArchiveError,
    ImagePiece,
    Joined,
    Member,
    Unpacked,
    blocks,
    members,
    tail_of,
)

IMAGES = {"a/f1_p1.png": b"1" * 700, "a/f1_p2.png": b"", "b/f1_p1.jpg": b"3" * 512}
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=120)


def packed(images: dict[str, bytes]) -> tuple[bytes, Unpacked]:
    stream = io.BytesIO()
    written = ImagePiece(stream)
    for name, image in images.items():
        written.add(name, image)
    written.close()
    return stream.getvalue(), written.unpacked


def piece(images: dict[str, bytes]) -> bytes:
    return packed(images)[0]


def joined(*pieces: dict[str, bytes]) -> bytes:
    written = [packed(images) for images in pieces]
    inner = [content[slice(*blocks(len(content)))] for content, _ in written]
    return HEADER + b"".join(inner) + tail_of([unpacked for _, unpacked in written])


def listed(archive: bytes) -> list[Member]:
    return list(members(io.BytesIO(archive)))


def test_gnu_tar_reads_pieces_joined(tmp_path: Path) -> None:
    """Pieces and an end, one after another, are an archive without complaint; owner, mode and time are fixed."""
    (tmp_path / "images.tar.gz").write_bytes(joined(IMAGES, {"c/f1_p1.png": b"4"}))

    tar = subprocess.run(
        ["tar", "tzvf", "images.tar.gz", "--utc"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert tar.stderr == ""
    assert [line.split()[-1] for line in tar.stdout.splitlines()] == [*IMAGES, "c/f1_p1.png"]
    assert {line.split()[0] for line in tar.stdout.splitlines()} == {"-rw-r--r--"}
    assert {line.split()[1] for line in tar.stdout.splitlines()} == {"0/0"}
    assert all("1970-01-01 00:00" in line for line in tar.stdout.splitlines())


@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=4), st.integers(0, 4))
@pytest.mark.parametrize("mode", ["r:gz", "r|gz"])
def test_python_reads_what_was_written(mode: Any, images: dict[str, bytes], n_first: int) -> None:
    """tarfile gives every name and image back, streaming too, long and non-ASCII names too."""
    pieces = dict(list(images.items())[:n_first]), dict(list(images.items())[n_first:])
    with tarfile.open(fileobj=io.BytesIO(joined(*pieces)), mode=mode) as archive:
        read = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]

    assert read == {name.rstrip("/"): image for name, image in images.items()}


@given(st.lists(st.binary(max_size=3000), max_size=4))
def test_an_archive_is_one_gzip_member(images: list[bytes]) -> None:
    """Its footer is that of the whole, however many pieces it was joined from; readers may stop after it."""
    archive = joined(*[{f"a/f{i}_p1.png": image} for i, image in enumerate(images)])
    unpacker = zlib.decompressobj(31)

    content = unpacker.decompress(archive)

    assert unpacker.eof  # the footer has been compared with the content
    assert unpacker.unused_data == b""
    assert content.endswith(bytes(1024))


def test_lengths_beyond_four_gigabytes_add_up() -> None:
    """A gzip footer has 32 bits for the length, a checksum of both needs all of them."""
    zeros = Unpacked(1 << 20, zlib.crc32(bytes(1 << 20)))
    total = zeros
    for _ in range(13):
        total += total
    crc32 = 0
    chunk = bytes(1 << 26)
    for _ in range(128):
        crc32 = isal_zlib.crc32(chunk, crc32)

    assert total == Unpacked(1 << 33, crc32)
    assert total.footer()[4:] == bytes(4)
    assert total + zeros == Unpacked((1 << 33) + (1 << 20), isal_zlib.crc32(bytes(1 << 20), crc32))
    assert zeros + total == total + zeros


def test_equal_images_give_equal_bytes() -> None:
    """The header of the gzip member holds no time, no name and no system."""
    assert piece(IMAGES) == piece(dict(IMAGES))
    assert piece(IMAGES)[:10] == bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF])
    assert gzip.decompress(END) == bytes(1024)
    assert gzip.decompress(piece(IMAGES) + END) == gzip.decompress(joined(IMAGES))


def test_members_are_read_with_their_digests() -> None:
    """Name, length and SHA-256 of every file, in order, across gzip members."""
    archive = b"".join(piece({name: image}) for name, image in IMAGES.items()) + END

    assert listed(archive) == [
        Member(name, len(image), hashlib.sha256(image).hexdigest()) for name, image in IMAGES.items()
    ]


def test_a_cut_anywhere_is_noticed() -> None:
    """No prefix of an archive passes for the whole."""
    archive = joined(IMAGES)

    for length in range(len(archive)):
        with pytest.raises(ArchiveError):
            listed(archive[:length])


def link() -> bytes:
    entry = tarfile.TarInfo("a/link")
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return entry.tobuf(tarfile.USTAR_FORMAT)


def negative() -> bytes:
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"\xff" * 11 + b"\x00"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    "content",
    [b"x" * 512, link(), negative(), bytes(512) + b"x" * 512, bytes(512), bytes(1024) + b"x"],
    ids=["no tar", "a link", "a negative size", "one block of zeros", "cut in its end", "more after its end"],
)
def test_what_is_no_image_archive_is_refused(content: bytes) -> None:
    """Only files, then two blocks of zeros, then nothing."""
    with pytest.raises(ArchiveError):
        listed(gzip.compress(content))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Whatever is inside, the one error says that it is no archive."""
    with pytest.raises(ArchiveError):
        listed(data)
    with pytest.raises(ArchiveError):
        listed(gzip.compress(data))


@given(st.lists(st.binary(max_size=9), max_size=5), st.integers(1, 7))
def test_parts_are_read_as_one(parts: list[bytes], size: int) -> None:
    """Streams follow one another without a seam, empty ones too."""
    read = b""
    with Joined(iter([partial(io.BytesIO, part) for part in parts])) as stream:
        while data := stream.read(size):
            read += data

    assert read == b"".join(parts)
