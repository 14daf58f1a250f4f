"""Ghostscript and poppler as child processes, and what hostile figures cannot make them do."""

import base64
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import matplotlib
import psutil
import pytest
from PIL import Image

from s1mm_assets.extraction.raster import (
    FigureFile,
    Picture,
    RasterSettings,
    Refused,
    rasterize_all,
)
from s1mm_assets.extraction.raster.rasterize import rasterize
from s1mm_assets.resources.renderers import FONT_FOLDERS, MISSING, ChildRenderers, Renderers
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.raster.drawings import eps, opened, pdf, pixel, refusal, with_dos_header

DEJAVU = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")  # whatever the system has
RED_RECTANGLE = b"1 0 0 setrgbcolor 20 20 100 60 rectfill"
REPAIRABLE = pdf(kids=b"9 0 R 3 0 R")  # its first page is not there; poppler takes the next


@pytest.fixture(scope="module")
def renderers() -> ChildRenderers:
    return Renderers(cpu_s=20).pictures()


def draw(data: bytes, renderers: ChildRenderers) -> Picture | Refused:
    return rasterize(
        data, "fig/plot", page=None, renderers=renderers, settings=RasterSettings(max_side_px=400)
    )


def is_white_or_none(picture: Picture | Refused) -> bool:
    return isinstance(picture, Refused) or opened(picture).getextrema() == (255, 255)


@pytest.mark.needs("gs")
@pytest.mark.parametrize(
    "data",
    [
        eps(RED_RECTANGLE),
        eps(RED_RECTANGLE, end=b""),  # leaves showpage to whoever includes it
        eps(RED_RECTANGLE, end=b"\n/showpage {} def\n"),
        with_dos_header(eps(RED_RECTANGLE)),
        eps(b"50 30 translate " + RED_RECTANGLE, box=b"50 30 250 130"),
        eps(b"-50 -30 translate " + RED_RECTANGLE, box=b"-50 -30 150 70"),
        eps(b"initgraphics 50 30 translate " + RED_RECTANGLE, box=b"50 30 250 130"),
        eps(b"a4 <</PageSize [99 99]>> setpagedevice 50 30 translate " + RED_RECTANGLE, box=b"50 30 250 130"),
        eps(RED_RECTANGLE, end=b"\nshowpage\n%%EOF\n\x04 garbage )) that follows"),
        eps(RED_RECTANGLE + b" showpage 0 0 1 setrgbcolor 0 0 200 100 rectfill"),  # a second page
        eps(b"<</PageSize [3000 3000]>> setpagedevice " + RED_RECTANGLE),
        eps(b"0 1 1 0 setcmykcolor 20 20 100 60 rectfill"),
        eps(RED_RECTANGLE).replace(b"\n", b"\r"),
    ],
    ids=[
        *("plain", "no showpage", "showpage defined away", "DOS header", "far from the origin"),
        *(
            "below the origin",
            "matrix set back",
            "page set",
            "garbage behind",
            "two pages",
            "own page size",
            "CMYK",
            "old Macintosh",
        ),
    ],
)
def test_a_drawing_stands_where_its_box_says(data: bytes, renderers: ChildRenderers) -> None:
    """Red inside, white outside, whatever the file does around it."""
    picture = draw(data, renderers)

    image = opened(picture).convert("RGB")
    assert isinstance(picture, Picture)
    assert (picture.renderer, image.size) == ("ghostscript", (400, 200))
    red, green, blue = pixel(image, (140, 100))
    assert red > 200
    assert max(green, blue) < 60
    assert [image.getpixel(at) for at in ((10, 10), (300, 100), (140, 190))] == [(255, 255, 255)] * 3


@pytest.mark.needs("gs")
@pytest.mark.parametrize("shift", [b"0 0", b"-300 -400", b"900 900", b"a4 70 80", b"initgraphics 70 80"])
def test_without_a_box_the_ink_is_found(shift: bytes, renderers: ChildRenderers) -> None:
    """A drawing that says nothing about its size is cropped to what it draws, wherever that is."""
    picture = draw(eps(shift + b" translate " + RED_RECTANGLE, box=None), renderers)

    image = opened(picture).convert("RGB")
    assert abs(image.width / image.height - 100 / 60) < 0.05
    assert image.getpixel((image.width // 2, image.height // 2)) == (255, 0, 0)


@pytest.mark.needs("gs")
@pytest.mark.parametrize(
    "body",
    [
        b"100 50 translate 90 rotate -30 -50 60 100 rectfill",
        b"/DeviceCMYK setcolorspace 0 1 1 0 setcolor 20 20 100 60 rectfill",
        b"[/Separation /Spot /DeviceCMYK {0 exch dup 0}] setcolorspace 1 setcolor 20 20 100 60 rectfill",
        b"20 20 translate 100 60 scale 1 1 8 [1 0 0 1 0 0] {<00FFFF00>} false 4 colorimage",
    ],
    ids=["turned", "CMYK space", "spot colour", "CMYK image"],
)
def test_ways_to_draw_the_same(body: bytes, renderers: ChildRenderers) -> None:
    """Red inside, white outside, whatever the operators."""
    image = opened(draw(eps(b"1 0 0 setrgbcolor " + body), renderers)).convert("RGB")

    inside = (200, 100) if b"rotate" in body else (140, 100)
    red, green, blue = pixel(image, inside)
    assert red > 200
    assert max(green, blue) < 60
    assert [image.getpixel(at) for at in ((10, 10), (390, 190))] == [(255, 255, 255)] * 2


@pytest.mark.needs("gs")
@pytest.mark.parametrize("font", [b"Helvetica", b"Times-Roman", b"Symbol", b"Courier", b"NoSuchFont"])
def test_text_is_drawn(font: bytes, renderers: ChildRenderers) -> None:
    """Fonts that a file does not bring along are Ghostscript's own, or what it takes in their place."""
    text = b"/" + font + b" findfont 40 scalefont setfont 20 30 moveto (abc) show"

    image = opened(draw(eps(text), renderers)).convert("L")

    assert 200 < image.histogram()[0] < 20_000


@pytest.mark.needs("gs")
def test_edges_are_smooth(renderers: ChildRenderers) -> None:
    """Lines and text are anti-aliased."""
    image = opened(draw(eps(b"0 0 moveto 200 100 lineto stroke"), renderers))

    assert len(set(image.convert("L").tobytes())) > 3


@pytest.mark.needs("gs")
def test_the_same_drawing_gives_the_same_bytes(renderers: ChildRenderers) -> None:
    """Two processes draw the same."""
    data = eps(RED_RECTANGLE + b" /Times-Roman findfont 20 scalefont setfont 30 40 moveto (abc) show")

    assert draw(data, renderers) == draw(data, renderers)


@pytest.mark.needs("gs")
@pytest.mark.parametrize(
    "attempt",
    [
        b"(SECRET) (r) file pop",
        b"(SECRET) run",
        b"(DIR/new) (w) file (seen) writestring",
        b"(%pipe%touch DIR/new) (w) file (seen) writestring",
        b"<</OutputFile (DIR/new)>> setpagedevice showpage",
        b"(SECRET) deletefile",
        b"(SECRET) (DIR/new) renamefile",
        b"(DIR/*) { /found true def } 1000 string filenameforall found not { stop } if",
    ],
)
def test_postscript_reaches_no_file(attempt: bytes, renderers: ChildRenderers, tmp_path: Path) -> None:
    """A program in a figure reads, writes, lists and starts nothing, alone or not: the picture stays white."""
    (tmp_path / "secret").write_text("/found true def")
    attempt = attempt.replace(b"DIR", bytes(tmp_path)).replace(b"SECRET", bytes(tmp_path / "secret"))

    data = eps(b"{ " + attempt + b" } stopped not { 0 0 200 100 rectfill } if")
    pictures = rasterize_all([FigureFile(data, "plot")] * 2, renderers=renderers, settings=RasterSettings())

    assert all(map(is_white_or_none, [draw(data, renderers), *pictures]))
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.needs("gs")
def test_postscript_sees_no_environment(renderers: ChildRenderers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens live in environment variables."""
    monkeypatch.setenv("HF_TOKEN", "secret")

    attempt = eps(b"{ (HF_TOKEN) getenv { pop 0 0 200 100 rectfill } if } stopped")
    pictures = rasterize_all(
        [FigureFile(attempt, "plot")] * 2, renderers=renderers, settings=RasterSettings()
    )

    assert all(map(is_white_or_none, [draw(attempt, renderers), *pictures]))


@pytest.mark.usefixtures("nothing_left_running")
@pytest.mark.needs("gs")
def test_an_endless_program_is_killed(renderers: ChildRenderers) -> None:
    """Its CPU time ends; the row says so; nothing is left running."""
    quick = Renderers(cpu_s=1).pictures()

    picture = draw(eps(b"{} loop"), quick)

    assert refusal(picture) is Rejection.TIMED_OUT
    assert "ghostscript" in str(picture)


@pytest.mark.usefixtures("nothing_left_running")
def test_a_child_that_waits_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting takes no CPU time; the wall clock bounds it, and what the child started ends with it."""
    monkeypatch.setattr("s1mm_assets.resources.child_process.WALL_PER_CPU", 0.5)
    waits = tmp_path / "waits"
    waits.write_text("#!/bin/sh\nsleep 60\n")
    waits.chmod(0o755)

    assert (
        refusal(draw(eps(b""), Renderers(cpu_s=1, ghostscript=str(waits)).pictures())) is Rejection.TIMED_OUT
    )


@pytest.mark.needs("gs")
def test_an_exploding_program_is_refused() -> None:
    """Memory is bounded; another machine may have more, so that the row can be retried."""
    small = Renderers(cpu_s=20, memory_mib=300).pictures()

    assert refusal(draw(eps(b"[ {60000 string} loop"), small)) is Rejection.OUT_OF_MEMORY


@pytest.mark.needs("gs")
@pytest.mark.parametrize("stream", [b"%stdout", b"%stderr"])
def test_endless_output_is_refused(stream: bytes) -> None:
    """A program that prints for ever fills neither memory nor disk."""
    small = Renderers(cpu_s=20, output_mib=1).pictures()
    code = b"/out (" + stream + b") (w) file def { out 65535 string writestring } loop"

    assert refusal(draw(eps(code), small)) is Rejection.IMAGE_TOO_LARGE


@pytest.mark.needs("gs")
def test_a_program_that_fails_says_its_error(renderers: ChildRenderers) -> None:
    """The evidence is PostScript's own."""
    picture = draw(eps(b"1 0 0 setrgbcolour"), renderers)

    assert picture == Refused(Rejection.IMAGE_UNREADABLE, "ghostscript: /undefined in setrgbcolour")


@pytest.mark.needs("gs")
def test_nothing_is_left_behind(
    renderers: ChildRenderers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No temporary file outlives its figure, drawn or not."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for data in (eps(RED_RECTANGLE), eps(b"stop"), REPAIRABLE, b"%PDF-1.4"):
        draw(data, renderers)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("gs", "setpriv")  # by which the kernel's help is asked for
@pytest.mark.parametrize("n_figures", [1, 2])
def test_children_die_with_their_parent(n_figures: int, tmp_path: Path) -> None:
    """Kill -9 of a worker leaves no Ghostscript running, and no file."""
    code = (
        "from s1mm_assets.extraction.raster import Box, Drawing\n"
        "from s1mm_assets.resources.ghostscript import Ghostscript, Limits\n"
        "endless = Drawing(b'%!PS\\n{} loop', Box(0, 0, 9, 9), (9, 9), 72)\n"
        f"list(Ghostscript({shutil.which('gs')!r}, Limits(60, 2**31, 2**20)).draw([endless] * {n_figures}))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "TMPDIR": str(tmp_path)},
    )
    children: list[psutil.Process] = []
    while not children and parent.poll() is None:
        time.sleep(0.05)
        descendants = psutil.Process(parent.pid).children(recursive=True)
        children = (
            descendants if len(descendants) == n_figures else []
        )  # one alone; of several, the first copy
    parent.send_signal(signal.SIGKILL)
    parent.wait()

    assert children
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("pdftoppm")
def test_poppler_draws_what_pdfium_refuses(renderers: ChildRenderers) -> None:
    """A page tree that names a missing page; and foreign matter longer than pdfium skips."""
    for data in (REPAIRABLE, b"X-Mail: " + b"x" * 1500 + b"\r\n\r\n" + pdf()):
        picture = draw(data, renderers)

        image = opened(picture)
        assert isinstance(picture, Picture)
        assert (picture.renderer, image.size) == ("poppler", (400, 200))
        assert image.getpixel((140, 100)) == (255, 0, 0)
        assert image.getpixel((10, 10)) == (255, 255, 255)


@pytest.mark.needs("pdftoppm")
@pytest.mark.parametrize("kids", [b"[3 0 R", b"null", b"7 0 R"])
def test_what_neither_can_draw_is_unreadable(kids: bytes, renderers: ChildRenderers) -> None:
    """Both were asked, and the evidence has both answers; a page without anything on it is no repair."""
    picture = draw(pdf(kids=kids).replace(b"/Type/Page/", b"/Type/Pag/"), renderers)

    assert isinstance(picture, Refused)
    assert picture.rejection is Rejection.IMAGE_UNREADABLE
    assert "pdfium" in picture.evidence
    assert "poppler" in picture.evidence


@pytest.mark.usefixtures("nothing_left_running")
@pytest.mark.needs("pdftoppm")
def test_poppler_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second try that does not end is killed with all that it started."""
    monkeypatch.setattr("s1mm_assets.resources.child_process.WALL_PER_CPU", 0.01)

    assert refusal(draw(REPAIRABLE, Renderers(cpu_s=1).pictures())) is Rejection.TIMED_OUT


def svg(body: str, *, head: str = 'width="200" height="100"') -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" {head}>{body}</svg>'.encode()


def test_svg_is_drawn_on_white(renderers: ChildRenderers) -> None:
    """Shapes stand where they should, transparent ones mix with white, and the bytes are the same each time."""
    data = svg('<rect x="20" y="20" width="100" height="60" fill="red" fill-opacity="0.5"/>')

    picture = draw(data, renderers)

    image = opened(picture)
    assert isinstance(picture, Picture)
    assert (picture.renderer, image.size) == ("resvg", (400, 200))
    assert image.getpixel((10, 10)) == (255, 255, 255)
    red, green, blue = pixel(image, (140, 100))
    assert red == 255
    assert max(abs(green - 127), abs(blue - 127)) <= 2
    assert draw(data, renderers) == picture


@pytest.mark.parametrize(
    "text",
    [
        f'<text x="20" y="60" font-size="40" {font}>abc</text>'
        for font in (
            *("", 'font-family="Arial"', 'font-family="No Such Font"', 'font-family="inherit"'),
            *("style=\"font-family:'Bitstream Vera Sans'\"", 'style="font: 40px Verdana"', 'class="t"'),
        )
    ],
)
def test_text_of_svg_is_drawn(text: str, renderers: ChildRenderers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A font that is not there is no reason to leave out axis labels."""
    monkeypatch.setattr("s1mm_assets.resources.renderers.FONT_FOLDERS", (*FONT_FOLDERS, str(DEJAVU.parent)))

    image = opened(draw(svg(f"<style>.t {{font-family: Helvetica !important}}</style>{text}"), renderers))

    assert 200 < image.convert("L").histogram()[0] < 20_000


def test_any_font_is_better_than_none(
    renderers: ChildRenderers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where only one is installed, it stands for all; which were there is on record."""
    before = Renderers().versions()["resvg"]
    shutil.copy(DEJAVU, tmp_path)
    monkeypatch.setattr("s1mm_assets.resources.renderers.FONT_FOLDERS", (str(tmp_path),))

    image = opened(draw(svg('<text x="20" y="60" font-size="40" font-family="Times">abc</text>'), renderers))

    assert 200 < image.convert("L").histogram()[0] < 20_000
    assert Renderers().versions()["resvg"] != before


def test_svg_without_fonts_can_be_retried(
    renderers: ChildRenderers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where no font is installed, a drawing with text says so; one without is drawn."""
    monkeypatch.setattr("s1mm_assets.resources.renderers.FONT_FOLDERS", (str(tmp_path),))

    missing = draw(svg('<text y="50">abc</text>'), renderers)

    assert isinstance(missing, Refused)
    assert missing.rejection is Rejection.RENDERER_MISSING
    assert "apt-get install fonts" in missing.evidence
    assert isinstance(draw(svg('<rect width="9" height="9"/>'), renderers), Picture)


def test_svg_reaches_no_file(renderers: ChildRenderers, tmp_path: Path) -> None:
    """Not even from within a picture that it holds."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(opened_png())
    inner = base64.b64encode(svg(f'<image width="200" height="100" href="{secret}"/>')).decode()
    for kind in ("image/svg+xml", "image/png", "text/plain", ""):
        data = svg(f'<image width="200" height="100" href="data:{kind};base64,{inner}"/>')

        assert is_white_or_none(draw(data, renderers))


def opened_png() -> bytes:
    out = BytesIO()
    Image.new("RGB", (200, 100), "black").save(out, "PNG")
    return out.getvalue()


@pytest.mark.usefixtures("nothing_left_running")
@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        (
            "".join(f'<g id="g{n}"><use href="#g{n - 1}"/><use href="#g{n - 1}"/></g>' for n in range(1, 60))
            + '<g id="g0"><rect width="9" height="9"/></g>',
            {"timed_out", "out_of_memory", "image_unreadable"},
        ),
        (
            '<filter id="f" x="-1e4" y="-1e4" width="1e5" height="1e5" filterUnits="userSpaceOnUse">'
            + '<feGaussianBlur stdDeviation="3000"/><feTurbulence numOctaves="9999"/>' * 50
            + '</filter><rect width="200" height="100" filter="url(#f)"/>',
            {"timed_out", "out_of_memory", "image_unreadable", None},
        ),
        (
            '<pattern id="p" width="1e-7" height="1e-7"><rect width="9" height="9"/></pattern>'
            '<rect width="200" height="100" fill="url(#p)"/>',
            {"timed_out", "out_of_memory", "image_unreadable", None},
        ),
        ('<rect id="a" mask="url(#m)"/><mask id="m"><use href="#a"/></mask>', {"image_unreadable", None}),
    ],
    ids=["use bomb", "filter", "pattern", "mask of itself"],
)
def test_hostile_svg_is_bounded(body: str, reasons: set[str | None]) -> None:
    """Time and memory end for the child alone; the row says which did, or what it drew."""
    small = Renderers(cpu_s=1, memory_mib=500).pictures()

    picture = draw(svg(body), small)

    assert (picture.rejection.value if isinstance(picture, Refused) else None) in reasons


def test_missing_programs_are_named() -> None:
    """Each figure says which renderer it wanted and how to get it."""
    none = Renderers(ghostscript="no-such-gs", poppler="no-such-poppler").pictures()

    for data, name in (
        (eps(b""), "ghostscript"),
        (eps(b"", box=None), "ghostscript"),
        (REPAIRABLE, "poppler"),
    ):
        picture = draw(data, none)
        assert isinstance(picture, Refused)
        assert picture.rejection is Rejection.RENDERER_MISSING
        assert picture.evidence.startswith(f"{name} is not installed: apt-get install ")
    assert isinstance(draw(pdf(), none), Picture)


def test_versions_name_every_renderer_and_warn_of_missing_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """They go into fingerprints; of a missing program one warning says how to install it."""
    warnings: list[str] = []
    monkeypatch.setattr(dg, "get_dagster_logger", lambda: SimpleNamespace(warning=warnings.append))

    versions = Renderers(ghostscript="no-such-gs", poppler=sys.executable).versions()

    assert list(versions) == ["pillow", "pdfium", "poppler", "ghostscript", "resvg"]
    assert versions["ghostscript"] == MISSING
    assert all(versions[name][0].isdigit() for name in ("pillow", "pdfium"))
    [warning] = warnings
    assert "apt-get install ghostscript" in warning
    assert "s1mm retry" in warning


def test_workers_take_the_renderers_with_them(renderers: ChildRenderers) -> None:
    """They are picklable, and equal on the other side."""
    assert pickle.loads(pickle.dumps(renderers)) == renderers  # noqa: S301
