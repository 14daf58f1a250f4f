"""Fixtures that tests of every stage use."""

import importlib.util
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

# Nothing in a test is timed; CI draws the same examples each time, a developer's machine ever new ones.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("untimed"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "untimed")

ROOT = Path(__file__).resolve().parents[1]
SHIM = Path(__file__).with_name("torchvision_shim")


def pytest_configure(config: pytest.Config) -> None:
    """Keep models from the network, let torchvision load on a CPU, and register a marker."""
    # What a shell starts beside itself ignores Ctrl-C, and so would all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SHIM), os.environ.get("PYTHONPATH")]))
    spec = importlib.util.spec_from_file_location("torchvision_shim", SHIM / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    config.addinivalue_line(
        "markers", "needs(*programs): runs these; where one is missing the test skips, and fails in CI"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing: on a developer's machine only, since CI shall run them all."""
    programs = [program for marker in item.iter_markers("needs") for program in marker.args]
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        stop(f"not installed: {', '.join(missing)}")


def stop(why: str) -> NoReturn:
    """Skip a test for want of something that CI has; where CI lacks it, fail."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture
def check_golden() -> Callable[[str, Path], None]:
    """Compare a text with a golden file; `S1MM_UPDATE_GOLDEN=1` writes the file instead."""

    def check(text: str, path: Path) -> None:
        if os.environ.get("S1MM_UPDATE_GOLDEN") == "1":
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path.name} is missing: S1MM_UPDATE_GOLDEN=1 writes it"
        assert text == path.read_text(encoding="utf-8")

    return check


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real papers, or a skip where it is not there."""
    folder = Path(os.environ.get("S1MM_CORPUS", ROOT.parent / "shared" / "corpus"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no corpus at {folder} (set S1MM_CORPUS)")
    return folder
