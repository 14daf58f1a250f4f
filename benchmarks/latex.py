"""How fast are figures read from LaTeX? Prints one line of JSON.

The headline is the CPU time of reading every paper of the corpus (decoding, expanding, composing rows) over
the CPU time of gunzipping and reading the same members with isal. Both are the best of five runs in one
process; files are in memory before either clock starts, so disks are left out, and so are rendered images.
Compare lines from one machine only. ``growth`` is what doubling a hostile source does to the time of reading it.
"""

import io
import json
import tarfile
import time
from collections.abc import Callable

from corpus import CORPUS, require_corpus
from isal import igzip

from s1mm_assets.extraction.latex import read_paper

RUNS = 5

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


def main() -> None:
    """Measure and print."""
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
            }
        )
    )


if __name__ == "__main__":
    main()
