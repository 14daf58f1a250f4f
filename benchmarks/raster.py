"""How much do our limits and checks add to bare rendering? ``make bench`` prints one line of JSON.

CPU time per figure of `rasterize`, children included, over that of the bare renderer at the same size plus one
PNG encoding with the same encoder: pypdfium2 in this process for PDF, one plain ``gs`` per file for EPS. The
files are read before the clock starts; both ways take turns on each file. Figures that are refused, or
that the second renderer drew, are left out and counted. `headline` is the larger ratio over its goal. Compare
lines from one machine only.

Usage: python benchmarks/raster.py [FOLDER of bundles] [every n-th figure, default 5]
"""

import gzip
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import pypdfium2
from corpus import require_corpus
from PIL import Image

from s1mm_assets.extraction.raster import Picture, RasterSettings, Refused, rasterize, sniff
from s1mm_assets.extraction.raster.postscript import bounding_box, without_preview
from s1mm_assets.resources.renderers import Renderers

Answer = TypeVar("Answer")
GOALS = {"pdf": 1.3, "postscript": 0.75}  # EPS: once figures share a Ghostscript
SETTINGS = RasterSettings()
RENDERERS = Renderers().pictures()


def figures(folder: Path) -> Iterator[bytes]:
    """Yield every PDF and PostScript file in the bundles of a folder that has a size of its own."""
    for bundle in sorted(folder.glob("*.tar.gz")):
        with tarfile.open(fileobj=BytesIO(gzip.decompress(bundle.read_bytes()))) as members:
            for member in members:
                file = members.extractfile(member) if member.isfile() else None
                data = file.read() if file else b""
                if sniff(data) == "pdf" or (
                    sniff(data) == "postscript" and bounding_box(without_preview(data))
                ):
                    yield data


def encoded(image: Image.Image) -> bytes:
    """Return the one PNG encoding that the bare way is granted."""
    out = BytesIO()
    image.save(out, "PNG", compress_level=SETTINGS.png_level)
    return out.getvalue()


def bare_pdf(data: bytes) -> bytes:
    """Render with pdfium alone."""
    page = pypdfium2.PdfDocument(data)[0]
    scale = SETTINGS.dpi(*page.get_size()) / 72
    return encoded(page.render(scale=scale).to_pil())


def bare_postscript(data: bytes) -> bytes:
    """Render with one plain Ghostscript."""
    code = without_preview(data)
    box = bounding_box(code)
    assert box is not None
    dpi = SETTINGS.dpi(box.width_pt, box.height_pt)
    smooth = ("-dTextAlphaBits=4", "-dGraphicsAlphaBits=4", f"-r{dpi:.4f}")
    geometry = f"-g{'x'.join(map(str, SETTINGS.size_px(box.width_pt, box.height_pt)))}"
    origin = f"{-box.left} {-box.bottom} translate"
    command = ["gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=ppmraw", *smooth, geometry]
    place = ["-sOutputFile=-", "-c", origin, "-f", "-_", "-c", "showpage"]
    drawn = subprocess.run([*command, *place], input=code, capture_output=True, check=True).stdout
    return encoded(Image.open(BytesIO(drawn)))


def rasterized(data: bytes) -> Picture | Refused:
    """Render as the stage does."""
    return rasterize(data, "figure", page=None, renderers=RENDERERS, settings=SETTINGS)


def timed(work: Callable[[bytes], Answer], data: bytes) -> tuple[float, Answer]:
    """Return CPU seconds, of this process and of children that ended, and the answer."""
    before = os.times()
    answer = work(data)
    after = os.times()
    return sum(after[:4]) - sum(before[:4]), answer


def measure(chosen: list[bytes], bare: Callable[[bytes], bytes]) -> dict[str, float | int]:
    """Draw each figure both ways."""
    ours_s = bare_s = 0.0
    n_figures = 0
    start = time.perf_counter()
    for data in chosen:
        spent_s, picture = timed(rasterized, data)
        if isinstance(picture, Picture) and picture.renderer != "poppler":
            n_figures, ours_s = n_figures + 1, ours_s + spent_s
            bare_s += timed(bare, data)[0]
    return {
        "ratio": round(ours_s / bare_s, 3),
        "figures": n_figures,
        "left_out": len(chosen) - n_figures,
        "ours_cpu_ms": round(1000 * ours_s / n_figures, 1),
        "bare_cpu_ms": round(1000 * bare_s / n_figures, 1),
        "wall_s": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else require_corpus("raster") / "latex"
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    chosen = list(figures(folder))[::every]
    if not chosen:
        sys.exit(f"{folder} holds no bundles with PDF or EPS figures; name a folder that does")
    ways = {"pdf": bare_pdf, "postscript": bare_postscript}
    measured = {kind: measure([each for each in chosen if sniff(each) == kind], ways[kind]) for kind in ways}
    headline = max(measured[kind]["ratio"] / goal for kind, goal in GOALS.items())
    line = {"name": "raster", "headline": round(headline, 3), "goal": 1.0, "better": "lower", "goals": GOALS}
    print(json.dumps({**line, **measured}))


if __name__ == "__main__":
    main()
