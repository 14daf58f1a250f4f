"""How fast are image archives written, over SHA-256 and one igzip pass alone? ``make bench`` prints one line of JSON.

A shard's archive is written as hf_release writes it: tar entries, compressed, digested, each image compared with its
SHA-256 in a second thread, as there. The peer passes the same bytes through SHA-256 and igzip level 1 and does nothing
else. Both take turns; wall time counts. GNU tar with pigz writes the same files beside it, a thread each. Then pieces
of a tenth and of all of `--join-gb` are joined to a release, for the memory that it takes; 0 joins nothing. `--mb` sets
the size of the shard.
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib

from s1mm_assets.release.image_archives import LEVEL, ImagePiece
from s1mm_assets.release.pieces import Measured
from s1mm_assets.release.stage import sha256_of

GOAL = 0.8
IMAGE_BYTES = 200_000
N_ROUNDS = 5

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--mb", type=int, default=300)
parser.add_argument("--join-gb", type=float, default=10.0)
parser.add_argument("--joined", type=int, default=0, help=argparse.SUPPRESS)
arguments = parser.parse_args()


def images(n_bytes: int) -> list[bytes]:
    """Bytes as PNG and JPEG have them: they do not shrink."""
    rng = np.random.default_rng(7)
    return [
        rng.bytes(IMAGE_BYTES + 1000 * (i % 50)) for i in range(max(1, n_bytes // (IMAGE_BYTES + 25_000)))
    ]


def ours(pictures: list[bytes], digests: list[str], folder: Path) -> float:
    """Write an archive; return seconds."""
    start = time.perf_counter()
    with (folder / "ours").open("wb") as file, ThreadPoolExecutor(1) as threads:
        stream = Measured(file)
        piece = ImagePiece(stream)
        found = threads.map(sha256_of, pictures)
        for i, (picture, sha256, digest) in enumerate(zip(pictures, found, digests, strict=True)):
            if sha256 != digest:
                raise SystemExit("the images changed")
            piece.add(f"2301_{i:05}/f1_p1.png", picture)
        piece.close()
        stream.sha256.hexdigest()
    return time.perf_counter() - start


def peer(pictures: list[bytes], folder: Path) -> float:
    """Digest and compress the same bytes; return seconds."""
    start = time.perf_counter()
    digest = hashlib.sha256()
    packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15)
    with (folder / "peer").open("wb") as file:
        for picture in pictures:
            digest.update(picture)
            file.write(packer.compress(picture))
        file.write(packer.flush())
    digest.hexdigest()
    return time.perf_counter() - start


def tar_and_pigz(pictures: list[bytes], folder: Path) -> float | None:
    """Let GNU tar and pigz -1 write the same files; return wall seconds, None where they are not installed."""
    if not (shutil.which("pigz") and shutil.which("tar")):
        return None
    loose = folder / "loose"
    loose.mkdir()
    for i, picture in enumerate(pictures):
        (loose / f"{i:05}.png").write_bytes(picture)
    start = time.perf_counter()
    with (
        (folder / "theirs").open("wb") as file,
        subprocess.Popen(
            ["tar", "cf", "-", "-C", str(loose), "."],
            stdout=subprocess.PIPE,
        ) as tar,
    ):
        subprocess.run(["pigz", "-1", "-p", "1"], stdin=tar.stdout, stdout=file, check=True)
    seconds = time.perf_counter() - start
    shutil.rmtree(loose)
    return seconds


def join(n_pieces: int, folder: Path) -> None:
    """Publish a release of so many pieces of 100 MB, and print what memory it took."""
    from s1mm_assets.release import ReleaseSettings
    from s1mm_assets.release.image_archives import Unpacked
    from s1mm_assets.release.layout import Piece, layout
    from s1mm_assets.release.publication import Builder
    from s1mm_assets.resources.file_digests import digesting
    from s1mm_assets.resources.release_folder import ReleaseFolder

    content = np.random.default_rng(1).bytes(100_000_000)
    (folder / "piece").write_bytes(content)
    piece = Piece(
        source="arxiv", year=2019, shard="", name="images.tar.gz", media="images", n_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(), n_rows=1, unpacked=Unpacked(1, 1),
    )  # fmt: skip
    del content
    pieces = [Piece(**{**as_dict(piece), "shard": f"{i:05}"}) for i in range(n_pieces)]
    target = ReleaseFolder(path=str(folder / "release"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with target.building() as building:
        builder = Builder(building, lambda *_: (folder / "piece").open("rb"), digesting, lambda _: None)
        files = [builder.build(part) for part in layout(pieces, ReleaseSettings(part_bytes=30_000_000_000))]
    print(
        json.dumps(
            {
                "gb": sum(file.n_bytes for file in files) / 1e9,
                "seconds": time.perf_counter() - start,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "before_mib": before / 1024,
            }
        )
    )


def as_dict(piece: Any) -> dict[str, Any]:
    """The fields of a piece."""
    return {name: getattr(piece, name) for name in piece.__dataclass_fields__}


def joined(n_pieces: int) -> dict[str, float]:
    """Join in a process of its own, whose memory is its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--joined", str(n_pieces)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="s1mm-bench-", dir=os.environ.get("TMPDIR")) as work:
        folder = Path(work)
        if arguments.joined:
            join(arguments.joined, folder)
            return
        pictures = images(arguments.mb * 1_000_000)
        digests = [hashlib.sha256(picture).hexdigest() for picture in pictures]
        n_mb = sum(map(len, pictures)) / 1e6
        rounds = [(ours(pictures, digests, folder), peer(pictures, folder)) for _ in range(N_ROUNDS)]
        ratios = sorted(theirs / mine for mine, theirs in rounds)
        fastest = min(mine for mine, _ in rounds)
        beside = tar_and_pigz(pictures, folder)
    small, large = (
        (joined(max(1, round(gb * 10))) for gb in (arguments.join_gb / 10, arguments.join_gb))
        if (arguments.join_gb)
        else (None, None)
    )
    print(
        json.dumps(
            {
                "name": "release",
                "headline": round(ratios[N_ROUNDS // 2], 3),
                "goal": GOAL,
                "better": "higher",
                "mb_per_s": round(n_mb / fastest, 1),
                "tar_pigz_mb_per_s": None if beside is None else round(n_mb / beside, 1),
                "mb": round(n_mb),
                "joined": [
                    {name: round(value, 2) for name, value in each.items()} for each in (small, large) if each
                ],
                "measured_on": f"random bytes as images of {IMAGE_BYTES / 1000:.0f} kB, wall time, median of "
                f"{N_ROUNDS} rounds; joined: pieces of 100 MB to one archive, SHA-256 and Xet hash taken",
            }
        )
    )


main()
