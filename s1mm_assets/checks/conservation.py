"""What came in goes out: the check that every door shares, and how checks of one partition are declared."""

import dagster as dg
import polars as pl

from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources.shard_store import ShardStore, StoreError
from s1mm_assets.resources.shards import ShardSet

EXAMPLES = 5  # culprits shown in a check's metadata


def guard(asset: str, name: str, description: str, *, is_blocking: bool = True) -> dg.AssetCheckSpec:
    """Declare a partitioned check; a blocking one stops what comes after the asset when it fails."""
    return dg.AssetCheckSpec(
        name, asset=asset, description=description, blocking=is_blocking, partitions_def=SOURCE_BY_YEAR
    )


def materialized(store: ShardStore, asset: str, context: dg.AssetCheckExecutionContext) -> ShardSet:
    """Return the handle of an asset for the partition that is checked."""
    shard_set = store.pinned(asset, context.partition_key)
    if shard_set is None:
        raise StoreError(
            f"{asset} has not been materialized for {context.partition_key}: materialize it first"
        )
    return shard_set


def conserved(name: str, before: pl.Series, after: pl.Series) -> dg.AssetCheckResult:
    """Every row that came in goes out once: nothing is lost, invented or repeated."""
    lost = before.filter(~before.is_in(after.implode()))
    invented = after.filter(~after.is_in(before.implode()))
    repeated = after.filter(after.is_duplicated()).unique(maintain_order=True)
    return dg.AssetCheckResult(
        check_name=name,
        passed=lost.is_empty() and invented.is_empty() and repeated.is_empty(),
        metadata={
            "n_in": len(before),
            "n_out": len(after),
            "n_lost": len(lost),
            "lost": lost.head(EXAMPLES).to_list(),
            "n_invented": len(invented),
            "invented": invented.head(EXAMPLES).to_list(),
            "repeated": repeated.head(EXAMPLES).to_list(),
        },
    )


def none_of(name: str, culprits: pl.DataFrame, **numbers: float) -> dg.AssetCheckResult:
    """No row is wrong; where some are, the first are shown."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=culprits.is_empty(),
        metadata={
            "n_wrong": len(culprits),
            "examples": [str(row) for row in culprits.head(EXAMPLES).iter_rows(named=True)],
            **numbers,
        },
    )


def not_evaluated(name: str, why: str) -> dg.AssetCheckResult:
    """A measure that was not taken: it warns, and says why."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"not evaluated: {why}",
        metadata={"evaluated": False},
    )
