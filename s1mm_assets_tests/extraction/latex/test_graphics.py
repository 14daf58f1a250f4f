"""Which member a graphics path means."""

import pytest

from s1mm_assets.extraction.latex.graphics import Finder, read_graphics
from s1mm_assets.extraction.latex.lexing import Work


@pytest.mark.parametrize(
    ("written", "members", "expected"),
    [
        ("a", ["a.png", "a.pdf"], "a.pdf"),
        ("a.png", ["a.pdf", "a.png"], "a.png"),
        ("figs/a", ["figs/a.jpg"], "figs/a.jpg"),
        ("./figs/../a.eps", ["a.eps"], "a.eps"),
        ('"my figure"', ["my figure.pdf"], "my figure.pdf"),
        ("{v1.2.plot}.pdf", ["v1.2.plot.pdf"], "v1.2.plot.pdf"),
        ("v1.2.plot", ["v1.2.plot.png"], "v1.2.plot.png"),
        ("Plot.PDF", ["plot.pdf"], "plot.pdf"),
        ("a.eps", ["a-eps-converted-to.pdf"], "a-eps-converted-to.pdf"),
        ("plot.1", ["plot.1"], "plot.1"),
        ("a\\_b", ["a_b.png"], "a_b.png"),
        ("a", ["a.tex"], None),
        ("../a", ["a.png"], None),
        ("other/a", ["figs/a.png"], None),
        ("", ["a.png"], None),
    ],
)
def test_paths_are_found_as_tex_finds_them(written: str, members: list[str], expected: str | None) -> None:
    """Extensions in pdfTeX's order, blanks and dots in names, another case; never a file of another folder."""
    finder = Finder(dict.fromkeys(members, b""), "")

    member, _ = finder.find(written, (), "paper.tex")

    assert member == expected


def test_the_first_folder_wins_and_the_doubt_is_noted() -> None:
    """The main file's folder comes before those of graphicspath; what else would match is said."""
    finder = Finder(dict.fromkeys(["paper/a.png", "paper/figs/a.pdf"], b""), "paper")

    assert finder.find("a", ("figs/",), "paper/ms.tex") == ("paper/a.png", "also: paper/figs/a.pdf")


def test_postscript_papers_prefer_postscript() -> None:
    """Where latex and dvips were run, a name without extension means the EPS file."""
    finder = Finder(dict.fromkeys(["a.eps", "a.pdf"], b""), "", is_dvi=True)

    assert finder.find("a", (), "")[0] == "a.eps"


@pytest.mark.parametrize(
    ("command", "text", "paths", "page"),
    [
        ("includegraphics", "[width=3cm, page=3]{a.pdf}", ["a.pdf"], 2),
        ("includegraphics", "*[0,0][1,1]{a}", ["a"], None),
        ("epsfig", "{width=3cm,file=a.eps}", ["a.eps"], None),
        ("psfig", "{figure=a.ps}", ["a.ps"], None),
        ("plottwo", "{a.eps}{b.eps}", ["a.eps", "b.eps"], None),
        ("epsfbox", "[0 0 1 1]{a.ps}", ["a.ps"], None),
        ("special", "{psfile=a.ps hscale=3}", ["a.ps"], None),
        ("special", "{color red}", [], None),
        ("adjustimage", "{width=1cm}{a}", ["a"], None),
        ("FigureFile", "(80mm,50mm){a.eps}", ["a.eps"], None),
        ("includegraphics", "", [], None),
    ],
)
def test_signatures(command: str, text: str, paths: list[str], page: int | None) -> None:
    """Each graphics command names its files in its own way."""
    found, _ = read_graphics(command, text, 0, Work())

    assert [graphic.path for graphic in found] == paths
    assert all(graphic.page == page for graphic in found)
