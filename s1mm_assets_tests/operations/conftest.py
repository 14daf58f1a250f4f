"""One installation for all tests of this folder: papers, PostgreSQL, services, and what they built."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from s1mm_assets_tests.operations.papers import PARTITIONS, write_papers
from s1mm_assets_tests.operations.postgres import Postgres, postgres_server
from s1mm_assets_tests.operations.services import Services, services_on

if TYPE_CHECKING:  # a conftest that imports the graph's partitions keeps their warnings from being silenced
    from s1mm_assets_tests.test_pipeline import Home


@dataclass(frozen=True, slots=True)
class Operated:
    """An installation whose services built what they could of five years."""

    services: Services
    home: "Home"
    built: dict[str, str]  # partition → how its run of to_quality_metrics ended
    released: dict[str, str]  # partition → how its run of release_partition ended
    publication: str


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of the system's packages."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of papers, not to be changed."""
    folder = tmp_path_factory.mktemp("papers") / "sources"
    write_papers(folder)
    return folder


@pytest.fixture(scope="session")
def undisturbed(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> "Home":
    """The same papers built in one process, in which nothing went wrong but the poisoned year."""
    from s1mm_assets_tests.test_pipeline import Home

    home = Home(tmp_path_factory.mktemp("undisturbed"), sources)
    done = home.run("build")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "few_recaptions_are_degenerate" in done.stdout
    return home


@pytest.fixture(scope="session")
def operated(
    postgres: Postgres, sources: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operated]:
    """What README.md says of many partitions, done through the webserver."""
    from s1mm_assets_tests.test_pipeline import Home

    home = Home(tmp_path_factory.mktemp("operated"), sources)
    environment = home.environment(S1MM_WORKERS="1", S1MM_EXECUTOR="in_process")
    with services_on(postgres, home.folder / "instance", environment) as services:
        built = services.backfilled("to_quality_metrics", PARTITIONS)
        assert services.run("find_duplicates") == "SUCCESS", services.logs()
        released = services.backfilled("release_partition", PARTITIONS)
        publication = services.run("publication")
        yield Operated(services, home, built, released, publication)
