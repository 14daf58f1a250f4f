"""`s1mm plan`: what a backfill will take, on the example corpus."""

import json

import pytest

from s1mm_assets.cli import plan
from s1mm_assets_tests.cli.conftest import PARTITION
from s1mm_assets_tests.test_pipeline import Home

pytestmark = pytest.mark.xdist_group("filtered")


def test_a_plan_is_printed_for_people_and_as_json(filtered: Home) -> None:
    """The same numbers; each says where it comes from, and what was assumed is named."""
    options = ("--source", "arxiv", "--year", "2019", "--gpus", "4")
    text, data = filtered.run("plan", *options), filtered.run("plan", *options, "--json")

    assert text.returncode == data.returncode == 0, text.stderr + data.stderr
    rows = json.loads(data.stdout)
    assert {tuple(row) for row in rows} == {("partition", "quantity", "value", "unit", "basis")}
    found = {(row["partition"], row["quantity"]): row for row in rows}
    assert found[PARTITION, "kept figures"]["basis"] == "counted"
    assert found[PARTITION, "kept figures"]["value"] > 0
    assert found["all", "rate"]["basis"] == "assumed"
    assert (found["all", "GPUs"]["value"], found["all", "GPUs"]["basis"]) == (4, "given")
    assert all(row["quantity"] in text.stdout for row in rows)
    assert all(row["basis"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", "arxiv", "--year", "1955"), "papers of 1955; there are papers of 1998"),
        (("--source", "bogus"), "bogus is no source; there are: arxiv"),
    ],
)
def test_what_is_not_known_is_answered_in_a_line(
    filtered: Home, arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2 and what there is."""
    done = filtered.run("plan", *arguments)

    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1.5e-5, "< 0.01"), (0.25, "0.25"), (12_345.6, "12,346"), (7.0, "7")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    """As people read them."""
    assert plan.number(value) == text
