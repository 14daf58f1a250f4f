"""Bytes to text, comments, and the choice of the main file."""

import pytest

from s1mm_assets.extraction.latex.source import SourceTree, decode, main_file, normal_path, strip_comments

DOCUMENT = b"\\documentclass{article}\\begin{document}x\\end{document}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a%b\nc", "ac"),
        ("a%b\n   c", "ac"),
        ("a %b\n\nc", "a \n\nc"),
        ("a\n%b\nc", "a\nc"),
        ("a\n%b\n\nc", "a\n\nc"),
        ("50\\% of a%b\nc", "50\\% of ac"),
        ("line\\\\%b\nc", "line\\\\c"),
        ("\\verb|%|a%b\nc", "\\verb|%|ac"),
        ("\\url{a%20b}\nc", "\\url{a%20b}\nc"),
        ("%", ""),
        ("a%", "a"),
    ],
)
def test_comments_end_where_tex_ends_them(source: str, expected: str) -> None:
    """A comment takes its line end and the next indent with it; a blank line after it still ends a paragraph."""
    assert strip_comments(source) == expected


@pytest.mark.parametrize(
    ("data", "declared", "text", "encoding"),
    [
        (b"\xef\xbb\xbfa", None, "a", "utf-8"),
        ("é".encode(), "latin-1", "é", "utf-8"),
        (b"\xe9", "latin-1", "é", "latin-1"),
        (b"\x80", None, "€", "cp1252"),
        (b"\x81\xe9", None, "\x81é", "latin-1"),
        (b"\xd4", "koi8-r", "т", "koi8-r"),
        (b"a\r\nb\rc", None, "a\nb\nc", "utf-8"),
        ("\ufeffa".encode("utf-16-le"), None, "a", "utf-16"),
    ],
)
def test_encodings_are_found_and_recorded(
    data: bytes, declared: str | None, text: str, encoding: str
) -> None:
    """Byte order mark, UTF-8, the declared encoding, Windows-1252, Latin-1: in this order."""
    assert decode(data, declared) == (text, encoding)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"a.tex": DOCUMENT}, "a.tex"),
        ({"2301.00001": DOCUMENT}, "2301.00001"),
        ({"paper.tex": DOCUMENT, "supplement.tex": DOCUMENT + b"%longer" * 9}, "paper.tex"),
        ({"a.tex": DOCUMENT.replace(b"x", b"\\input{b}"), "b.tex": DOCUMENT + b"long" * 9}, "a.tex"),
        ({"a.tex": DOCUMENT, "z/ms.tex": DOCUMENT, "b.tex": DOCUMENT, "b.bbl": b"x"}, "b.tex"),
        ({"a.tex": DOCUMENT, "b.tex": DOCUMENT, "00README.XXX": b"b.tex toplevelfile"}, "b.tex"),
        ({"a.tex": b"%\\documentclass{article}", "b.tex": DOCUMENT}, "b.tex"),
        ({"a.tex": b"\\documentstyle[epsf]{article}\\begin{document}", "b.tex": b"\\section{x}"}, "a.tex"),
        ({"a.tex": b"\\magnification=1200 text \\bye", "macros.tex": b"\\def\\a{b}"}, "a.tex"),
        ({"main.tex": b"\\documentclass{article}", "body.tex": DOCUMENT}, "body.tex"),
        ({"figure.png": b"\x89PNG", "notes.html": b"<a>"}, None),
        ({}, None),
    ],
)
def test_the_main_file_is_the_one_that_tex_would_be_run_on(
    members: dict[str, bytes], expected: str | None
) -> None:
    """A class, a body, not read by others, a usual name, a bibliography of its own name."""
    assert main_file(SourceTree(members)) == expected


def test_paths_never_leave_the_bundle() -> None:
    """A path that climbs out, or holds a NUL, is no path."""
    assert normal_path("a/b", "../c.tex") == "a/c.tex"
    assert normal_path("a", "../../c.tex") is None
    assert normal_path("", "/etc/passwd") == "etc/passwd"
    assert normal_path("", "a\0b") is None
