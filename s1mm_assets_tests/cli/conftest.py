"""The example corpus up to the filters, which tests of the commands go on from."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # a conftest that imports the graph's partitions keeps their warnings from being silenced
    from s1mm_assets_tests.test_pipeline import Home

PARTITION = "arxiv|2019"
SETTINGS = '[recaptioning]\nengine = "vllm"\nmodel = "m"\nmodel_revision = "r"\n'


@pytest.fixture(scope="session")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> "Home":
    """One partition of the examples with the filters' decisions; the engine is vllm. Not to be changed."""
    from s1mm_assets_tests.test_pipeline import EXAMPLES, Home

    folder = tmp_path_factory.mktemp("filtered")
    subprocess.run([sys.executable, EXAMPLES / "pack.py", folder / "sources"], check=True)
    home = Home(folder, folder / "sources")
    home.settings = folder / "s1mm.toml"
    home.settings.write_text(SETTINGS)
    home.build("--until", "filtered_figures", "--partition", PARTITION)
    return home


@pytest.fixture
def home(filtered: "Home", tmp_path: Path) -> "Home":
    """The same, of one's own."""
    from s1mm_assets_tests.test_pipeline import Home

    shutil.copytree(filtered.folder, tmp_path / "home", ignore=shutil.ignore_patterns("sources"))
    copied = Home(tmp_path / "home", filtered.sources)
    copied.settings = tmp_path / "home" / "s1mm.toml"
    return copied
