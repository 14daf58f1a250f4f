"""deploy/dagster.yaml is an instance that Dagster takes, of classes that are installed."""

from pathlib import Path
from typing import Any

import pytest
from dagster._core.instance.config import dagster_instance_config
from dagster._serdes import class_from_code_pointer
from dagster_postgres import DagsterPostgresStorage

from s1mm_assets_tests.deploy.charts import DEPLOY, taken

ENVIRONMENT = {
    "DAGSTER_PG_HOST": "postgres.example.org",
    "DAGSTER_PG_USERNAME": "dagster",
    "DAGSTER_PG_PASSWORD": "none",
    "DAGSTER_PG_DB": "dagster",
    "S1MM_IMAGE": "registry.example.org/s1mm-assets:0.1.0",
    "S1MM_LOGS_BUCKET": "example-s1mm-logs",
}


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The instance's config, as Dagster validates it where DAGSTER_HOME holds the file."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "dagster.yaml").write_text((DEPLOY / "dagster.yaml").read_text("utf-8"), "utf-8")
    config, custom = dagster_instance_config(str(tmp_path))

    assert custom is None
    return dict(config)


def test_dagster_takes_the_instance(instance: dict[str, Any]) -> None:
    """Every key by Dagster's own schema; only the worker's crash starts a run again."""
    assert instance["run_retries"] == {
        "enabled": True,
        "max_retries": 1,
        "retry_on_asset_or_op_failure": False,
    }
    assert instance["telemetry"] == {"enabled": False}


@pytest.mark.parametrize("section", ["run_launcher", "run_coordinator", "compute_logs"])
def test_each_class_is_installed_and_takes_its_config(instance: dict[str, Any], section: str) -> None:
    """By the schema of the class itself, which the instance's does not know."""
    found = instance[section]

    assert taken(class_from_code_pointer(found["module"], found["class"]), found["config"])


def test_postgres_takes_its_address(instance: dict[str, Any]) -> None:
    """With the driver that is installed, and over TLS."""
    database = taken(DagsterPostgresStorage, instance["storage"]["postgres"])["postgres_db"]

    assert database["hostname"] == "postgres.example.org"
    assert database["scheme"] == "postgresql+psycopg2"
    assert database["params"] == {"sslmode": "require"}
