"""Ghostscript: the program for one figure, its library for several, and the same picture from both."""

import ctypes.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from s1mm_assets.extraction.raster import Box, Drawing, Refused
from s1mm_assets.resources.child_process import Finished, Limits, Streams, exit_code_of, run, timed_out
from s1mm_assets.tables import Rejection

_MEMORY_EXCEEDED = "ghostscript: needs more memory than a figure may take"
_PAPER_PT = 14400  # ink is looked for this far from the origin, half on each side
_ERROR = re.compile(rb"Error: (/\w+) in ([\x20-\x7e]{0,60})")
_INK = re.compile(rb"%%HiResBoundingBox: (\S+) (\S+) (\S+) (\S+)")

_ALWAYS = (
    *("-q", "-dSAFER", "-dNOPAUSE", "-dFIXEDMEDIA", "-dFIXEDRESOLUTION"),
    "-dNOPLATFONTS",  # Ghostscript's own fonts, and not what happens to be installed beside them
    "-sBandListStorage=memory",  # so that it needs no temporary files, which a kill would leave behind
    "-sstdout=%stderr",  # what a figure prints is not its picture
)
_SMOOTH = ("-sDEVICE=ppmraw", "-dTextAlphaBits=4", "-dGraphicsAlphaBits=4", "-dMaxBitmap=64000000")
_TO_OUTPUT = "-sOutputFile=-"
_FIRST_PAGE_ONLY = "/showpage {showpage quit} bind def"
_LAST_RESORT = "systemdict /showpage get exec"  # for figures that leave it to whoever includes them

# What `-g` and `-r` do on a command line, done to a Ghostscript that is running already.
_RESIZE = "mark /HWSize [{} {}] /HWResolution [{:.4f} {:.4f}] currentdevice putdeviceprops setdevice .setdefaultscreen"
_READ_INPUT = ".runstdin"  # what `-_` does
# Colour conversions are made ready at their first use: better before the process is copied than after.
_WARM_UP = "gsave 0 setgray 0 0 1 1 rectfill 1 0 0 setrgbcolor 0 0 1 1 rectfill grestore"
_FORKS = str(Path(__file__).with_name("ghostscript_forks.py"))
_PYTHON = (sys.executable, "-I", "-S")
_MESSAGES_BYTES = 2**20  # what a figure may say while it is drawn among others


@dataclass(frozen=True, slots=True)
class Ghostscript:
    """An installed Ghostscript. Picklable."""

    program: str  # its path
    limits: Limits  # of one figure

    def draw(self, drawings: Sequence[Drawing]) -> Iterator[bytes | Refused]:
        """Yield for each drawing, in order, its first page within its box as a PPM image.

        Several are drawn by copies of one process. What does not come out well, but for want of time, is
        drawn again by a process of its own, whose answer counts.
        """
        with ExitStack() as files:
            together = self._together(drawings, files) if len(drawings) > 1 else []
            for drawing, drawn in zip_longest(drawings, together):
                yield drawn or self._alone(drawing)

    def ink(self, code: bytes) -> Box | Refused:
        """Return the box around what the first page draws, for files that do not say."""
        half = _PAPER_PT / 2
        device = ("-sDEVICE=bbox", "-r72", f"-g{_PAPER_PT}x{_PAPER_PT}")
        found = self._run(code, device, before=_moved(half, half))
        if isinstance(found, Refused):
            return found
        ink = _INK.search(found.messages)
        if ink is None:
            return _failed(found.messages)
        left, bottom, right, top = (float(side) - half for side in ink.groups())
        return Box(left, bottom, right, top)

    def _alone(self, drawing: Drawing) -> bytes | Refused:
        geometry = (f"-g{drawing.size_px[0]}x{drawing.size_px[1]}", f"-r{drawing.dpi:.4f}")
        drawn = self._run(
            drawing.code,
            (*_SMOOTH, *geometry, _TO_OUTPUT),
            before=_moved(-drawing.box.left, drawing.box.bottom),
        )
        if isinstance(drawn, Refused):
            return drawn
        return drawn.output or _failed(drawn.messages)

    def _run(self, code: bytes, device: Sequence[str], *, before: str) -> Finished | Refused:
        """Run the first page of a program on a device."""
        place = ("-c", before, "-f", "-_", "-c", _LAST_RESORT)
        command = (self.program, *_ALWAYS, "-dBATCH", *device, *place)
        return run("ghostscript", command, code, self.limits)

    def _together(self, drawings: Sequence[Drawing], files: ExitStack) -> Iterator[bytes | Refused | None]:
        """Yield what copies of one process drew; None for what did not come out well."""
        library = _library_of(self.program)
        if library is None:
            return
        streams = [files.enter_context(Streams.opened(drawing.code)) for drawing in drawings]
        jobs = [self._job(drawing, each) for drawing, each in zip(drawings, streams, strict=True)]
        work = {"arguments": ["gs", *_ALWAYS, *_SMOOTH, _TO_OUTPUT], "warm_up": _WARM_UP, "jobs": jobs}
        own = files.enter_context(Streams.opened(b""))
        exit_code_of(
            (*_PYTHON, _FORKS, library, json.dumps(work)),
            own,
            self.limits,
            wall_s=(len(jobs) + 1) * self.limits.wall_s,
            pass_fds=[number for job in jobs for number in job["streams"]],
        )
        codes = [int(line) for line in own.finished(0, self.limits).output.split()]
        for each, code in zip(streams, codes, strict=False):
            late = timed_out("ghostscript", code, self.limits)
            yield late or (each.finished(code, self.limits).output if code == 0 else None)

    def _job(self, drawing: Drawing, streams: Streams) -> dict[str, Any]:
        width, height = drawing.size_px
        resize = _RESIZE.format(width, height, drawing.dpi, drawing.dpi)
        return {
            "streams": [file.fileno() for file in (streams.given, streams.output, streams.messages)],
            "before": f"{resize} {_moved(-drawing.box.left, drawing.box.bottom)}",
            "programs": [_READ_INPUT, _LAST_RESORT],
            "output_bytes": min(3 * width * height + _MESSAGES_BYTES, self.limits.output_bytes),
            "wall_s": self.limits.wall_s,
        }


def _moved(x_pt: float, y_pt: float) -> str:
    """Return the PostScript that moves the page, also for programs that begin with a matrix of their own.

    Args:
        x_pt: To the right.
        y_pt: In the direction in which the device counts: down for pixels, up for the search for ink.
    """
    return f"<</PageOffset [{x_pt:.4f} {y_pt:.4f}]>> setpagedevice {_FIRST_PAGE_ONLY}"


def _failed(messages: bytes) -> Refused:
    """Say why Ghostscript drew nothing."""
    error = _ERROR.search(messages)
    if error is None:
        return Refused(Rejection.IMAGE_UNREADABLE, "ghostscript: draws nothing")
    if error[1] == b"/VMerror":
        return Refused(Rejection.OUT_OF_MEMORY, _MEMORY_EXCEEDED)
    what = b" in ".join(error.groups()).decode("ascii").strip()
    return Refused(Rejection.IMAGE_UNREADABLE, f"ghostscript: {what}")


@cache
def _library_of(program: str) -> str | None:
    """Return the library of a Ghostscript program, of the same version; None where there is none."""
    library = ctypes.util.find_library("gs")
    if library is None:
        return None
    commands = ([program, "--version"], [*_PYTHON, _FORKS, library])
    try:
        said = [subprocess.run(each, capture_output=True, check=True, timeout=30).stdout for each in commands]  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    version, revision = (each.strip() for each in said)
    return library if version.replace(b".", b"") == revision else None
