"""The text reader: PP-OCR by rapidocr, whose weights are in its wheel, on the CPU, in this process."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import dagster as dg

from s1mm_assets.filtering.settings import TextSettings
from s1mm_assets.tables import Rejection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rapidocr import RapidOCR

    from s1mm_assets.filtering.texts import TextLine

COMPONENT = "rapidocr"
INSTALL = "rapidocr or onnxruntime is not installed: pip install s1mm-assets"
MISSING = "missing"
MIN_SIDE_PX = 8  # what is smaller holds no letter, and the detector's resizing divides by it
DETECTION, RECOGNITION = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"


@dataclass(frozen=True, slots=True)
class RapidOcrReader:
    """`filtering.texts.TextReader` by rapidocr. Each process opens the models once, when it is first asked."""

    component: ClassVar[str] = COMPONENT

    def __call__(self, pixels: NDArray[np.uint8]) -> list[TextLine]:
        """Return the lines read in an RGB image, in no order."""
        import numpy as np

        from s1mm_assets.filtering.texts import TextLine

        if min(pixels.shape[:2]) < MIN_SIDE_PX:
            return []
        found: Any = _engine()(np.ascontiguousarray(pixels[:, :, ::-1]))  # it takes blue first
        if found.txts is None or found.boxes is None or found.scores is None:
            return []
        return [
            TextLine(
                text,
                float(score),
                *np.clip(box.min(axis=0), 0, None).tolist(),
                *np.minimum(box.max(axis=0), pixels.shape[1::-1]).tolist(),
            )
            for text, score, box in zip(found.txts, found.scores, np.asarray(found.boxes), strict=True)
        ]


def versions(settings: TextSettings) -> dict[str, str]:
    """Return the reader's version, or "missing"; warn where it is wanted and missing."""
    for line in missing(settings):
        dg.get_dagster_logger().warning(line)
    return {COMPONENT: _version() or MISSING}


def missing(settings: TextSettings) -> list[str]:
    """Return a line where text is to be read and cannot be: what that costs, and what to do."""
    if not settings.sample_share or _version():
        return []
    return [
        f"{INSTALL}. Without it images are not read; afterwards run `s1mm retry`, or set [texts] sample_share to 0."
    ]


def _weights() -> tuple[Path, Path] | None:
    """Return where the package keeps its models of detection and recognition."""
    package = importlib.util.find_spec("rapidocr")
    if package is None or package.origin is None or importlib.util.find_spec("onnxruntime") is None:
        return None
    folder = Path(package.origin).parent / "models"
    paths = folder / DETECTION, folder / RECOGNITION
    return paths if all(path.is_file() for path in paths) else None


@cache
def _version() -> str | None:
    paths = _weights()
    if paths is None:
        return None
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    runtime, opencv = (importlib.metadata.version(name) for name in ("onnxruntime", "opencv-python-headless"))
    ocr = importlib.metadata.version("rapidocr")
    return f"{ocr} sha256:{digest} onnxruntime {runtime} opencv {opencv}"


@cache
def _engine() -> RapidOCR:
    """Open the models: one thread, since there is a worker per core; nothing is downloaded."""
    from s1mm_assets.filtering.texts import TextReaderError

    paths = _weights()
    if paths is None:
        raise TextReaderError(Rejection.RENDERER_MISSING, INSTALL)
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is first imported: see rapid_layout
    import cv2
    import onnxruntime
    from rapidocr import RapidOCR

    onnxruntime.disable_telemetry_events()
    cv2.setNumThreads(1)
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Det.model_path": str(paths[0]),
            "Rec.model_path": str(paths[1]),
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
