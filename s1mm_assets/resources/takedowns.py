"""The publisher's list of what must not be released, and which partitions were released without it."""

from collections.abc import Sequence
from pathlib import Path

from s1mm_assets.partitions import source_and_year
from s1mm_assets.release.takedowns import Takedown, TakedownError, by_shard, read_takedowns
from s1mm_assets.resources.settings import Settings, SettingsError
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet

MAX_BYTES = 64 * 2**20


def takedowns(settings: Settings) -> list[Takedown]:
    """Read the list that the settings name; without one, nothing is taken down.

    Raises:
        SettingsError: It is not there, or is no such list. Nothing may be released without it.
    """
    path = settings.release.takedowns
    if not path:
        return []
    try:
        data = Path(path).expanduser().read_bytes()[: MAX_BYTES + 1]
        if len(data) > MAX_BYTES:
            raise TakedownError(f"it is larger than {MAX_BYTES:,} bytes")
        return read_takedowns(data.decode())
    except (OSError, ValueError) as error:
        raise SettingsError(f"[release] takedowns, {path}: {error}") from error


def takedowns_by_shard(
    store: ShardStore, raw_archives: ShardSet, entries: Sequence[Takedown]
) -> dict[str, dict[str, str]]:
    """Return what each shard of a partition must leave out, as `release.stage` takes it."""
    if not entries:
        return {}
    source, _ = source_and_year(raw_archives.partition)
    metadata = store.read(raw_archives, "metadata", ["paper_id", "doi"], names_shard=True)
    return by_shard(entries, source, metadata)


def released_without(
    store: ShardStore, released: ShardSet, raw_archives: ShardSet, entries: Sequence[Takedown]
) -> bool:
    """Whether a partition was released with another list of takedowns than this one."""
    now = takedowns_by_shard(store, raw_archives, entries)
    return any(
        dict(commit.made_from["shard_inputs"]) != now.get(commit.shard, {}) for commit in released.shards
    )
