"""Papers of several files, and papers that are none."""

from s1mm_assets.extraction.latex import read_paper
from s1mm_assets.tables import Rejection


def paper(body: str, preamble: str = "", /, **members: str) -> dict[str, bytes]:
    """A bundle whose main file has this body; keyword "a__b" is member "a/b.tex"."""
    main = f"\\documentclass{{article}}{preamble}\\begin{{document}}{body}\\end{{document}}"
    others = {name.replace("__", "/") + ".tex": text.encode() for name, text in members.items()}
    return {"ms.tex": main.encode(), **others}


def captions(members: dict[str, bytes]) -> list[str]:
    """The captions that a bundle gives."""
    return [figure.caption for figure in read_paper(members).figures]


def figure(caption: str) -> str:
    """A figure environment."""
    return f"\\begin{{figure}}\\includegraphics{{a}}\\caption{{{caption}}}\\end{{figure}}"


def test_inputs_are_read_where_they_stand() -> None:
    """input, include and plain TeX's form are followed, with and without .tex, each time they are met."""
    members = paper(
        "\\input{one}\\include{two.tex}\\input three \\InputIfFileExists{four}{}{}" + figure("last"),
        one=figure("1") + "\\input{sub/five}",
        two=figure("2"),
        three=figure("3"),
        four=figure("4"),
        sub__five=figure("5"),
    )

    assert captions(members) == ["1", "5", "2", "3", "4", "last"]


def test_tex_is_tried_before_the_bare_name() -> None:
    """As LaTeX does: input{a} is a.tex, where there is one."""
    members = {**paper("\\input{a}", a=figure("with")), "a": figure("without").encode()}

    assert captions(members) == ["with"]


def test_import_and_subfile_know_their_folders() -> None:
    """What an imported file inputs lies beside it; a sub-document's preamble and end are not the paper's."""
    sub = "\\documentclass[../ms]{subfiles}\\begin{document}" + figure("sub") + "\\end{document}junk"
    members = paper(
        "\\import{part/}{p}\\subfile{s/sub}" + figure("after"),
        part__p="\\input{q}",
        part__q=figure("q"),
        s__sub=sub,
    )

    assert captions(members) == ["q", "sub", "after"]


def test_circles_of_inputs_end() -> None:
    """A file that inputs itself is read once, and a warning says so."""
    read = read_paper(
        paper("\\input{a}" + figure("x"), a=figure("a") + "\\input{b}", b="\\input{a}\\input{ms}")
    )

    assert [row.caption for row in read.figures] == ["a", "x"]
    assert any("not followed" in warning for warning in read.warnings)


def test_endinput_and_includeonly_leave_text_out() -> None:
    """The rest of an endinput's line is read, nothing after it; includeonly skips other includes."""
    members = paper(
        "\\include{a}\\include{b}\\input{c}",
        "\\includeonly{b}",
        a=figure("a"),
        b=figure("b"),
        c=figure("c") + "\\endinput " + figure("same line") + "\n" + figure("dead"),
    )

    assert captions(members) == ["b", "c", "same line"]


def test_the_papers_own_style_file_defines_its_macros() -> None:
    """A package in the bundle that the authors wrote may hold the macro that makes the figures."""
    members = paper("\\myfig{a}{By macro}", "\\usepackage{mymacros}")
    members["mymacros.sty"] = (
        b"\\newcommand{\\myfig}[2]{\\begin{figure}\\includegraphics{#1}\\caption{#2}\\end{figure}}"
    )

    assert captions(members) == ["By macro"]


def test_images_are_members_found_through_graphicspath() -> None:
    """The folder in force where the figure stands counts."""
    members = paper(
        "\\graphicspath{{one/}}" + figure("1") + "\\graphicspath{{two/}{three/}}" + figure("2")
    ) | {"one/a.png": b"", "three/a.pdf": b""}

    assert [row.image_member for row in read_paper(members).figures] == ["one/a.png", "three/a.pdf"]


def test_missing_images_keep_their_row() -> None:
    """A figure whose file is not in the bundle says what it asked for."""
    (row,) = read_paper(paper(figure("c"))).figures

    assert (row.image_member, row.graphics_path, row.drawn_in_tex) == (None, "a", False)


def test_a_lone_file_needs_no_extension() -> None:
    """One gzipped TeX file comes under any name."""
    (source,) = paper(figure("c")).values()

    assert captions({"0001001": source}) == ["c"]


def test_bundles_without_tex_or_figures_say_so() -> None:
    """Nothing is lost silently: the rejection and its evidence are set."""
    assert read_paper({}).rejection == Rejection.NO_TEX
    assert read_paper({"a.pdf": b"%PDF-1.4"}).rejection == Rejection.NO_TEX
    assert read_paper(paper("no figure")).rejection == Rejection.NO_FIGURES
    assert read_paper(paper("no figure")).evidence


def test_ordinals_count_every_figure() -> None:
    """Drawn, missing and uncaptioned figures are counted too, so that ids stay what they are."""
    drawn = "\\begin{figure}\\begin{tikzpicture}\\end{tikzpicture}\\caption{d}\\end{figure}"
    rows = read_paper(paper(figure("x") + "\\begin{figure}\\end{figure}" + drawn + figure("y"))).figures

    assert [row.figure_ordinal for row in rows] == [1, 3, 4]
    assert [row.figure_number for row in rows] == ["1", "2", "3"]
