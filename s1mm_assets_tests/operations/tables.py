"""What lies in a store, as digests: two stores that were filled in different ways are compared by it."""

from s1mm_assets.resources.shard_store import ShardStore

ASSETS = (
    "raw_archives",
    "figure_candidates",
    "filtered_figures",
    "recaptions",
    "quality_metrics",
    "duplicates",
    "hf_release",
)


def tables(store: ShardStore) -> dict[tuple[str, str], str]:
    """Return asset and partition → digest over its shards: all that they hold and were made from."""
    found = {}
    for asset in ASSETS:
        for key in store.partitions(asset):
            handle = store.pinned(asset, key)
            assert handle is not None
            found[asset, key] = handle.digest()
    return found
