"""A backfill over five years on PostgreSQL, one of them poisoned: four are released, one is explained."""

import json

import pytest

from s1mm_assets_tests.operations.conftest import Operated
from s1mm_assets_tests.operations.papers import N_FIGURES, PARTITIONS, POISONED, SOUND, YEARS
from s1mm_assets_tests.operations.tables import tables
from s1mm_assets_tests.test_pipeline import Home

pytestmark = [pytest.mark.xdist_group("operations")]

FAILURE = """query($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection { events {
  ... on ExecutionStepFailureEvent { stepKey error { message causes { message errorChain { error { message } } }
    } } } } } } }"""
CONCURRENT = """query($id: ID!) { runOrError(runId: $id) { ... on Run { startTime endTime } } }"""


def test_all_years_but_the_poisoned_one_are_built(operated: Operated) -> None:
    """The others do not fail with it, neither when they are built nor when they are released."""
    for ended in (operated.built, operated.released):
        assert {key for key, status in ended.items() if status == "SUCCESS"} == set(SOUND)
        assert ended[POISONED] == "FAILURE"


def test_the_check_says_what_is_wrong_with_the_poisoned_year(operated: Operated) -> None:
    """Which check stopped it, with its numbers; of the other years it passed."""
    found = {
        key: operated.services.last_check("quality_metrics", "few_recaptions_are_degenerate", key)
        for key in PARTITIONS
    }

    assert {key for key, last in found.items() if last and last["status"] == "SUCCEEDED"} == set(SOUND)
    refused = found[POISONED]
    assert refused is not None
    evaluation = refused["evaluation"]
    numbers = {entry["label"]: entry for entry in evaluation["metadataEntries"]}
    assert (refused["status"], evaluation["severity"], evaluation["partition"]) == (
        "FAILED",
        "ERROR",
        POISONED,
    )
    assert numbers["share"]["floatValue"] == 1.0
    assert numbers["n"]["intValue"] == N_FIGURES
    assert json.loads(numbers["flags"]["jsonString"])["shared"] == N_FIGURES


def test_the_failed_release_names_the_check_and_what_to_do(operated: Operated) -> None:
    """Whoever opens the run of the poisoned year reads why it was not released."""
    runs = operated.services.runs(pipelineName="release_partition", statuses=["FAILURE"])
    [run] = [each for each in runs if each["partition"] == POISONED]

    answer = operated.services.ask(FAILURE, id=run["runId"])
    events = answer["runOrError"]["eventConnection"]["events"]

    [failure] = [event for event in events if event.get("stepKey") == "hf_release"]
    assert f"quality_metrics for {POISONED} was refused by few_recaptions_are_degenerate" in str(failure)


def test_runs_went_side_by_side(operated: Operated) -> None:
    """Two at a time, as the instance allows."""
    runs = operated.services.runs(pipelineName="to_quality_metrics")
    spans = [operated.services.ask(CONCURRENT, id=run["runId"])["runOrError"] for run in runs]
    at_once = [
        sum(other["startTime"] <= span["startTime"] < other["endTime"] for other in spans) for span in spans
    ]

    assert max(at_once) == 2


def test_what_was_released_is_published(operated: Operated) -> None:
    """The publication takes the four years that the checks let through, and they verify."""
    assert operated.publication == "SUCCESS"
    published = {path.stem for path in (operated.home.release / "local" / "jsonl").glob("*.jsonl")}
    assert published == {str(year) for year in YEARS if f"local|{year}" != POISONED}
    verified = operated.home.run("verify", str(operated.home.release))
    assert verified.returncode == 0, verified.stdout


def test_the_services_make_what_one_process_makes(operated: Operated, undisturbed: Home) -> None:
    """Every table of every partition has the same digest."""
    found = tables(operated.home.store)

    assert found == tables(undisturbed.store)
    assert {key for asset, key in found if asset == "hf_release"} == set(SOUND)


def test_the_database_is_the_one_that_was_named(operated: Operated) -> None:
    """No SQLite lies anywhere: all that the instance remembers is in PostgreSQL."""
    assert not list(operated.services.folder.rglob("*.db"))
