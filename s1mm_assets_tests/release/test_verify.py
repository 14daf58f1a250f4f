"""Tests of s1mm_assets.release.verify: every kind of damage is found, and named."""

import gzip
import hashlib
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s1mm_assets.release import ReleaseSettings, verify
from s1mm_assets.release.image_archives import END, ImagePiece
from s1mm_assets.release.manifest import Manifest, load_manifest
from s1mm_assets.release.streamable import DATA as STREAMABLE
from s1mm_assets.release.streamable import DataFile, rows
from s1mm_assets.release.verify import MAX_LISTED
from s1mm_assets.resources.release_folder import LocalFolder
from s1mm_assets_tests.release.shards import example, tree

RECORDS = "arxiv/jsonl/2023.jsonl"
IMAGES = "arxiv/images_2023.tar.gz"
DATA = "arxiv/data/2023-00000.parquet"
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def release_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("published") / "release"
    example().publish(folder)
    return tree(folder)


@pytest.fixture
def release(release_files: dict[str, bytes], tmp_path: Path) -> Path:
    for path, content in release_files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return tmp_path


def found(release: Path) -> set[tuple[str, str]]:
    return {(problem.kind, problem.path) for problem in verify(LocalFolder(release))}


def reseal(release: Path) -> None:
    """Make the manifest agree with the files, so that only what is inside them can be wrong."""
    manifest = load_manifest((release / "manifest.json").read_bytes())
    files = [
        replace(file, n_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for file in manifest.files
        for content in [(release / file.path).read_bytes()]
    ]
    sealed = Manifest(made_from=manifest.made_from, dataset=manifest.dataset, files=tuple(files))
    (release / "manifest.json").write_bytes(sealed.render())


def flip(path: Path, position: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_a_release_as_published_has_no_problems(release: Path) -> None:
    """And neither has one that came from the Hub with its client's files."""
    (release / ".gitattributes").write_text("*.parquet filter=lfs\n")
    (release / ".cache/huggingface").mkdir(parents=True)
    (release / ".cache/huggingface/lock").write_text("")

    assert verify(LocalFolder(release)) == []


ON_FILES: dict[str, tuple[str, Damage]] = {
    "missing": (RECORDS, lambda path: path.unlink()),
    "truncated": (RECORDS, lambda path: os.truncate(path, 100)),
    "changed": ("README.md", flip),
    "extra": ("local/surprise.txt", lambda path: path.write_text("?")),
}


@pytest.mark.parametrize("kind", ON_FILES)
def test_files_are_compared_with_the_manifest(release: Path, kind: str) -> None:
    """Missing, cut short, altered or too much: each is named."""
    path, damage = ON_FILES[kind]
    damage(release / path)

    assert (kind, path) in found(release)


@pytest.mark.parametrize("path", [RECORDS, IMAGES, DATA])
def test_a_flipped_bit_is_found(release: Path, path: str) -> None:
    """In any file."""
    flip(release / path, 200)

    assert ("changed", path) in found(release)


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"format": 99}'])
def test_without_a_manifest_nothing_can_be_said(release: Path, content: bytes | None) -> None:
    """That is the one problem then."""
    (release / "manifest.json").unlink()
    if content is not None:
        (release / "manifest.json").write_bytes(content)

    assert found(release) == {("manifest", "manifest.json")}


def test_an_empty_folder_is_not_a_release(tmp_path: Path) -> None:
    """Nor is one that is not there."""
    assert found(tmp_path) == found(tmp_path / "nowhere") == {("manifest", "manifest.json")}


def edit_lines(release: Path, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    path = release / RECORDS
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))


def edit_images(release: Path, edit: Callable[[dict[str, bytes]], list[tuple[str, bytes]]]) -> None:
    with tarfile.open(release / IMAGES) as archive:
        images = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
    with (release / IMAGES).open("wb") as stream:
        piece = ImagePiece(stream)
        for name, image in edit(images):
            piece.add(name, image)
        piece.close()
        stream.write(END)


def edit_data(release: Path, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    with (release / DATA).open("rb") as stream:
        edited = edit(list(rows(stream)))
    with (release / DATA).open("wb") as stream:
        file = DataFile(stream, 100)
        for row in edited:
            file.add(row, row["image"]["bytes"])
        file.close()


def rename_image(release: Path) -> None:
    table = pq.read_table(release / DATA).to_pylist()
    table[0]["image"]["path"] = "other.png"
    pq.write_table(pa.Table.from_pylist(table, schema=STREAMABLE), release / DATA)


def changed(line: bytes, **values: Any) -> bytes:
    return json.dumps({**json.loads(line), **values}).encode() + b"\n"


def put_link(release: Path) -> None:
    entry = tarfile.TarInfo("2301_01234/link")
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with (release / IMAGES).open("wb") as stream:
        stream.write(gzip.compress(entry.tobuf(tarfile.USTAR_FORMAT)) + END)


SEALED: dict[str, tuple[Damage, set[tuple[str, str]]]] = {
    "a line that is no JSON": (
        lambda release: edit_lines(release, lambda lines: [b"{\n", *lines[1:]]),
        {("record", RECORDS), ("image_orphan", IMAGES), ("data_orphan", DATA)},
    ),
    "a line with half a character": (
        lambda release: edit_lines(
            release, lambda lines: [changed(lines[0], figure_id="\ud800"), *lines[1:]]
        ),
        {("record", RECORDS), ("image_orphan", IMAGES), ("data_orphan", DATA)},
    ),
    "a record of another year": (
        lambda release: edit_lines(release, lambda lines: [changed(lines[0], year=2003), *lines[1:]]),
        {("record", RECORDS), ("image_orphan", IMAGES), ("data_orphan", DATA)},
    ),
    "a record without a key": (
        lambda release: edit_lines(release, lambda lines: [b'{"doi": null}\n', *lines[1:]]),
        {("record", RECORDS), ("image_orphan", IMAGES), ("data_orphan", DATA)},
    ),
    "a record removed": (
        lambda release: edit_lines(release, lambda lines: lines[1:]),
        {("rows", RECORDS), ("image_orphan", IMAGES), ("data_orphan", DATA)},
    ),
    "a record twice": (
        lambda release: edit_lines(release, lambda lines: [lines[0], *lines]),
        {("rows", RECORDS), ("duplicate_figure_id", RECORDS), ("duplicate_image_path", RECORDS)},
    ),
    "two records with one image": (
        lambda release: edit_lines(
            release,
            lambda lines: [changed(lines[0], image_path=json.loads(lines[1])["image_path"]), *lines[1:]],
        ),
        {
            *(("duplicate_image_path", RECORDS), ("image_orphan", IMAGES)),
            *(("image_changed", IMAGES), ("data_changed", DATA)),
        },
    ),
    "a path that is not in the archive": (
        lambda release: edit_lines(
            release, lambda lines: [changed(lines[0], image_path="images/x.png"), *lines[1:]]
        ),
        {("image_missing", RECORDS), ("image_orphan", IMAGES), ("data_changed", DATA)},
    ),
    "an image removed": (
        lambda release: edit_images(release, lambda images: list(images.items())[1:]),
        {("rows", IMAGES), ("image_missing", RECORDS)},
    ),
    "an image too many": (
        lambda release: edit_images(release, lambda images: [*images.items(), ("a/b.png", b"x")]),
        {("rows", IMAGES), ("image_orphan", IMAGES)},
    ),
    "an image twice": (
        lambda release: edit_images(release, lambda images: [*images.items(), *list(images.items())[:1]]),
        {("rows", IMAGES), ("image_twice", RECORDS)},
    ),
    "another image": (
        lambda release: edit_images(release, lambda images: [(name, b"x") for name in images]),
        {("image_changed", IMAGES)},
    ),
    "a link in the archive": (
        put_link,
        {("unreadable", IMAGES), ("rows", IMAGES), ("image_missing", RECORDS)},
    ),
    "an archive cut short": (
        lambda release: os.truncate(release / IMAGES, 300),
        {("unreadable", IMAGES), ("rows", IMAGES), ("image_missing", RECORDS)},
    ),
    "an archive without an end": (
        lambda release: os.truncate(release / IMAGES, (release / IMAGES).stat().st_size - 20),
        {("unreadable", IMAGES), ("rows", IMAGES), ("image_missing", RECORDS)},
    ),
    "no archive at all": (
        lambda release: (release / IMAGES).write_bytes(b"PK\3\4"),
        {("unreadable", IMAGES), ("rows", IMAGES), ("image_missing", RECORDS)},
    ),
    "a data row removed": (
        lambda release: edit_data(release, lambda rows: rows[1:]),
        {("rows", DATA), ("data_missing", RECORDS)},
    ),
    "a data row twice": (
        lambda release: edit_data(release, lambda rows: [rows[0], *rows]),
        {("rows", DATA), ("data_twice", RECORDS)},
    ),
    "a data row that says something else": (
        lambda release: edit_data(release, lambda rows: [{**rows[0], "caption": "No."}, *rows[1:]]),
        {("data_changed", DATA)},
    ),
    "a data row with a number that JSON lacks": (
        lambda release: edit_data(release, lambda rows: [{**rows[0], "grounding": float("nan")}, *rows[1:]]),
        {("data_changed", DATA)},
    ),
    "a data row with another image": (
        lambda release: edit_data(
            release, lambda rows: [{**rows[0], "image": {"bytes": b"x", "path": ""}}, *rows[1:]]
        ),
        {("data_changed", DATA)},
    ),
    "a data row whose image has another name": (
        rename_image,
        {("data_changed", DATA)},
    ),
    "no Parquet at all": (
        lambda release: (release / DATA).write_bytes(b"PAR1"),
        {("unreadable", DATA), ("rows", DATA), ("data_missing", RECORDS)},
    ),
    "Parquet with other columns": (
        lambda release: pl.DataFrame({"a": [1]}).write_parquet(release / DATA),
        {("unreadable", DATA), ("rows", DATA), ("data_missing", RECORDS)},
    ),
    "a flipped bit in a page": (
        lambda release: flip(release / DATA, 60),
        {("unreadable", DATA), ("rows", DATA), ("data_missing", RECORDS)},
    ),
}


@pytest.mark.parametrize("what", SEALED)
def test_a_manifest_that_agrees_hides_nothing(release: Path, what: str) -> None:
    """Even where every digest fits, what does not join is found, and nothing else is reported."""
    damage, problems = SEALED[what]
    damage(release)
    reseal(release)

    assert found(release) == problems


def test_a_missing_part_is_found(tmp_path: Path) -> None:
    """Parts are read as one archive, which breaks where one is missing."""
    example().publish(tmp_path, settings=ReleaseSettings(part_bytes=200))
    (tmp_path / f"{IMAGES}.partab").unlink()

    assert found(tmp_path) == {
        *(("missing", f"{IMAGES}.partab"), ("unreadable", IMAGES), ("image_missing", RECORDS)),
    }


def test_many_problems_are_counted(release: Path) -> None:
    """A release that is wrong everywhere does not flood its reader."""
    n = MAX_LISTED + 7
    edit_lines(release, lambda lines: [*lines, *[b"{}\n"] * n])

    of_records = [problem for problem in verify(LocalFolder(release)) if problem.kind == "record"]

    assert len(of_records) == MAX_LISTED + 1
    assert of_records[-1].detail == "and 7 more"


def test_problems_say_where(release: Path) -> None:
    """The detail names the image, so that one can go and look."""
    edit_images(release, lambda images: list(images.items())[1:])

    details = [problem.detail for problem in verify(LocalFolder(release)) if problem.kind == "image_missing"]

    assert details == ["arxiv:2301.01234#1.1 (2301_01234/f1_p1.png)"]
