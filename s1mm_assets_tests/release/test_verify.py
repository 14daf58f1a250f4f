"""Tests of s1mm_assets.release.verify: every kind of damage is found, and named."""

import gzip
import hashlib
import io
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

from s1mm_assets.release import ReleaseSettings, contents, joins
from s1mm_assets.release.contents import digest_of_line
from s1mm_assets.release.hub import Stored
from s1mm_assets.release.image_archives import END, HEADER, ImagePiece, blocks, tail_of
from s1mm_assets.release.manifest import ManifestFile, load_manifest
from s1mm_assets.release.problems import Problems
from s1mm_assets.release.records import RECORD, json_line, line_of
from s1mm_assets.release.streamable import DATA as STREAMABLE
from s1mm_assets.release.streamable import DataFile, rows
from s1mm_assets.release.verify import MAX_LISTED, check_remote, parsed_manifest, verify
from s1mm_assets.resources.file_digests import xet_hash
from s1mm_assets.resources.release_folder import LocalFolder
from s1mm_assets_tests.release.shards import Figure, Pieces, example, make, tree

RECORDS = "arxiv/jsonl/2023.jsonl"
IMAGES = "arxiv/images_2023.tar.gz"
DATA = "arxiv/data/2023/00000.parquet"
ATTRIBUTION = "arxiv/attribution/2023.jsonl"
RECIPES = "arxiv/recipes/2023.jsonl"
TOMBSTONES = "arxiv/tombstones/2023.jsonl"
WEBDATASET = "arxiv/webdataset/2023/00000.tar"
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def release_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("published") / "release"
    example().publish(folder)
    return tree(folder)


@pytest.fixture(scope="module")
def rich_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A release with all kinds of files: one paper's images are kept back, one paper is withdrawn."""
    settings = ReleaseSettings(webdataset=True)
    kept_back = "http://arxiv.org/licenses/nonexclusive-distrib/1.0/"
    figures = [
        Figure(),
        Figure(number=2, mentions=["Figure 2."]),
        Figure(paper_id="2301.05555", licence=kept_back, mentions=["Secret."]),
        Figure(paper_id="2301.07777", is_withdrawn=True),
    ]
    folder = tmp_path_factory.mktemp("published") / "release"
    Pieces([make(figures, settings=settings)]).publish(folder, settings=settings)
    return tree(folder)


def written(files: dict[str, bytes], folder: Path) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture
def release(release_files: dict[str, bytes], tmp_path: Path) -> Path:
    return written(release_files, tmp_path)


@pytest.fixture
def rich(rich_files: dict[str, bytes], tmp_path: Path) -> Path:
    return written(rich_files, tmp_path)


def found(release: Path) -> set[tuple[str, str]]:
    return {(problem.kind, problem.path) for problem in verify(LocalFolder(release))}


def reseal(release: Path) -> None:
    """Make the manifest agree with the files, so that only what is inside them can be wrong."""
    manifest = load_manifest((release / "manifest.json").read_bytes())
    files = [
        replace(file, n_bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), xet=xet_hash(path))
        for file in manifest.files
        for path in [release / file.path]
        for content in [path.read_bytes()]
    ]
    (release / "manifest.json").write_bytes(replace(manifest, files=tuple(files)).render())


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


def edit_lines(release: Path, edit: Callable[[list[bytes]], list[bytes]], file: str = RECORDS) -> None:
    path = release / file
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))


def edit_images(release: Path, edit: Callable[[dict[str, bytes]], list[tuple[str, bytes]]]) -> None:
    with tarfile.open(release / IMAGES) as archive:
        images = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
    (release / IMAGES).write_bytes(archive_of(edit(images)))


def archive_of(images: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    piece = ImagePiece(stream)
    for name, image in images:
        piece.add(name, image)
    piece.close()
    start, end = blocks(len(stream.getvalue()))
    return HEADER + stream.getvalue()[start:end] + tail_of([piece.unpacked])


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
    table[0]["image"]["path"] = "other/f1_p1.png"
    pq.write_table(pa.Table.from_pylist(table, schema=STREAMABLE), release / DATA)


def changed(line: bytes, **values: Any) -> bytes:
    return json_line({**json.loads(line), **values})


def halves(content: bytes) -> tuple[bytes, bytes]:
    """The first two blocks, and the rest."""
    return content[:1024], content[1024:]


def doubled(line: bytes) -> bytes:
    """A line that also says something else, which is read over."""
    return line.replace(b'"caption": ', b'"caption": "Secret.", "caption": ', 1)


def claim_length(release: Path, n_bytes: int) -> None:
    """Let the first record and its data row say another length of the image."""
    edit_first(RECORDS, image_size_bytes=n_bytes)(release)
    edit_data(release, lambda rows: [{**rows[0], "image_size_bytes": n_bytes}, *rows[1:]])


def half_a_character(line: bytes) -> bytes:
    return json.dumps({**json.loads(line), "figure_id": "\ud800"}).encode() + b"\n"


def put_link(release: Path) -> None:
    entry = tarfile.TarInfo("2301_01234/link")
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with (release / IMAGES).open("wb") as stream:
        stream.write(gzip.compress(entry.tobuf(tarfile.USTAR_FORMAT)) + END)


SEALED: dict[str, tuple[Damage, set[tuple[str, str]]]] = {
    "a line that is no JSON": (
        lambda release: edit_lines(release, lambda lines: [b"{\n", *lines[1:]]),
        {
            ("record", RECORDS),
            ("image_orphan", IMAGES),
            ("data_orphan", DATA),
            ("attribution_changed", ATTRIBUTION),
        },
    ),
    "a line with half a character": (
        lambda release: edit_lines(release, lambda lines: [half_a_character(lines[0]), *lines[1:]]),
        {
            ("record", RECORDS),
            ("image_orphan", IMAGES),
            ("data_orphan", DATA),
            ("attribution_changed", ATTRIBUTION),
        },
    ),
    "a record of another year": (
        lambda release: edit_lines(release, lambda lines: [changed(lines[0], year=2003), *lines[1:]]),
        {
            ("record", RECORDS),
            ("image_orphan", IMAGES),
            ("data_orphan", DATA),
            ("attribution_changed", ATTRIBUTION),
        },
    ),
    "a record without a key": (
        lambda release: edit_lines(release, lambda lines: [b'{"doi": null}\n', *lines[1:]]),
        {
            ("record", RECORDS),
            ("image_orphan", IMAGES),
            ("data_orphan", DATA),
            ("attribution_changed", ATTRIBUTION),
        },
    ),
    "a record removed": (
        lambda release: edit_lines(release, lambda lines: lines[1:]),
        {
            ("rows", RECORDS),
            ("image_orphan", IMAGES),
            ("data_orphan", DATA),
            ("attribution_changed", ATTRIBUTION),
        },
    ),
    "a record twice": (
        lambda release: edit_lines(release, lambda lines: [lines[0], *lines]),
        {
            *(("rows", RECORDS), ("duplicate_figure_id", RECORDS), ("duplicate_image_path", RECORDS)),
            ("attribution_changed", ATTRIBUTION),
        },
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
            release, lambda lines: [changed(lines[0], image_path="images/f1_p1.png"), *lines[1:]]
        ),
        {("image_missing", RECORDS), ("image_orphan", IMAGES), ("data_changed", DATA)},
    ),
    "an image removed": (
        lambda release: edit_images(release, lambda images: list(images.items())[1:]),
        {("rows", IMAGES), ("image_missing", RECORDS)},
    ),
    "an image too many": (
        lambda release: edit_images(release, lambda images: [*images.items(), ("a/f1_p1.png", b"x")]),
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
        {("unreadable", IMAGES)},
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
    "a record whose keys stand twice": (
        lambda release: edit_lines(release, lambda lines: [doubled(lines[0]), *lines[1:]]),
        {
            *(("record", RECORDS), ("image_orphan", IMAGES), ("data_orphan", DATA)),
            ("attribution_changed", ATTRIBUTION),
        },
    ),
    "a record with text in place of a number": (
        lambda release: edit_lines(release, lambda lines: [changed(lines[0], grounding="x"), *lines[1:]]),
        {
            *(("record", RECORDS), ("image_orphan", IMAGES), ("data_orphan", DATA)),
            ("attribution_changed", ATTRIBUTION),
        },
    ),
    "a length that is not the image's": (
        lambda release: claim_length(release, 7),
        {("image_changed", IMAGES), ("data_changed", DATA)},
    ),
    "an archive of two members": (
        lambda release: (release / IMAGES).write_bytes(
            b"".join(map(gzip.compress, halves(gzip.decompress((release / IMAGES).read_bytes()))))
        ),
        {("unreadable", IMAGES), ("rows", IMAGES), ("image_missing", RECORDS)},
    ),
    "an archive behind an empty member": (
        lambda release: (release / IMAGES).write_bytes(gzip.compress(b"") + (release / IMAGES).read_bytes()),
        {("unreadable", IMAGES), ("rows", IMAGES), ("image_missing", RECORDS)},
    ),
    "an archive with a wrong checksum": (
        lambda release: flip(release / IMAGES, -6),
        {("unreadable", IMAGES), ("rows", IMAGES), ("image_missing", RECORDS)},
    ),
    "a flipped bit in an image of Parquet": (
        lambda release: flip(release / DATA, 60),
        {("data_changed", DATA)},
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


def edit_first(file: str, **values: Any) -> Damage:
    return lambda release: edit_lines(release, lambda lines: [changed(lines[0], **values), *lines[1:]], file)


def repeat_first(file: str) -> Damage:
    return lambda release: edit_lines(release, lambda lines: [lines[0], *lines], file)


def drop_first(file: str) -> Damage:
    return lambda release: edit_lines(release, lambda lines: lines[1:], file)


def recipe_of(release: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((release / RECIPES).read_bytes().splitlines()[0])
    return found


def edit_recipe(**values: Any) -> Damage:
    def damage(release: Path) -> None:
        edit_first(RECIPES, recipe={**recipe_of(release)["recipe"], **values})(release)

    return damage


def claim_length_everywhere(release: Path) -> None:
    claim_length(release, 7)
    edit_samples(
        release,
        lambda files: [files[0], (files[1][0], changed(files[1][1], image_size_bytes=7)), *files[2:]],
    )


def leak_image(release: Path) -> None:
    edit_images(release, lambda images: [*images.items(), (recipe_of(release)["image_path"], b"x")])


def leak_data(release: Path) -> None:
    edit_data(release, lambda rows: [*rows, {**rows[0], "figure_id": recipe_of(release)["figure_id"]}])


def bury(figure_id: str) -> Damage:
    return edit_first(TOMBSTONES, figure_ids=[figure_id])


def edit_samples(release: Path, edit: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> None:
    with tarfile.open(release / WEBDATASET) as archive:
        files = [(entry.name, archive.extractfile(entry).read()) for entry in archive]  # type: ignore[union-attr]
    with (release / WEBDATASET).open("wb") as stream:
        for name, content in edit(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            stream.write(entry.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512))
        stream.write(bytes(1024))


RICH: dict[str, tuple[Damage, set[tuple[str, str]]]] = {
    "nothing": (lambda release: None, set()),
    "an image that is to be kept back": (leak_image, {("rows", IMAGES), ("image_withheld", IMAGES)}),
    "a row that is to be kept back": (leak_data, {("rows", DATA), ("data_withheld", DATA)}),
    "a caption that is to be kept back": (
        edit_first(RECIPES, caption="A caption."),
        {("text_given_away", RECIPES)},
    ),
    "mentions that are to be kept back": (
        edit_first(RECIPES, mentions=["x"]),
        {("text_given_away", RECIPES)},
    ),
    "the paper's own words as a recaption": (
        edit_first(RECIPES, recaption="A."),
        {("text_given_away", RECIPES)},
    ),
    "a caption behind another": (
        lambda release: edit_lines(release, lambda lines: [doubled(lines[0]), *lines[1:]], RECIPES),
        {("recipe", RECIPES)},
    ),
    "a caption in the recipe": (edit_recipe(caption="Secret."), {("recipe", RECIPES)}),
    "a caption in place of a box": (edit_recipe(bbox=["Secret."]), {("recipe", RECIPES)}),
    "a caption in place of a digest": (edit_recipe(caption_sha256="Secret."), {("recipe", RECIPES)}),
    "a caption in place of a page": (edit_recipe(page="Secret."), {("recipe", RECIPES)}),
    "a long text in the recipe": (edit_recipe(image_member="x" * 5000), {("recipe", RECIPES)}),
    "a caption in place of a number": (edit_first(RECIPES, grounding="Secret."), {("recipe", RECIPES)}),
    "captions among labels": (edit_first(RECIPES, labels=[{"caption": "Secret."}]), {("recipe", RECIPES)}),
    "labels": (edit_first(RECIPES, labels=["fig:1"]), set()),
    "a recaption of nobody": (
        edit_first(RECIPES, recaption="A.", engine=None),
        {("text_given_away", RECIPES)},
    ),
    "a recaption of nobody in particular": (
        edit_first(RECIPES, recaption="A.", engine=" Context"),
        {("text_given_away", RECIPES)},
    ),
    "a recaption of a model": (edit_first(RECIPES, recaption="A.", engine="vllm"), set()),
    "a recipe for another place": (
        edit_first(RECIPES, image_path="../../evil.png"),
        {("recipe", RECIPES)},
    ),
    "a figure without a licence, of a paper that has one": (
        edit_first(RECORDS, licence=None),
        {("data_changed", DATA), ("webdataset_changed", WEBDATASET)},
    ),
    "a sample's length that is not the image's": (
        claim_length_everywhere,
        {("image_changed", IMAGES), ("data_changed", DATA), ("webdataset_changed", WEBDATASET)},
    ),
    "a recipe that is none": (edit_first(RECIPES, recipe="x"), {("recipe", RECIPES)}),
    "a recipe twice": (
        repeat_first(RECIPES),
        {("rows", RECIPES), ("duplicate_figure_id", RECIPES), ("duplicate_image_path", RECIPES)},
    ),
    "a recipe of a released figure": (
        edit_first(RECIPES, figure_id="arxiv:2301.01234#1.1"),
        {("duplicate_figure_id", RECORDS), ("data_withheld", DATA), ("webdataset_withheld", WEBDATASET)},
    ),
    "a tombstone of a released figure": (bury("arxiv:2301.01234#1.1"), {("tombstone_released", RECORDS)}),
    "a tombstone of a figure with a recipe": (
        bury("arxiv:2301.05555#1.1"),
        {("tombstone_released", RECIPES)},
    ),
    "a tombstone that is none": (edit_first(TOMBSTONES, figure_ids=[1]), {("tombstone", TOMBSTONES)}),
    "a paper that is not attributed": (
        drop_first(ATTRIBUTION),
        {("rows", ATTRIBUTION), ("attribution_missing", RECORDS)},
    ),
    "a paper attributed twice": (
        repeat_first(ATTRIBUTION),
        {("rows", ATTRIBUTION), ("attribution_twice", RECORDS)},
    ),
    "a paper attributed that has no image": (
        lambda release: edit_lines(
            release, lambda lines: [*lines, changed(lines[0], paper_id="x")], ATTRIBUTION
        ),
        {("rows", ATTRIBUTION), ("attribution_orphan", ATTRIBUTION)},
    ),
    "another licence": (edit_first(ATTRIBUTION, licence="MIT"), {("attribution_changed", ATTRIBUTION)}),
    "no licence any more": (edit_first(ATTRIBUTION, licence=None), {("attribution_changed", ATTRIBUTION)}),
    "another number of figures": (
        edit_first(ATTRIBUTION, n_figures=9),
        {("attribution_changed", ATTRIBUTION)},
    ),
    "no attribution": (
        edit_first(ATTRIBUTION, paper_id=None),
        {("attribution", ATTRIBUTION), ("attribution_missing", RECORDS)},
    ),
    "a sample less": (
        lambda release: edit_samples(release, lambda files: files[2:]),
        {("rows", WEBDATASET), ("webdataset_missing", RECORDS)},
    ),
    "a sample twice": (
        lambda release: edit_samples(release, lambda files: [*files[:2], *files]),
        {("rows", WEBDATASET), ("webdataset_twice", RECORDS)},
    ),
    "samples that swapped their images": (
        lambda release: edit_samples(
            release,
            lambda files: [(files[0][0], files[2][1]), files[1], (files[2][0], files[0][1]), files[3]],
        ),
        {("webdataset_changed", WEBDATASET)},
    ),
    "samples that swapped their names": (
        lambda release: edit_samples(
            release, lambda files: [(files[i ^ 2][0], files[i][1]) for i in range(len(files))]
        ),
        {("webdataset_changed", WEBDATASET)},
    ),
    "a sample without a record": (
        lambda release: edit_samples(release, lambda files: [files[0], *files[2:]]),
        {("unreadable", WEBDATASET), ("rows", WEBDATASET), ("webdataset_missing", RECORDS)},
    ),
    "a sample with something else": (
        lambda release: edit_samples(release, lambda files: [files[0], (files[1][0], b"{}"), *files[2:]]),
        {("sample", WEBDATASET), ("webdataset_missing", RECORDS)},
    ),
}


@pytest.mark.parametrize("what", RICH)
def test_what_is_kept_back_stays_back(rich: Path, what: str) -> None:
    """Recipes, tombstones, attributions and samples are held against the records."""
    damage, problems = RICH[what]
    damage(rich)
    reseal(rich)

    assert found(rich) == problems


def test_joins_in_many_passes_find_the_same(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share of the rows at a time, as for a dataset that does not fit into memory."""
    edit_images(release, lambda images: [*list(images.items())[1:], ("a/b.png", b"x")])
    edit_data(release, lambda rows: [*rows[1:], rows[2]])
    at_once = found(release)
    monkeypatch.setattr(joins, "PASS_ROWS", 1)

    assert found(release) == at_once
    assert {("image_orphan", IMAGES), ("image_missing", RECORDS), ("data_twice", RECORDS)} <= at_once


@pytest.mark.parametrize("text", ["plain", "α – “x”", "a\u2028b", "\x85", "\U0001f600", "\ud800", '"\\'])
def test_a_line_is_digested_as_it_is_written(text: str) -> None:
    """Also where it needs the rare escapes; None where it cannot be written."""
    record = {**dict.fromkeys(RECORD.names), "caption": text, "figure_id": "x"}
    try:
        expected = hashlib.sha256(line_of(record)).digest()
    except ValueError:
        expected = None

    assert digest_of_line(record) == expected


def edit_entry(release: Path, **values: Any) -> None:
    """Change how the manifest lists the first file."""
    manifest = json.loads((release / "manifest.json").read_bytes())
    manifest["files"][0] |= values
    (release / "manifest.json").write_bytes(json.dumps(manifest).encode())


HOSTILE: dict[str, list[object]] = {
    "path": [
        ".git/hooks/pre-commit",
        ".cache/x",
        "a/.git/config",
        "a\u200c",
        "a.",
        "a ",
        "MANIFEST.json",
        "../../etc/passwd",
        "/etc/passwd",
        "a//b",
        "./a",
        "",
        "a\\b",
        "a\0b",
        "\ud800",
        "x" * 2000,
    ],
    "bytes": [-1],
    "rows": [-1],
    "sha256": ["", "A" * 64],
    "xet": ["0" * 63],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in HOSTILE for value in HOSTILE[key]])
def test_a_manifest_is_not_trusted(release: Path, key: str, value: object) -> None:
    """Paths that leave the release, lengths and digests that are none: said, and never followed."""
    first = load_manifest((release / "manifest.json").read_bytes()).files[0].path
    edit_entry(release, **{key: value})

    assert found(release) == {("manifest", "manifest.json"), ("extra", first)}


@pytest.mark.parametrize(
    "twin", [RECORDS.upper(), "Arxiv/jsonl/2023.jsonl", "\u00e9/jsonl/2023.jsonl", "\u00df/jsonl/2023.jsonl"]
)
def test_no_two_files_are_one_elsewhere(release: Path, twin: str) -> None:
    """Paths that differ in case, or in how letters are composed, name one file on other systems."""
    manifest = load_manifest((release / "manifest.json").read_bytes())
    first = {"\u00e9": "e\u0301", "\u00df": "ss"}.get(twin[0], "arxiv") + "/jsonl/2023.jsonl"
    empty = ManifestFile(path=first, n_bytes=0, sha256="0" * 64, xet="0" * 64, n_rows=0)
    files = {file.path: file for file in (*manifest.files, empty)}
    files[twin] = replace(empty, path=twin)

    made = parsed_manifest(replace(manifest, files=tuple(files.values())).render(), problems := Problems())

    assert [(each.kind, "on some systems" in each.detail) for each in problems.listed()] == [
        ("manifest", True)
    ]
    assert len({first, twin} & {file.path for file in made.files}) == 1


def list_file(release: Path, path: str, content: bytes, n_rows: int | None = None) -> None:
    """Put a file into a release, and into its manifest."""
    written({path: content}, release)
    manifest = load_manifest((release / "manifest.json").read_bytes())
    file = ManifestFile(path=path, n_bytes=len(content), sha256="", xet="", n_rows=n_rows)
    (release / "manifest.json").write_bytes(replace(manifest, files=(*manifest.files, file)).render())
    reseal(release)


STRAYS = (
    *("arxiv/data/2023/stray.parquet", "arxiv/data/2023-00000.parquet", "arxiv/images_2023.tgz"),
    *(
        "arxiv/images_2023.tar.gz.partaaa",
        "arxiv/notes.md",
        "changes/0.jsonl",
        "pictures/x.tar",
        "all.tar.gz",
    ),
)


@pytest.mark.parametrize("path", STRAYS)
def test_a_file_that_nobody_reads_is_a_problem(release: Path, path: str) -> None:
    """Even where the manifest lists it; also in a repository."""
    list_file(release, path, b"x")
    problems = Problems()
    check_remote(stored(release), LocalFolder(release).open, problems)

    assert found(release) == {("stray", path)}
    assert ("stray", path) in {(each.kind, each.path) for each in problems.listed()}


@pytest.mark.parametrize("path", ["LICENSE", "CITATION.cff", "pictures/clip_scores.png"])
def test_texts_and_pictures_are_no_strays(release: Path, path: str) -> None:
    """They say something about the release."""
    list_file(release, path, b"x")

    assert found(release) == set()


@pytest.mark.parametrize("path", ["other/images.tar.gz", "other/images_2023.tar.gz", "local/images.tar.gz"])
def test_an_archive_without_records_is_read(release: Path, path: str) -> None:
    """Of a source that has nothing else, and of all years of one that has."""
    list_file(release, path, archive_of([("a/f1_p1.png", b"x")]), n_rows=1)

    assert ("image_orphan", path) in found(release)


def test_rows_without_records_are_found(release: Path) -> None:
    """Of a source that has nothing else."""
    list_file(release, "other/data/2023/00000.parquet", (release / DATA).read_bytes(), n_rows=4)

    assert found(release) == {("data_orphan", "other/data/2023/00000.parquet")}


def test_a_year_that_is_gone_without_a_trace_is_missed(release: Path) -> None:
    """Its files and what the manifest says of them; the history still counts its records."""
    manifest = load_manifest((release / "manifest.json").read_bytes())
    gone = {file.path for file in manifest.files if file.path.startswith("arxiv/") and "2003" in file.path}
    for path in gone:
        (release / path).unlink()
    files = tuple(file for file in manifest.files if file.path not in gone)
    (release / "manifest.json").write_bytes(replace(manifest, files=files).render())
    problems = Problems()
    check_remote(stored(release), LocalFolder(release).open, problems)

    assert {path.split("/")[1] for path in gone} >= {"jsonl", "data", "attribution"}
    assert found(release) == {("rows", "manifest.json")}
    assert {(each.kind, each.path) for each in problems.listed()} == {("rows", "manifest.json")}


@pytest.mark.parametrize("path", [RECORDS, IMAGES, DATA])
def test_a_manifest_says_how_many_rows_there_are(release: Path, path: str) -> None:
    """Null is no number of them."""
    manifest = load_manifest((release / "manifest.json").read_bytes())
    files = [replace(file, n_rows=None) if file.path == path else file for file in manifest.files]
    (release / "manifest.json").write_bytes(replace(manifest, files=tuple(files)).render())

    assert found(release) == {("rows", path), *({("rows", "manifest.json")} if path == RECORDS else set())}


EVIL = (
    "../../evil.png",
    "/etc/evil.png",
    "a/../f1_p1.png",
    "a/f1_p1.svg",
    "a/b/f1_p1.png",
    "\u00e4/f1_p1.png",
)


@pytest.mark.parametrize("path", [*EVIL, "a/f1_p1.png\n", "a/f0_p1.png", "f1_p1.png", "con./f1_p1.png"])
def test_images_have_the_names_that_the_release_gives(release: Path, path: str) -> None:
    """In records, archive and Parquet: none that leads elsewhere where it is unpacked."""
    edit_first(RECORDS, image_path=path)(release)
    edit_images(release, lambda images: [(path, image) for image in images.values()][:1])
    table = pq.read_table(release / DATA).to_pylist()
    table[0]["image_path"] = table[0]["image"]["path"] = path
    pq.write_table(pa.Table.from_pylist(table, schema=STREAMABLE), release / DATA)
    reseal(release)

    problems = found(release)
    assert {("record", RECORDS), ("image_path", DATA)} <= problems
    assert problems & {("image_path", IMAGES), ("unreadable", IMAGES)}  # tar has no room for some of them


def state(release: Path, **values: Any) -> None:
    """Let the manifest say more of the dataset."""
    manifest = load_manifest((release / "manifest.json").read_bytes())
    (release / "manifest.json").write_bytes(
        replace(manifest, dataset={**manifest.dataset, **values}).render()
    )


POLICIES: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "all": ({"licence_policy": "all"}, set()),
    "those of the release": ({"licence_policy": "redistributable"}, set()),
    "those and others": ({"licence_policy": "redistributable", "redistributable": ["MIT", "CC-BY"]}, set()),
    "others": (
        {"licence_policy": "redistributable", "redistributable": ["CC0-1.0"]},
        {("licence_not_allowed", RECORDS)},
    ),
    "none": ({"licence_policy": "metadata-only"}, {("licence_not_allowed", RECORDS)}),
    "no policy that there is": ({"licence_policy": "some"}, {("manifest", "manifest.json")}),
    "no list": (
        {"licence_policy": "redistributable", "redistributable": "CC-BY"},
        {("manifest", "manifest.json")},
    ),
    "no licences": (
        {"licence_policy": "redistributable", "redistributable": [1]},
        {("manifest", "manifest.json")},
    ),
}


@pytest.mark.parametrize("what", POLICIES)
def test_licences_are_held_against_the_policy(rich: Path, what: str) -> None:
    """Of every record, as the manifest says that it was released."""
    values, problems = POLICIES[what]
    state(rich, **values)

    assert found(rich) == problems


def test_a_record_without_a_licence_is_not_redistributable(rich: Path) -> None:
    """It is named with its figure."""
    state(rich, licence_policy="redistributable")
    edit_first(RECORDS, licence=None)(rich)

    (problem,) = (each for each in verify(LocalFolder(rich)) if each.kind == "licence_not_allowed")

    assert problem.detail == "arxiv:2301.01234#1.1 is under no known licence"


def test_equal_rows_do_not_multiply(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many records of one figure, and as many rows of it, are not joined each with each."""
    n = 50
    edit_lines(release, lambda lines: [lines[0]] * n)
    edit_lines(release, lambda lines: [lines[0]] * n, ATTRIBUTION)
    edit_images(release, lambda images: list(images.items())[:1] * n)
    edit_data(release, lambda rows: [rows[0]] * n)
    reseal(release)
    heights: list[int] = []
    join = pl.DataFrame.join

    def measured(left: pl.DataFrame, *arguments: Any, **options: Any) -> pl.DataFrame:
        joined = join(left, *arguments, **options)
        heights.append(len(joined))
        return joined

    monkeypatch.setattr(pl.DataFrame, "join", measured)

    assert {("duplicate_figure_id", RECORDS), ("data_twice", RECORDS)} <= found(release)
    assert max(heights) < 2 * n


def test_recipes_have_the_keys_that_the_stage_writes(rich: Path) -> None:
    """In their order."""
    assert list(recipe_of(rich)["recipe"]) == list(contents.RECIPE)


@pytest.mark.parametrize("content", [b'{"format": 2, "files": [{"bytes": 1e999}]}', b"[" * 100_000])
def test_a_manifest_that_breaks_its_reader_is_a_problem(release: Path, content: bytes) -> None:
    """Numbers without end, brackets without end."""
    whole = json.loads((release / "manifest.json").read_bytes())
    if content.startswith(b"{"):
        whole["files"][0]["bytes"] = float("inf")
        content = json.dumps(whole).replace("Infinity", "1e999").encode()
    (release / "manifest.json").write_bytes(content)

    assert found(release) == {("manifest", "manifest.json")}


def test_a_file_listed_twice_is_a_problem(release: Path) -> None:
    """Even where both entries say the same."""
    manifest = load_manifest((release / "manifest.json").read_bytes())
    twice = replace(manifest, files=(*manifest.files, manifest.files[0]))
    (release / "manifest.json").write_bytes(twice.render())

    assert found(release) == {("manifest", "manifest.json")}


def test_a_line_without_an_end_is_one_problem(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is skipped, not held; the lines behind it are read."""
    monkeypatch.setattr(contents, "MAX_LINE_BYTES", 4096)
    edit_lines(release, lambda lines: [b"[" * 20_000 + b"\n", *lines])
    reseal(release)

    problems = [problem for problem in verify(LocalFolder(release)) if problem.kind == "record"]

    assert [problem.detail for problem in problems] == ["line 1 is longer than 4,096 bytes"]
    assert found(release) == {("record", RECORDS), ("rows", RECORDS)}


def test_a_bomb_is_not_unpacked(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that would unpack to much more than its records say is left at that point."""
    monkeypatch.setattr(contents, "BOMB_ALLOWANCE_BYTES", 1 << 16)
    digested: list[int] = []
    whole = contents.Tar.sha256

    def counted(tar: contents.Tar, n_bytes: int) -> str:
        digested.append(n_bytes)
        return whole(tar, n_bytes)

    monkeypatch.setattr(contents.Tar, "sha256", counted)
    edit_images(release, lambda images: [*images.items(), ("bomb.png", bytes(64 << 20))])
    reseal(release)

    problems = [problem for problem in verify(LocalFolder(release)) if problem.path == IMAGES]

    assert {problem.kind for problem in problems} == {"unreadable"}
    assert "'bomb.png' it unpacks to more than" in problems[0].detail
    assert max(digested) < 1 << 16


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.DIRTYPE,
        tarfile.XHDTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)
@pytest.mark.parametrize("n_bytes", [0, 1 << 33])
def test_an_archive_holds_nothing_but_files(release: Path, kind: bytes, n_bytes: int) -> None:
    """No links, devices, folders, extended headers or holes; the largest is not read either."""
    entry = tarfile.TarInfo("a")
    entry.type, entry.size = kind, n_bytes
    header = entry.tobuf(tarfile.GNU_FORMAT)
    (release / IMAGES).write_bytes(gzip.compress(header) + END)
    reseal(release)

    (problem,) = (each for each in verify(LocalFolder(release)) if each.kind == "unreadable")

    assert problem.detail == "'a' is not a file"


def test_row_groups_are_bounded(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet that would fill the memory is not decoded."""
    monkeypatch.setattr(contents, "MAX_ROW_GROUP_ROWS", 2)

    assert {("unreadable", DATA), ("data_missing", RECORDS)} <= found(release)


def test_large_row_groups_are_read_in_batches(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same outcome."""
    monkeypatch.setattr(contents, "BATCH_ROWS", 2)

    assert found(release) == set()
    edit_data(release, lambda rows: [*rows[:-1], {**rows[-1], "caption": "No."}])
    reseal(release)
    assert found(release) == {("data_changed", DATA)}


def point(release: Path, *paths: str) -> None:
    """Put pointers where files are, as git does without git-lfs."""
    for path in paths:
        content = (release / path).read_bytes()
        (release / path).write_bytes(
            b"version https://git-lfs.github.com/spec/v1\n"
            b"oid sha256:%s\nsize %d\n" % (hashlib.sha256(content).hexdigest().encode(), len(content))
        )


@pytest.mark.parametrize("paths", [(IMAGES,), (DATA,), (IMAGES, DATA), (RECORDS,), (RECORDS, IMAGES, DATA)])
def test_pointers_stand_for_their_content(release: Path, paths: tuple[str, ...]) -> None:
    """They are compared with the manifest; what would need the content is not."""
    point(release, *paths)

    assert found(release) == set()


def test_a_pointer_to_something_else_is_a_problem(release: Path) -> None:
    """By digest or by length."""
    flip(release / IMAGES)
    point(release, IMAGES)

    assert found(release) == {("changed", IMAGES)}


def test_one_pointer_among_the_parts_of_an_archive(tmp_path: Path) -> None:
    """The parts that are there are compared, the archive is not unpacked."""
    example().publish(tmp_path, settings=ReleaseSettings(part_bytes=400))
    point(tmp_path, f"{IMAGES}.partab")
    flip(tmp_path / f"{IMAGES}.partaa")

    assert found(tmp_path) == {("changed", f"{IMAGES}.partaa")}


def stored(release: Path) -> dict[str, Stored]:
    """A release as the Hub lists it: archives and Parquet by their digests, the rest by git's names."""
    listed = {file.path: file for file in load_manifest((release / "manifest.json").read_bytes()).files}
    return {
        path: Stored(n_bytes=len(content), sha256=listed[path].sha256, xet=listed[path].xet)
        if path.endswith((".gz", ".parquet"))
        else Stored(n_bytes=len(content), git_blob="0" * 40)
        for path, content in tree(release).items()
    }


REMOTE: dict[str, tuple[str, Stored | None, str]] = {
    "gone": (IMAGES, None, "missing"),
    "short": (IMAGES, Stored(n_bytes=3, sha256="0" * 64), "truncated"),
    "long": (IMAGES, Stored(n_bytes=10**9, sha256="0" * 64), "changed"),
    "more": ("arxiv/other.bin", Stored(n_bytes=3), "extra"),
}


@pytest.mark.parametrize("what", REMOTE)
def test_a_repository_is_compared_by_its_listing(release: Path, what: str) -> None:
    """Missing, short, long, too much; nothing is opened for it but small files."""
    path, entry, kind = REMOTE[what]
    listing = {name: each for name, each in {**stored(release), path: entry}.items() if each is not None}
    problems = Problems()

    assert check_remote(listing, LocalFolder(release).open, problems) is not None
    assert [(problem.kind, problem.path) for problem in problems.listed()] == [(kind, path)]


@pytest.mark.parametrize("digest", ["sha256", "xet"])
def test_a_repository_with_other_content_is_found(release: Path, digest: str) -> None:
    """By either digest, and small files by reading them."""
    listing = stored(release)
    other: dict[str, Any] = {digest: "f" * 64}
    listing[DATA] = replace(listing[DATA], **other)
    flip(release / "README.md")
    problems = Problems()

    check_remote(listing, LocalFolder(release).open, problems)

    assert {(each.kind, each.path) for each in problems.listed()} == {
        ("changed", DATA),
        ("changed", "README.md"),
    }


def test_no_large_file_is_fetched(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository that knows no digest of one cannot be verified in that."""
    monkeypatch.setitem(check_remote.__globals__, "MAX_SMALL_BYTES", 10)
    problems = Problems()

    check_remote(stored(release), LocalFolder(release).open, problems)

    assert {each.kind for each in problems.listed()} == {"unreadable"}
