"""How well do figures of PDFs agree with a careful annotator? Prints the scorer's numbers for each detector.

Reads the papers where S1MM_CORPUS says (default ../shared/corpus) and their ground truth in gt/, with the scorer
that lies beside it: a figure is right where its box has IoU >= 0.8 and its caption is the annotated one. Beside
ours stand a plain rule (the detector's figure boxes, each with the nearest of our captions) and, where they are
installed, MinerU's tiers. Figures that are not sure enough are rejected and count as not found.
The last line is the summary; ``--misses`` lists what is wrong, ``--papers a,b`` restricts,
``--overlays DIR`` draws every page.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import util
from pathlib import Path
from typing import Any

from corpus import CORPUS, require_corpus

from s1mm_assets.extraction.pdf import LayoutDetector, PdfPaper, PdfSettings, read_pdf
from s1mm_assets.extraction.pdf.document import opened, pages_of
from s1mm_assets.extraction.pdf.layout import PageView
from s1mm_assets.extraction.pdf.overlay import overlays
from s1mm_assets.extraction.pdf.regions import gap
from s1mm_assets.extraction.raster import RasterSettings
from s1mm_assets.resources.layout_detector import DETECTORS, LayoutDetectors, ObjectsOnly
from s1mm_assets.resources.renderers import Renderers

TRUTH = CORPUS / "gt" / "pdf_figures.jsonl"
STOPWATCH = Renderers().pictures().stopwatch
SMALL = RasterSettings(max_side_px=64)  # boxes and captions are judged, not pictures
Row = dict[str, Any]


def scorer() -> Any:
    """Return the corpus's own scorer as a module."""
    spec = util.spec_from_file_location("score_pdf", CORPUS / "gt" / "score_pdf.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(pdf: str, paper: PdfPaper) -> list[Row]:
    """Return the figures that are sure enough, as the scorer reads them."""
    return [
        {
            "pdf": pdf,
            "page": figure.page,
            "bbox": figure.bbox,
            "caption": figure.caption,
            "confidence": figure.confidence,
        }
        for figure in paper.figures
        if figure.bbox is not None and figure.rejection is None
    ]


def nearest_caption(detector: LayoutDetector, pdf: str, data: bytes) -> list[Row]:
    """Give each figure box the nearest of our captions on its page: the rule that the paper describes."""
    found = ours_with(ObjectsOnly(), pdf, data).figures
    captions = [(page, box, figure.caption) for figure in found for page, box in figure.caption_boxes]
    rows = []
    with opened(data) as document:
        for page in pages_of(document):
            here = [(box, text) for number, box, text in captions if number == page.number]
            view = PageView(page.number, *page.size_pt, page.drawn_at)
            for seen in detector(pdf, data, [view])[0]:
                if seen.kind == "figure" and seen.score >= 0.5:
                    near = min(here, key=lambda each: gap(seen.bbox, each[0]), default=None)
                    caption = near[1] if near else ""
                    rows.append(
                        {"pdf": pdf, "page": page.number, "bbox": list(seen.bbox), "caption": caption}
                    )
    return rows


def sureness(truth: list[Row], rows: list[Row], score: Any) -> Row:
    """Say how many pairs of confidence >= 0.8 there are and how many of them are wrong."""
    matched = {pred: true for true, pred, _ in score.match(truth, rows, 0.8)}
    sure = [index for index, row in enumerate(rows) if row["confidence"] >= 0.8]
    right = [
        index
        for index in sure
        if index in matched
        and score.similarity(truth[matched[index]]["caption"], rows[index]["caption"]) >= score.CAPTION_MIN
    ]
    return {
        "sure_and_right_share": round(len(right) / len(truth), 3),
        "sure_but_wrong": len(sure) - len(right),
    }


def measure(name: str, chosen: list[Path], read: Callable[[str, bytes], list[Row]]) -> tuple[Row, list[Row]]:
    """Read the papers in one way and score what comes."""
    score = scorer()
    names = {path.stem for path in chosen}
    truth = [row for row in score.read_jsonl(TRUTH, "truth") if row["pdf"] in names]
    start = time.process_time()
    rows = [row for path in chosen for row in read(path.stem, path.read_bytes())]
    spent_s = time.process_time() - start
    result = score.score(truth, rows)
    captioned = [row for row in truth if not row["uncaptioned"]]
    line = {
        "way": name,
        "end_to_end_f1": result["end_to_end"]["f1"],
        "boxes_0.8": {key: result["boxes_iou_0.8"][key] for key in ("recall", "precision", "f1")},
        "boxes_0.5": {key: result["boxes_iou_0.5"][key] for key in ("recall", "precision", "f1")},
        "caption_accuracy": result["captions_iou_0.8"]["accuracy"],
        "cpu_s": round(spent_s, 1),
    }
    if rows and "confidence" in rows[0]:
        line |= sureness(captioned, rows, score)
    return line, rows


def ours_with(detector: LayoutDetector, pdf: str, data: bytes) -> PdfPaper:
    """Read one paper as the product does."""
    return read_pdf(
        data, name=pdf, detector=detector, stopwatch=STOPWATCH, settings=PdfSettings(), raster=SMALL
    )


def ours(detector: LayoutDetector, overlay: Path | None = None) -> Callable[[str, bytes], list[Row]]:
    """Return the way that the product goes, with one detector."""

    def read(pdf: str, data: bytes) -> list[Row]:
        paper = ours_with(detector, pdf, data)
        if overlay is not None:
            overlay.mkdir(parents=True, exist_ok=True)
            for number, png in overlays(data, paper, STOPWATCH):
                (overlay / f"{pdf}_p{number:04d}.png").write_bytes(png)
        return rows_of(pdf, paper)

    return read


def show_misses(rows: list[Row], chosen: list[Path]) -> None:
    """Print what the scorer does not accept, a line each."""
    score = scorer()
    names = {path.stem for path in chosen}
    truth = [
        row for row in score.read_jsonl(TRUTH, "truth") if row["pdf"] in names and not row["uncaptioned"]
    ]
    matched = {true: pred for true, pred, _ in score.match(truth, rows, 0.8)}
    for index, row in enumerate(truth):
        alike = (
            score.similarity(row["caption"], rows[matched[index]]["caption"]) if index in matched else None
        )
        if alike is None or alike < score.CAPTION_MIN:
            print("missed", row["pdf"], row["figure"], row["page"], row["layout"], row["bbox"], alike)
    for index in set(range(len(rows))) - set(matched.values()):
        row = rows[index]
        print("wrong", row["pdf"], row["page"], row["bbox"], row["confidence"], row["caption"][:60])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", default="", help="ids, with commas between")
    parser.add_argument("--detectors", default="rapid-layout,objects", help=", ".join(DETECTORS))
    parser.add_argument("--mineru", default="mineru-kit", help="the command of MinerU 4")
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--overlays", type=Path)
    options = parser.parse_args()
    require_corpus("pdf_accuracy")
    wanted = set(filter(None, options.papers.split(",")))
    chosen = [path for path in sorted((CORPUS / "pdf").glob("*.pdf")) if not wanted or path.stem in wanted]
    lines = []
    for name in options.detectors.split(","):
        detector = LayoutDetectors(mineru=options.mineru).detector(name)
        line, rows = measure(name, chosen, ours(detector, options.overlays))
        lines.append(line)
        print(json.dumps(line), file=sys.stderr)
        if options.misses:
            show_misses(rows, chosen)
        if name == "rapid-layout":
            plain = measure(f"{name}, nearest caption", chosen, partial(nearest_caption, detector))[0]
            lines.append(plain)
            print(json.dumps(plain), file=sys.stderr)
    first = lines[0]
    line = {"name": "pdf_accuracy", "headline": first["end_to_end_f1"], "goal": 0.9, "better": "higher"}
    print(json.dumps({**line, "papers": len(chosen), "ways": lines}))


if __name__ == "__main__":
    main()
