"""The renderers outside this process: Ghostscript and poppler, each figure in a child that is kept small.

A child gets the figure on its standard input and answers on its standard output, both nameless temporary
files, so that nothing in a figure names a file and nothing is left behind. It is bounded in CPU time, wall
time, memory and output, and dies with its parent.
"""

import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from os import killpg
from typing import IO, Any

import dagster as dg
import PIL
import PIL.features
import pypdfium2.version

from s1mm_assets.extraction.raster import Box, Page, Refused
from s1mm_assets.tables import Rejection

MISSING = "missing"
INSTALL_GHOSTSCRIPT = "apt-get install ghostscript (Debian, Ubuntu), brew install ghostscript (macOS)"
INSTALL_POPPLER = "apt-get install poppler-utils (Debian, Ubuntu), brew install poppler (macOS)"

_MEMORY_EXCEEDED = "needs more memory than a figure may take"
_OUTPUT_EXCEEDED = "writes more than a figure may hold"
_MESSAGE_BYTES = 4096
_WALL_PER_CPU = 4  # a child on a busy machine gets this many seconds for one of CPU time
_NOWHERE = "/nonexistent"
_PAPER_PT = 14400  # ink is looked for this far from the origin, half on each side
_POSTSCRIPT_ERROR = re.compile(rb"Error: (/\w+) in ([\x20-\x7e]{0,60})")
_INK = re.compile(rb"%%HiResBoundingBox: (\S+) (\S+) (\S+) (\S+)")

_GHOSTSCRIPT = (
    *("-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-dFIXEDMEDIA"),
    "-dNOPLATFONTS",  # Ghostscript's own fonts, and not what happens to be installed beside them
    "-sBandListStorage=memory",  # so that it needs no temporary files, which a kill would leave behind
    "-sstdout=%stderr",  # what a figure prints is not its picture
)
_FIRST_PAGE_ONLY = "/showpage {showpage quit} bind def"
_LAST_RESORT = "systemdict /showpage get exec"  # for figures that leave it to whoever includes them

_POPPLER = """
import sys
from pdf2image import convert_from_bytes, pdfinfo_from_bytes
page, side = int(sys.argv[1]), int(sys.argv[2])
data = sys.stdin.buffer.read()
info = pdfinfo_from_bytes(data, first_page=page, last_page=page)
size = next(value for key, value in info.items() if key.split()[-1:] == ["size"] and "pts" in value)
[image] = convert_from_bytes(data, first_page=page, last_page=page, size=side, use_cropbox=True)
if any(low < high for low, high in image.getextrema()):  # else it found a page, and nothing on it
    sys.stdout.buffer.write(size.encode() + b"\\n")
    image.save(sys.stdout.buffer, "PPM")
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child process may take."""

    cpu_s: int
    memory_bytes: int
    output_bytes: int  # of each file that it writes


@dataclass(frozen=True, slots=True)
class Finished:
    """What a child that ended by itself left behind."""

    output: bytes
    messages: bytes  # the end of what it wrote to standard error


@dataclass(frozen=True, slots=True)
class ChildRenderers:
    """`extraction.raster.Renderers`, by child processes. Picklable: workers take it with them."""

    ghostscript: str | None  # path of the program; None if it is not installed
    poppler: str | None
    limits: Limits

    def postscript(self, data: bytes, box: Box, size_px: tuple[int, int], dpi: float) -> bytes | Refused:
        """Draw the first page within `box`, on white; return a PPM image of exactly `size_px`."""
        width, height = size_px
        device = ("-sDEVICE=ppmraw", "-dTextAlphaBits=4", "-dGraphicsAlphaBits=4", "-dMaxBitmap=64000000")
        geometry = (f"-g{width}x{height}", f"-r{dpi:.4f}", "-sOutputFile=-")
        drawn = self._ghostscript(data, (*device, *geometry), origin=(-box.left, -box.bottom))
        if isinstance(drawn, Refused):
            return drawn
        return drawn.output or _postscript_failed(drawn.messages)

    def postscript_ink(self, data: bytes) -> Box | Refused:
        """Return the box around what the first page draws, for files that do not say."""
        half = _PAPER_PT / 2
        found = self._ghostscript(
            data, ("-sDEVICE=bbox", "-r72", f"-g{_PAPER_PT}x{_PAPER_PT}"), origin=(half, half)
        )
        if isinstance(found, Refused):
            return found
        ink = _INK.search(found.messages)
        if ink is None:
            return _postscript_failed(found.messages)
        left, bottom, right, top = (float(side) - half for side in ink.groups())
        return Box(left, bottom, right, top)

    def pdf_second_try(self, data: bytes, page: int, long_side_px: int) -> Page | Refused:
        """Render one page (0-based) that pdfium refused, its long side `long_side_px` pixels."""
        if self.poppler is None:
            return Refused(Rejection.RENDERER_MISSING, f"poppler is not installed: {INSTALL_POPPLER}")
        command = [sys.executable, "-I", "-c", _POPPLER, str(page + 1), str(long_side_px)]
        with tempfile.TemporaryDirectory(prefix="s1mm-") as scratch:
            drawn = _run("poppler", command, data, self.limits, scratch)
        if isinstance(drawn, Refused):
            return drawn
        stated, _, ppm = drawn.output.partition(b"\n")
        size = re.match(rb"([\d.]+) x ([\d.]+) pts", stated)
        if size is None or not ppm:
            return Refused(Rejection.IMAGE_UNREADABLE, "poppler: cannot read it either")
        return Page(ppm, width_pt=float(size[1]), height_pt=float(size[2]))

    def stopwatch(self) -> Callable[[], bool]:
        """Start to count the CPU time of one figure; the function returned says whether it is used up."""
        end_s = time.process_time() + self.limits.cpu_s
        return lambda: time.process_time() > end_s

    def _ghostscript(
        self, data: bytes, device: Sequence[str], *, origin: tuple[float, float]
    ) -> Finished | Refused:
        """Run the first page of a program on a device, with (0, 0) moved to `origin` (points)."""
        if self.ghostscript is None:
            reason = f"ghostscript is not installed: {INSTALL_GHOSTSCRIPT}"
            return Refused(Rejection.RENDERER_MISSING, reason)
        before = f"{origin[0]:.4f} {origin[1]:.4f} translate {_FIRST_PAGE_ONLY}"
        command = [self.ghostscript, *_GHOSTSCRIPT, *device, "-c", before, "-f", "-_", "-c", _LAST_RESORT]
        return _run("ghostscript", command, data, self.limits, _NOWHERE)


def _postscript_failed(messages: bytes) -> Refused:
    """Say why Ghostscript drew nothing."""
    error = _POSTSCRIPT_ERROR.search(messages)
    if error is None:
        return Refused(Rejection.IMAGE_UNREADABLE, "ghostscript: draws nothing")
    if error[1] == b"/VMerror":
        return Refused(Rejection.OUT_OF_MEMORY, f"ghostscript: {_MEMORY_EXCEEDED}")
    what = b" in ".join(error.groups()).decode("ascii").strip()
    return Refused(Rejection.IMAGE_UNREADABLE, f"ghostscript: {what}")


def _run(name: str, command: Sequence[str], data: bytes, limits: Limits, scratch: str) -> Finished | Refused:
    """Run one child on `data`. Its exit code is not judged: some figures fail after they are drawn."""
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as messages,
    ):
        given.write(data)
        given.seek(0)
        child = subprocess.Popen(  # noqa: S603 - the command is ours
            [*_dying_with_parent(), *command],
            stdin=given,
            stdout=output,
            stderr=messages,
            cwd="/",
            env={"PATH": "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin", "LC_ALL": "C", "TMPDIR": scratch},
            start_new_session=True,
        )
        _limit(child.pid, limits)
        try:
            code = child.wait(limits.cpu_s * _WALL_PER_CPU)
        except subprocess.TimeoutExpired:
            code = -signal.SIGXCPU
        finally:
            _end(child)
        if code == -signal.SIGXCPU:
            return Refused(Rejection.TIMED_OUT, f"{name}: took more than {limits.cpu_s} s of CPU time")
        if code == -signal.SIGXFSZ:
            return Refused(Rejection.IMAGE_TOO_LARGE, f"{name}: {_OUTPUT_EXCEEDED}")
        output.seek(0)
        return Finished(output.read(limits.output_bytes), _end_of(messages))


def _limit(pid: int, limits: Limits) -> None:
    """Bound a running child. Done from outside, because code between fork and exec can deadlock.

    The few instructions it runs before count against the same limits. macOS cannot do this; there the wall
    time alone bounds it.
    """
    if sys.platform != "linux":
        return
    bounds = (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.output_bytes),
        (resource.RLIMIT_CORE, 0),
    )
    with suppress(ProcessLookupError):  # it may have ended already
        for what, most in bounds:
            resource.prlimit(pid, what, (most, most))
        # At the soft limit comes SIGXCPU, which says why; at the hard one SIGKILL, which does not.
        resource.prlimit(pid, resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and all that it started, if it is still there."""
    if child.poll() is None:
        killpg(child.pid, signal.SIGKILL)
        child.wait()


def _end_of(messages: IO[bytes]) -> bytes:
    """Return the end of what a child said; the beginning of an endless complaint is not worth more."""
    n_bytes = messages.seek(0, 2)
    messages.seek(max(0, n_bytes - _MESSAGE_BYTES))
    return messages.read()


@cache
def _dying_with_parent() -> tuple[str, ...]:
    """Return a command that has the kernel kill a child when this process dies, where there is one."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", "KILL")
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)  # noqa: S603
    return prefix if tried.returncode == 0 else ()


class Renderers(dg.ConfigurableResource[Any]):
    """Ghostscript and poppler, where they are installed, and the versions of all that renders."""

    ghostscript: str = "gs"  # program name or path
    poppler: str = "pdftoppm"
    cpu_s: int = 60  # of one figure
    memory_mib: int = 2048  # of one child
    output_mib: int = 192  # of each file that a child writes; poppler copies its PDF

    def pictures(self) -> ChildRenderers:
        """Return what workers render with."""
        return ChildRenderers(
            ghostscript=shutil.which(self.ghostscript),
            poppler=shutil.which(self.poppler),
            limits=Limits(
                cpu_s=self.cpu_s, memory_bytes=self.memory_mib * 2**20, output_bytes=self.output_mib * 2**20
            ),
        )

    def decoder(self) -> dict[str, str]:
        """Return the version of what decodes the images that were rendered."""
        return {"pillow": f"{PIL.__version__} {_codecs()}"}

    def missing(self, found: Mapping[str, str]) -> list[str]:
        """Return a line for each renderer that is missing: what that costs, and how to install it."""
        return [
            f"{name} is not installed: {effect} are rejected as renderer_missing. "
            f"Install it ({install}), then run `s1mm retry`."
            for name, effect, install in (
                ("ghostscript", "figures in EPS and PostScript", INSTALL_GHOSTSCRIPT),
                ("poppler", "PDF figures that pdfium refuses", INSTALL_POPPLER),
            )
            if found[name] == MISSING
        ]

    def versions(self) -> dict[str, str]:
        """Return renderer → version, or "missing"; warn of each that is missing and say how to install it."""
        found = {
            **self.decoder(),
            "pdfium": str(pypdfium2.version.PDFIUM_INFO),
            "poppler": _version(self.poppler, "-v"),
            "ghostscript": _version(self.ghostscript, "--version"),
        }
        for line in self.missing(found):
            dg.get_dagster_logger().warning(line)
        return found


def _codecs() -> str:
    """Name the codecs that Pillow was built with: its bytes depend on them."""
    names = ("zlib", "zlib_ng", "jpg", "libjpeg_turbo", "libtiff")
    found = {name: PIL.features.version(name) for name in names}
    return " ".join(f"{name}={version}" for name, version in found.items() if version)


def _version(program: str, option: str) -> str:
    """Return the version number that a program states, or "missing"."""
    path = shutil.which(program)
    if path is None:
        return MISSING
    said = subprocess.run([path, option], capture_output=True, check=False, timeout=30)  # noqa: S603
    number = re.search(rb"\d+(\.\d+)+", said.stdout + said.stderr)
    return number[0].decode("ascii") if number else "unknown"
