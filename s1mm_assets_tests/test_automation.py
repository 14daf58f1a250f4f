"""What asks by itself for new papers: off at first, and then only for the partitions that something new touches."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from s1mm_assets import definitions
from s1mm_assets.automation import monthly_papers, new_papers
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
    return {
        "sources": Sources(root=str(tmp_path / "sources")),
        "publishers": Publishers(mirror=publishers.base),
        "settings": Settings(path=str(playground.SETTINGS)),
    }


def looked(resources: dict[str, Any], cursor: str | None = None) -> dg.SensorResult:
    context = dg.build_sensor_context(cursor=cursor, resources=resources)
    result = new_papers(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_both_are_off_until_somebody_turns_them_on() -> None:
    repository = definitions.defs.get_repository_def()

    (sensor,) = repository.sensor_defs
    (schedule,) = repository.schedule_defs
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert sensor.job_name == schedule.job_name == "land"


def test_the_sensor_asks_for_touched_partitions_alone(resources: dict[str, Any]) -> None:
    """Posted since the cursor: papers of 2023 on bioRxiv; arXiv lists years that never landed."""
    seen = dict.fromkeys(("arxiv", "biorxiv", "chemrxiv", "nature_communications"), "2023-05-01")

    result = looked(resources, json.dumps({**seen, "medrxiv": str(datetime.now(UTC).date())}))

    keys = {request.partition_key for request in result.run_requests or ()}
    assert "biorxiv|2023" in keys
    assert not [key for key in keys if key and key.startswith("medrxiv")]
    assert {"arxiv|1998", "arxiv|2023"} <= keys
    assert all(request.run_key for request in result.run_requests or ())
    day = str((datetime.now(UTC) - timedelta(days=2)).date())
    assert set(json.loads(result.cursor or "").values()) == {day}


def test_the_next_look_begins_where_this_one_ended(resources: dict[str, Any]) -> None:
    first = looked(resources, json.dumps(dict.fromkeys(("biorxiv", "medrxiv"), "2023-05-01")))
    again = looked(resources, first.cursor)

    assert not [r for r in again.run_requests or () if (r.partition_key or "").startswith("biorxiv")]


def test_a_publisher_that_is_down_costs_only_itself(
    resources: dict[str, Any], publishers: ImitationPublishers
) -> None:
    """Its cursor stays, so that nothing is missed."""
    publishers.faults.append(Fault("^/details/biorxiv", times=99, status=403))
    seen = dict.fromkeys(("arxiv", "biorxiv", "medrxiv", "chemrxiv", "nature_communications"), "2019-01-01")

    result = looked(resources, json.dumps(seen))

    keys = {request.partition_key for request in result.run_requests or ()}
    assert "medrxiv|2019" in keys
    assert not [key for key in keys if key and key.startswith("biorxiv")]
    assert json.loads(result.cursor or "")["biorxiv"] == "2019-01-01"


def test_nobody_is_asked_without_settings(resources: dict[str, Any], publishers: ImitationPublishers) -> None:
    n = len(publishers.requests)

    result = looked({**resources, "settings": Settings()})

    assert (result.run_requests, len(publishers.requests)) == ([], n)


def test_the_schedule_asks_for_the_last_month(resources: dict[str, Any]) -> None:
    """arXiv's years have never landed here; nobody else posted anything in the last month."""
    context = dg.build_schedule_context(
        resources=resources, scheduled_execution_time=datetime(2026, 11, 5, 6, tzinfo=UTC)
    )

    requests = list(monthly_papers(context))

    keys = {request.partition_key for request in requests}
    assert {"arxiv|1998", "arxiv|2023"} <= keys
    assert all((key or "").startswith("arxiv") for key in keys)
