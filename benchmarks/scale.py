"""Does the way to a release stay linear and flat at 11,000 shards of 15.5 million figures? One line of JSON last.

Shards as arXiv's years would give them, of synthetic rows (images of 16 bytes), go through `duplicates`, `hf_release`
and `hf_publication` as the assets run them, each in a process of its own, whose peak resident memory is told: a tenth
of `--shards`, two fifths, and all of them. Requests are calls of the store's file system, which is no local one to it:
an open is one, a listing one per 1,000 objects. Reads of an open file are not told apart, and there is no network.

Then `--planned` shards, each a copy of one, for what a run costs that has nothing to do: every asset of every partition
derived again, `s1mm status` and `s1mm plan`, and what a publication holds of them in memory.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pyarrow import fs as pafs

from s1mm_assets import filtering, planning, release, reports
from s1mm_assets.assets.duplicates import search
from s1mm_assets.partitions import source_and_year
from s1mm_assets.resources.decided_partitions import decided, duplicates_of, record_view, view_of
from s1mm_assets.resources.file_digests import digesting
from s1mm_assets.resources.release_folder import ReleaseFolder
from s1mm_assets.resources.release_pieces import StoredPieces
from s1mm_assets.resources.release_texts import ReleaseTexts
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import COMMIT, ShardStore
from s1mm_assets.resources.shards import ShardSet, dump
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import TABLES, schema_of

FULL_SHARDS, FIGURES, PAPERS = 11_000, 1_409, 227  # 15.5 million figures of 2.5 million papers
YEARS = range(1991, 2025)
EVERY = 100  # one figure in so many has the image of another shard's
SETTINGS = Settings(path="")
SEEDED = ("raw_archives", "figure_candidates", "filtered_figures", "recaptions", "quality_metrics")
PHASES = ("seed", "duplicates", "hf_release", "hf_publication")
LISTED = 1_000  # objects by a request
KEPT = (
    "raw_archives",
    "figure_candidates",
    "recaptions",
    "quality_metrics",
)  # beside duplicates, what is released


# ruff: noqa: D102 - the methods are those of pyarrow's FileSystemHandler
class CountedFiles(pafs.FileSystemHandler):  # type: ignore[misc]
    """A local file system that counts what an object store would be asked."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self._fs = pafs.LocalFileSystem()

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def get_type_name(self) -> str:
        return "counted"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        self.requests["HEAD"] += len(paths)
        return list(self._fs.get_file_info(paths))

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        found = list(self._fs.get_file_info(selector))
        self.requests["LIST"] += 1 + len(found) // LISTED
        self.requests["objects listed"] += len(found)
        return found

    def create_dir(self, path: str, recursive: bool) -> None:
        self._fs.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        self._fs.delete_dir(path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        self._fs.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError

    def delete_file(self, path: str) -> None:
        self.requests["DELETE"] += 1
        self._fs.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        self._fs.move(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        self.requests["COPY"] += 1
        self._fs.copy_file(src, dest)

    def open_input_stream(self, path: str) -> Any:
        self.requests["GET"] += 1
        return self._fs.open_input_stream(path, compression=None)

    def open_input_file(self, path: str) -> Any:
        self.requests["GET"] += 1
        return self._fs.open_input_file(path)

    def open_output_stream(self, path: str, metadata: object) -> Any:  # noqa: ARG002
        self.requests["PUT"] += 1
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return self._fs.open_output_stream(path, compression=None)

    def open_append_stream(self, path: str, metadata: object) -> Any:
        raise NotImplementedError


def counted_store(root: Path) -> tuple[ShardStore, CountedFiles]:
    """Return a store that counts its requests."""
    files = CountedFiles()
    store = ShardStore(uri=str(root))
    store._fs, store._root = pafs.PyFileSystem(files), str(root)
    return store, files


# --- the rows ---------------------------------------------------------------------------------------------------


def partitions(n_shards: int) -> dict[str, list[str]]:
    """Return the shards of each partition: more of them year by year, as arXiv grew."""
    weights = np.array([(year - YEARS[0] + 2) ** 2 for year in YEARS], dtype=np.float64)
    ends = np.rint(np.cumsum(weights) / weights.sum() * n_shards).astype(int)
    begins = [0, *ends[:-1]]
    named = zip(YEARS, begins, ends, strict=True)
    return {
        f"arxiv|{year}": [f"s{i:05}" for i in range(begin, end)] for year, begin, end in named if begin < end
    }


def images(shard: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Draw a shard's images, (n, 2), and their detail hashes, (n, 16); some are those of a shard before it."""
    drawn, details = own_images(shard)
    if shard:
        before = own_images(shard // 2)
        taken = np.arange(shard % EVERY, FIGURES, EVERY)
        drawn[taken], details[taken] = before[0][taken], before[1][taken]
    return drawn, details


def own_images(shard: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Draw images that no other shard has."""
    rng = np.random.default_rng([1, shard])
    half = rng.integers(0, 2**64, (FIGURES, 8), dtype=np.uint64)
    return rng.integers(0, 2**64, (FIGURES, 2), dtype=np.uint64), np.concatenate([half, ~half], axis=1)


def columns(asset: str, table: str, partition: str, shard: str) -> dict[str, Any]:
    """Return what is known of each row of a table; all other columns are null, or empty."""
    year, number = source_and_year(partition)[1], int(shard[1:])
    papers = [f"{year % 100:02}{1 + i % 12:02}.{number * 8 % 10}{i:04}x{number}" for i in range(PAPERS)]
    if table in ("archives", "metadata", "papers"):
        known: dict[str, Any] = {"paper_id": papers, "title": "A paper of its own", "method": "latex"}
        known |= {"source": "arxiv", "year": year, "kind": "latex", "uri": f"{shard}.tar", "sha256": "0" * 64}
        known |= {"licence": "http://creativecommons.org/licenses/by/4.0/", "first_posted": f"{year}-03-01"}
        return {**known, "is_withdrawn": False, "n_images": FIGURES // PAPERS, "offset": 0, "length": 1}
    ids = [f"arxiv:{papers[i % PAPERS]}#{1 + i // PAPERS}.1" for i in range(FIGURES)]
    text = f"Spectra of sample {number}, taken at {year} K, with the lines of the fit beside the measured points."
    known = {"figure_id": ids, "paper_id": [papers[i % PAPERS] for i in range(FIGURES)], "caption": text}
    known |= {"recaption": text * 4, "engine": "vllm", "model": "m", "prompt_version": "describe-1"}
    known |= {
        "prompt_sha256": "0" * 64,
        "caption_length_chars": 90,
        "recaption_length_chars": 360,
        "method": "latex",
    }
    if asset in ("figure_candidates", "filtered_figures"):
        drawn, details = images(number)
        pictures = [row.tobytes() for row in drawn]
        known |= {"image": pictures, "sha256": [hashlib.sha256(each).hexdigest() for each in pictures]}
        known |= {
            "detail_hash": [row.tobytes() for row in details],
            "image_size_bytes": 16,
            "image_format": "png",
        }
        known |= {"caption_hash": [hashlib.blake2b(text.encode(), digest_size=16).digest()] * FIGURES}
    return known | {
        "width_px": 640,
        "height_px": 480,
        "n_claims": 3,
        "n_grounded_claims": 3,
        "grounding": 1.0,
    }


def rows(asset: str, table: str, partition: str, shard: str) -> pl.DataFrame:
    """Return a table of a shard."""
    schema = schema_of(TABLES[asset][table])
    if table == "texts":
        return schema.to_frame()
    known = columns(asset, table, partition, shard)
    n = PAPERS if table in ("archives", "metadata", "papers") else FIGURES
    made = []
    for name, dtype in schema.items():
        value = known.get(name)
        if isinstance(value, list):
            made.append(pl.Series(name, value, dtype))
        else:
            empty: Any = [] if isinstance(dtype, pl.List) else value
            made.append(pl.Series(name, [empty], dtype).new_from_index(0, n))
    return pl.DataFrame(made)


def seed_stage(asset: str) -> Stage:
    """Return the stage that writes synthetic rows in place of an asset's own."""

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        for table in TABLES[asset]:
            writer.write(table, rows(asset, table, reader.partition, reader.shard))

    return Stage(asset=asset, version="synthetic", tables=TABLES[asset], make=make, reads={})


# --- the phases -------------------------------------------------------------------------------------------------


def seed(store: ShardStore, shards: dict[str, list[str]]) -> None:
    """Write what the assets before the release hold."""
    for key, names in shards.items():
        for asset in SEEDED:
            store.pin(store.derive(seed_stage(asset), key, shards=names))


def find_duplicates(store: ShardStore) -> dict[str, ShardSet]:
    """Run the asset `duplicates`."""
    bits = SETTINGS.filtering.near_duplicate_bits
    return search(store, bits=bits, release=SETTINGS.release, report=lambda line: None)


def release_records(store: ShardStore, keys: Sequence[str]) -> None:
    """Run the asset `hf_release`, partition by partition."""
    stage = release.stage(SETTINGS.release)
    for key in keys:
        handles = [store.pinned(asset, key) for asset in KEPT]
        inputs = [*(each for each in handles if each), duplicates_of(store, key, SETTINGS.release)]
        store.pin(store.derive(stage, key, inputs=inputs))


def publish(store: ShardStore, folder: Path) -> dict[str, int]:
    """Run the asset `hf_publication`."""
    pieces = StoredPieces(store, SETTINGS)
    texts = ReleaseTexts(pieces, SETTINGS)
    found = release.publish(
        pieces,
        pieces.open,
        ReleaseFolder(path=str(folder)),
        settings=SETTINGS.release,
        texts=texts,
        dataset=texts.dataset(),
        digesting=digesting,
    )
    return {"records": found.n_records, "files": found.n_files}


def phase(name: str, home: Path, n_shards: int) -> dict[str, Any]:
    """Run one phase in this process; return what it took."""
    store, files = counted_store(home / "store")
    shards = partitions(n_shards)
    start, cpu = time.perf_counter(), time.process_time()
    more: dict[str, Any] = {}
    if name == "seed":
        seed(store, shards)
    elif name == "duplicates":
        slices = find_duplicates(store)
        more["duplicates"] = sum(each.n_rows("duplicates") for each in slices.values())
    elif name == "hf_release":
        release_records(store, list(shards))
    elif name == "hf_publication":
        more |= publish(store, home / "release")
    else:
        more |= replanned(store, files, shards)
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "requests": dict(files.requests),
        **more,
    }


# --- nothing to do ----------------------------------------------------------------------------------------------


def multiply(home: Path, n_shards: int) -> None:
    """Fill a store with copies of one shard: its commit under other names, its files as hard links."""
    small = ShardStore(uri=str(home / "one"))
    [(key, names)] = list(partitions(1).items())[-1:]
    seed(small, {key: names})
    find_duplicates(small)
    release_records(small, [key])
    store = ShardStore(uri=str(home / "store"))
    for asset in (*SEEDED, "duplicates", "hf_release"):
        [one] = [commit for each in [small.pinned(asset, key)] if each for commit in each.shards]
        folder = Path(small.path(asset, *key.split("|"), one.shard))
        for partition, shards in partitions(n_shards).items():
            commits = tuple(replace(one, partition=partition, shard=shard) for shard in shards)
            for commit in commits:
                target = Path(store.path(asset, *partition.split("|"), commit.shard))
                target.mkdir(parents=True)
                for stored in commit.stored():
                    os.link(folder / stored.file, target / stored.file)
                (target / COMMIT).write_bytes(dump(asdict(commit)))
            (target.parent / "partition.json").write_bytes(
                dump(asdict(ShardSet(asset=asset, partition=partition, shards=commits)))
            )
    slices = {each: handle for each in decided(store) if (handle := store.pinned("duplicates", each))}
    record_view(store, view_of(decided(store), slices))


def replanned(store: ShardStore, files: CountedFiles, shards: dict[str, list[str]]) -> dict[str, Any]:
    """Derive everything again, where nothing is to be done; then ask for status and plan."""
    lines: list[str] = []
    took = {}
    for name, run in {
        "derive": lambda: derive_all(store, shards, lines),
        "status": lambda: reports.status(store),
        "plan": lambda: planned(store),
        "pieces": lambda: StoredPieces(store, SETTINGS),
    }.items():
        before = Counter(files.requests)
        start = time.perf_counter()
        run()
        took[f"{name}_s"] = round(time.perf_counter() - start, 2)
        took[f"{name}_requests"] = dict(files.requests - before)
    tracemalloc.start()
    pieces = StoredPieces(store, SETTINGS)
    took["pieces_held_mib"] = round(tracemalloc.get_traced_memory()[0] / 2**20, 1)
    tracemalloc.stop()
    del pieces
    made = [line for line in lines if not line.endswith("unchanged")]
    if made:
        raise SystemExit(f"{len(made)} of {len(lines)} shards were made again: {made[0]}")
    return {**took, "shards_unchanged": len(lines)}


def derive_all(store: ShardStore, shards: dict[str, list[str]], lines: list[str]) -> None:
    """Do what a run of every asset does for every partition, the search for duplicates aside."""
    bits, preferred = SETTINGS.filtering.near_duplicate_bits, SETTINGS.release.licences()
    nothing = filtering.duplicates_stage(filtering.DUPLICATES.to_frame(), bits=bits, preferred=preferred)
    released = release.stage(SETTINGS.release)
    for key, names in shards.items():
        made = {
            asset: store.derive(seed_stage(asset), key, shards=names, report=lines.append) for asset in SEEDED
        }
        slices = store.derive(nothing, key, inputs=[made["filtered_figures"]], report=lines.append)
        inputs = [*(made[asset] for asset in KEPT), slices]
        store.derive(released, key, inputs=inputs, report=lines.append)


def planned(store: ShardStore) -> pl.DataFrame:
    """Return what `s1mm plan` says of arXiv's years."""
    with tempfile.TemporaryDirectory() as empty:
        sources = Sources(root=empty)
        years = planning.planned_years(store, sources, "arxiv")
        assumed = planning.Amount(1.0, "assumed")
        machines = planning.Machines(rate=assumed, gpus=assumed, usd_per_gb=assumed, fetch_usd_per_gb=assumed)
        return planning.plan(
            store, sources, "arxiv", years, settings=SETTINGS.recaptioning, stage=None, machines=machines
        )


# --- the measurement --------------------------------------------------------------------------------------------


def apart(name: str, home: Path, n_shards: int) -> dict[str, Any]:
    """Run a phase in a process of its own."""
    command = [sys.executable, __file__, "--phase", name, "--home", str(home), "--shards", str(n_shards)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps({"phase": name, "shards": n_shards, **found}), file=sys.stderr, flush=True)
    return found


def measured(n_shards: int) -> dict[str, Any]:
    """Take so many shards to a release."""
    with tempfile.TemporaryDirectory(prefix="s1mm-bench-", dir=os.environ.get("TMPDIR")) as scratch:
        home = Path(scratch)
        found = {name: apart(name, home, n_shards) for name in PHASES}
        return {"objects": n_objects(home / "store"), **found}


def n_objects(folder: Path) -> int:
    """Count the files below a folder."""
    return sum(1 for each in folder.rglob("*") if each.is_file())


def unchanged(n_shards: int) -> dict[str, Any]:
    """Ask so many shards that are all current what is to be done."""
    with tempfile.TemporaryDirectory(prefix="s1mm-bench-", dir=os.environ.get("TMPDIR")) as scratch:
        home = Path(scratch)
        multiply(home, n_shards)
        return {"objects": n_objects(home / "store"), **apart("plan", home, n_shards)}


def per_million(found: Sequence[dict[str, Any]], sizes: Sequence[int], name: str) -> list[float]:
    """Return CPU seconds per million figures between each size and the next: what a process costs at all drops out."""
    seconds = [each[name]["cpu_s"] for each in found]
    millions = [n * FIGURES / 1e6 for n in sizes]
    return [
        round((seconds[i + 1] - seconds[i]) / (millions[i + 1] - millions[i]), 1)
        for i in range(len(sizes) - 1)
    ]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=40, help=f"all of them are {FULL_SHARDS:,}")
    parser.add_argument("--planned", type=int, default=1_100, help="shards of the run with nothing to do")
    parser.add_argument("--phase", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        print(json.dumps(phase(options.phase, options.home, options.shards)))
        return
    sizes = [options.shards // 10, options.shards * 2 // 5, options.shards]
    found = [measured(n) for n in sizes]
    costs = {name: per_million(found, sizes, name) for name in PHASES[1:]}
    growth = {name: round(later / first, 3) for name, (first, later) in costs.items()}
    print(
        json.dumps(
            {
                "name": "scale",
                "headline": max(growth.values()),
                "goal": 1.25,
                "better": "lower",
                "unit": "× CPU time of a figure past two fifths of them, over before; the worst phase",
                "figures": sizes[-1] * FIGURES,
                "growth": growth,
                "cpu_s_per_million": costs,
                "peak_mib": {name: [each[name]["peak_mib"] for each in found] for name in PHASES[1:]},
                "objects": [each["objects"] for each in found],
                "requests": {name: found[-1][name]["requests"] for name in PHASES[1:]},
                "nothing_to_do": unchanged(options.planned) if options.planned else None,
                "measured_on": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
            }
        )
    )


if __name__ == "__main__":
    main()
