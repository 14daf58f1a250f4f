"""What several checks find alike: rows that are lost, rows that are wrong, measures that were not taken."""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from s1mm_assets.checks.examples import examples


def conserved(name: str, before: pl.Series, after: pl.Series) -> dg.AssetCheckResult:
    """Every row that came in goes out once: nothing is lost, invented or repeated."""
    wrong = {
        "lost": before.filter(~before.is_in(after.implode())),
        "invented": after.filter(~after.is_in(before.implode())),
        "repeated": after.filter(after.is_duplicated()).unique(maintain_order=True),
    }
    rows = [pl.DataFrame({"what": what, "id": ids}) for what, ids in wrong.items() if len(ids)]
    counted = {f"n_{what}": len(ids) for what, ids in wrong.items()}
    said = [f"{len(ids):,} {what}" for what, ids in wrong.items() if len(ids)]
    return dg.AssetCheckResult(
        check_name=name,
        passed=not rows,
        description=", ".join(said) or None,
        metadata={
            "n_in": len(before),
            "n_out": len(after),
            **counted,
            **(examples(some_of_each(pl.concat(rows))) if rows else {}),
        },
    )


def some_of_each(wrong: pl.DataFrame) -> pl.DataFrame:
    """Return rows so that the first of them show every `what` that there is."""
    return wrong.sort(pl.int_range(pl.len()).over("what"), maintain_order=True)


def none_of(
    name: str,
    culprits: pl.DataFrame,
    numbers: Mapping[str, float],
    *,
    shown: Mapping[str, dg.MetadataValue] | None = None,
) -> dg.AssetCheckResult:
    """No row is wrong; where some are, the first are shown, as they are or as `shown` has them."""
    n = len(culprits)
    return dg.AssetCheckResult(
        check_name=name,
        passed=n == 0,
        description=f"{n:,} wrong" if n else None,
        metadata={"n_wrong": n, **numbers, **(examples(culprits) if shown is None else shown)},
    )


def not_evaluated(name: str, why: str) -> dg.AssetCheckResult:
    """A measure that was not taken: it warns, says why, and what would have it taken."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"not evaluated: {why}",
        metadata={"evaluated": False, "what_to_do": why},
    )
