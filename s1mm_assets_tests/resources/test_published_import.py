"""Published folders with each of their defects, imported: what becomes of every line and every image."""

import errno
import gzip
import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw

from s1mm_assets.archives.arxiv import bare_metadata
from s1mm_assets.archives.published import MAX_LINE_BYTES, Defect, Findings
from s1mm_assets.resources import published_import, published_index
from s1mm_assets.resources.published_import import (
    ImportLimits,
    PublishedImport,
    Tally,
    imported_partitions,
    is_imported,
)
from s1mm_assets.resources.published_index import PublishedError, PublishedIndex
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.tables import Metadata
from s1mm_assets_tests.archives.packing import gzip_bomb, header, link

KEY = "arxiv|2007"
Members = Sequence[tuple[str | tarfile.TarInfo, bytes]]


def picture(seed: int, image_format: str = "PNG") -> bytes:
    """A plot that the filters keep, another one for each seed."""
    draw = np.random.default_rng(seed)
    image = Image.new("RGB", (640, 480), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((60, 30, 620, 440), outline="black", width=2)
    xs = np.linspace(62, 618, 140)
    for colour in ("#c02020", "#2040c0", "#208040"):
        ys = 235 + np.cumsum(draw.normal(0, 22, len(xs)))
        ys = np.clip(ys - (ys - 235).mean(), 32, 438)
        pen.line([(float(x), float(y)) for x, y in zip(xs, ys, strict=True)], fill=colour, width=2)
    for x, y, red, green, blue in draw.integers(
        (64, 34, 0, 0, 0), (616, 436, 200, 200, 200), (300, 5)
    ).tolist():
        pen.ellipse((x, y, x + 4, y + 4), fill=(red, green, blue))
    stream = io.BytesIO()
    image.save(stream, image_format)
    return stream.getvalue()


def record(paper: str, image: str | None, **changes: Any) -> dict[str, Any]:
    """A line of an arXiv file, as published."""
    return {
        "arxiv_id": paper,
        "title": f"On {paper}",
        "image_path": image,
        "caption": f"The mass of the lepton against its energy, as in {image}.",
        "recaption": f"The plot shows three curves of {image} over energy, with points scattered around them.",
        "categories": ["hep-ph"],
        **changes,
    }


def packed(members: Members) -> bytes:
    """A tar.gz of members in this order."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(stream.getvalue(), 1, mtime=0)


def write(folder: Path, files: Mapping[str, bytes | Sequence[dict[str, Any] | bytes]]) -> Path:
    """Write files; lists are lines of JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in content]
            path.write_bytes(b"".join(line + b"\n" for line in lines))
    return folder


class Imported:
    """What an import of the figures gave; `recaption` is for the pipeline's tests."""

    def __init__(
        self, folder: Path, store: ShardStore, partitions: Sequence[str] | None = None, **settings: Any
    ) -> None:
        self.store = store
        self.said: list[str] = []
        with PublishedImport(folder, store, report=self.said.append, **settings) as importing:
            self.keys = importing.land(partitions)
            self.tally: Tally = importing.tally()
            self.n_walks = importing._spool.n_walks if importing._spool else 0
        found = importing.findings.rows()
        self.examples: dict[Defect, list[str]] = {
            Defect(row["defect"]): row["examples"] for row in found.to_dicts()
        }
        self.defects: dict[Defect, int] = {}
        for row in found.to_dicts():
            self.defects[Defect(row["defect"])] = self.defects.get(Defect(row["defect"]), 0) + row["n"]

    def table(self, asset: str, table: str, *columns: str, key: str = KEY) -> pl.DataFrame:
        handle = self.store.pinned(asset, key)
        assert handle is not None
        return self.store.read(handle, table, list(columns))

    def figures(self, key: str = KEY) -> dict[str, dict[str, Any]]:
        """Figure id → its row, of one partition."""
        columns = [
            "figure_id",
            "paper_id",
            "graphics_path",
            "image_member",
            "sha256",
            "rejection",
            "evidence",
        ]
        columns += ["caption", "image_format", "width_px"]
        rows = self.table("figure_candidates", "figures", *columns, key=key)
        return {row["figure_id"]: row for row in rows.to_dicts()}

    def digests(self) -> dict[str, str]:
        return {
            f"{asset} {key}": handle.digest()
            for asset in ("raw_archives", "figure_candidates")
            for key in self.keys
            if (handle := self.store.pinned(asset, key))
        }


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(uri=str(tmp_path / "store"))


@pytest.fixture
def imported(tmp_path: Path, store: ShardStore) -> Callable[..., Imported]:
    """Write a folder and import it."""

    def run(files: Mapping[str, Any], *partitions: str, **settings: Any) -> Imported:
        return Imported(write(tmp_path / "S1", files), store, partitions or None, **settings)

    return run


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- joining -----------------------------------------------------------------------------------------------


def test_records_and_images_join_although_one_side_has_the_prefix(imported: Callable[..., Imported]) -> None:
    """The record says images/…, the archive does not; ids count a paper's images by path."""
    a, b, c = picture(1), picture(2, "JPEG"), picture(3)
    done = imported(
        {
            "arXiv/jsonl/2007.jsonl": [
                record("0704.0001v2", "images/0704.0001_b.png"),
                record("0704.0001", "images/0704.0001_a.jpg"),
                record("hep-ph0701002", "images/hep-ph0701002_1.png"),
            ],
            "arXiv/images_2007.tar.gz": packed(
                [("./0704.0001_b.png", a), ("hep-ph0701002_1.png", c), ("0704.0001_a.jpg", b)]
            ),
        }
    )

    found = done.figures()
    assert {name: (row["sha256"], row["image_format"]) for name, row in found.items()} == {
        "arxiv:0704.0001#1.1": (sha256(b), "jpeg"),
        "arxiv:0704.0001#2.1": (sha256(a), "png"),
        "arxiv:hep-ph/0701002#1.1": (sha256(c), "png"),
    }
    assert {row["width_px"] for row in found.values()} == {640}
    images = done.table("figure_candidates", "figures", "figure_id", "image").to_dicts()
    assert {row["figure_id"]: sha256(row["image"]) for row in images} == {
        name: row["sha256"] for name, row in found.items()
    }
    assert done.defects == {Defect.PATH_PREFIXED: 3, Defect.PATH_DOTTED: 2}
    assert done.table("raw_archives", "metadata", "paper_id", "arxiv_id", "title").sort(
        "paper_id"
    ).rows() == [
        ("0704.0001", "0704.0001", "On 0704.0001"),
        ("hep-ph/0701002", "hep-ph/0701002", "On hep-ph0701002"),
    ]


@pytest.mark.parametrize(
    ("in_record", "in_archive"),
    [
        ("images/x/0704.0001.fig.png", "x/0704_0001_fig.PNG"),
        ("images\\x\\a.png", "images_2007/x/a.png"),
        ("/data/somebody/images/x/a.png", "x/a.png"),
        ("x/cafe\u0301.png", "x/café.png"),
        ("images/x/a.png", "x_a.png"),
    ],
)
def test_names_that_differ_in_spelling_join(
    in_record: str, in_archive: str, imported: Callable[..., Imported]
) -> None:
    """Slashes, dots, case, composition of letters, paths on somebody's disk."""
    done = imported(
        {
            "arxiv/jsonl/2007.jsonl": [record("0704.0001", in_record)],
            "arxiv/images_2007.tar.gz": packed([(in_archive, picture(1))]),
        }
    )

    assert done.figures()["arxiv:0704.0001#1.1"]["image_member"] == in_archive
    assert Defect.ORPHAN_IMAGE not in done.defects


def test_a_spelling_that_fits_two_images_joins_neither(imported: Callable[..., Imported]) -> None:
    """Better missing than wrong."""
    done = imported(
        {
            "arxiv/jsonl/2007.jsonl": [record("0704.0001", "images/a.b.png")],
            "arxiv/images_2007.tar.gz": packed([("a_b.png", picture(1)), ("A_b.png", picture(2))]),
        }
    )

    assert done.figures()["arxiv:0704.0001#1.1"]["rejection"] == "graphics_missing"
    assert done.defects[Defect.ORPHAN_IMAGE] == 2
    assert done.defects[Defect.IMAGE_MISSING] == 1


def test_the_parts_of_an_archive_are_read_as_one(imported: Callable[..., Imported]) -> None:
    """The years of a source without yearly files come from its DOIs, else from what was chosen."""
    images = {f"f{i}.png": picture(i) for i in range(4)}
    archive = packed(list(images.items()))
    third = len(archive) // 3
    done = imported(
        {
            "bioRxiv/jsonl/all.jsonl": [
                record("", "f0.png", arxiv_id=None, doi="https://doi.org/10.1101/2020.01.02.123456"),
                record("", "f1.png", arxiv_id=None, doi="10.64898/2025.12.09.693111"),
                record("", "f2.png", arxiv_id=None, doi="10.1101/123456"),
                record("", "f3.png", arxiv_id=None, doi="10.1101/2020.01.02.123456"),
            ],
            "bioRxiv/images.tar.gz.partaa": archive[:third],
            "bioRxiv/images.tar.gz.partab": archive[third : 2 * third],
            "bioRxiv/images.tar.gz.partac": archive[2 * third :],
        },
        fallback_year=2016,
    )

    assert done.keys == ["biorxiv|2016", "biorxiv|2020", "biorxiv|2025"]
    assert {name: row["sha256"] for key in done.keys for name, row in done.figures(key).items()} == {
        "biorxiv:10.1101/2020.01.02.123456#1.1": sha256(images["f0.png"]),
        "biorxiv:10.1101/2020.01.02.123456#2.1": sha256(images["f3.png"]),
        "biorxiv:10.64898/2025.12.09.693111#1.1": sha256(images["f1.png"]),
        "biorxiv:10.1101/123456#1.1": sha256(images["f2.png"]),
    }
    assert done.defects == {}
    assert done.n_walks == 1  # of one archive, for three partitions


def test_a_paper_lies_in_one_year(imported: Callable[..., Imported]) -> None:
    """The first of its files; each image still comes out of its own file's archive."""
    done = imported(
        {
            "arxiv/jsonl/2007.jsonl": [record("0712.0001", "a.png")],
            "arxiv/jsonl/2008.jsonl": [record("0712.0001", "b.png")],
            "arxiv/images_2007.tar.gz": packed([("a.png", picture(1))]),
            "arxiv/images_2008.tar.gz": packed([("b.png", picture(2)), ("a.png", picture(3))]),
        }
    )

    assert done.keys == [KEY]
    assert [row["sha256"] for row in done.figures().values()] == [sha256(picture(1)), sha256(picture(2))]
    assert done.defects == {Defect.PAPER_IN_TWO_YEARS: 1, Defect.ORPHAN_IMAGE: 1}


# --- defects of lines --------------------------------------------------------------------------------------

GOOD = record("0704.0001", "a.png")
LINES: list[tuple[dict[str, Any] | bytes, dict[Defect, int], int]] = [
    (b"{not json", {Defect.LINE_MALFORMED: 1}, 0),
    (b"[1]", {Defect.LINE_MALFORMED: 1}, 0),
    (b"[" * 100_000, {Defect.LINE_MALFORMED: 1}, 0),
    (b'{"arxiv_id": ' + b"1" * 5_000 + b"}", {Defect.LINE_MALFORMED: 1}, 0),
    (b'{"arxiv_id": "0704.0001", "title": "\xff"}', {Defect.LINE_MALFORMED: 1}, 0),
    ({**GOOD, "arxiv_id": 704.0001}, {Defect.LINE_MALFORMED: 1}, 0),
    ({**GOOD, "caption": ["a"]}, {Defect.LINE_MALFORMED: 1}, 0),
    ({**GOOD, "categories": [1]}, {Defect.LINE_MALFORMED: 1}, 0),
    ({**GOOD, "arxiv_id": "0704.0001\n"}, {}, 1),
    ({**GOOD, "arxiv_id": "0704\n.0001"}, {Defect.LINE_MALFORMED: 1}, 0),
    (b'{"title": "' + b"x" * MAX_LINE_BYTES + b'"}', {Defect.LINE_TOO_LONG: 1}, 0),
    ({**GOOD, "arxiv_id": None}, {Defect.IDS_MISSING: 1}, 0),
    ({**GOOD, "arxiv_id": " ", "doi": ""}, {Defect.IDS_MISSING: 1}, 0),
    ({**GOOD, "arxiv_id": "0713.0001"}, {Defect.ID_IS_NONE: 1}, 1),
    ({**GOOD, "doi": "n/a"}, {Defect.ID_IS_NONE: 1}, 1),
    ({**GOOD, "caption": " "}, {Defect.CAPTION_EMPTY: 1}, 1),
    ({**GOOD, "recaption": None}, {Defect.RECAPTION_EMPTY: 1}, 1),
    ({**GOOD, "image_path": None}, {Defect.PATH_UNJOINABLE: 1}, 1),
    ({**GOOD, "image_path": "images/../../a.png"}, {Defect.PATH_UNJOINABLE: 1}, 1),
    ({**GOOD, "image_path": "a\0.png"}, {Defect.PATH_UNJOINABLE: 1}, 1),
    ({**GOOD, "image_path": "x" * 2_000}, {Defect.PATH_UNJOINABLE: 1}, 1),
    ({**GOOD, "title": "\ud800", "caption": "\udfff mass"}, {}, 1),
    ({**GOOD, "categories": "hep-ph cs.CV"}, {}, 1),
    (b"  ", {}, 0),
]


@pytest.mark.parametrize(("line", "defects", "n_rows"), LINES)
def test_each_line_is_a_row_or_a_counted_defect(
    line: dict[str, Any] | bytes, defects: dict[Defect, int], n_rows: int, imported: Callable[..., Imported]
) -> None:
    """Its neighbour is a row all the same."""
    done = imported(
        {
            "arxiv/jsonl/2007.jsonl": [line, record("0704.0002", "b.png")],
            "arxiv/images_2007.tar.gz": packed([("a.png", picture(1)), ("b.png", picture(2))]),
        }
    )

    of_line = {defect: n for defect, n in done.defects.items() if defect is not Defect.ORPHAN_IMAGE}
    assert of_line == defects
    assert len(done.figures()) == n_rows + 1
    n_lines = 1 if line == b"  " else 2
    assert done.tally == Tally(lines=n_lines, rows=n_rows + 1, dropped=n_lines - n_rows - 1, not_chosen=0)
    assert done.figures()["arxiv:0704.0002#1.1"]["sha256"] == sha256(picture(2))


def test_a_repeated_record_counts_once_and_a_replaced_one_with_its_last_text(
    imported: Callable[..., Imported],
) -> None:
    """The prefix makes no other image of it."""
    done = imported(
        {
            "arxiv/jsonl/2007.jsonl": [
                record("0704.0001", "images/a.png", caption="old"),
                record("0704.0001", "b.png"),
                record("0704.0001", "b.png"),
                record("0704.0001", "a.png", caption="new"),
            ],
            "arxiv/images_2007.tar.gz": packed([("a.png", picture(1)), ("b.png", picture(2))]),
        }
    )

    assert [row["caption"] for row in done.figures().values()] == ["new", GOOD["caption"].replace("a.", "b.")]
    assert done.tally == Tally(lines=4, rows=2, dropped=2, not_chosen=0)
    assert (done.defects[Defect.DUPLICATE_RECORD], done.defects[Defect.RECORD_REPLACED]) == (1, 1)


def test_a_paper_without_a_year_waits_for_one(imported: Callable[..., Imported]) -> None:
    """It is counted, not guessed."""
    lines = [record("", "a.png", arxiv_id=None, doi="10.1038/ncomms1234")]
    lines.append(record("", "b.png", arxiv_id=None, doi="10.26434/chemrxiv-2021-abc"))
    done = imported({"Nature Communications/jsonl/nc.jsonl": lines})

    assert done.keys == ["nature_communications|2021"]
    assert done.defects[Defect.YEAR_UNKNOWN] == 1
    assert done.tally == Tally(lines=2, rows=1, dropped=1, not_chosen=0)


def test_records_in_two_sources_and_images_under_two_names_are_counted(
    imported: Callable[..., Imported],
) -> None:
    """They stay rows; which is released, the search for duplicates decides."""
    doi = "10.1038/s41467-020-1"
    done = imported(
        {
            "arXiv/jsonl/2007.jsonl": [
                record("0704.0001", "a.png", doi=doi),
                record("0704.0002", "b.png"),
            ],
            "arXiv/images_2007.tar.gz": packed([("a.png", picture(1)), ("b.png", picture(1))]),
            "ncomms/jsonl/2020.jsonl": [record("", "a.png", arxiv_id=None, doi=doi.upper())],
            "ncomms/images.tar.gz": packed([("a.png", picture(1))]),
        }
    )

    assert done.defects == {Defect.IN_TWO_SOURCES: 2, Defect.IMAGE_TWICE: 1}
    assert [row["sha256"] for row in done.figures().values()] == [sha256(picture(1))] * 2


@pytest.mark.parametrize(
    ("years", "archives", "n_without", "shared"),
    [
        ((2007, 2007), {"images_2007": "a.png"}, 2, {2007: 2}),
        ((2007, 2007), {"images_2007": "A.png"}, 2, {}),
        ((2007, 2008), {"images": "a.png"}, 2, {2007: 1, 2008: 1}),
        ((2007, 2008), {"images": "A.png"}, 2, {}),
        ((2007, 2008), {"images_2007": "a.png", "images": "a.png"}, 1, {2008: 1}),
        ((2007, 2008), {"images_2007": "a.png", "images_2008": "a.png"}, 0, {}),
    ],
    ids=[
        "of one year",
        "loosely",
        "of two years",
        "of two years, loosely",
        "in a yearly archive too",
        "each its own",
    ],
)
def test_an_image_that_several_papers_name_is_given_to_none(
    years: tuple[int, int],
    archives: dict[str, str],
    n_without: int,
    shared: dict[int, int],
    imported: Callable[..., Imported],
) -> None:
    """One of them would have a wrong one. A paper that names another image of the same name in its year's has it."""
    lines: dict[int, list[dict[str, Any]]] = {}
    for paper, year in zip(("0704.0001", "0704.0002"), years, strict=True):
        lines.setdefault(year, []).append(record(paper, "images/a.png"))
    files: dict[str, Any] = {f"arxiv/jsonl/{year}.jsonl": some for year, some in lines.items()}
    files |= {f"arxiv/{name}.tar.gz": packed([(member, picture(1))]) for name, member in archives.items()}
    whole = imported(files)

    rows = [row for year in lines for row in whole.figures(f"arxiv|{year}").values()]
    without = [row for row in rows if row["rejection"]]
    assert [row["rejection"] for row in without] == ["graphics_missing"] * n_without
    said = [row["evidence"] for row in without if "papers" in row["evidence"]]
    assert said == ["images/a.png: other papers name it too"] * sum(shared.values())
    assert whole.defects.get(Defect.PATH_SHARED, 0) == sum(shared.values())
    assert whole.defects.get(Defect.IMAGE_MISSING, 0) == n_without - sum(shared.values())
    for year in lines:  # one partition alone comes out as it does among all
        alone = imported(files, f"arxiv|{year}")
        assert alone.digests().items() <= whole.digests().items()
        assert alone.defects.get(Defect.PATH_SHARED, 0) == shared.get(year, 0)


def test_figure_ids_do_not_hang_on_the_order_of_lines(imported: Callable[..., Imported]) -> None:
    """Also of records that name no image."""
    lines = [record("0704.0001", None, caption=f"The mass of lepton {i}.") for i in range(5)]
    lines.append(record("0704.0001", "a.png"))
    captions = [
        {name: row["caption"] for name, row in imported({"arxiv/jsonl/2007.jsonl": order}).figures().items()}
        for order in (lines, lines[::-1], [*lines[3:], *lines[:3]])
    ]

    assert len(captions[0]) == 6
    assert captions[0]["arxiv:0704.0001#1.1"] == GOOD["caption"]
    assert captions[1] == captions[2] == captions[0]


N_STEPS_PER_ROW = 1_000  # of SQLite's machine; it takes up to 450


@pytest.mark.parametrize(
    ("lines", "members", "n_joined", "defects"),
    [
        ([(i, i) for i in range(25_000)], range(25_000), 25_000, {Defect.IMAGE_TWICE: 24_999}),
        (
            [(i, 0) for i in range(5_000)] * 2,
            [0],
            0,
            {Defect.DUPLICATE_RECORD: 5_000, Defect.PATH_SHARED: 5_000, Defect.ORPHAN_IMAGE: 1},
        ),
        (
            [(0, 0)],
            [0, *[1] * 10_000],
            1,
            {Defect.MEMBER_TWICE: 9_999, Defect.ORPHAN_IMAGE: 10_000},
        ),
        (
            [(i, i) for i in range(5_000)],
            range(5_000, 10_000),
            0,
            {Defect.IMAGE_MISSING: 5_000, Defect.ORPHAN_IMAGE: 5_000},
        ),
    ],
    ids=["ordinary", "one path, each paper twice", "one member", "nothing joins"],
)
def test_the_work_of_joining_grows_with_the_rows(
    lines: list[tuple[int, int]],
    members: Sequence[int],
    n_joined: int,
    defects: dict[Defect, int],
    tmp_path: Path,
) -> None:
    """Not with their square: a source has millions. Steps are counted, not seconds."""
    texts = [
        b'{"doi": "10.1101/%d", "image_path": "%d.png", "caption": "a", "recaption": "b"}' % line
        for line in lines
    ]
    entries = [header(b"%d.png" % each, b"%011o\0" % 0) for each in members]
    folder = write(
        tmp_path / "S1",
        {
            "medRxiv/jsonl/2020.jsonl": b"\n".join(texts),
            "medRxiv/images.tar.gz": gzip.compress(b"".join(entries) + bytes(1024)),
        },
    )
    findings, n_calls = Findings(), 0
    index = PublishedIndex(folder, tmp_path, findings=findings, fallback_year=None, report=lambda line: None)

    def is_too_much() -> bool:
        nonlocal n_calls
        n_calls += 1
        return n_calls * 1_000 > N_STEPS_PER_ROW * (len(lines) + len(members))

    index._db.set_progress_handler(is_too_much, 1_000)
    index.read_records()
    index.read_archives(["medrxiv|2020"])
    shards = index.plan(["medrxiv|2020"], max_figures=4_000, max_bytes=1 << 30)
    places = [index.places(shard) for shard in shards]
    index.close()

    assert sum(map(len, places)) == n_joined
    assert {row["defect"]: row["n"] for row in findings.rows().to_dicts()} == defects


def test_a_paper_with_more_records_than_can_be_held_keeps_the_first(
    imported: Callable[..., Imported], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in which all records claim one paper must not fill the memory."""
    monkeypatch.setattr(published_index, "MAX_PAPER_RECORDS", 3)
    lines = [record("0704.0001", f"{i}.png") for i in range(8)]
    done = imported({"arxiv/jsonl/2007.jsonl": lines})

    assert done.tally == Tally(lines=8, rows=3, dropped=5, not_chosen=0)
    assert done.defects[Defect.PAPER_TOO_LARGE] == 5


# --- defects of archives -----------------------------------------------------------------------------------


def three() -> tuple[list[dict[str, Any]], Members]:
    names = [f"{i}.png" for i in range(3)]
    return [record(f"0704.000{i}", name) for i, name in enumerate(names)], [
        (name, random.Random(i).randbytes(3 << 20) if i else picture(0)) for i, name in enumerate(names)
    ]


def test_an_archive_cut_short_gives_what_lies_before_the_cut(imported: Callable[..., Imported]) -> None:
    """The others are rows without images."""
    lines, members = three()
    archive = packed(members)
    done = imported(
        {"arxiv/jsonl/2007.jsonl": lines, "arxiv/images_2007.tar.gz": archive[: len(archive) * 7 // 10]}
    )

    assert [row["rejection"] for row in done.figures().values()] == [
        None,
        "image_unreadable",  # not cut: the test's bytes are no image
        "graphics_missing",
    ]
    assert done.defects[Defect.ARCHIVE_TRUNCATED] == 1
    assert done.defects[Defect.IMAGE_MISSING] == 1


def test_what_follows_the_end_of_an_archive_is_said(imported: Callable[..., Imported]) -> None:
    """Two archives in a row are a whole gzip file; only the first tar in it is read. Zeros are but padding."""
    archives = [packed([(name, picture(i))]) for i, name in enumerate(("a.png", "b.png"))]
    lines = [record("0704.0001", name) for name in ("a.png", "b.png")]
    files = {"arxiv/jsonl/2007.jsonl": lines}
    padded = imported({**files, "arxiv/images_2007.tar.gz": archives[0] + gzip.compress(bytes(3 << 20))})
    both = imported({**files, "arxiv/images_2007.tar.gz": b"".join(archives)})

    assert padded.defects == {Defect.IMAGE_MISSING: 1}
    assert both.defects == {Defect.IMAGE_MISSING: 1, Defect.ARCHIVE_GOES_ON: 1}
    assert [row["rejection"] for row in both.figures().values()] == [None, "graphics_missing"]


def test_a_disk_that_fails_stops_the_import_and_is_no_damage(tmp_path: Path, store: ShardStore) -> None:
    """Nothing is filled with rows whose images are there; a second import goes on."""
    lines, members = three()
    archive = packed(members)
    folder = write(
        tmp_path / "S1",
        {"arxiv/jsonl/2007.jsonl": lines, "arxiv/images.tar.gz.partaa": archive[: 1 << 20]},
    )
    rest = folder / "arxiv" / "images.tar.gz.partab"
    rest.symlink_to("/proc/self/mem")  # the kernel answers a read of its first bytes as a broken disk does

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        Imported(folder, store)
    assert store.pinned("raw_archives", KEY) is None
    assert store.pinned("figure_candidates", KEY) is None

    rest.unlink()
    rest.write_bytes(archive[1 << 20 :])
    done = Imported(folder, store)
    assert "graphics_missing" not in [row["rejection"] for row in done.figures().values()]
    assert done.defects == {}


@pytest.mark.parametrize(
    ("parts", "missing", "n_there"),
    [
        (["aa", "ac"], ["images.tar.gz.partab"], 1),
        (["ab", "ac"], ["images.tar.gz.partaa"], 0),
        (["aa", "ab"], [], 2),
        (["aa", "ab", "ac"], [], 3),
    ],
)
def test_a_part_that_is_missing_ends_the_archive(
    parts: list[str], missing: list[str], n_there: int, imported: Callable[..., Imported]
) -> None:
    """What comes before it is used. That the last is missing shows in the truncated end."""
    lines, members = three()
    archive = packed(members)
    cut = [0, len(archive) * 4 // 10, len(archive) * 7 // 10, len(archive)]
    pieces = {f"a{'abc'[i]}": archive[cut[i] : cut[i + 1]] for i in range(3)}
    files = {f"arxiv/images.tar.gz.part{part}": pieces[part] for part in parts}
    done = imported({"arxiv/jsonl/2007.jsonl": lines, **files})

    there = [row for row in done.figures().values() if row["rejection"] != "graphics_missing"]
    assert len(there) == n_there
    assert done.defects.get(Defect.ARCHIVE_PART_MISSING, 0) == len(missing)
    assert done.examples.get(Defect.ARCHIVE_PART_MISSING, []) == [f"arxiv/{name}" for name in missing]
    assert (Defect.ARCHIVE_TRUNCATED in done.defects) == (0 < n_there < 3)


def test_a_flipped_bit_costs_what_comes_after_it(imported: Callable[..., Imported]) -> None:
    """The image before it is whole."""
    lines, members = three()
    archive = bytearray(packed(members))
    archive[len(archive) // 2 : len(archive) // 2 + 2_000] = bytes(2_000)
    done = imported({"arxiv/jsonl/2007.jsonl": lines, "arxiv/images_2007.tar.gz": bytes(archive)})

    assert done.figures()["arxiv:0704.0000#1.1"]["sha256"] == sha256(picture(0))
    assert done.defects[Defect.ARCHIVE_CORRUPT] == 1
    assert len(done.figures()) == 3


def test_what_is_no_file_or_leads_outside_is_refused(
    imported: Callable[..., Imported], tmp_path: Path
) -> None:
    """Links, devices and `..`; nothing is written by the name of a member."""
    lines = [record("0704.0001", name) for name in ("a.png", "link.png", "hard.png", "../out.png")]
    done = imported(
        {
            "arxiv/jsonl/2007.jsonl": lines,
            "arxiv/images_2007.tar.gz": packed(
                [
                    (link("link.png", "/etc/passwd"), b""),
                    (link("hard.png", "a.png", tarfile.LNKTYPE), b""),
                    (link("device", "", tarfile.CHRTYPE), b""),
                    ("../out.png", picture(1)),
                    ("a.png", picture(2)),
                ]
            ),
        }
    )

    assert done.defects[Defect.MEMBER_REFUSED] == 4
    assert done.defects[Defect.IMAGE_MISSING] == 2
    assert [row["sha256"] for row in done.figures().values() if row["sha256"]] == [sha256(picture(2))]
    assert not list(tmp_path.rglob("*out.png*"))


def test_a_bomb_is_stopped(imported: Callable[..., Imported]) -> None:
    """By how much more comes out than went in."""
    member = header(b"a.png", b"%011o\0" % (100 << 20))
    done = imported(
        {
            "arxiv/jsonl/2007.jsonl": [GOOD],
            "arxiv/images_2007.tar.gz": gzip_bomb(80),
            "arxiv/images.tar.gz": gzip_bomb(100, member),
        }
    )

    assert done.defects[Defect.ARCHIVE_TOO_LARGE] == 2
    assert done.figures()["arxiv:0704.0001#1.1"]["rejection"] == "graphics_missing"


def test_an_image_that_is_too_large_is_not_held(
    imported: Callable[..., Imported], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row says how large it is."""
    monkeypatch.setattr(published_index, "MAX_IMAGE_BYTES", 1_000)
    done = imported(
        {
            "arxiv/jsonl/2007.jsonl": [GOOD],
            "arxiv/images_2007.tar.gz": packed([("a.png", picture(1))]),
        }
    )

    assert done.figures()["arxiv:0704.0001#1.1"]["rejection"] == "image_too_large"


def test_the_last_of_two_members_of_one_name_counts(imported: Callable[..., Imported]) -> None:
    """As it does for tar."""
    done = imported(
        {
            "arxiv/jsonl/2007.jsonl": [GOOD],
            "arxiv/images_2007.tar.gz": packed([("a.png", picture(1)), ("./a.png", picture(2))]),
        }
    )

    assert done.figures()["arxiv:0704.0001#1.1"]["sha256"] == sha256(picture(2))
    assert done.defects == {Defect.MEMBER_TWICE: 1}


def test_files_that_were_not_downloaded_are_named(imported: Callable[..., Imported]) -> None:
    """A checkout may hold pointers only; a source may be none of ours; an archive may not be there."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    done = imported(
        {
            "arxiv/jsonl/2007.jsonl": [GOOD],
            "arxiv/jsonl/2008.jsonl": pointer,
            "arxiv/images_2007.tar.gz": pointer,
            "medRxiv/jsonl/2020.jsonl": [record("", "a.png", arxiv_id=None, doi="10.1101/1")],
            "PLOS/jsonl/2020.jsonl": [GOOD],
        }
    )

    assert done.defects[Defect.POINTER_FILE] == 2
    assert done.defects[Defect.FOLDER_UNKNOWN] == 1
    assert done.defects[Defect.ARCHIVE_MISSING] == 1
    assert done.defects[Defect.IMAGE_MISSING] == 2


def test_images_that_are_none_say_so(imported: Callable[..., Imported]) -> None:
    """GIF is an image that no release of ours holds; the rest is none."""
    gif = io.BytesIO()
    Image.new("L", (9, 9)).save(gif, "GIF")
    images = {"a.png": gif.getvalue(), "b.png": b"<html>", "c.png": b"", "d.jpg": b"\xff\xd8\xff\xe0"}
    done = imported(
        {
            "arxiv/jsonl/2007.jsonl": [record("0704.0001", name) for name in images],
            "arxiv/images_2007.tar.gz": packed(list(images.items())),
        }
    )

    assert [row["rejection"] for row in done.figures().values()] == [
        "image_unsupported",
        *["image_unreadable"] * 3,
    ]


# --- shards ------------------------------------------------------------------------------------------------


def scattered(n_papers: int = 12, per_paper: int = 3) -> dict[str, Any]:
    """Papers whose images lie anywhere in the archive."""
    names = [
        (f"0704.{paper:04d}", f"{paper}_{i}.png")
        for paper in range(1, n_papers + 1)
        for i in range(per_paper)
    ]
    members = [(name, picture(i)) for i, (_, name) in enumerate(names)]
    random.Random(3).shuffle(members)
    return {
        "arxiv/jsonl/2007.jsonl": [record(paper, name) for paper, name in names],
        "arxiv/images_2007.tar.gz": packed(members),
    }


def test_shards_are_bounded_and_papers_whole(imported: Callable[..., Imported]) -> None:
    """However they are cut, ids and images are the same."""
    files = scattered()
    whole = imported(files)
    expected = whole.figures()
    cut = imported(files, limits=ImportLimits(max_figures=7))

    assert cut.figures().keys() == expected.keys()
    assert cut.figures() == expected
    handle = cut.store.pinned("figure_candidates", KEY)
    assert handle is not None
    rows = cut.store.read(handle, "figures", ["paper_id"], names_shard=True)
    assert rows["shard"].n_unique() == 6
    assert rows.group_by("paper_id").agg(pl.n_unique("shard"))["shard"].to_list() == [1] * 12
    assert rows.group_by("shard").len()["len"].to_list() == [6] * 6


@pytest.mark.parametrize(("max_spool_bytes", "is_read_again"), [(1 << 30, False), (1, True)])
def test_an_archive_is_read_again_only_where_the_spool_is_too_small(
    max_spool_bytes: int, is_read_again: bool, imported: Callable[..., Imported]
) -> None:
    """The tables are the same."""
    limits = ImportLimits(max_figures=7, max_spool_bytes=max_spool_bytes)
    done = imported(scattered(), limits=limits)

    assert (done.n_walks > 1) == is_read_again
    assert done.n_walks <= 6  # of six shards
    assert all(row["sha256"] for row in done.figures().values())


def test_a_second_import_does_nothing_and_a_changed_image_only_its_shard(
    tmp_path: Path, store: ShardStore
) -> None:
    """No archive is read for images again."""
    limits = ImportLimits(max_figures=6)
    files: dict[str, Any] = {
        "arxiv/jsonl/2007.jsonl": [record(f"0704.000{i // 6 + 1}", f"{i:02d}.png") for i in range(18)],
        "arxiv/images_2007.tar.gz": packed([(f"{i:02d}.png", picture(i)) for i in range(18)]),
    }
    folder = write(tmp_path / "S1", files)
    first = Imported(folder, store, limits=limits)
    again = Imported(folder, store, limits=limits)
    write(
        folder,
        {"arxiv/images_2007.tar.gz": packed([(f"{i:02d}.png", picture(i + (i == 7))) for i in range(18)])},
    )
    changed = Imported(folder, store, limits=limits)

    assert imported_partitions(store) == {KEY}
    assert first.n_walks == 1
    assert again.n_walks == 0
    assert again.digests() == first.digests()
    done = [line for line in changed.said if ": done in" in line]
    assert len(done) == 2  # papers and figures of one shard
    assert all("published-00001" in line for line in done)


class Killed(Exception):  # noqa: N818 - as if
    """The process ends here."""


def test_an_import_that_is_stopped_goes_on(
    tmp_path: Path, store: ShardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards that were done are not done again; the end is the same as without the stop."""
    folder = write(tmp_path / "S1", scattered())
    limits = ImportLimits(max_figures=7)
    undisturbed = Imported(folder, ShardStore(uri=str(tmp_path / "other")), limits=limits)

    def die(*_: Any) -> None:
        raise Killed

    def stopped(line: str) -> None:
        if "figure_candidates" in line and "published-00003: started" in line:
            die()

    with pytest.raises(Killed), PublishedImport(folder, store, report=stopped, limits=limits) as importing:
        importing.land()
    assert store.pinned("figure_candidates", KEY) is None

    resumed = Imported(folder, store, limits=limits)

    assert len([line for line in resumed.said if "figure_candidates" in line and "done in" in line]) == 3
    assert resumed.digests() == undisturbed.digests()


def test_a_chosen_partition_is_the_same_as_in_a_whole_import(tmp_path: Path) -> None:
    """Records of others are counted, and their archives not read."""
    folder = write(
        tmp_path / "S1",
        scattered()
        | {
            "arxiv/jsonl/2008.jsonl": [record("0801.0001", "a.png")],
            "arxiv/images_2008.tar.gz": b"not even gzip",
        },
    )
    whole = Imported(folder, ShardStore(uri=str(tmp_path / "whole")))
    one = Imported(folder, ShardStore(uri=str(tmp_path / "one")), [KEY])

    assert one.keys == [KEY]
    assert one.digests().items() <= whole.digests().items()
    assert one.tally == Tally(lines=37, rows=36, dropped=0, not_chosen=1)
    assert Defect.ARCHIVE_CORRUPT not in one.defects
    assert whole.defects[Defect.ARCHIVE_CORRUPT] == 1


def test_scratch_files_go_with_the_import(tmp_path: Path, store: ShardStore) -> None:
    """Also where it fails."""
    (tmp_path / "scratch").mkdir()
    folder = write(tmp_path / "S1", scattered(2))
    found: list[bool] = []

    def fail(line: str) -> None:
        found.append(bool(list((tmp_path / "scratch").rglob("index.sqlite"))))
        if "done in" in line:
            raise Killed

    with (
        pytest.raises(Killed),
        PublishedImport(folder, store, report=fail, scratch=tmp_path / "scratch") as importing,
    ):
        importing.land()

    assert all(found)
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize("name", ["arxiv/images_2007.tar.gz", "arxiv/jsonl/2007.jsonl"])
def test_a_file_that_changes_meanwhile_stops_the_import(name: str, tmp_path: Path, store: ShardStore) -> None:
    """Images and texts must be those that were joined."""
    folder = write(tmp_path / "S1", scattered(2))
    others = {
        "arxiv/images_2007.tar.gz": packed([("x.png", picture(90 + i)) for i in range(6)]),
        "arxiv/jsonl/2007.jsonl": (folder / "arxiv/jsonl/2007.jsonl")
        .read_bytes()
        .replace(b"lepton", b"meson!"),
    }

    def swap(line: str) -> None:
        if line.startswith("joining"):
            (folder / name).write_bytes(others[name])

    with (
        pytest.raises(PublishedError, match="changed while it was imported"),
        PublishedImport(folder, store, report=swap) as importing,
    ):
        importing.land()
    assert store.pinned("figure_candidates", KEY) is None


def test_a_partition_of_ones_own_papers_is_not_overwritten(
    tmp_path: Path, store: ShardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a folder without records taken for an empty dataset, nor a partition that it has not."""
    folder = write(tmp_path / "S1", scattered(2))
    monkeypatch.setattr(published_import, "SETTINGS", {"source": "arxiv"})
    Imported(folder, store)
    monkeypatch.undo()

    landed = store.pinned("raw_archives", KEY)
    assert landed is not None
    assert not is_imported(landed)
    assert imported_partitions(store) == set()
    with pytest.raises(PublishedError, match="built from its own papers"):
        Imported(folder, store)
    with pytest.raises(PublishedError, match=r"no records for arxiv\|2019; it has: arxiv\|2007"):
        Imported(folder, store, ["arxiv|2019"])
    with pytest.raises(PublishedError, match=r"no <source>/jsonl"):
        Imported(tmp_path, store)


def test_what_a_source_knows_of_papers_comes_before_what_their_records_say(
    tmp_path: Path, store: ShardStore
) -> None:
    """Licences above all, without which no image may be passed on. News make again what they touch."""
    folder = write(tmp_path / "S1", scattered(2, 1))

    def known(licence: str | None) -> Callable[[str, int, Sequence[str]], dict[str, Metadata]]:
        row = replace(bare_metadata("0704.0001"), licence=licence, abstract="We measure.", authors=["A. Bee"])
        return lambda source, year, paper_ids: {each: row for each in paper_ids if each == "0704.0001"}

    Imported(folder, store, metadata=known(None))
    Imported(folder, store, metadata=known("http://creativecommons.org/licenses/by/4.0/"))
    done = Imported(folder, store, metadata=known("http://creativecommons.org/licenses/by/4.0/"))

    columns = ["paper_id", "title", "licence", "authors", "categories"]
    assert done.table("raw_archives", "metadata", *columns).sort("paper_id").rows() == [
        (
            "0704.0001",
            "On 0704.0001",
            "http://creativecommons.org/licenses/by/4.0/",
            ["A. Bee"],
            ["hep-ph"],
        ),
        ("0704.0002", "On 0704.0002", None, [], ["hep-ph"]),
    ]
    assert (
        done.table("figure_candidates", "papers", "abstract")["abstract"].to_list().count("We measure.") == 1
    )
    assert not [line for line in done.said if "done in" in line]
