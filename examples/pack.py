"""Pack the example papers as their sources would deliver them: `python examples/pack.py TARGET`.

Writes, with the same bytes on every run:

    TARGET/arxiv/src/arXiv_src_YYMM_NNN.tar     chunks, and arXiv_src_manifest.xml beside them
    TARGET/arxiv/metadata.jsonl                 rows as in arXiv's metadata snapshot
    TARGET/local/                               bundles, PDFs, a MECA package, a folder of loose files, and
                                                a metadata.jsonl beside them
"""

import argparse
import calendar
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import draw
from figures import FIGURES, PLATES
from typeset import typeset

from s1mm_assets.archives.arxiv import ChunkFile, manifest_xml, pack_chunk

HERE = Path(__file__).parent
PAPERS = HERE / "papers"
GZIP_LEVEL = 6

Paper = dict[str, Any]  # a line of papers.jsonl


def papers() -> list[Paper]:
    """Return what papers.jsonl lists, in its order."""
    return [json.loads(line) for line in (HERE / "papers.jsonl").read_text("utf-8").splitlines()]


def pack(target: Path) -> None:
    """Write the whole corpus below `target`; what is there of the same name is replaced."""
    listed = papers()
    pack_arxiv([paper for paper in listed if paper["source"] == "arxiv"], target / "arxiv")
    pack_local([paper for paper in listed if paper["source"] == "local"], target / "local")


def pack_arxiv(listed: Iterable[Paper], folder: Path) -> None:
    """Write chunk tars, their manifest and the metadata snapshot."""
    chunks: dict[tuple[str, int], list[tuple[str, bytes]]] = {}
    rows = []
    for paper in listed:
        key = (yymm_of(paper["paper_id"]), paper.get("chunk", 1))
        chunks.setdefault(key, []).append((paper["paper_id"], delivery(paper)))
        rows.append(paper["metadata"])
    (folder / "src").mkdir(parents=True, exist_ok=True)
    entries: list[ChunkFile] = []
    for (yymm, seq_num), members in sorted(chunks.items()):
        entry, tar = pack_chunk(members, yymm, seq_num)
        (folder / entry.filename).write_bytes(tar)
        entries.append(entry)
    manifest = manifest_xml(entries, timestamp="Mon Mar  6 08:00:00 2023")
    (folder / "src" / "arXiv_src_manifest.xml").write_bytes(manifest)
    write_rows(folder / "metadata.jsonl", rows)


def pack_local(listed: Iterable[Paper], folder: Path) -> None:
    """Write a folder of papers; one of them has no metadata, as happens."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for paper in listed:
        if paper["form"] == "folder":
            write_files(folder / paper["file"], files_of(paper["name"]))
        else:
            (folder / paper["file"]).write_bytes(delivery(paper))
        if paper["metadata"] is not None:
            rows.append(paper["metadata"])
    write_rows(folder / "metadata.jsonl", rows)


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files of a paper as they are."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def write_rows(path: Path, rows: Iterable[Paper]) -> None:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")


def yymm_of(paper_id: str) -> str:
    """Return year and month of an arXiv identifier of any era."""
    return paper_id.rpartition("/")[2][:4]


def delivery(paper: Paper) -> bytes:
    """Return a paper as it is delivered: its files drawn, packed, and damaged where that is its part."""
    folder = PAPERS / paper["name"]
    form = paper["form"]
    if form in ("pdf", "ps.gz"):
        sheets = typeset((folder / "paper.txt").read_text("ascii"), PLATES).sheets
        return draw.pdf(*sheets) if form == "pdf" else gzip_of(draw.postscript(*sheets))
    if form == "meca":
        return zip_of(files_of(paper["name"]), date.fromisoformat(paper["date"]))
    if form == "gz":
        (only,) = folder.iterdir()
        return gzip_of(only.read_bytes())
    tar = tar_of(files_of(paper["name"]), date.fromisoformat(paper["date"]))
    packed = tar if form == "tar" else gzip_of(tar)
    return damaged(packed, paper["damage"]) if "damage" in paper else packed


def files_of(name: str) -> dict[str, bytes]:
    """Return the files of a paper, figures drawn and each .txt set as PDF: path → bytes, in order of path."""
    folder = PAPERS / name
    files = {}
    for path in folder.rglob("*"):
        if path.suffix == ".txt":
            sheets = typeset(path.read_text("ascii"), PLATES).sheets
            files[path.with_suffix(".pdf").relative_to(folder).as_posix()] = draw.pdf(*sheets)
        elif path.is_file():
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    files |= {path: make() for path, make in FIGURES.get(name, {}).items()}
    return dict(sorted(files.items()))


def tar_of(files: dict[str, bytes], day: date) -> bytes:
    """Return a tar whose members are all of one day, without an owner."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mtime = len(content), calendar.timegm(day.timetuple())
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def zip_of(files: dict[str, bytes], day: date) -> bytes:
    """Return a zip whose members are all of one day."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in files.items():
            info = zipfile.ZipInfo(path, (day.year, day.month, day.day, 0, 0, 0))
            info.create_system = 3  # Unix, wherever this runs
            archive.writestr(info, content, zipfile.ZIP_DEFLATED, GZIP_LEVEL)
    return packed.getvalue()


def gzip_of(data: bytes) -> bytes:
    """Return gzipped data without a time or a name."""
    return gzip.compress(data, GZIP_LEVEL, mtime=0)


def damaged(packed: bytes, damage: str) -> bytes:
    """Return a bundle as it comes after a broken transfer, or off a bad disk."""
    middle = len(packed) * 6 // 10
    if damage == "truncated":
        return packed[:middle]
    return (
        packed[:middle]
        + bytes(byte ^ 0xFF for byte in packed[middle : middle + 256])
        + packed[middle + 256 :]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Pack the example papers as their sources would deliver them."
    )
    parser.add_argument("target", type=Path, help="the folder to write to")
    pack(parser.parse_args().target)
