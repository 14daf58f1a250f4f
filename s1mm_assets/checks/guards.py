"""How a check is declared, and what each result says beside its numbers: thresholds and, where it fails, what to do.

The words of a guard are the only ones: the Dagster UI shows them, and docs/checks.md is made of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import dagster as dg

from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore, StoreError
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.steps import once

KEY = "PARTITION"  # in what is to be done: the partition key

WHOLE = {True: "Stops all that comes after.", False: "Warns; work goes on."}
BY_CHANCE = "Only warns where so few figures may miss it by chance: as long as the 95 % interval reaches it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One check as people read of it. Sentences; Markdown only for `code`."""

    says: str  # what is guarded and why, for somebody who is new here
    what_to_do: str  # where it fails; a command that is named exists
    stops: bool = True  # what comes after the asset, where it fails
    unless: str = ""  # when a failure that stops only warns
    settings: tuple[str, ...] = ()  # what moves its thresholds: "checks.clip_floor"

    @property
    def if_it_fails(self) -> str:
        """What a failure does."""
        return " ".join(filter(None, [WHOLE[self.stops], self.unless]))

    def thresholds(self, settings: Settings) -> dict[str, float | str]:
        """Return the settings that move this check, with their values, by the names that people set them by."""
        parts = [each.split(".") for each in self.settings]
        return {f"[{section}] {name}": getattr(getattr(settings, section), name) for section, name in parts}


def specs(
    asset: str, guards: Mapping[str, Guard], *, partitions: dg.PartitionsDefinition | None = SOURCE_BY_YEAR
) -> list[dg.AssetCheckSpec]:
    """Declare the checks of an asset; those of a partitioned asset are partitioned as it is."""
    return [
        dg.AssetCheckSpec(
            name,
            asset=asset,
            description=f"{guard.says} If it fails: {guard.if_it_fails}",
            blocking=guard.stops,
            partitions_def=partitions,
        )
        for name, guard in guards.items()
    ]


def materialized(store: ShardStore, asset: str, partition: str) -> ShardSet:
    """Return the handle of an asset for the partition that is checked.

    Raises:
        StoreError: There is none.
    """
    shard_set = store.pinned(asset, partition)
    if shard_set is None:
        raise StoreError(f"{asset} has not been materialized for {partition}: materialize it first")
    return shard_set


def reported(
    guards: Mapping[str, Guard],
    results: Iterable[dg.AssetCheckResult],
    *,
    settings: Settings | None = None,
    partition: str = "",
) -> Iterator[dg.AssetCheckResult]:
    """Yield results with what their guards say; a check that breaks down fails its step at once, and keeps the others.

    Args:
        guards: By the name of the check.
        results: Of these checks.
        settings: What the thresholds are; not needed where no guard has any.
        partition: The key of the partition that was checked; none where the asset has no partitions.
    """
    remaining = iter(results)
    following = once(lambda: next(remaining, None))
    while (result := following()) is not None:
        guard = guards[result.check_name or ""]
        to_do = {} if result.passed else {"what_to_do": guard.what_to_do.replace(KEY, partition or KEY)}
        thresholds = guard.thresholds(settings) if settings else {}
        metadata = {**to_do, **thresholds, **result.metadata}
        yield dg.AssetCheckResult(
            check_name=result.check_name,
            passed=result.passed,
            severity=result.severity,
            description=result.description,
            metadata=metadata,
        )
