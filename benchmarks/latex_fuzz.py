"""Does anything that a bundle holds make the LaTeX reader raise? Prints one line of JSON.

``python benchmarks/latex_fuzz.py 100000`` reads that many broken papers: sources of the examples, and of the
corpus where S1MM_CORPUS says (default ../shared/corpus), with bytes flipped, cut out, doubled and spliced,
commands exchanged, and papers made of random TeX. Case k of a seed is always the same: ``--only k`` reads one
again and raises what it raises. The headline counts the cases that raised, or named an image that is no member
of the bundle. Times are those of this process's CPU.
"""

# ruff: noqa: ARG001 - mutations share one signature

import argparse
import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from corpus import CORPUS

from s1mm_assets.archives import open_bundle
from s1mm_assets.extraction.latex import LatexPaper, read_paper

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "papers"
MAX_TEX_BYTES = 60_000  # of one mutated source: long papers would only make the run slow
SLOW_S = 5.0

Members = dict[str, bytes]
Mutation = Callable[[random.Random, bytes, bytes], bytes]

TOKEN = re.compile(rb"\\[a-zA-Z@]+|[{}\[\]$%&#~^_]|\n\s*\n")
WORDS = rb"""
\begin{figure} \end{figure} \begin{figure*}[t] \end{figure*} \begin{subfigure}{1cm} \end{subfigure} \item
\includegraphics[width=1cm]{a} \includegraphics{ \caption{ \caption[s]{ \caption{One\$x^2\$} \label{l}
\label{ \ref{l} \ref{ \subfloat[c]{ \subfigure[ \subcaptionbox{x}{ \begin{minipage}{1cm} \end{minipage}
\captionof{figure}{d} \captionof{table}{ \input{b} \input b \include{ \import{x/}{b} \newcommand{\m}[1]{
\newcommand\m[2][x] \m \m{ \def\n{ \def\n#1.#2{ \n #1 #2 ##1 \let\m\n \let\n= \newenvironment{e}[1]{
\begin{e} \end{e} \NewDocumentCommand\q{s O{x} m}{ \q \q* \iffalse \iftrue \ifx\m\n \ifnum 1<2 \ifdefined\m
\else \fi \or \newif\ifz \ztrue \ifz \ifthenelse{\equal{ \section{S} \section*{ \chapter{ \appendix
\setcounter{figure}{3} \renewcommand{\thefigure}{ \numberwithin{figure}{section} \ContinuedFloat
\begin{verbatim} \end{verbatim} \verb| \verb \lstinline| \epsfig{file=a.eps} \psfig{figure= \epsfbox{a.ps}
\epsfbox \plotone{a} \plottwo{a}{b} \figcaption[a]{ \figcaption{ \fig{a}{1cm}{(a)} \figsetstart
\figsetgrpstart \figsetplot{a} \figsetend \figurenum{3} \midinsert \topinsert \endinsert
\special{psfile=a.ps} \cite{x} \footnote{ \begin{center} \end{center} \begin{equation} \end{equation}
\begin{table} \end{table} \begin{tikzpicture} \end{tikzpicture} \graphicspath{{f/}} \bye \endinput \foreach
\foreach\x/\y{1,2} \@for \begin{overpic}{a} \end{overpic} \begin{abstract} \end{abstract} \title{ \author{
\thanks{ \\ \par \begin{document} \end{document} \teaser{ \maketitle \makeatletter \'e \"{o} \SI{3}{ \num{
\textbf{ \subref{l} \cref{a,b} \noindent Figure~1. Figure~2: Fig.~3 {\bf Fig. 1} { } [ ] $ $$ % # & \ text
word , . ~
"""


def sources() -> list[Members]:
    """The bundles to be broken: TeX as it is, other members as names with a little of their bytes."""
    bundles = [
        {path.relative_to(paper).as_posix(): path.read_bytes() for path in paper.rglob("*") if path.is_file()}
        for paper in sorted(EXAMPLES.iterdir())
    ]
    if (CORPUS / "latex").is_dir():
        packed = sorted((CORPUS / "latex").glob("*.gz"))
        bundles += [dict(open_bundle(path.read_bytes(), path.name).members) for path in packed]
    return [{path: _shortened(path, data) for path, data in members.items()} for members in bundles]


def _shortened(path: str, data: bytes) -> bytes:
    is_tex = path.lower().endswith((".tex", ".txt", ".ltx", ".sty", ".xxx", ".json")) or b"\\document" in data
    return data[:MAX_TEX_BYTES] if is_tex else data[:64]


def flip(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Change single bytes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 40)):
        changed[rng.randrange(len(changed))] = rng.choice((rng.randrange(256), *b"\\{}[]$%#\n"))
    return bytes(changed)


def cut(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Leave pieces out."""
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        data = data[:at] + data[at + rng.randint(1, 1 + len(data) // 4) :]
    return data


def splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Put a piece of another source in."""
    at, start = rng.randrange(len(data) + 1), rng.randrange(len(other) + 1)
    return data[:at] + other[start : start + rng.randint(1, 4_000)] + data[at:]


def double(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Repeat a short piece many times."""
    at = rng.randrange(len(data) + 1)
    piece = data[at : at + rng.randint(1, 60)]
    return data[:at] + piece * rng.randint(2, 200) + data[at:]


def exchange(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Exchange, drop and insert tokens."""
    spans = [match.span() for match in TOKEN.finditer(data)]
    words = WORDS.split()
    pieces, copied = [], 0
    for start, end in sorted(rng.sample(spans, min(len(spans), rng.randint(1, 60)))):
        pieces += [data[copied:start], rng.choice((b"", rng.choice(words), data[start:end] * 2))]
        copied = end
    return b"".join([*pieces, data[copied:]])


def grammar(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A paper of random TeX."""
    words = WORDS.split()
    body = [rng.choice(words) + rng.choice((b"", b" ", b" ", b"\n\n")) for _ in range(rng.randint(1, 400))]
    opening = b"" if rng.random() < 0.1 else b"\\documentclass{article}\\begin{document}"
    return opening + b"".join(body)


MUTATIONS: tuple[Mutation, ...] = (flip, cut, splice, double, exchange, grammar)


def case(bundles: list[Members], seed: int, index: int) -> Members:
    """Return the bundle of one case."""
    rng = random.Random(f"{seed}:{index}")
    members = dict(rng.choice(bundles))
    texts = [path for path, data in members.items() if len(data) > 64 and b"\\" in data]
    for path in rng.sample(sorted(texts), min(len(texts), rng.randint(1, 3))):
        donor = rng.choice(list(rng.choice(bundles).values())) or b"\\"
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            members[path] = rng.choice(MUTATIONS)(rng, members[path] or b"\\", donor)
    if rng.random() < 0.02:
        members = {"x": rng.randbytes(rng.randint(0, 2_000)) + grammar(rng, b"", b"")}
    return members


def fault(members: Members) -> str | None:
    """What is wrong with how a bundle was read, if anything is."""
    try:
        paper = read_paper(members)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    strangers = {row.image_member for row in paper.figures} - {None} - set(members)
    return f"no members: {sorted(map(str, strangers))}" if strangers else gave_up(paper)


def gave_up(paper: LatexPaper) -> str | None:
    """Whether the reader met its own limits of depth or memory."""
    return paper.evidence if paper.evidence and "Error while reading TeX" in paper.evidence else None


def main() -> None:
    """Read the cases and print what was met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", nargs="?", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="index of the first case")
    parser.add_argument("--only", type=int, help="read one case, and raise what it raises")
    given = parser.parse_args()
    bundles = sources()
    if given.only is not None:
        print(read_paper(case(bundles, given.seed, given.only)))
        return
    faults: dict[int, str] = {}
    slow: dict[int, float] = {}
    slowest_s, start = 0.0, time.process_time()
    for index in range(given.first, given.first + given.n):
        members = case(bundles, given.seed, index)
        before = time.process_time()
        if wrong := fault(members):
            faults[index] = wrong[:200]
        seconds = time.process_time() - before
        slowest_s = max(slowest_s, seconds)
        if seconds > SLOW_S:
            slow[index] = round(seconds, 1)
    result = {"cases": given.n, "seed": given.seed, "first": given.first, "bundles": len(bundles)}
    result |= {"faults": dict(list(faults.items())[:20]), "slow": slow, "slowest_s": round(slowest_s, 2)}
    result["cases_per_cpu_s"] = round(given.n / max(time.process_time() - start, 1e-9), 1)
    print(json.dumps({"name": "latex_fuzz", "headline": len(faults), "goal": 0, "better": "lower", **result}))


if __name__ == "__main__":
    main()
