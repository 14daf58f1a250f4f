"""The layout detectors by name: each there, each picklable, each with a version or a line that says what to do."""

import importlib.util
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from s1mm_assets.extraction.pdf.layout import PageView
from s1mm_assets.resources.layout_detector import DETECTORS, MISSING, LayoutDetectors, ObjectsOnly
from s1mm_assets.resources.layout_detectors.engines import EngineDetector
from s1mm_assets.resources.layout_detectors.mineru_files import MinerUFiles
from s1mm_assets.resources.layout_detectors.rapid_layout import RapidLayoutDetector


def program(path: Path, says: str) -> str:
    """Write a program that says something, whatever it is asked; return its path."""
    path.write_text(f"#!{sys.executable} -I\nprint({says!r})\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_travels_and_names_itself(name: str) -> None:
    """What a worker unpickles is the same detector, and its version is found under its name."""
    resource = LayoutDetectors()
    detector = resource.detector(name)

    assert pickle.loads(pickle.dumps(detector)) == detector  # noqa: S301 - our own
    assert detector.component == name
    assert set(resource.versions(name)) == {name}


def test_the_fields_reach_the_detectors(tmp_path: Path) -> None:
    """Paths and caps as they are set."""
    engine = program(tmp_path / "engine", "")
    resource = LayoutDetectors(
        mineru_folder=str(tmp_path), mineru=engine, magic_pdf=engine, timeout_s=7, memory_mib=3, output_mib=2
    )

    detector = resource.detector("mineru", mineru_tier="standard")

    assert isinstance(detector, EngineDetector)
    assert detector.program == engine
    assert "standard" in detector.arguments
    assert (detector.limits.wall_s, detector.limits.memory_bytes, detector.limits.output_bytes) == (
        7,
        3 * 2**20,
        2 * 2**20,
    )
    assert resource.detector("mineru-files") == MinerUFiles(tmp_path)
    assert resource.detector("rapid-layout") == RapidLayoutDetector()


def test_a_name_that_is_none_is_refused_with_those_that_are() -> None:
    """A misspelt detector or tier is not silently another one."""
    with pytest.raises(
        ValueError, match="'rapid'; there are: rapid-layout, objects, mineru-files, mineru, magic-pdf"
    ):
        LayoutDetectors().detector("rapid")
    with pytest.raises(ValueError, match="no tier 'pro'"):
        LayoutDetectors().detector("mineru", mineru_tier="pro")


def test_objects_alone_are_no_boxes() -> None:
    """One empty answer per page."""
    page = PageView(0, 600, 800, lambda dpi: np.zeros((1, 1, 3), dtype=np.uint8))

    assert ObjectsOnly()("p", b"", [page] * 3) == [(), (), ()]


def test_versions_are_those_that_the_programs_state(tmp_path: Path) -> None:
    """The number in what they say; "unknown" where there is none."""
    resource = LayoutDetectors(
        mineru=program(tmp_path / "kit", "MinerU version: 4.0.12\nPython version: 3.11.7"),
        magic_pdf=program(tmp_path / "magic", "magic-pdf, by hand"),
        mineru_folder=str(tmp_path),
    )

    assert resource.versions("mineru") == {"mineru": "4.0.12"}
    assert resource.versions("magic-pdf") == {"magic-pdf": "unknown"}
    assert resource.versions("mineru-files")["mineru-files"].startswith("sha256:")
    assert resource.versions("objects") == {"objects": "none"}


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "objects"])
def test_what_is_missing_is_said_with_what_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line for the detector that is used, none for the others."""
    resource = LayoutDetectors(
        mineru_folder=str(tmp_path / "no"), mineru=str(tmp_path / "no"), magic_pdf=str(tmp_path / "no")
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)

    found = resource.versions(name)
    [line] = resource.missing(found)

    assert found == {name: MISSING}
    assert "s1mm retry" in line
    assert "pip install" in line or "is no folder" in line
