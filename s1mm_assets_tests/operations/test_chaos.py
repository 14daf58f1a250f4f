"""Daemon, webserver, run workers and database are killed at random while five years are built: nothing is lost."""

import random
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from s1mm_assets_tests.operations.papers import PARTITIONS, POISONED, SOUND
from s1mm_assets_tests.operations.postgres import Postgres, postgres_server
from s1mm_assets_tests.operations.services import ENDED, Services, services_on
from s1mm_assets_tests.operations.tables import tables
from s1mm_assets_tests.test_pipeline import Home

pytestmark = [pytest.mark.xdist_group("operations")]

SEED = 9
MOST_ROUNDS = 5


class Chaos:
    """Kills what runs, at moments that a seed draws, and starts it again as a supervisor does."""

    def __init__(self, services: Services, postgres: Postgres) -> None:
        self.services = services
        self.postgres = postgres
        self.moments = random.Random(SEED)

    def strike(self, victim: str) -> None:
        """Kill one thing while a run is at work."""
        self.services.wait(self._is_at_work, "a run to be at work")
        time.sleep(self.moments.uniform(0, 8))
        if victim == "run_worker":
            worker, *_ = self.services.wait(self.services.run_workers, "a run's worker to be killed")
            worker.kill()
        elif victim == "postgres":
            self.postgres.stop(how=signal.SIGQUIT)
            time.sleep(self.moments.uniform(0, 4))
            self.postgres.start()
        else:
            self.services.kill(victim)
        time.sleep(self.moments.uniform(0, 2))
        self.services.start_all()

    def _is_at_work(self) -> bool:
        """Whether some run has begun, and has a worker."""
        return bool(self.services.run_workers() and self.services.runs(statuses=["STARTED"]))

    def backfill(self, job: str, partitions: Sequence[str], victims: Sequence[str]) -> None:
        """Backfill a job under strikes; then again, undisturbed, what failed, as whoever is on call does."""
        left = list(partitions)
        for _ in range(MOST_ROUNDS):
            backfill = self.services.wait(partial(self.services.backfill, job, left), f"{job} to be launched")
            for victim in victims:
                self.strike(victim)
            victims = ()
            ended = self.services.backfill_ended(backfill, left)
            left = [key for key in left if ended[key] != "SUCCESS" and not self.is_refused(key)]
            if not left:
                return
        raise AssertionError(f"{job} was not done for {left} in {MOST_ROUNDS} rounds\n{self.services.logs()}")

    def is_refused(self, partition: str) -> bool:
        """Whether a check, and no kill, stopped a partition: nothing is gained by running it again."""
        check = "quality_metrics", "few_recaptions_are_degenerate", partition
        [execution] = self.services.wait(lambda: [self.services.last_check(*check)], "a check to be read")
        return execution is not None and execution["status"] == "FAILED"


@pytest.fixture(scope="module")
def struck(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Home]]:
    """An installation that built five years while it was struck down, and what was left of it."""
    home = Home(tmp_path_factory.mktemp("struck"), sources)
    environment = home.environment(S1MM_WORKERS="1", S1MM_EXECUTOR="in_process")
    with (
        postgres_server() as postgres,
        services_on(postgres, home.folder / "instance", environment) as services,
    ):
        chaos = Chaos(services, postgres)
        chaos.backfill("to_quality_metrics", PARTITIONS, ["run_worker", "postgres", "daemon", "webserver"])
        assert services.run("find_duplicates") == "SUCCESS", services.logs()
        chaos.backfill("release_partition", PARTITIONS, ["postgres", "run_worker", "daemon"])
        assert services.run("publication") == "SUCCESS", services.logs()
        yield services, home


def test_nothing_is_lost(struck: tuple[Services, Home], undisturbed: Home) -> None:
    """The tables are those of a build that nobody disturbed, and the release verifies."""
    _, home = struck
    found = tables(home.store)

    assert found == tables(undisturbed.store)
    assert {key for asset, key in found if asset == "hf_release"} == set(SOUND)
    verified = home.run("verify", str(home.release))
    assert verified.returncode == 0, verified.stdout


def test_the_poisoned_year_is_still_refused(struck: tuple[Services, Home]) -> None:
    """What the check found outlives every kill; so does the refusal to release it."""
    services, _ = struck
    execution = services.last_check("quality_metrics", "few_recaptions_are_degenerate", POISONED)
    runs = services.runs(pipelineName="release_partition")

    assert execution is not None
    assert execution["evaluation"]["severity"] == "ERROR"
    assert {run["status"] for run in runs if run["partition"] == POISONED} == {"FAILURE"}


def test_no_run_is_left_behind(struck: tuple[Services, Home]) -> None:
    """Each run came to an end, however its worker did, and no slot of a pool is held by the dead."""
    services, _ = struck

    assert {run["status"] for run in services.runs()} <= set(ENDED)
    services.wait(lambda: not services.held_slots(), "the slots of the dead to be freed", patience_s=30)
