"""The renderers outside this process: Ghostscript, poppler and resvg, each figure in a child that is kept small."""

import hashlib
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from s1mm_assets.extraction.raster import Box, Drawing, Page, Refused
from s1mm_assets.resources.child_process import Finished, Limits, run
from s1mm_assets.resources.ghostscript import Ghostscript
from s1mm_assets.resources.program_version import stated_version
from s1mm_assets.tables import Rejection

MISSING = "missing"
INSTALL_GHOSTSCRIPT = "apt-get install ghostscript (Debian, Ubuntu), brew install ghostscript (macOS)"
INSTALL_POPPLER = "apt-get install poppler-utils (Debian, Ubuntu), brew install poppler (macOS)"
INSTALL_FONTS = "apt-get install fonts-urw-base35 fonts-dejavu-core (Debian, Ubuntu)"
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts", "/System/Library/Fonts")

_NO_FONTS = f"resvg finds no fonts: {INSTALL_FONTS}"
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
# The first of each that is installed stands for fonts that are not; without, their text would not be drawn.
_FAMILIES = {
    "serif": ("Liberation Serif", "Nimbus Roman", "DejaVu Serif", "Times New Roman"),
    "sans-serif": ("Liberation Sans", "Nimbus Sans", "DejaVu Sans", "Arial"),
    "monospace": ("Liberation Mono", "Nimbus Mono PS", "DejaVu Sans Mono", "Courier New"),
}
_RESVG = """
import json, sys
from resvg_py import svg_to_bytes
folders, families, no_fonts = json.loads(sys.argv[1])
fonts = {"skip_system_fonts": True, "font_dirs": folders}
probe = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text y="9" font-family="%s">M</text></svg>'
markup = sys.stdin.buffer.read().decode()
if "text>" in markup:
    blank = svg_to_bytes(svg_string=probe % "", skip_system_fonts=True)
    there = lambda family: svg_to_bytes(svg_string=probe % family, **fonts) != blank
    chosen = {kind: next(filter(there, names), None) for kind, names in families.items()}
    any_font = next(filter(None, chosen.values()), None)
    if any_font is None:
        sys.exit(no_fonts)
    fonts |= {kind.replace("-", "_") + "_family": name or any_font for kind, name in chosen.items()}
    fonts["font_family"] = fonts["serif_family"]
try:
    png = svg_to_bytes(svg_string=markup, background="#ffffff", dpi=96, **fonts)
except ValueError as error:
    sys.exit(f"resvg: {error}")
sys.stdout.buffer.write(png)
"""


@dataclass(frozen=True, slots=True)
class ChildRenderers:
    """`extraction.raster.Renderers`, by child processes. Picklable: workers take it with them."""

    ghostscript: Ghostscript | None  # None if it is not installed
    poppler: str | None  # path of the program
    limits: Limits

    def postscript(self, drawings: Sequence[Drawing]) -> Iterator[bytes | Refused]:
        """Yield for each drawing, in order, its page on white: a PPM image of exactly its size."""
        if self.ghostscript is None:
            return iter([_no_ghostscript()] * len(drawings))
        return self.ghostscript.draw(drawings)

    def postscript_ink(self, data: bytes) -> Box | Refused:
        """Return the box around what the first page draws, for files that do not say."""
        return _no_ghostscript() if self.ghostscript is None else self.ghostscript.ink(data)

    def pdf_second_try(self, data: bytes, page: int, long_side_px: int) -> Page | Refused:
        """Render one page (0-based) that pdfium refused, its long side `long_side_px` pixels."""
        if self.poppler is None:
            return Refused(Rejection.RENDERER_MISSING, f"poppler is not installed: {INSTALL_POPPLER}")
        command = [sys.executable, "-I", "-c", _POPPLER, str(page + 1), str(long_side_px)]
        with tempfile.TemporaryDirectory(prefix="s1mm-") as scratch:
            drawn = run("poppler", command, data, self.limits, scratch)
        if isinstance(drawn, Refused):
            return drawn
        stated, _, ppm = drawn.output.partition(b"\n")
        size = re.match(rb"([\d.]+) x ([\d.]+) pts", stated)
        if size is None or not ppm:
            return Refused(Rejection.IMAGE_UNREADABLE, "poppler: cannot read it either")
        return Page(ppm, width_pt=float(size[1]), height_pt=float(size[2]))

    def svg(self, markup: bytes) -> bytes | Refused:
        """Draw SVG that names no other file, in the size that it states, on white; return a PNG image."""
        asked = json.dumps([_font_folders(), _FAMILIES, _NO_FONTS])
        drawn = run("resvg", [sys.executable, "-I", "-c", _RESVG, asked], markup, self.limits)
        if isinstance(drawn, Refused):
            return drawn
        return drawn.output or _svg_failed(drawn)

    def stopwatch(self) -> Callable[[], bool]:
        """Start to count the CPU time of one figure; the function returned says whether it is used up."""
        end_s = time.process_time() + self.limits.cpu_s
        return lambda: time.process_time() > end_s


def _no_ghostscript() -> Refused:
    return Refused(Rejection.RENDERER_MISSING, f"ghostscript is not installed: {INSTALL_GHOSTSCRIPT}")


def _svg_failed(drawn: Finished) -> Refused:
    """Say why resvg drew nothing."""
    said = drawn.messages.decode("utf-8", "replace").strip()
    if said == _NO_FONTS:
        return Refused(Rejection.RENDERER_MISSING, said)
    if "MemoryError" in said or "memory allocation of" in said:
        return Refused(Rejection.OUT_OF_MEMORY, "resvg: needs more memory than a figure may take")
    reason = said if drawn.exit_code == 1 and said.startswith("resvg: ") else "resvg: draws nothing"
    return Refused(Rejection.IMAGE_UNREADABLE, reason[:200])


def _font_folders() -> list[str]:
    return [folder for folder in FONT_FOLDERS if Path(folder).is_dir()]


def _fonts() -> str:
    """Name the fonts that are installed: drawings with text depend on them."""
    found = hashlib.sha256()
    for folder in _font_folders():
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix.lower() in (".ttf", ".otf", ".ttc", ".otc"):
                found.update(f"{path.name} {path.stat().st_size}\n".encode())
    return found.hexdigest()[:12]


class Renderers(dg.ConfigurableResource[Any]):
    """Ghostscript, poppler and resvg, where they are installed, and the versions of all that renders."""

    ghostscript: str = "gs"  # program name or path
    poppler: str = "pdftoppm"
    cpu_s: int = 60  # of one figure
    memory_mib: int = 2048  # of one child
    output_mib: int = 192  # of each file that a child writes; poppler copies its PDF

    def pictures(self) -> ChildRenderers:
        """Return what workers render with."""
        limits = Limits(
            cpu_s=self.cpu_s, memory_bytes=self.memory_mib * 2**20, output_bytes=self.output_mib * 2**20
        )
        ghostscript = shutil.which(self.ghostscript)
        return ChildRenderers(
            ghostscript=Ghostscript(ghostscript, limits) if ghostscript else None,
            poppler=shutil.which(self.poppler),
            limits=limits,
        )

    def decoder(self) -> dict[str, str]:
        """Return the version of what decodes the images that were rendered."""
        import PIL

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
        import pypdfium2.version
        import resvg_py

        found = {
            **self.decoder(),
            "pdfium": str(pypdfium2.version.PDFIUM_INFO),
            "poppler": stated_version(self.poppler, "-v") or MISSING,
            "ghostscript": stated_version(self.ghostscript) or MISSING,
            "resvg": f"{resvg_py.__resvg_version__} by {resvg_py.__version__}, fonts {_fonts()}",
        }
        for line in self.missing(found):
            dg.get_dagster_logger().warning(line)
        return found


def _codecs() -> str:
    """Name the codecs that Pillow was built with: its bytes depend on them."""
    from PIL import features

    names = ("zlib", "zlib_ng", "jpg", "libjpeg_turbo", "libtiff")
    found = {name: features.version(name) for name in names}
    return " ".join(f"{name}={version}" for name, version in found.items() if version)
