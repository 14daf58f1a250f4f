"""Fixtures of what the cluster is told."""

from pathlib import Path

import pytest

from s1mm_assets_tests.deploy.charts import config_map


@pytest.fixture
def clusters_settings(tmp_path: Path) -> Path:
    """The settings of the manifests as a file."""
    path = tmp_path / "s1mm.toml"
    path.write_text(config_map("s1mm-settings")["s1mm.toml"], "utf-8")
    return path
