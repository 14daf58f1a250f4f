"""How fast is a release verified, over reading and hashing alone? ``make bench`` prints one line of JSON.

The release is made with the real writers: noisy images that do not compress, captions, four years of one source. The
peer does the work that no verification can do without, one pass each, in as many processes over the same files: SHA-256
(hashlib) and Xet hash (hf_xet) of all files, gunzip (igzip) of the archives. Beyond that, ours digests every image in
archive and Parquet, rebuilds and joins the records. Bytes-only mode is compared with coreutils' sha256sum, run in
parallel by xargs. Ours and the peers take turns; `headline` is the smaller of the two ratios of medians of 3, each
over its goal of 0.8. The page cache is warm and the worker processes run before the clock starts, for both.

Usage: python benchmarks/verify.py [MB of images, default 1500] [processes, default all cores]
"""

import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from isal import igzip

from s1mm_assets.release.image_archives import FOOTER, LAST_BLOCK, ImagePiece, tail_of
from s1mm_assets.release.manifest import Edition, Manifest, ManifestFile, sha256_of
from s1mm_assets.release.records import RECORD, image_path, line_of
from s1mm_assets.release.streamable import DataFile
from s1mm_assets.resources.file_digests import xet_hash
from s1mm_assets.resources.machine import usable_cores
from s1mm_assets.resources.release_verifier import ReleaseVerifier

GOAL = 0.8
IMAGE_BYTES = 200_000
YEARS = (2016, 2017, 2018, 2019)
SHARD_BYTES = 100_000_000  # of images in a Parquet file
ROW_GROUP_ROWS = 100
ROUNDS = 3
CHUNK = 1 << 20
SENTENCE = "The measured spectrum (a) and its fit (b) at α = 0.3, for the samples of Table 2. "


def record_of(number: int, year: int, image: bytes) -> dict[str, object]:
    """A record as long as those of papers are."""
    paper_id = f"{year % 100:02}01.{number // 8:05}"
    figure_id = f"arxiv:{paper_id}#{number % 8 + 1}.1"
    return {
        **dict.fromkeys(RECORD.names),
        "arxiv_id": paper_id,
        "paper_id": paper_id,
        "figure_id": figure_id,
        "source": "arxiv",
        "year": year,
        "title": SENTENCE,
        "caption": 3 * SENTENCE,
        "recaption": 8 * SENTENCE,
        "mentions": [6 * SENTENCE] * 2,
        "image_path": image_path(figure_id, "png"),
        "image_sha256": hashlib.sha256(image).hexdigest(),
        "image_size_bytes": len(image),
        "categories": ["cs.CV"],
        "labels": ["fig:a"],
        "grounding": 0.5,
    }


def make_year(release: Path, year: int, n_images: int) -> dict[str, int]:
    """Write one year of records, images, Parquet and attributions; return path → rows."""
    rng = np.random.default_rng(year)
    folder = release / "arxiv"
    for name in ("jsonl", f"data/{year}", "attribution"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    per_file = max(1, SHARD_BYTES // IMAGE_BYTES)
    rows = {f"arxiv/jsonl/{year}.jsonl": n_images, f"arxiv/images_{year}.tar.gz": n_images}
    papers: dict[str, int] = {}
    with (
        (release / f"arxiv/jsonl/{year}.jsonl").open("wb") as lines,
        (release / f"arxiv/images_{year}.tar.gz").open("wb") as archive,
    ):
        images = ImagePiece(archive)
        for first in range(0, n_images, per_file):
            path = f"arxiv/data/{year}/{first // per_file:05}.parquet"
            rows[path] = min(per_file, n_images - first)
            with (release / path).open("wb") as stream:
                data = DataFile(stream, ROW_GROUP_ROWS)
                for number in range(first, first + rows[path]):
                    image = b"\x89PNG\r\n\x1a\n" + rng.bytes(IMAGE_BYTES)
                    record = record_of(number, year, image)
                    lines.write(line_of(record))
                    images.add(str(record["image_path"]), image)
                    data.add(record, image)
                    papers[str(record["paper_id"])] = papers.get(str(record["paper_id"]), 0) + 1
                data.close()
        images.close()
        archive.seek(-len(LAST_BLOCK) - FOOTER.size, 1)  # as a publication joins pieces: one gzip member
        archive.write(tail_of([images.unpacked]))
    path = f"arxiv/attribution/{year}.jsonl"
    named = [{"paper_id": paper_id, "licence": None, "n_figures": n} for paper_id, n in papers.items()]
    (release / path).write_text("".join(json.dumps(each) + "\n" for each in named))
    return {**rows, path: len(named)}


def make(release: Path, n_bytes: int) -> None:
    """Write a release of about so many bytes of images, half of them in archives, half in Parquet."""
    n_images = max(8, n_bytes // 2 // len(YEARS) // IMAGE_BYTES)
    rows: dict[str, int] = {}
    for year in YEARS:
        rows |= make_year(release, year, n_images)
    files = []
    for path, n_rows in sorted(rows.items()):
        file = release / path
        with file.open("rb") as stream:
            sha256 = sha256_of(stream)
        xet = xet_hash(file)
        entry = ManifestFile(path=path, n_bytes=file.stat().st_size, sha256=sha256, xet=xet, n_rows=n_rows)
        files.append(entry)
    history = (Edition(version=1, n_records=n_images * len(YEARS)),)
    manifest = Manifest(made_from="", dataset={}, files=tuple(files), history=history)
    (release / "manifest.json").write_bytes(manifest.render())


def bare(path: str) -> int:
    """The peer: one pass each of SHA-256, Xet and, over archives, gunzip."""
    file = Path(path)
    with file.open("rb") as stream:
        hashlib.file_digest(stream, "sha256")
    xet_hash(file)
    if file.suffix == ".gz":
        with igzip.open(file, "rb") as unpacked:
            while unpacked.read(CHUNK):
                pass
    return file.stat().st_size


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(release: Path, state: Path, n_processes: int) -> dict[str, object]:
    """Let ours and the peers take turns."""
    files = sorted(
        (path for path in release.rglob("*") if path.is_file()), key=lambda path: -path.stat().st_size
    )
    n_bytes = sum(path.stat().st_size for path in files)
    names = "\0".join(map(str, files)).encode()
    verifier = ReleaseVerifier(n_workers=n_processes, state=state)

    def full() -> None:
        assert verifier.verify_folder(release).is_sound

    def bytes_only() -> None:
        assert verifier.verify_folder(release, bytes_only=True).is_sound

    def sha256sum() -> None:
        command = ["xargs", "-0", "-n1", f"-P{n_processes}", "sha256sum"]
        subprocess.run(command, input=names, stdout=subprocess.DEVNULL, check=True)

    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as peers:

        def alone() -> None:
            list(peers.map(bare, map(str, files)))

        ways = {"full": full, "alone": alone, "bytes_only": bytes_only, "sha256sum": sha256sum}
        for way in ways.values():
            way()
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                took[name].append(seconds(way))
    verifier.pool.close()
    rates = {name: n_bytes / 1e6 / statistics.median(times) for name, times in took.items()}
    ratios = {"full": rates["full"] / rates["alone"], "bytes_only": rates["bytes_only"] / rates["sha256sum"]}
    return {
        "name": "verify",
        "headline": round(min(ratios.values()), 3),
        "goal": GOAL,
        "better": "higher",
        "what": "smaller of: full mode over SHA-256 + Xet + gunzip alone, bytes-only mode over sha256sum",
        **{f"{name}_ratio": round(ratio, 3) for name, ratio in ratios.items()},
        **{f"{name}_mb_per_s": round(rate) for name, rate in rates.items()},
        "mb": round(n_bytes / 1e6),
        "files": len(files),
        "processes": n_processes,
    }


def main() -> None:
    """Make the release, measure, remove it."""
    n_bytes = 1_000_000 * int(sys.argv[1] if len(sys.argv) > 1 else 1_500)
    n_processes = int(sys.argv[2]) if len(sys.argv) > 2 else usable_cores()
    folder = Path(tempfile.mkdtemp(prefix="s1mm-verify-"))
    try:
        (folder / "release").mkdir()
        make(folder / "release", n_bytes)
        print(json.dumps(measure(folder / "release", folder / "state", n_processes)))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
