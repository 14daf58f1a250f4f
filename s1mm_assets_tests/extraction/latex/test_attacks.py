"""Hostile sources: each would take hours or gigabytes if anything were quadratic or unbounded."""

import pytest

from s1mm_assets.extraction.latex import LatexPaper, expand, read_paper
from s1mm_assets.extraction.latex import paper as paper_module
from s1mm_assets.extraction.latex.paper import MAX_ROWS

N = 6_000
BEGIN = b"\\documentclass{article}\\begin{document}"
FIGURE = b"\\begin{figure}\\includegraphics{a}\\caption{c}\\end{figure}"

ATTACKS = {
    "nested braces": b"\\caption" + b"{" * N + b"}" * N,
    "nested captions": b"\\begin{figure}" + b"\\caption{" * N,
    "unclosed environments": b"\\begin{figure}\\begin{subfigure}\\begin{minipage}" * N,
    "unclosed verbatim and displays": b"\\begin{verbatim}x\\begin{equation}\\begin{comment}" * N,
    "unclosed optional arguments": b"\\begin{figure}" + b"\\includegraphics[" * N,
    "percent signs": b"%" * 1_000_000 + b"\n%" * N + b"\\" * N + b"%",
    "backslashes": b"\\" * 1_000_001,
    "exponential macros": b"".join(
        b"\\def\\%c{\\%c\\%c\\caption{}}" % (a, a + 1, a + 1) for a in b"abcdefghijklmno"
    )
    + b"\\a",
    "recursive macro": b"\\def\\a{\\a\\a\\label{x}}\\a",
    "macro that grows its argument": b"\\def\\a#1{\\a{#1#1\\label{x}}}\\a{xxxxxxxx}",
    "macro in a caption": b"\\def\\x{\\y\\y}\\def\\y{\\x\\x}\\begin{figure}\\caption{\\x}\\end{figure}",
    "nested own macros": b"\\newcommand\\w[1]{#1\\label{a}}" + b"\\w{" * 3_000 + b"}" * 3_000,
    "conditionals": b"\\iffalse" * N,
    "definitions": b"\\newcommand{\\a" * N,
    "self-defining": b"\\def\\a{\\def\\a{\\a\\label{b}}\\a}\\a" * 100,
    "environments of environments": b"\\newenvironment{a}{\\begin{a}\\begin{figure}}{\\end{a}}"
    + b"\\begin{a}" * 100,
    "dollars": b"\\begin{figure}\\caption{" + b"$" * 99_999 + b"}\\label{a}\\end{figure} \\ref{a}" + b"$" * N,
    "one huge paragraph": b"\\ref{a} word " * N + b"\\begin{figure}\\caption{c}\\label{a}\\end{figure}",
    "delimited macro": b"\\def\\a#1;{\\label{#1}}" + b"\\a x" * N,
    "captions in one float": b"\\begin{figure}" + b"\\caption{a}\\includegraphics{b}\\label{c}" * N,
    "panels in one float": b"\\begin{figure}"
    + b"\\subfloat[a]{\\includegraphics{b}}" * N
    + b"\\caption{c}\\end{figure}",
    "loose captions": b"\\includegraphics{a}\\captionof{figure}{b}\\label{c}" * (N // 10),
    "blanks after a typed number": b"Fig. 1" + b" " * 200_000,
    "blanks after an author's mark": b"\\author{A B\\inst" + b" " * 19_000 + b"}",
    "typed legends": b"\n\n\\psfig{figure=a.ps}\n\nFigure 1. Legend" * N,
    "signs of legends": b"\\bye" + b"Fig. 1." * N * 5,
    "digits before a legend": b"\\psfig{figure=a.ps}" + b"1" * 100_000 + b"Fig. 1. x",
    "loops": b"\\foreach\\a in {1,...,99}{\\foreach\\b in {1,...,99}{\\includegraphics{\\a\\b}}}",
    "variables of a loop": b"\\foreach" + b"  \\a" * N,
    "figure sets": b"\\figsetstart" + b"\\figsetgrpstart\\figsetplot{a}" * N + b"\\figsetend",
    "displays by macro": b"\\def\\be{\\begin{equation}}\\def\\ee{\\end{equation}}"
    + b"\\be x\\label{a}" * N
    + b"\\ee" * N,
    "meanings that change": b"\\def\\a{b}\\def\\a{c}\\a\\let\\b\\a" * N,
    "folders of graphics": b"\\graphicspath{" + b"{a/}" * 500 + b"}" + FIGURE * 500,
    "appendices": b"\\appendix\\section{a}" * N,
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_hostile_text_costs_only_itself(attack: bytes) -> None:
    """Reading ends soon and gives a paper, whatever the source does."""
    paper = read_paper({"ms.tex": BEGIN + FIGURE + b"\n\n" + attack})

    assert isinstance(paper, LatexPaper)
    assert len(paper.figures) <= MAX_ROWS


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More figures than any paper has are cut off, and the warning says so."""
    monkeypatch.setattr(paper_module, "MAX_ROWS", 50)
    paper = read_paper({"ms.tex": BEGIN + FIGURE * 60})

    assert len(paper.figures) == 50
    assert any("more than 50 rows" in warning for warning in paper.warnings)


def test_input_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file that is read again and again is read a bounded number of times."""
    monkeypatch.setattr(expand, "MAX_INPUT_CHARS", 100_000)
    paper = read_paper({"ms.tex": BEGIN + b"\\input{a}" * 100, "a.tex": FIGURE + b"x" * 9_000})

    assert 0 < len(paper.figures) < 15


def test_mentions_are_bounded() -> None:
    """Rows repeat their mentions; what a paper can make of that is bounded."""
    figures = b"\\begin{figure}\\includegraphics{a}\\caption{\\ref{x}}\\label{x}\\end{figure}" * 400
    paper = read_paper({"ms.tex": BEGIN + figures + (b"\\ref{x} text" * 40 + b"\n\n") * 400})

    assert sum(len(str(m["text"])) for row in paper.figures for m in row.mentions) < 25_000_000


def test_deep_inputs_end() -> None:
    """A chain of files is followed to a bounded depth, a fan of files to a bounded number."""
    chain = {f"f{i}.tex": b"\\input{f%d}" % (i + 1) for i in range(500)}
    fan = {"g.tex": b"\\input{h}" * 2_000, "h.tex": b"\\ref{x}"}

    paper = read_paper({"ms.tex": BEGIN + b"\\input{f0}\\input{g}" + FIGURE, **chain, **fan})

    assert len(paper.figures) == 1
