"""How fast are figures read from LaTeX? Prints one line of JSON.

The headline is the CPU time of reading every paper of the corpus (decoding, expanding, composing rows) over
the CPU time of gunzipping and reading the same members with isal. Both are the best of five runs in one
process; files are in memory before either clock starts, so disks are left out, and so are rendered images.
Compare lines from one machine only. ``growth`` is what doubling a hostile source does to the time of reading it.

``peers`` are papers per second of CPU of pandoc and LaTeXML, where they are installed, beside ours on the same
papers: a seeded sample, because they need seconds for each (``--pandoc N``, ``--latexml N``; 0 leaves one out).
They are started once per paper, as they are used; a paper that they do not end in time counts with the time it took.
"""

import argparse
import io
import json
import random
import resource
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from corpus import CORPUS, require_corpus
from isal import igzip

from s1mm_assets.extraction.latex import read_paper

RUNS = 5
PEERS = {
    "pandoc": ["pandoc", "+RTS", "-M2048m", "-RTS", "-f", "latex", "-t", "json"],
    "latexml": ["latexml", "--quiet", "--quiet", "--destination=/dev/stdout"],
}
PEER_TIMEOUT_S = {"pandoc": 20, "latexml": 120}

HOSTILE: dict[str, Callable[[int], bytes]] = {
    "nested_braces": lambda n: b"\\begin{document}" + b"\\caption{" * n + b"}" * n,
    "unclosed_environments": lambda n: b"\\begin{document}" + b"\\begin{figure}\\begin{subfigure}" * n,
    "macro_bomb": lambda n: b"\\def\\a{\\b\\b}\\def\\b{\\a\\a\\caption{x}}\\begin{document}" + b"\\a" * n,
    "percent_signs": lambda n: b"\\begin{document}" + b"%" * n + b"\n%" * n + b"\\%" * n,
    "labels_and_references": lambda n: (
        b"\\begin{document}"
        + b"\\begin{figure}\\caption{a\\ref{x}}\\label{x}\\end{figure} \\ref{x}\n\n" * (n // 20)
    ),
    "conditionals": lambda n: b"\\begin{document}" + b"\\iffalse " * n,
    "typed_legends": lambda n: b"\n\n\\psfig{figure=a.ps}\n\nFigure 1. A legend" * (n // 20),
    "loose_captions": lambda n: (
        b"\\begin{document}" + b"\\includegraphics{a}\\captionof{figure}{b}\n" * (n // 20)
    ),
}


def members_of(data: bytes) -> dict[str, bytes]:
    """Gunzip and read the members of one bundle: what any reader has to do first."""
    content = igzip.decompress(data)  # type: ignore[no-untyped-call]
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as bundle:
            files = ((member, bundle.extractfile(member)) for member in bundle if member.isfile())
            return {member.name.removeprefix("./"): file.read() for member, file in files if file}
    except tarfile.ReadError:
        return {"paper.tex": content}


def best_cpu_s(work: Callable[[], object], runs: int = RUNS) -> float:
    """CPU seconds of the fastest of several runs."""
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def growth(make: Callable[[int], bytes], n: int) -> float:
    """Time of reading a hostile source of twice the size, over that of reading it once."""
    once, twice = {"a.tex": make(n)}, {"a.tex": make(2 * n)}
    return best_cpu_s(lambda: read_paper(twice), 3) / max(best_cpu_s(lambda: read_paper(once), 3), 1e-3)


def ask_peer(name: str, members: dict[str, bytes], main_file: str) -> bytes | None:
    """What another reader makes of a main file and the TeX beside it; None where it fails or takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        for path, data in members.items():
            target = Path(folder, path)
            if path.lower().endswith((".tex", ".sty", ".cls", ".bbl")) or path == main_file:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        try:
            done = subprocess.run(
                [*PEERS[name], main_file],
                cwd=folder,
                capture_output=True,
                timeout=PEER_TIMEOUT_S[name],
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
    return done.stdout if done.returncode == 0 else None


def beside(name: str, papers: list[dict[str, bytes]], n: int) -> dict[str, object] | None:
    """Papers per CPU second of a peer and of us, on one sample; None where it is not installed."""
    main_files = [read_paper(members).main_file for members in papers]
    readable = [(members, main) for members, main in zip(papers, main_files, strict=True) if main]
    sample = random.Random(1).sample(readable, min(n, len(readable)))
    if not sample or shutil.which(name) is None:
        return None
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    n_answers = sum(ask_peer(name, members, main) is not None for members, main in sample)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    ours_s = best_cpu_s(lambda: [read_paper(members) for members, _ in sample], 3)
    return {
        "papers": len(sample),
        "answered": n_answers,
        "papers_per_cpu_s": round(len(sample) / cpu_s, 3),
        "ours_papers_per_cpu_s": round(len(sample) / ours_s, 1),
        "times_faster": round(cpu_s / ours_s),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pandoc", type=int, default=12, help="papers to give to pandoc")
    parser.add_argument("--latexml", type=int, default=3, help="papers to give to LaTeXML")
    given = parser.parse_args()
    require_corpus("latex")
    packed = [path.read_bytes() for path in sorted((CORPUS / "latex").glob("*.gz"))]
    papers = [members_of(data) for data in packed]
    n_figures = sum(len(read_paper(members).figures) for members in papers)
    gunzip_s = best_cpu_s(lambda: [members_of(data) for data in packed])
    parse_s = best_cpu_s(lambda: [read_paper(members) for members in papers])
    print(
        json.dumps(
            {
                "name": "latex",
                "headline": round(parse_s / gunzip_s, 3),
                "goal": 3.0,
                "better": "lower",
                "papers": len(papers),
                "rows": n_figures,
                "papers_per_cpu_s": round(len(papers) / parse_s, 1),
                "gunzip_s": round(gunzip_s, 3),
                "parse_s": round(parse_s, 3),
                "growth": {name: round(growth(make, 8_000), 2) for name, make in HOSTILE.items()},
                "peers": {
                    name: beside(name, papers, n)
                    for name, n in (("pandoc", given.pandoc), ("latexml", given.latexml))
                },
            }
        )
    )


if __name__ == "__main__":
    main()
