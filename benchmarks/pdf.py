"""How fast are figures of PDFs read? Prints one line of JSON.

The headline is the share of CPU time that is spent outside detector and renderer: pages drawn by pdfium, figures
drawn and encoded, and the detector's own work are what any such program must do; the rest is ours. Pages per
second and core are given for each detector. One process; the files are read before the clock starts. Compare
lines from one machine only.

Usage: python benchmarks/pdf.py [every n-th paper, default 1]
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from corpus import CORPUS, require_corpus

from s1mm_assets.extraction.pdf import PdfSettings, paper, read_pdf
from s1mm_assets.extraction.pdf.document import Page
from s1mm_assets.extraction.raster import RasterSettings
from s1mm_assets.resources.layout_detector import LayoutDetectors
from s1mm_assets.resources.renderers import Renderers

SPENT: Counter[str] = Counter()


def clocked(what: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that adds its CPU time to one kind."""

    def call(*args: Any, **options: Any) -> Any:
        start = time.process_time()
        try:
            return work(*args, **options)
        finally:
            SPENT[what] += time.process_time() - start  # type: ignore[assignment]

    return call


def measure(name: str, files: list[tuple[str, bytes]]) -> dict[str, Any]:
    """Read the papers with one detector."""
    SPENT.clear()
    made = LayoutDetectors().detector(name)
    detector = clocked("detector", made)
    detector.component = made.component  # type: ignore[attr-defined]
    stopwatch = Renderers().pictures().stopwatch
    n_pages = n_figures = 0
    detector("warm-up", b"", [])
    start = time.process_time()
    for pdf, data in files:
        read = read_pdf(
            data,
            name=pdf,
            detector=detector,  # type: ignore[arg-type]
            stopwatch=stopwatch,
            settings=PdfSettings(),
            raster=RasterSettings(),
        )
        n_pages, n_figures = n_pages + read.n_pages, n_figures + len(read.figures)
    total_s = time.process_time() - start
    rest_s = total_s - SPENT["detector"] - SPENT["renderer"]
    return {
        "share_outside": round(rest_s / total_s, 3),
        "pages_per_cpu_s": round(n_pages / total_s, 2),
        "pages": n_pages,
        "figures": n_figures,
        "ms_per_page": {
            "detector": round(1000 * SPENT["detector"] / n_pages, 1),
            "renderer": round(1000 * SPENT["renderer"] / n_pages, 1),
            "ours": round(1000 * rest_s / n_pages, 1),
        },
    }


def main() -> None:
    """Measure and print."""
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    require_corpus("pdf")
    chosen = sorted((CORPUS / "pdf").glob("*.pdf"))[::every]
    files = [(path.stem, path.read_bytes()) for path in chosen]
    Page.draw = clocked("renderer", Page.draw)  # type: ignore[method-assign]
    paper.encode = clocked("renderer", paper.encode)  # type: ignore[attr-defined]
    measured = {name: measure(name, files) for name in ("rapid-layout", "objects")}
    line = {
        "name": "pdf",
        "headline": measured["rapid-layout"]["share_outside"],
        "goal": 0.2,
        "better": "lower",
    }
    print(json.dumps({**line, "papers": len(files), **measured}))


if __name__ == "__main__":
    main()
