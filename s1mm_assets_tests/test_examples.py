"""The example corpus: packed alike on every run, as the sources deliver, and counted as its papers read.

What is found on the pages of PDFs is compared with where they were set in `test_pipeline.py`.
"""

import gzip
import hashlib
import importlib
import io
import json
import re
import subprocess
import sys
import tarfile
import zlib
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from s1mm_assets.archives.arxiv import metadata_of, parse_id, read_manifest
from s1mm_assets.archives.bundle import inspect, open_bundle
from s1mm_assets.extraction.jats import read_jats
from s1mm_assets.extraction.latex import read_paper
from s1mm_assets.resources.sources.local import LocalSource
from s1mm_assets.tables import Rejection

EXAMPLES = Path(__file__).parents[1] / "examples"
PAPERS = [json.loads(line) for line in (EXAMPLES / "papers.jsonl").read_text("utf-8").splitlines()]
EXPECTED = {
    row["paper_id"]: row
    for row in map(json.loads, (EXAMPLES / "expected.jsonl").read_text("utf-8").splitlines())
}
TEX = sorted((EXAMPLES / "papers").rglob("*.tex"))
PAPER_IDS = [paper["paper_id"] for paper in PAPERS]


def name_of(paper: dict[str, Any]) -> str:
    """What a paper is called in the names of tests."""
    return str(paper["name"])


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, with the digest of its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


@pytest.fixture(scope="module")
def pack() -> ModuleType:
    """The script, imported."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        return importlib.import_module("pack")
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def packed(pack: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus, packed once."""
    target = tmp_path_factory.mktemp("examples")
    pack.pack(target)
    return target


@pytest.fixture(scope="module")
def deliveries(packed: Path) -> dict[str, bytes]:
    """What is delivered of each paper: paper_id → bytes."""
    found: dict[str, bytes] = {}
    for chunk in sorted((packed / "arxiv/src").glob("*.tar")):
        for name, data in members_of(chunk.read_bytes()).items():
            paper_id = parse_id(Path(name).name.removesuffix(".gz").removesuffix(".pdf"))
            assert paper_id is not None
            assert paper_id.paper_id not in found
            found[paper_id.paper_id] = data
    local = LocalSource(folder=str(packed / "local"))
    read = local.reader()
    for year in local.years():
        for shard in local.chunks(year):
            for paper in local.deliveries(shard.name, year):
                assert EXPECTED[paper.paper_id]["year"] == year
                found[paper.paper_id] = read(paper.uri, paper.offset, paper.length)
    return found


def members_of(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        files = ((member, opened.extractfile(member)) for member in opened)
        return {member.name: file.read() for member, file in files if file is not None}


def test_packing_again_gives_the_same_bytes(packed: Path, tmp_path: Path) -> None:
    """The corpus is the same on every run, whether the script is run or imported."""
    script = [sys.executable, str(EXAMPLES / "pack.py"), str(tmp_path)]
    subprocess.run(script, check=True, env={"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"})

    assert tree(tmp_path) == tree(packed)


def test_the_manifest_describes_every_chunk(packed: Path) -> None:
    """Size, MD5, number of items, first and last item of each chunk are as the manifest says."""
    chunks = read_manifest((packed / "arxiv/src/arXiv_src_manifest.xml").read_bytes())

    assert {chunk.filename for chunk in chunks} == {
        f"src/{path.name}" for path in (packed / "arxiv/src").glob("*.tar")
    }
    for chunk in chunks:
        data = (packed / "arxiv" / chunk.filename).read_bytes()
        items = [Path(name).name.removesuffix(".gz").removesuffix(".pdf") for name in members_of(data)]
        assert chunk.size == len(data)
        assert chunk.md5sum == hashlib.md5(data, usedforsecurity=False).hexdigest()
        assert (chunk.first_item, chunk.last_item, chunk.num_items) == (items[0], items[-1], len(items))


def test_every_paper_is_delivered_once(packed: Path, deliveries: dict[str, bytes]) -> None:
    """What papers.jsonl lists is in one chunk or in the local folder, and nothing else is."""
    n_local = sum(path.name != "metadata.jsonl" for path in (packed / "local").iterdir())

    assert sorted(deliveries) == sorted(PAPER_IDS)
    assert n_local == sum(paper["source"] == "local" for paper in PAPERS)


def test_metadata_rows_read_as_the_snapshot_does(packed: Path) -> None:
    """Each arXiv row gives its id, title, authors and the day of its first version."""
    rows = [json.loads(line) for line in (packed / "arxiv/metadata.jsonl").read_text().splitlines()]
    read = [metadata_of(row) for row in rows]

    assert [row.paper_id for row in read] == [p["paper_id"] for p in PAPERS if p["source"] == "arxiv"]
    assert all(row.title and row.abstract and row.authors and row.categories for row in read)
    assert all(str(EXPECTED[row.paper_id]["year"]) == (row.first_posted or "")[:4] for row in read)
    assert len({row.licence for row in read}) == 4
    assert [row.paper_id for row in read if row.is_withdrawn] == ["cond-mat/9811996"]


@pytest.mark.parametrize("paper_id", PAPER_IDS)
def test_each_delivery_is_what_was_meant(deliveries: dict[str, bytes], paper_id: str) -> None:
    """A damaged bundle is seen to be damaged, a stub to be a stub, and a sound one to be sound."""
    inspection = inspect(deliveries[paper_id], paper_id)

    assert inspection.rejection == EXPECTED[paper_id]["archive_rejection"], inspection.evidence


def test_the_damage_is_in_the_compressed_stream(deliveries: dict[str, bytes]) -> None:
    """One bundle ends too early; the other does not inflate."""
    with pytest.raises(EOFError):
        gzip.decompress(deliveries["1209.9978"])
    with pytest.raises((zlib.error, gzip.BadGzipFile)):
        gzip.decompress(deliveries["1209.9977"])


@pytest.mark.parametrize(
    "paper", [each for each in PAPERS if EXPECTED[each["paper_id"]]["figures"]], ids=name_of
)
def test_figures_are_those_counted_by_hand(
    pack: ModuleType, deliveries: dict[str, bytes], paper: dict[str, Any]
) -> None:
    """Number, file and labels of each figure are as a reader of its source finds them; each kept one is cited."""
    paper_id = paper["paper_id"]
    if paper["form"] == "pdf":
        found, are_cited = set_on_pages(pack, f"{paper['name']}/paper.txt")
    else:
        members = open_bundle(deliveries[paper_id], paper_id).members
        is_jats = paper["form"] in ("meca", "folder")
        figures = (read_jats if is_jats else read_paper)(members, name=paper_id).figures
        found = [
            {"number": f.figure_number, "image": f.image_member or f.graphics_path, "labels": list(f.labels)}
            for f in figures
        ]
        are_cited = [bool(f.mentions) for f in figures]

    expected = EXPECTED[paper_id]["figures"]
    assert found == [{key: row[key] for key in ("number", "image", "labels")} for row in expected]
    assert all(
        is_cited for is_cited, row in zip(are_cited, expected, strict=True) if row["rejection"] is None
    )


def set_on_pages(pack: ModuleType, path: str) -> tuple[list[dict[str, Any]], list[bool]]:
    """The figures that a text is set with, and which of them it cites."""
    text = (EXAMPLES / "papers" / path).read_text("ascii")
    captions = [plate.caption for plate in pack.typeset(text, pack.PLATES).plates]
    numbers = [number for caption in captions for number in re.findall(r"^Figure (\d+)", caption)]
    prose = " ".join(line for line in text.splitlines() if not line.startswith("!"))
    found = [{"number": number, "image": None, "labels": []} for number in numbers]
    return found, [re.search(rf"\bFigures? {number}(?!\d)", prose) is not None for number in numbers]


def test_one_image_of_the_package_is_missing(pack: ModuleType, deliveries: dict[str, bytes]) -> None:
    """Manifest and article name an image that the package does not hold; its PDF shows that figure."""
    members = open_bundle(deliveries["2023.05.09.999934v1"]).members
    listed = re.findall(r'href="([^"]+)"', members["manifest.xml"].decode())
    shown, are_cited = set_on_pages(pack, "tun-waking/content/999934.txt")

    assert [path for path in listed if path not in members] == ["content/999934v1_fig2.tif"]
    assert [figure["number"] for figure in shown] == ["1", "2"]
    assert all(are_cited)


@pytest.mark.parametrize("row", EXPECTED.values(), ids=lambda row: row["paper"])
def test_expectations_add_up(row: dict[str, Any]) -> None:
    """Rows are released or rejected, a paper at the first door only, and for reasons that exist."""
    reasons = Counter(figure["rejection"] for figure in row["figures"])
    released = reasons.pop(None, 0)
    at_the_door = row["archive_rejection"] or row["paper_rejection"]
    reasons += Counter([at_the_door] if at_the_door else [])

    assert (row["rows"], row["released"]) == (len(row["figures"]), released)
    assert row["rejections"] == reasons
    assert all(Rejection(reason) for reason in reasons)


def test_every_figure_that_is_drawn_is_packed_and_sound(
    pack: ModuleType, deliveries: dict[str, bytes]
) -> None:
    """Bitmaps open; the only one smaller than the limit, thumbnails aside, is the badge."""
    small = []
    for paper in PAPERS:
        if "damage" in paper or paper["name"] not in pack.FIGURES:
            continue
        members = open_bundle(deliveries[paper["paper_id"]]).members
        for path in pack.FIGURES[paper["name"]]:
            if path.endswith((".png", ".jpg", ".tif", ".gif")):
                Image.open(io.BytesIO(members[path])).load()
                is_thumbnail = path.endswith(".gif")
                small += [path] if len(members[path]) < 5120 and not is_thumbnail else []
            else:
                assert members[path].startswith((b"%PDF-1.4", b"%!PS-Adobe-3.0 EPSF-3.0"))
    assert small == ["img/badge.png"]


def test_tables_agree(pack: ModuleType) -> None:
    """The list of papers, the expectations, the folders, the figures and the README name the same papers."""
    names = [paper["name"] for paper in PAPERS]
    readme = re.findall(
        r"^\| ([a-z-]+) \| .* \| (\d+) \| (\d+) \|", (EXAMPLES / "README.md").read_text(), re.M
    )

    assert [row["paper"] for row in EXPECTED.values()] == names
    assert sorted(path.name for path in (EXAMPLES / "papers").iterdir()) == sorted(names)
    assert set(pack.FIGURES) <= set(names)
    assert readme == [(row["paper"], str(row["rows"]), str(row["released"])) for row in EXPECTED.values()]


@pytest.mark.parametrize("path", TEX, ids=lambda path: path.relative_to(EXAMPLES / "papers").as_posix())
def test_braces_and_environments_balance(path: Path) -> None:
    """TeX would find the end of every group and environment."""
    text = re.sub(r"(?<!\\)%.*", "", path.read_bytes().decode("latin-1"))
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    opened: list[str] = []
    for word, name in re.findall(r"\\(begin|end)\{([^{}]+)\}", text):
        if word == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
