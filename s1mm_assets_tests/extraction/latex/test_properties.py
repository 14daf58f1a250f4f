"""What is always so, whatever the source is."""

import json
from dataclasses import asdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s1mm_assets.extraction.latex import LatexPaper, read_paper
from s1mm_assets.extraction.latex.lexing import Work, group_end
from s1mm_assets.extraction.latex.readable import Writer
from s1mm_assets.extraction.latex.source import strip_comments

WORDS = [
    "\\documentclass{article}", "\\begin{document}", "\\end{document}", "\\begin{figure}", "\\end{figure}",
    "\\begin{figure*}[t]", "\\end{figure*}", "\\includegraphics[width=1cm]{a}", "\\includegraphics{b.eps}",
    "\\caption{One $x$}", "\\caption[s]{", "\\label{l}", "\\ref{l}", "\\subfloat[c]{", "\\begin{subfigure}{1cm}",
    "\\end{subfigure}", "\\begin{minipage}{1cm}", "\\end{minipage}", "\\captionof{figure}{d}", "\\input{b}", "{", "}",
    "[", "]", "$", "%", "\n", "\n\n", "\\\\", "\\newcommand{\\m}[1]{", "\\m", "#1", "\\def\\n{", "\\n", "\\iffalse",
    "\\iftrue", "\\else", "\\fi", "\\section{S}", "\\appendix", "\\setcounter{figure}{3}", "text ", "\\'e",
    "\\begin{verbatim}", "\\end{verbatim}", "\\verb|", "\\epsfig{file=a.eps}", "\\cite{x}", "\\ContinuedFloat",
    "\\begin{center}", "\\end{center}", "\\begin{equation}", "\\end{equation}", "\\graphicspath{{f/}}", "\\let\\m\\n",
    "Fig. 1. ", "\n\nFigure 2: ", "\\noindent{\\bf Fig. 1} ", "\\psfig{figure=a.eps}", "\\figcaption{f}",
    "\\figurenum{3}", "\\foreach\\m in {a,b}{", "\\figsetstart\\figsetgrpstart\\figsetplot{a}", "\\figsetend",
    "\\midinsert", "\\endinsert", "\\begin{figwindow}[0,r,{\\epsfbox{a}},{c}]", "\\end{figwindow}",
    "\\fig\\x{y}", "\\be", "\\def\\be{\\begin{equation}}",
    "\\newenvironment{e}{", "\\begin{e}", "\\end{e}", "\\bye", "\\endinput", "\\plottwo{a}{b}", "é", "\\", "~",
]  # fmt: skip
SOURCES = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)
MEMBERS = {"a.png": b"", "a.eps": b"", "f/a.pdf": b"", "b.eps": b""}


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SOURCES, SOURCES)
def test_any_source_gives_a_paper(main: str, other: str) -> None:
    """Nothing raises; images are members; ids are unique; what is given can be written as JSON."""
    members = {
        "ms.tex": ("\\documentclass{article}\\begin{document}" + main).encode(),
        "b.tex": other.encode(),
    }
    paper = read_paper({**members, **MEMBERS})

    assert isinstance(paper, LatexPaper)
    ids = [(row.figure_ordinal, row.panel_ordinal) for row in paper.figures]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    for row in paper.figures:
        assert row.image_member is None or row.image_member in MEMBERS
        assert row.caption or row.graphics_path or row.drawn_in_tex
        assert row.sub_caption is None or row.sub_caption in row.caption
    json.dumps(asdict(paper)).encode()


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=100))
def test_any_bytes_give_a_paper(data: bytes, more: bytes) -> None:
    """Bytes that are no TeX at all are answered too."""
    for members in (
        {"a.tex": data, "00README.XXX": more},
        {"x": b"\\documentclass{a}" + data + b"\\input{y}", "y": more},
    ):
        assert isinstance(read_paper(members), LatexPaper)


@settings(max_examples=100, deadline=None)
@given(SOURCES)
def test_the_same_source_gives_the_same_paper(source: str) -> None:
    """Reading twice gives equal rows, in whatever order the members come."""
    members = {"ms.tex": ("\\documentclass{article}\\begin{document}" + source).encode(), **MEMBERS}

    assert read_paper(members) == read_paper(dict(reversed(members.items())))


@settings(max_examples=100, deadline=None)
@given(SOURCES)
def test_groups_are_balanced(source: str) -> None:
    """A group that is found closes as often as it opens."""
    text = "{" + source
    end = group_end(text, 0, Work())

    if end > 0:
        inside = text[:end].replace("\\\\", "").replace("\\{", "").replace("\\}", "")
        assert inside.count("{") == inside.count("}")


@settings(max_examples=100, deadline=None)
@given(SOURCES)
def test_comments_are_gone_for_good(source: str) -> None:
    """What is left after dropping comments holds none, except where verb or url hide the sign."""
    once = strip_comments(source)

    if "\\verb" not in source:
        assert "%" not in once.replace("\\\\", "").replace("\\%", "")


@settings(max_examples=100, deadline=None)
@given(SOURCES)
def test_readable_text_keeps_dollars_in_pairs(source: str) -> None:
    """Maths in readable text can be told from text: dollars that are not escaped come in pairs."""
    text = Writer({}, Work()).text(source)

    assert text.replace("\\$", "").count("$") % 2 == 0
    assert text == text.strip()
