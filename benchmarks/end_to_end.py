"""How fast do real bundles become a verified release? One line of JSON last; see `make bench`.

Runs `s1mm build` on every LaTeX bundle of the corpus (sound and odd ones) into an empty store, with Dagster's own
overhead and the publication included, and samples the memory of the whole process tree. With --kills N the build is
then done again from nothing, killed N times at random moments, and compared byte for byte with the undisturbed one.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from corpus import CORPUS, require_corpus

S1MM = Path(sys.executable).with_name("s1mm")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=0, help="then kill a second build this often and compare"
    )
    parser.add_argument("--keep", type=Path, help="folder for store and release (default: a temporary one)")
    options = parser.parse_args()
    require_corpus("end_to_end")
    with tempfile.TemporaryDirectory() as scratch:
        home = options.keep or Path(scratch)
        sources = pack(Path(scratch) / "sources")
        seconds, cpu_s, peak_mib = measured(sources, home / "undisturbed")
        line = numbers(home / "undisturbed", sources, seconds)
        line |= {"seconds": round(seconds, 1), "cpu_s": round(cpu_s, 1), "peak_memory_mib": round(peak_mib)}
        if options.kills:
            line |= killed(sources, home / "killed", home / "undisturbed", options.kills, seconds)
    print(json.dumps(line))


def pack(folder: Path) -> Path:
    """Lay the bundles out as a source: the real ones and the odd ones side by side."""
    local = folder / "local"
    local.mkdir(parents=True)
    for path in sorted([*(CORPUS / "latex").iterdir(), *(CORPUS / "latex" / "odd").iterdir()]):
        if path.is_file() and path.name != "index.jsonl":
            shutil.copy2(path, local / path.name)
    return folder


def environment(sources: Path, home: Path) -> dict[str, str]:
    """Return the environment of one build."""
    settings = {"S1MM_SOURCES": sources, "S1MM_STORE": home / "store", "S1MM_RELEASE": home / "release"}
    return {**os.environ, **{name: str(path) for name, path in settings.items()}, "DAGSTER_HOME": ""}


def measured(sources: Path, home: Path) -> tuple[float, float, float]:
    """Build once; return wall seconds, CPU seconds of it and its children, peak resident MiB of the tree."""
    peak = 0
    is_over = threading.Event()
    start = time.perf_counter()
    with subprocess.Popen(
        [S1MM, "build"], env=environment(sources, home), stdout=subprocess.DEVNULL
    ) as build:

        def watch() -> None:
            nonlocal peak
            tree = psutil.Process(build.pid)
            while not is_over.wait(0.1):
                try:
                    family = [tree, *tree.children(recursive=True)]
                    peak = max(peak, sum(each.memory_info().rss for each in family))
                except psutil.Error:  # a process ended while it was read
                    continue

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, usage = os.wait4(build.pid, 0)
        build.returncode = os.waitstatus_to_exitcode(status)
        is_over.set()
        watcher.join()
    if build.returncode != 0:
        sys.exit(f"s1mm build ended with {build.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, peak / 2**20


def numbers(home: Path, sources: Path, seconds: float) -> dict[str, object]:
    """Count what went in and came out."""
    env = environment(sources, home)
    rows = json.loads(
        subprocess.run([S1MM, "status", "--json"], env=env, check=True, capture_output=True).stdout
    )
    totals = {
        name: sum(row[name] or 0 for row in rows)
        for name in ("papers", "figures", "images", "kept", "released")
    }
    subprocess.run([S1MM, "verify", home / "release"], check=True, capture_output=True)
    cores = len(os.sched_getaffinity(0))
    return {
        "name": "end_to_end",
        "headline": round(totals["images"] / seconds / cores, 3),
        "goal": 1.0,  # images per second and core: 15.5 million figures in under three days on 64 cores
        "better": "higher",
        "unit": "images/s per core",
        "cores": cores,
        "partitions": len(rows),
        "papers_per_s": round(totals["papers"] / seconds, 3),
        **totals,
    }


def killed(sources: Path, home: Path, undisturbed: Path, kills: int, seconds: float) -> dict[str, object]:
    """Build again, killed at random moments, and compare."""
    moments = random.Random(0)
    for _ in range(kills):
        with subprocess.Popen(
            [S1MM, "build"],
            env=environment(sources, home),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as build:
            time.sleep(moments.uniform(3, max(4, seconds / 4)))
            build.kill()
    subprocess.run([S1MM, "build"], env=environment(sources, home), check=True, stdout=subprocess.DEVNULL)
    return {"kills": kills, "is_identical": digests(home / "release") == digests(undisturbed / "release")}


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    main()
