"""MinerU and magic-pdf as layout detectors: each paper by their own commands, in a process of its own.

Neither is imported. Both may live in an environment of their own; only the path of the command is known.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from s1mm_assets.extraction.pdf.layout import LayoutBox, LayoutError, PageView
from s1mm_assets.resources.layout_detectors import TIERS
from s1mm_assets.resources.layout_detectors.engine_process import EngineLimits, run
from s1mm_assets.resources.layout_detectors.mineru_files import boxes_in, documents_of
from s1mm_assets.tables import Rejection

INSTALL_MINERU = "pip install 's1mm-assets[mineru]' (its licence adds terms to Apache-2.0)"
INSTALL_MAGIC_PDF = "pip install 's1mm-assets[magic-pdf]' (AGPL; brings CUDA), and its models"

_NAME = "paper"  # of the file that an engine is given; papers' own names may be anything


@dataclass(frozen=True, slots=True)
class EngineDetector:
    """`LayoutDetector` by a command that reads a PDF and writes MinerU's files."""

    component: str
    program: str | None  # path; None if it is not installed
    arguments: tuple[str, ...]  # relative to the folder that it is run in
    install: str
    limits: EngineLimits

    def __call__(self, name: str, data: bytes, pages: Sequence[PageView]) -> list[tuple[LayoutBox, ...]]:  # noqa: ARG002
        """Return the boxes that the engine states for each page; it is run once for a paper."""
        if self.program is None:
            reason = f"{self.component} is not installed: {self.install}"
            raise LayoutError(Rejection.RENDERER_MISSING, reason)
        documents = _written_by(self, self.program, data)
        try:
            return boxes_in(documents, _NAME, pages)
        except LayoutError as error:
            raise LayoutError(Rejection.UNDECODABLE, f"{self.component}: {error.evidence}") from error


@lru_cache(maxsize=1)  # pages are shown a few at a time, the engine reads the whole paper
def _written_by(engine: EngineDetector, program: str, data: bytes) -> tuple[bytes, ...]:
    """Run an engine on a paper, and return the files that it wrote; LayoutError if it fails."""
    with tempfile.TemporaryDirectory(prefix="s1mm-") as folder:
        scratch = Path(folder)
        (scratch / f"{_NAME}.pdf").write_bytes(data)
        run(engine.component, [program, *engine.arguments], scratch, engine.limits)
        return tuple(documents_of(_NAME, scratch / "out"))


def mineru(program: str | None, tier: str, limits: EngineLimits) -> EngineDetector:
    """Return MinerU (version 4), by `mineru-kit`; `mineru` itself talks to a server that it leaves running."""
    if tier not in TIERS:
        raise ValueError(f"MinerU has no tier {tier!r}; it has: {', '.join(TIERS)}")
    output = f"out/{_NAME}_middle.json"
    arguments: tuple[str, ...] = ("parse", f"{_NAME}.pdf", "-o", output, "-f", "middle_json", "--tier", tier)
    if tier == "flash":  # else it wants models for papers whose text it doubts
        arguments += ("--ocr-mode", "txt")
    return EngineDetector("mineru", program, arguments, INSTALL_MINERU, limits)


def magic_pdf(program: str | None, limits: EngineLimits) -> EngineDetector:
    """Return magic-pdf, MinerU before version 2."""
    arguments = ("-p", f"{_NAME}.pdf", "-o", "out", "-m", "auto")
    return EngineDetector("magic-pdf", program, arguments, INSTALL_MAGIC_PDF, limits)
