"""Figures that share a Ghostscript come out as if each had its own."""

import resource
import shutil
import tarfile
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s1mm_assets.extraction.raster import (
    Drawing,
    FigureFile,
    Picture,
    RasterSettings,
    Refused,
    rasterize_all,
    sniff,
)
from s1mm_assets.resources import ghostscript
from s1mm_assets.resources.renderers import ChildRenderers, Renderers
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.raster.drawings import eps, opened, refusal, with_dos_header

pytestmark = pytest.mark.needs("gs")
GREEN = b"0 1 0 setrgbcolor 20 20 100 60 rectfill\n"
PROGRAMS = [
    GREEN,
    b"/rectfill {pop pop pop pop} def /setrgbcolor {pop pop pop} bind def",
    b"/showpage {} def",
    b"showpage 1 0 0 setrgbcolor 0 0 200 100 rectfill showpage",
    b"quit",
    b"stop",
    b"no such operator",
    b"1 2 3 (left) [on] the stack",
    b"1 dict begin gsave gsave",
    b"clear cleardictstack",
    b"save pop save pop grestoreall",
    b"<</PageSize [50 50]>> setpagedevice",
    b"<</PageSize [50 50] /Policies <</PageSize 3>>>> setpagedevice",
    b"<</HWResolution [9 9]>> setpagedevice",
    b"<</HWSize [9 9]>> setpagedevice",
    b"<</Orientation 1 /NumCopies 3 /BeginPage {pop 1 0 0 setrgbcolor}>> setpagedevice",
    b"<</TextAlphaBits 1 /GraphicsAlphaBits 1>> setpagedevice",
    b"<</OutputFile (%stderr)>> setpagedevice",
    b"a4 initgraphics",
    b"currentpagedevice /PageSize get aload pop 0 0 4 2 roll rectfill",
    b"initmatrix 90 rotate 0 -99 50 50 rectfill",
    b"erasepage nulldevice",
    b"true setstrokeadjust 60 45 {pop} setscreen {1 exch sub} settransfer",
    b"3 setlinewidth 1 setlinejoin 0 0 moveto 150 33 lineto 180 90 lineto stroke",
    b"currentglobal true setglobal globaldict /leak 1 put /leak 9 dict /ProcSet defineresource pop setglobal",
    b"globaldict /leak known {"
    + GREEN
    + b"} if /leak /ProcSet {findresource} stopped not {"
    + GREEN
    + b"} if",
    b"true setglobal /Times-Roman findfont /leaked exch definefont pop",
    b"FontDirectory /leaked known {"
    + GREEN
    + b"} if /leaked findfont 20 scalefont setfont 9 9 moveto (a) show",
    b"/Helvetica findfont 20 scalefont setfont 30 40 moveto (Words) show",
    b"/Times-Roman findfont dup length dict copy /CharStrings 2 dict dup /.notdef 1 put put",
    b"3 {rand pop} repeat rand 99 mod 100 div setgray 0 0 200 100 rectfill",
    b"7 srand",
    b"0 1 1 0 setcmykcolor 0 0 150 80 rectfill",
    b"true 0 startjob {/rectfill {pop pop pop pop} def} if",
    b"serverdict begin 0 exitserver /rectfill {pop pop pop pop} def",
    b"currentfile closefile",
    b"(%stdin) (r) file closefile",
    b"(%stdin) (r) file 9999 string readstring pop length 200 div setgray 0 0 99 99 rectfill",
    b"(%stdout) (w) file dup (P6 9 9 255 ) writestring closefile",
    b"(%stderr) (w) file closefile",
    b"systemdict /rectfill {} put",
    b"errordict /handleerror {} put no such operator",
    b"$error /newerror true put",
    b"<</MaxFontCache 0>> setuserparams 0 setcachelimit",
    b"1183615869 internaldict /leak 1 put",
    b"/Default /Encoding findresource pop 99 string cvs",
    b"50 dict begin /setpagedevice {pop} def",
    b"1 0 0 setrgbcolor clippath fill 0 0 moveto 0 0 lineto clip newpath",
]
THIN_LINES = b".3 setlinewidth 9.3 5.2 moveto 9.3 90.7 lineto 180.9 90.7 lineto 2 2 lineto stroke"
SETTINGS = RasterSettings(max_side_px=450)  # of most boxes here, more than 150 dpi: Ghostscript differs below


@pytest.fixture(scope="module")
def renderers() -> ChildRenderers:
    return Renderers(cpu_s=20).pictures()


def draw(
    files: list[bytes], renderers: ChildRenderers, settings: RasterSettings = SETTINGS
) -> list[Picture | Refused]:
    named = [FigureFile(data, f"figure{number}") for number, data in enumerate(files)]
    return rasterize_all(named, renderers=renderers, settings=settings)


def draw_singly(
    files: list[bytes], renderers: ChildRenderers, settings: RasterSettings = SETTINGS
) -> list[Picture | Refused]:
    return [draw([data], renderers, settings)[0] for data in files]


def forbidden(*_: object) -> None:
    raise AssertionError("drawn alone")


def is_green(picture: Picture | Refused) -> bool:
    return opened(picture).convert("RGB").getpixel((157, 112)) == (0, 255, 0)


def test_figures_are_drawn_as_if_alone(renderers: ChildRenderers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a program does to its interpreter, the next finds a new one; only what fails is drawn again."""
    files = [eps(program + b"\n" + THIN_LINES) for program in PROGRAMS]
    alone = draw_singly(files, renderers)
    again: list[Drawing] = []
    draw_alone = ghostscript.Ghostscript._alone

    def counted(itself: ghostscript.Ghostscript, drawing: Drawing) -> bytes | Refused:
        again.append(drawing)
        return draw_alone(itself, drawing)

    monkeypatch.setattr(ghostscript.Ghostscript, "_alone", counted)

    assert draw(files[::-1], renderers) == alone[::-1]
    assert 25 < sum(isinstance(picture, Picture) for picture in alone) < len(files)
    assert len(again) == sum(isinstance(picture, Refused) for picture in alone)


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(PROGRAMS), min_size=1, max_size=3), min_size=2, max_size=4), st.data()
)
def test_neighbours_change_nothing(
    renderers: ChildRenderers, bodies: list[list[bytes]], data: st.DataObject
) -> None:
    """Any figures, of any size and place, give the same bytes together and alone."""
    boxes = st.tuples(*[st.integers(-50, 50)] * 2, *[st.integers(51, 400)] * 2)
    files = [
        eps(
            b"\n".join([*body, THIN_LINES]),
            box=b"%d %d %d %d" % data.draw(boxes),
            end=data.draw(st.sampled_from(ENDS)),
        )
        for body in bodies
    ]

    assert draw(files, renderers) == draw_singly(files, renderers)


ENDS = [b"\nshowpage\n", b"", b"\nshowpage\n\x04 )) garbage", b" showpage showpage quit"]


def test_kinds_of_files_may_be_mixed(renderers: ChildRenderers) -> None:
    """DOS headers, old line ends, and files without a box."""
    files = [with_dos_header(eps(GREEN)), eps(GREEN).replace(b"\n", b"\r"), eps(GREEN, box=None), eps(GREEN)]

    assert draw(files, renderers) == draw_singly(files, renderers)


@pytest.mark.corpus
def test_real_figures_are_drawn_as_if_alone(corpus: Path, renderers: ChildRenderers) -> None:
    """Some of the PostScript files in real papers, small."""
    small, files = RasterSettings(max_side_px=900), list[bytes]()
    for name in ("ax-foreground", "moho", "pub-jie", "tesseroids"):
        with tarfile.open(corpus / "latex" / f"{name}.tar.gz") as members:
            for member in [member for member in members if member.name.endswith(".eps")][::4]:
                file = members.extractfile(member)
                files.append(file.read() if file else b"")

    assert len(files) > 5
    assert {sniff(data) for data in files} == {"postscript"}
    assert draw(files, renderers, small) == draw_singly(files, renderers, small)


def test_one_process_serves_all(renderers: ChildRenderers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all goes well, nothing is drawn twice."""

    monkeypatch.setattr(ghostscript.Ghostscript, "_alone", forbidden)

    assert all(map(is_green, draw([eps(GREEN)] * 3, renderers)))


@pytest.mark.usefixtures("nothing_left_running")
def test_an_endless_figure_costs_its_own_time() -> None:
    """It ends when its time is up, is not tried again, and its neighbours are drawn."""
    renderers = Renderers(cpu_s=1).pictures()
    before_s = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime

    first, endless, last = draw([eps(GREEN), eps(b"{} loop"), eps(GREEN)], renderers)

    assert is_green(first)
    assert is_green(last)
    assert refusal(endless) is Rejection.TIMED_OUT
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before_s < 1.9


def test_a_figure_that_waits_costs_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each copy has an alarm for what takes no CPU time."""
    monkeypatch.setattr("s1mm_assets.resources.child_process.WALL_PER_CPU", 0.03)
    monkeypatch.setattr(ghostscript.Ghostscript, "_alone", forbidden)
    renderers = Renderers(cpu_s=20).pictures()

    first, endless, last = draw([eps(GREEN), eps(b"{} loop"), eps(GREEN)], renderers)

    assert is_green(first)
    assert is_green(last)
    assert refusal(endless) is Rejection.TIMED_OUT


def test_an_exploding_figure_is_alone_in_it() -> None:
    """Memory and output are bounded for each, and what each may take alone it may take among others."""
    renderers = Renderers(cpu_s=20, memory_mib=300, output_mib=4).pictures()
    chatty = eps(b"{(%stderr) (w) file 65535 string writestring} bind 32 {dup exec} repeat pop " + GREEN)
    endless = eps(b"/out (%stderr) (w) file def { out 65535 string writestring } loop")

    files = [eps(GREEN), eps(b"[ {60000 string} loop"), chatty, endless, eps(GREEN)]
    first, exploding, second, third, last = draw(files, renderers)

    assert all(map(is_green, (first, second, last)))
    assert refusal(exploding) is Rejection.OUT_OF_MEMORY
    assert refusal(third) is Rejection.IMAGE_TOO_LARGE


@pytest.mark.parametrize(
    "program",
    [
        b"import sys; sys.exit(1)",
        b"import os; os.abort()",
        b"print(2)",
        b"print(0); print(-11)",
        b"import json, os, sys\n"
        b"for job in json.loads(sys.argv[2])['jobs']: print(os.write(job['streams'][1], b'P6 9 9') and -11)",
    ],
    ids=["ends", "crashes", "tells of one", "draws nothing", "draws a half"],
)
def test_when_the_shared_process_fails_each_gets_its_own(
    program: bytes, renderers: ChildRenderers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not drawn, or not reported, or reported without a picture, is drawn alone."""
    broken = tmp_path / "forks.py"
    broken.write_bytes(program)
    ghostscript._library_of(str(shutil.which("gs")))
    monkeypatch.setattr(ghostscript, "_FORKS", str(broken))

    assert all(map(is_green, draw([eps(GREEN)] * 3, renderers)))


def test_a_page_that_cannot_be_set_up_is_drawn_alone(
    renderers: ChildRenderers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operators for that are Ghostscript's own, and may go; the pictures stay."""
    together = draw([eps(GREEN)] * 2, renderers)
    monkeypatch.setattr(ghostscript, "_RESIZE", "nosuchoperator")

    assert draw([eps(GREEN)] * 2, renderers) == together
    monkeypatch.setattr(ghostscript.Ghostscript, "_alone", forbidden)
    with pytest.raises(AssertionError, match="drawn alone"):
        draw([eps(GREEN)] * 2, renderers)


def test_a_library_of_another_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version on record is that of the program; what the library draws must be the same."""
    other = tmp_path / "gs"
    other.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo 8.15 || exec {shutil.which("gs")} "$@"\n')
    other.chmod(0o755)

    assert ghostscript._library_of(str(other)) is None
    assert all(map(is_green, draw([eps(GREEN)] * 2, Renderers(ghostscript=str(other)).pictures())))


def test_without_a_library_each_figure_gets_its_own(
    renderers: ChildRenderers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ghostscript that is one piece is slower, and draws the same."""
    together = draw([eps(GREEN)] * 2, renderers)
    monkeypatch.setattr(ghostscript, "_library_of", lambda _: None)

    assert draw([eps(GREEN)] * 2, renderers) == together


def test_nothing_is_left_behind_by_several(
    renderers: ChildRenderers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nameless files, whether drawn or not; and no descriptor stays open."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    n_open = psutil.Process().num_fds()

    draw([eps(GREEN), eps(b"stop"), eps(b"quit")], renderers)

    assert list(tmp_path.iterdir()) == []
    assert psutil.Process().num_fds() == n_open
