"""What asks by itself for new papers: off at first, and then only for the partitions that something new touches."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from s1mm_assets import definitions
from s1mm_assets.automation import LAG_DAYS, monthly_papers, new_papers
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.ledger import Ledger
from s1mm_assets.resources.publishers.registry import Publishers
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets_tests.imitations import playground
from s1mm_assets_tests.imitations.publishers import CREDENTIALS, Fault, ImitationPublishers


@pytest.fixture(scope="module")
def publishers() -> Iterator[ImitationPublishers]:
    with ImitationPublishers() as running:
        playground.fill(running)
        yield running


@pytest.fixture
def resources(
    publishers: ImitationPublishers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name.upper(), value)
    publishers.faults.clear()
    monkeypatch.setattr("s1mm_assets.automation.LOOK_S", 2.0)
    sources = Sources(root=str(tmp_path / "sources"))
    for source, year in LISTED:
        Ledger(Landing(sources.folder(source))).put_listing(year, [])
    return {
        "sources": sources,
        "publishers": Publishers(mirror=publishers.base),
        "settings": Settings(path=str(playground.SETTINGS)),
    }


LISTED = (("arxiv", 2023), ("biorxiv", 2023), ("nature_communications", 2019))  # what somebody has asked for
LAST = datetime.now(UTC).date() - timedelta(days=LAG_DAYS)


def seen(**days: str) -> dict[str, str]:
    """A cursor that is at its end but for some publishers."""
    names = ("arxiv", "biorxiv", "medrxiv", "chemrxiv", "nature_communications")
    return {**dict.fromkeys(names, str(LAST)), **days}


def looked(resources: dict[str, Any], cursor: dict[str, str]) -> tuple[set[str], dict[str, str]]:
    """The partitions that are asked for, and the next cursor."""
    context = dg.build_sensor_context(cursor=json.dumps(cursor), resources=resources)
    result = new_papers(context)
    assert isinstance(result, dg.SensorResult)
    assert all(request.run_key for request in result.run_requests or ())
    keys = {str(request.partition_key) for request in result.run_requests or ()}
    return keys, json.loads(result.cursor or "{}")


def test_all_are_off_until_somebody_turns_them_on() -> None:
    repository = definitions.defs.get_repository_def()

    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    (schedule,) = repository.schedule_defs
    assert set(sensors) == {"new_papers", "stale_partitions", "alert_on_failure"}
    assert {sensor.default_status for sensor in sensors.values()} == {dg.DefaultSensorStatus.STOPPED}
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert sensors["new_papers"].job_name == schedule.job_name == "land"


def test_the_sensor_asks_for_touched_partitions_alone(resources: dict[str, Any]) -> None:
    """On those days a first version and a revision were posted on bioRxiv; of arXiv nothing has landed yet."""
    keys, cursor = looked(resources, seen(biorxiv="2023-05-08", arxiv="2023-01-01"))

    assert "biorxiv|2023" in keys
    assert "arxiv|2023" in keys
    assert "arxiv|1998" not in keys  # not landed either, but nobody wanted it so far
    assert not [key for key in keys if not key.startswith(("biorxiv", "arxiv"))]
    assert cursor["arxiv"] == str(LAST)
    assert cursor["biorxiv"] > "2023-05-08"


def test_a_look_ends_in_time_and_the_next_goes_on(
    resources: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three requests' time a tick: the days go by one after the other, and none is left out."""
    ticks = iter(range(1000))
    monkeypatch.setattr("s1mm_assets.automation.monotonic", lambda: next(ticks))
    monkeypatch.setattr("s1mm_assets.automation.LOOK_S", 3.5)
    found: set[str] = set()
    cursor = seen(biorxiv="2023-05-06")
    for _ in range(3):
        before = cursor["biorxiv"]
        keys, cursor = looked(resources, cursor)
        assert cursor["biorxiv"] > before
        found |= keys

    assert "biorxiv|2023" in found


def test_nothing_is_asked_when_all_is_seen(
    resources: dict[str, Any], publishers: ImitationPublishers
) -> None:
    n = len(publishers.requests)

    assert looked(resources, seen()) == (set(), seen())
    assert len(publishers.requests) == n


def test_a_publisher_that_is_down_costs_only_itself(
    resources: dict[str, Any], publishers: ImitationPublishers
) -> None:
    """Its cursor stays, so that nothing is missed."""
    publishers.faults.append(Fault("^/details/biorxiv", times=99, status=403))

    keys, cursor = looked(resources, seen(biorxiv="2023-05-08", nature_communications="2019-06-30"))

    assert "nature_communications|2019" in keys
    assert not [key for key in keys if key.startswith("biorxiv")]
    assert cursor["biorxiv"] == "2023-05-08"


def test_nobody_is_asked_without_settings(resources: dict[str, Any], publishers: ImitationPublishers) -> None:
    n = len(publishers.requests)

    assert looked({**resources, "settings": Settings()}, {}) == (set(), {})
    assert len(publishers.requests) == n


@pytest.mark.parametrize(("day", "year"), [(date(2026, 11, 5), 2026), (date(2026, 1, 5), 2025)])
def test_the_schedule_asks_for_the_year_of_the_last_month(
    resources: dict[str, Any], day: date, year: int
) -> None:
    context = dg.build_schedule_context(
        resources={"settings": resources["settings"]},
        scheduled_execution_time=datetime(day.year, day.month, day.day, 6, tzinfo=UTC),
    )

    requests: Any = monthly_papers(context)

    keys = {request.partition_key for request in requests}
    assert keys == {f"{source}|{year}" for source in resources["settings"].acquisition.publishers}
