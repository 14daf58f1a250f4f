"""How much do our limits and checks add to bare rendering? ``make bench`` prints one line of JSON.

CPU time of `paper_images`, which draws the figures of one paper together as the stage does, children included;
over that of the bare renderer at the same size plus one PNG encoding with the same encoder: pypdfium2 in this
process for PDF, one plain ``gs`` per file for EPS. The files are read before the clock starts; both ways take
turns on each paper. Figures that are refused, or that the second renderer drew, are taken out of their paper
and counted. `headline` is the larger ratio over its goal. Compare lines from one machine only.

Usage: python benchmarks/raster.py [FOLDER of bundles] [every n-th paper, default 1]
"""

import gzip
import json
import resource
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import pypdfium2
from corpus import require_corpus
from PIL import Image

from s1mm_assets.extraction.images import paper_images
from s1mm_assets.extraction.raster import Picture, RasterSettings, Refused, sniff
from s1mm_assets.extraction.raster.postscript import bounding_box, without_preview
from s1mm_assets.resources.renderers import Renderers

Answer = TypeVar("Answer")
GOALS = {"pdf": 1.3, "postscript": 0.75}
SETTINGS = RasterSettings()
RENDERERS = Renderers().pictures()


def figures(bundle: Path, kind: str) -> list[bytes]:
    """Return every figure file of a bundle in one format, PostScript only if it has a size of its own."""
    with tarfile.open(fileobj=BytesIO(gzip.decompress(bundle.read_bytes()))) as members:
        files = [members.extractfile(member) for member in members if member.isfile()]
        contents = [file.read() for file in files if file]
    return [
        data
        for data in contents
        if sniff(data) == kind and (kind == "pdf" or bounding_box(without_preview(data)))
    ]


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


def drawn(paper: Sequence[bytes]) -> list[Picture | Refused | None]:
    """Render the figures of a paper as the stage does."""
    members = {f"figure{number}": data for number, data in enumerate(paper)}
    wanted = [(name, None) for name in members]
    return paper_images(wanted, members, renderers=RENDERERS, settings=SETTINGS)


def timed(work: Callable[[], Answer]) -> tuple[float, Answer]:
    """Return CPU seconds, of this process and of children that ended, and the answer."""
    before = cpu_s()
    answer = work()
    return cpu_s() - before, answer


def cpu_s() -> float:
    """Return what was used so far."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(papers: list[list[bytes]], bare: Callable[[bytes], bytes]) -> dict[str, float | int]:
    """Draw each paper both ways."""
    ours_s = bare_s = 0.0
    n_figures = n_papers = n_left_out = 0
    start = time.perf_counter()
    for paper in papers:
        spent_s, pictures = timed(partial(drawn, paper))
        sound = [
            data
            for data, picture in zip(paper, pictures, strict=True)
            if isinstance(picture, Picture) and picture.renderer != "poppler"
        ]
        if sound:
            n_papers, n_figures = n_papers + 1, n_figures + len(sound)
            ours_s += spent_s if sound == paper else timed(partial(drawn, sound))[0]
            bare_s += timed(partial(list, map(bare, sound)))[0]
        n_left_out += len(paper) - len(sound)
    return {
        "ratio": round(ours_s / bare_s, 3),
        "papers": n_papers,
        "figures": n_figures,
        "left_out": n_left_out,
        "ours_cpu_ms": round(1000 * ours_s / n_figures, 1),
        "bare_cpu_ms": round(1000 * bare_s / n_figures, 1),
        "wall_s": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else require_corpus("raster") / "latex"
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    bundles = sorted(folder.glob("*.tar.gz"))
    measured = {}
    for kind, bare in (("pdf", bare_pdf), ("postscript", bare_postscript)):
        papers = [paper for bundle in bundles if (paper := figures(bundle, kind))]
        if not papers:
            sys.exit(f"{folder} holds no bundles with figures in {kind}; name a folder that does")
        measured[kind] = measure(papers[::every], bare)
    headline = max(measured[kind]["ratio"] / goal for kind, goal in GOALS.items())
    line = {"name": "raster", "headline": round(headline, 3), "goal": 1.0, "better": "lower", "goals": GOALS}
    print(json.dumps({**line, **measured}))


if __name__ == "__main__":
    main()
