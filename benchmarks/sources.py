"""How fast do papers land, over a bare copy of the same bytes? ``make bench`` prints one line of JSON.

A real S3 server on loopback (seaweedfs) serves a chunk of papers that do not compress. The peer is boto3 reading it in
the same pieces into a file. Ours lands it by the whole machinery: listing, ledger, MD5 of every byte, the bytes brought
to the disk (fsync), the file's name last, the index of its members. Both take turns; `headline` is the ratio of the
medians of 5. The server takes part of the cores, for both. Then a chunk of 5 GB is landed in a process of its own, for
its peak memory, and one of many small papers is indexed.

Usage: python benchmarks/sources.py [MB of a chunk, default 500] [GB of the large one, default 5]
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from s1mm_assets.resources.publishers import Listing, Offer
from s1mm_assets.resources.publishers.acquire import Acquisition
from s1mm_assets.resources.publishers.bucket import Bucket
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.terms import AcquisitionSettings
from s1mm_assets.resources.publishers.usage import Usage
from s1mm_assets.resources.sources.arxiv import index_chunk

GOAL = 0.7
ROUNDS = 5
MB, GB, MIB = 10**6, 10**9, 2**20
PAPER_BYTES = 2_000_000
SMALL_PAPERS = 50_000
BUCKET = "arxiv"
YEAR = 2023
TERMS = AcquisitionSettings(publishers=("arxiv",), contact="https://example.org", min_free_gib=0, max_usd=1e9)
CREDENTIALS = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}


@dataclass(frozen=True)
class OneChunk:
    """A publisher of one chunk."""

    bucket: Bucket
    key: str
    size: int
    md5: str
    name: str = "arxiv"
    is_paid: bool = True

    def listing(self, year: int) -> Listing:
        """Return it."""
        assert year == YEAR
        offer = Offer(path=self.key, shard="chunk", origin="{}", size=self.size, md5=self.md5)
        return Listing(offers=[offer])

    def open(self, offer: Offer, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """Open it."""
        return self.bucket.open(offer.path, offset)

    def touched(self, since: date, until: date) -> set[int]:
        """Nothing."""
        assert since <= until
        return set()


def land(endpoint: str, root: str, key: str, size: int, md5: str) -> None:
    """Land a chunk as raw_archives would find it."""
    usage = Usage()
    bucket = Bucket(BUCKET, endpoint=endpoint, is_requester_pays=True, usage=usage)
    done = Acquisition(
        publisher=OneChunk(bucket, key, size, md5),
        landing=Landing(root),
        year=YEAR,
        terms=TERMS,
        usage=usage,
        report=lambda line: None,
        verified=lambda offer, digest: index_chunk(root, offer.path, digest),
    ).run()
    assert (done.n_new, done.n_bytes) == (1, size), done


def bare_copy(endpoint: str, key: str, target: Path, *, is_synced: bool = False) -> None:
    """Read a chunk into a file, and nothing else; or bring it to the disk, as landing does."""
    body = client(endpoint).get_object(Bucket=BUCKET, Key=key)["Body"]
    with target.open("wb") as file:
        while piece := body.read(MIB):
            file.write(piece)
        if is_synced:
            os.fsync(file.fileno())


def chunk(n_papers: int, paper_bytes: int) -> Iterator[bytes]:
    """Yield the pieces of a chunk tar of random papers."""
    noise = np.random.default_rng(0)
    for n in range(n_papers):
        info = tarfile.TarInfo(f"2301/2301.{n:05d}.gz")
        info.size = paper_bytes
        yield info.tobuf(tarfile.USTAR_FORMAT) + noise.bytes(paper_bytes) + bytes(-paper_bytes % 512)
    yield bytes(1024)


def client(endpoint: str) -> Any:
    """Return boto3's client of the server."""
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **CREDENTIALS)


def upload(endpoint: str, file: Path, key: str, pieces: Iterator[bytes]) -> tuple[int, str]:
    """Put a chunk on the server, by way of a file; return its size and MD5."""
    with file.open("wb") as stream:
        for piece in pieces:
            stream.write(piece)
    client(endpoint).upload_file(str(file), BUCKET, key)
    found = Landing(str(file.parent)).digest(file.name)
    file.unlink()
    return found


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Run seaweedfs on loopback; yield its S3 endpoint."""
    ports = free_ports(4)
    command: list[str] = [
        str(Path(sys.executable).with_name("weed")),
        *("-logdir", str(folder), "server", "-dir", str(folder), "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1"),
        *("-master.volumeSizeLimitMB", "30000", "-master.port", str(ports[0]), "-volume.port", str(ports[1])),
        *("-filer.port", str(ports[2]), "-s3", "-s3.port", str(ports[3]), "-volume.max", "50"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            endpoint = f"http://127.0.0.1:{ports[3]}"
            for _ in range(120):
                try:
                    client(endpoint).create_bucket(Bucket=BUCKET)
                    break
                except (BotoCoreError, ClientError):
                    time.sleep(0.5)
            yield endpoint
        finally:
            process.kill()


def free_ports(n: int) -> Sequence[int]:
    """Return ports that nobody uses now, 10,000 below which nobody does either: seaweedfs takes both."""
    found: list[int] = []
    port = 21_000 + os.getpid() % 5_000
    while len(found) < n:
        port += 7
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            found.append(port)
    return found


def timed(call: Any) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def speeds(endpoint: str, folder: Path, mb: int) -> tuple[float, float, float]:
    """Return MB/s of the bare copy, of one that is brought to the disk, and of landing."""
    key = "src/arXiv_src_2301_001.tar"
    size, md5 = upload(endpoint, folder / "upload", key, chunk(mb * MB // PAPER_BYTES, PAPER_BYTES))
    bare, synced, ours = [], [], []
    for n in range(ROUNDS):
        target = folder / f"bare-{n}"
        bare.append(timed(lambda target=target: bare_copy(endpoint, key, target)))
        target.unlink()
        synced.append(timed(lambda target=target: bare_copy(endpoint, key, target, is_synced=True)))
        target.unlink()
        root = folder / f"landed-{n}"
        ours.append(timed(lambda root=root: land(endpoint, str(root), key, size, md5)))
        (root / key).unlink()
    mb_of = size / MB
    return mb_of / statistics.median(bare), mb_of / statistics.median(synced), mb_of / statistics.median(ours)


def peak_mib(endpoint: str, folder: Path, gb: float) -> tuple[float, float]:
    """Return the peak memory of a process that lands a large chunk, and of one that lands a tenth of it."""
    peaks = []
    for share in (1.0, 0.1):
        key = f"src/large-{share}.tar"
        n_papers = int(gb * share * GB) // PAPER_BYTES
        size, md5 = upload(endpoint, folder / "upload", key, chunk(n_papers, PAPER_BYTES))
        root = folder / f"large-{share}"
        command = [sys.executable, __file__, "--land", endpoint, str(root), key, str(size), md5]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout.splitlines()[-1]))
        (root / key).unlink()
    return peaks[0], peaks[1]


def peak_rss_mib() -> float:
    """Return this process's own peak; getrusage would tell that of the one it was forked from, if that is higher."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmHWM"))


def members_per_s(folder: Path) -> float:
    """Return how many members of a chunk of small papers are indexed in a second."""
    (folder / "src").mkdir()
    with (folder / "src" / "small.tar").open("wb") as file:
        for piece in chunk(SMALL_PAPERS, 3_000):
            file.write(piece)
    return SMALL_PAPERS / timed(lambda: index_chunk(str(folder), "src/small.tar", "0" * 32))


def main(mb: int, gb: float) -> None:
    """Measure, and print the line."""
    with tempfile.TemporaryDirectory() as name, s3_server(Path(name)) as endpoint:
        folder = Path(name)
        bare, synced, ours = speeds(endpoint, folder, mb)
        large, small = peak_mib(endpoint, folder, gb)
        n_members = members_per_s(folder)
    line = {
        "name": "sources",
        "headline": round(ours / bare, 3),
        "goal": GOAL,
        "better": "higher",
        "landed_mb_per_s": round(ours),
        "bare_copy_mb_per_s": round(bare),
        "synced_copy_mb_per_s": round(synced),
        "over_a_synced_copy": round(ours / synced, 3),
        "peak_mib": {f"{gb} GB": large, f"{gb / 10} GB": small, "goal": 300},
        "members_indexed_per_s": round(n_members),
        "measured_on": f"a chunk of {mb} MB from seaweedfs on loopback, {os.cpu_count()} cores",
    }
    print(json.dumps(line))


if __name__ == "__main__":
    os.environ |= {key.upper(): value for key, value in CREDENTIALS.items()}
    if sys.argv[1:2] == ["--land"]:
        endpoint, root, key, size, md5 = sys.argv[2:]
        land(endpoint, root, key, int(size), md5)
        print(peak_rss_mib())
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 500, float(sys.argv[2]) if len(sys.argv) > 2 else 5.0)
