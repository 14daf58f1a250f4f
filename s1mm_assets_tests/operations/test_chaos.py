"""Daemon, webserver, run workers and database are killed at random while five years are built: nothing is lost."""

import random
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from s1mm_assets.resources.shard_store import COMMIT, JOURNAL
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

    def __init__(self, services: Services, postgres: Postgres, store: Path) -> None:
        self.services = services
        self.postgres = postgres
        self.store = store
        self.journals: dict[Path, bytes] = {}  # of shards that stood when something was killed
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
        for commit in self.store.glob(f"*/*/*/*/{COMMIT}"):
            journal = commit.with_name(JOURNAL)
            self.journals.setdefault(journal, journal.read_bytes())
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


@dataclass(frozen=True, kw_only=True)
class Struck:
    """What a struck installation came to."""

    services: Services
    home: Home
    journals: dict[Path, bytes]


@pytest.fixture(scope="module")
def struck(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Struck]:
    """An installation that built five years while it was struck down, and what was left of it."""
    home = Home(tmp_path_factory.mktemp("struck"), sources)
    environment = home.environment(S1MM_WORKERS="1", S1MM_EXECUTOR="in_process")
    with (
        postgres_server() as postgres,
        services_on(postgres, home.folder / "instance", environment) as services,
    ):
        chaos = Chaos(services, postgres, Path(home.store.uri))
        chaos.backfill("to_quality_metrics", PARTITIONS, ["run_worker", "postgres", "daemon", "webserver"])
        assert services.run("find_duplicates") == "SUCCESS", services.logs()
        chaos.backfill("release_partition", PARTITIONS, ["postgres", "run_worker", "daemon"])
        assert services.run("publication") == "SUCCESS", services.logs()
        yield Struck(services=services, home=home, journals=chaos.journals)


def test_nothing_is_lost(struck: Struck, undisturbed: Home) -> None:
    """The tables are those of a build that nobody disturbed, and the release verifies."""
    home = struck.home
    found = tables(home.store)

    assert found == tables(undisturbed.store)
    assert {key for asset, key in found if asset == "hf_release"} == set(SOUND)
    verified = home.run("verify", str(home.release))
    assert verified.returncode == 0, verified.stdout


def test_what_stood_at_a_kill_was_not_made_again(struck: Struck) -> None:
    """Each shard's journal, which says when it was made, is the one that it had then."""
    assert {journal.relative_to(struck.home.store.uri).parts[0] for journal in struck.journals} >= {
        "raw_archives",
        "figure_candidates",
        "quality_metrics",
    }
    assert {path for path, journal in struck.journals.items() if path.read_bytes() != journal} == set()


def test_the_poisoned_year_is_still_refused(struck: Struck) -> None:
    """What the check found outlives every kill; so does the refusal to release it."""
    services = struck.services
    execution = services.last_check("quality_metrics", "few_recaptions_are_degenerate", POISONED)
    runs = services.runs(pipelineName="release_partition")

    assert execution is not None
    assert execution["evaluation"]["severity"] == "ERROR"
    assert {run["status"] for run in runs if run["partition"] == POISONED} == {"FAILURE"}


def test_no_run_is_left_behind(struck: Struck) -> None:
    """Each run came to an end, however its worker did, and no slot of a pool is held by the dead."""
    services = struck.services

    assert {run["status"] for run in services.runs()} <= set(ENDED)
    services.wait(lambda: not services.held_slots(), "the slots of the dead to be freed", patience_s=30)
