"""Tests of s1mm_assets.release.webdataset."""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from s1mm_assets.release import webdataset
from s1mm_assets.release.image_archives import ArchiveError
from s1mm_assets.release.records import RECORD, image_path, line_of
from s1mm_assets.release.streamable import DataFile
from s1mm_assets.release.webdataset import Sample, WebDatasetPiece, samples, stem_of
from s1mm_assets_tests.release.shards import picture

Row = tuple[dict[str, Any], bytes]


def row(number: int, *, source: str = "arxiv", image_format: str = "png", **columns: Any) -> Row:
    """A record with its image: what no argument gives is null, a list empty."""
    image = picture(number, image_format)
    figure_id = f"{source}:2301.01234#{number}.1"
    empty: dict[str, Any] = {
        field.name: [] if str(field.type).startswith("list") else None for field in RECORD
    }
    known = {
        "figure_id": figure_id,
        "source": source,
        "year": 2023,
        "image_path": image_path(figure_id, image_format),
        "image_sha256": hashlib.sha256(image).hexdigest(),
        "image_size_bytes": len(image),
    }
    return empty | known | columns, image


def write_release(folder: Path, files: Mapping[str, Sequence[Row]], *, has_webdataset: bool = False) -> Path:
    """Write the files of a release that records stand in: name → rows, where a name is "arxiv/2023/00000"."""
    for name, rows in files.items():
        source, year, number = name.split("/")
        for part in ("jsonl", f"data/{year}", f"webdataset/{year}"):
            (folder / source / part).mkdir(parents=True, exist_ok=True)
        with (folder / source / "jsonl" / f"{year}.jsonl").open("ab") as lines:
            lines.writelines(line_of(record) for record, _ in rows)
        with (folder / source / "data" / f"{year}/{number}.parquet").open("wb") as stream:
            written = DataFile(stream, row_group_rows=2)
            for record, image in rows:
                written.add(record, image)
            written.close()
        if has_webdataset:
            (folder / source / "webdataset" / f"{year}/{number}.tar").write_bytes(packed(rows))
    return folder


def packed(rows: Sequence[Row]) -> bytes:
    stream = io.BytesIO()
    written = WebDatasetPiece(stream)
    for record, image in rows:
        written.add(record, image)
    written.close()
    return stream.getvalue()


ROWS = [
    row(1, caption="Ünï — “code”\u2028"),
    row(2, image_format="jpeg", labels=["a"]),
    row(3, grounding=0.5),
]
ARCHIVE = packed(ROWS)


def listed(archive: bytes) -> list[Sample]:
    return list(samples(io.BytesIO(archive)))


def test_gnu_tar_reads_it(tmp_path: Path) -> None:
    """Without complaint; owner, mode and time are fixed, and every sample has the same extensions."""
    (tmp_path / "2023-00000.tar").write_bytes(ARCHIVE)

    tar = subprocess.run(
        ["tar", "tvf", "2023-00000.tar", "--utc"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    lines = tar.stdout.splitlines()
    assert tar.stderr == ""
    assert [line.split()[-1] for line in lines] == [
        f"2301_01234/f{number}_p1.{extension}" for number in (1, 2, 3) for extension in ("png", "json")
    ]
    assert {line.split()[0] for line in lines} == {"-rw-r--r--"}
    assert {line.split()[1] for line in lines} == {"0/0"}
    assert all("1970-01-01 00:00" in line for line in lines)


def test_samples_are_read_with_their_digests() -> None:
    """Stem, digest and length of the image, and the record's line, in order."""
    assert listed(ARCHIVE) == [
        Sample(
            stem=f"2301_01234/f{number}_p1",
            image_sha256=hashlib.sha256(image).hexdigest(),
            n_image_bytes=len(image),
            line=line_of(record),
        )
        for number, (record, image) in enumerate(ROWS, start=1)
    ]
    assert listed(packed([])) == []


COLUMNS = datasets.Features(
    {
        "png": datasets.Image(),
        "json": datasets.Features.from_arrow_schema(RECORD),
        "__key__": datasets.Value("string"),
        "__url__": datasets.Value("string"),
    }
)


@pytest.mark.parametrize(
    ("is_streaming", "features"), [(True, None), (True, COLUMNS), (False, COLUMNS)], ids=str
)
def test_datasets_gives_back_images_and_records(
    tmp_path: Path, is_streaming: bool, features: datasets.Features | None
) -> None:
    """Its WebDataset loader takes types from five samples; plain loading has to be told where those are null."""
    rows = [*(row(number) for number in range(10, 16)), *ROWS]
    (tmp_path / "2023-00000.tar").write_bytes(packed(rows))

    loaded = datasets.load_dataset(
        "webdataset",
        data_files=str(tmp_path / "*.tar"),
        split="train",
        streaming=is_streaming,
        features=features,
        cache_dir=str(tmp_path / "cache"),
    )

    decoded = [sample["png"].convert("RGB").tobytes() for sample in loaded]
    assert decoded == [Image.open(io.BytesIO(image)).convert("RGB").tobytes() for _, image in rows]
    raw = list(loaded.cast_column("png", datasets.Image(decode=False)))
    assert [sample["png"]["bytes"] for sample in raw] == [image for _, image in rows]
    assert [line_of(sample["json"]) for sample in raw] == [line_of(record) for record, _ in rows]
    assert [sample["__key__"] for sample in raw] == [stem_of(record["image_path"]) for record, _ in rows]


@given(
    st.lists(
        st.tuples(st.binary(max_size=2000), st.text(st.characters(exclude_categories=["Cs"]))), max_size=4
    )
)
def test_what_is_written_is_read(contents: list[tuple[bytes, str]]) -> None:
    """By our reader and by tarfile: any image, any caption."""
    rows = [
        (row(number)[0] | {"caption": caption}, image) for number, (image, caption) in enumerate(contents, 1)
    ]
    archive = packed(rows)

    with tarfile.open(fileobj=io.BytesIO(archive), mode="r|") as opened:
        read = [opened.extractfile(entry).read() for entry in opened]  # type: ignore[union-attr]

    assert read == [content for record, image in rows for content in (image, line_of(record))]
    assert [sample.line for sample in listed(archive)] == [line_of(record) for record, _ in rows]
    assert packed(rows) == archive


def test_the_longest_name_fits_a_plain_header() -> None:
    """No extended headers, which some readers take for a sample of their own."""
    record, image = row(1)
    longest = f"{'a' * 90}/f1_p1.jpg"

    archive = packed([(record | {"image_path": longest}, image)])

    assert len(longest) == 100
    assert [sample.stem for sample in listed(archive)] == [longest.removesuffix(".jpg")]


@pytest.mark.parametrize("path", ["", "a/f1", ".png", "a/f1.", "a/f1.x.png", "a.b/f1_p1.png"])
def test_a_path_without_one_dot_is_refused(path: str) -> None:
    """Readers would make two samples one, or lose the image."""
    with pytest.raises(ValueError, match=r"is not <stem>\.<extension>"):
        stem_of(path)


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time, as sockets and joined parts do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(7, size) if size and size > 0 else size)


def test_a_stream_may_give_few_bytes_at_a_time() -> None:
    """What a read does not give, the next one does."""
    trickle: BinaryIO = Trickle(ARCHIVE)

    assert list(samples(trickle)) == listed(ARCHIVE)


def test_a_cut_anywhere_is_noticed() -> None:
    """No prefix of an archive passes for the whole."""
    assert len(listed(tar("a.png", "a.json"))) == 1
    archive = packed(ROWS[:1])

    for length in range(0, len(archive), 7):
        with pytest.raises(ArchiveError):
            listed(archive[:length])


def tar(*names: str) -> bytes:
    """An archive of files without content."""
    entries = [tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT) for name in names]
    return b"".join(entries) + bytes(1024)


def link() -> bytes:
    entry = tarfile.TarInfo("a.png")
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return entry.tobuf(tarfile.USTAR_FORMAT) + tar("a.json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 512,
        link(),
        tar("a.png"),
        tar("a.png", "b.json"),
        tar("a.json", "a.png"),
        tar("a.jpg", "a.json"),
        bytes(512) + b"x" * 512,
        bytes(512),
        bytes(1024) + b"x",
    ],
    ids=[
        *("nothing", "no tar", "a link", "no record", "another's record", "in another order", "not .png"),
        *("one block of zeros", "cut in its end", "more after its end"),
    ],
)
def test_what_are_no_samples_is_refused(content: bytes) -> None:
    """Only pairs of files, then two blocks of zeros, then nothing."""
    with pytest.raises(ArchiveError):
        listed(content)


def test_a_record_too_large_to_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is read."""
    monkeypatch.setattr(webdataset, "MAX_LINE_BYTES", 10)

    with pytest.raises(ArchiveError, match=r"'2301_01234/f1_p1\.json' has \d+ bytes"):
        listed(ARCHIVE)


@given(st.binary(max_size=2000))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Whatever is inside, the one error says that it is no archive."""
    with pytest.raises(ArchiveError):
        listed(data)


def test_the_record_is_json() -> None:
    """With the columns of the release in their order."""
    assert [list(json.loads(sample.line)) for sample in listed(ARCHIVE)] == [RECORD.names] * 3
