"""Every layout detector of this installation, by name, and the version of the one that is used."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg

from s1mm_assets.extraction.pdf.layout import LayoutBox, LayoutDetector, PageView
from s1mm_assets.resources.program_version import stated_version

__all__ = ["DETECTORS", "MISSING", "LayoutDetectors", "ObjectsOnly"]

DETECTORS = ("rapid-layout", "objects", "mineru-files", "mineru", "magic-pdf")
MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ObjectsOnly:
    """`LayoutDetector` that sees nothing: the objects of the PDF are evidence enough."""

    component: ClassVar[str] = "objects"

    def __call__(self, name: str, data: bytes, pages: Sequence[PageView]) -> list[tuple[LayoutBox, ...]]:  # noqa: ARG002
        """Return no box for any page."""
        return [()] * len(pages)


class LayoutDetectors(dg.ConfigurableResource[Any]):
    """Where the layout detectors are, and what those outside this process may take for one paper."""

    mineru_folder: str = "var/mineru"  # what MinerU wrote before, for mineru-files
    mineru: str = "mineru-kit"  # program name or path
    magic_pdf: str = "magic-pdf"
    timeout_s: int = 1800
    memory_mib: int = 8192  # the worker pool's own cap holds too
    output_mib: int = 512

    def detector(self, name: str, mineru_tier: str = "flash") -> LayoutDetector:
        """Return a detector that workers can take with them.

        Args:
            name: One of `DETECTORS`.
            mineru_tier: Of the detector "mineru", how much it does: flash works without models.

        Raises:
            ValueError: There is no detector, or no tier, of that name.
        """
        from s1mm_assets.resources.layout_detectors import engines, mineru_files
        from s1mm_assets.resources.layout_detectors.engine_process import EngineLimits
        from s1mm_assets.resources.layout_detectors.rapid_layout import RapidLayoutDetector

        limits = EngineLimits(self.timeout_s, self.memory_mib * 2**20, self.output_mib * 2**20)
        match name:
            case "rapid-layout":
                return RapidLayoutDetector()
            case "objects":
                return ObjectsOnly()
            case "mineru-files":
                return mineru_files.MinerUFiles(Path(self.mineru_folder).resolve())
            case "mineru":
                return engines.mineru(shutil.which(self.mineru), mineru_tier, limits)
            case "magic-pdf":
                return engines.magic_pdf(shutil.which(self.magic_pdf), limits)
        raise ValueError(f"there is no layout detector {name!r}; there are: {', '.join(DETECTORS)}")

    def versions(self, name: str) -> dict[str, str]:
        """Return detector → version, or "missing"; warn if it is, and say what to do."""
        found = {name: self._version(name)}
        for line in self.missing(found):
            dg.get_dagster_logger().warning(line)
        return found

    def missing(self, found: Mapping[str, str]) -> list[str]:
        """Return a line for each detector that is missing: what that costs, and what to do."""
        from s1mm_assets.resources.layout_detectors import engines, rapid_layout

        remedies = {
            "rapid-layout": rapid_layout.INSTALL,
            "mineru-files": f"{self.mineru_folder} is no folder",
            "mineru": f"{self.mineru} is not there: {engines.INSTALL_MINERU}",
            "magic-pdf": f"{self.magic_pdf} is not there: {engines.INSTALL_MAGIC_PDF}",
        }
        return [
            f"{remedies[name]}. Without it papers in PDF are rejected as renderer_missing; "
            "afterwards run `s1mm retry`, or choose another layout detector."
            for name, version in found.items()
            if version == MISSING
        ]

    def _version(self, name: str) -> str:
        from s1mm_assets.resources.layout_detectors import mineru_files, rapid_layout

        match name:
            case "rapid-layout":
                return rapid_layout.version() or MISSING
            case "mineru-files":
                folder = Path(self.mineru_folder)
                return f"sha256:{mineru_files.digest_of(folder)}" if folder.is_dir() else MISSING
            case "mineru":
                return stated_version(self.mineru) or MISSING
            case "magic-pdf":
                return stated_version(self.magic_pdf) or MISSING
        return "none"
