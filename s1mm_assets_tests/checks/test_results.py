"""What several checks find alike passes on what is sound, and fails on each thing that it guards against."""

from collections.abc import Iterator

import dagster as dg
import polars as pl
import pytest

from s1mm_assets.checks.guards import Guard, reported
from s1mm_assets.checks.results import conserved, none_of, not_evaluated
from s1mm_assets.resources.settings import Settings

GUARDS = {
    "c": Guard(says="It holds.", what_to_do="Look at PARTITION.", settings=("checks.clip_floor",)),
}


def ids(*names: str) -> pl.Series:
    return pl.Series("figure_id", names, dtype=pl.String)


def test_what_came_in_goes_out() -> None:
    """In any order, and also where nothing came in."""
    assert conserved("c", ids("a", "b"), ids("b", "a")).passed
    assert conserved("c", ids(), ids()).passed


@pytest.mark.parametrize(
    ("before", "after", "what", "culprit"),
    [
        (ids("a", "b"), ids("a"), "lost", "b"),
        (ids("a"), ids("a", "x"), "invented", "x"),
        (ids("a", "b"), ids("a", "b", "b"), "repeated", "b"),
    ],
)
def test_a_row_lost_invented_or_repeated_fails(
    before: pl.Series, after: pl.Series, what: str, culprit: str
) -> None:
    """The culprits are counted and shown."""
    result = conserved("c", before, after)

    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.ERROR
    assert result.description == f"1 {what}"
    assert result.metadata[f"n_{what}"].value == 1
    assert f"| {what} | {culprit} |" in str(result.metadata["examples"].value)


def test_each_kind_of_wrong_row_is_shown() -> None:
    """However many there are of another."""
    result = conserved("c", ids(*(f"f{i}" for i in range(9))), ids("x", "y", "y"))

    assert str(result.metadata["examples"].value).count("| lost |") == 2
    assert "| repeated | y |" in str(result.metadata["examples"].value)


def test_wrong_rows_fail_with_examples() -> None:
    """At most five are shown, all are counted."""
    wrong = pl.DataFrame({"figure_id": [f"f{i}" for i in range(9)]})

    result = none_of("c", wrong, {"n": 12})

    assert not result.passed
    assert (result.metadata["n_wrong"].value, result.metadata["n"].value) == (9, 12)
    assert str(result.metadata["examples"].value).count("| f") == 1 + 5  # the head, and the rows
    sound = none_of("c", wrong.clear(), {})
    assert sound.passed
    assert "examples" not in sound.metadata


def test_a_failure_says_what_to_do() -> None:
    """With the partition's key; what passed says nothing of the kind, and both say what moves the check."""
    bad, good = (
        next(reported(GUARDS, [result], settings=Settings(), partition="arxiv|2019"))
        for result in (
            dg.AssetCheckResult(check_name="c", passed=False),
            dg.AssetCheckResult(check_name="c", passed=True),
        )
    )

    assert bad.metadata["what_to_do"].value == "Look at arxiv|2019."
    assert "what_to_do" not in good.metadata
    assert good.metadata["[checks] clip_floor"].value == 0.4


def test_what_was_not_evaluated_warns() -> None:
    """It neither passes nor blocks, and what is to be done is to have it evaluated."""
    (result,) = reported(GUARDS, [not_evaluated("c", "no model")], settings=Settings())

    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert "no model" in (result.description or "")
    assert result.metadata["what_to_do"].value == "no model"


def test_a_check_that_breaks_down_is_not_tried_again() -> None:
    """What was found before it is kept; a step is started again only where its pod vanished."""

    def results() -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(check_name="c", passed=True)
        raise ValueError("no table")

    found = reported(GUARDS, results(), settings=Settings())

    assert next(found).passed
    with pytest.raises(dg.Failure, match="no table") as failure:
        next(found)
    assert failure.value.allow_retries is False
