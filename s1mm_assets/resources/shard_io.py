"""The IO manager: between assets flows a small handle, not the data."""

from typing import Any

import dagster as dg

from s1mm_assets.resources.shard_store import ShardStore, StoreError
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.tables import MAIN_TABLES


class ShardSetIOManager(dg.ConfigurableIOManager):
    """Pins the handle of each materialization as the partition record, and hands it to the next asset."""

    store: dg.ResourceDependency[ShardStore]

    def handle_output(self, context: dg.OutputContext, obj: ShardSet) -> None:
        """Write the partition record and show what it holds."""
        self.store.pin(obj)
        tables = sorted({name for shard in obj.shards for name in shard.tables})
        rows: dict[str, Any] = {f"rows/{name}": obj.n_rows(name) for name in tables}
        main = next((name for name in tables if name in MAIN_TABLES), None)
        context.add_output_metadata(
            {
                **rows,
                "dagster/row_count": rows[f"rows/{main}"] if main else 0,
                "shards": len(obj.shards),
                "bytes": obj.n_bytes(),
                "digest": obj.digest(),
                "dagster/uri": self.store.path(obj.asset, *obj.partition.split("|")),
            }
        )

    def load_input(self, context: dg.InputContext) -> ShardSet:
        """Return the handle of the upstream partition.

        Raises:
            dg.Failure: The upstream partition has not been materialized, or with another schema version. It is not
                tried again: that would not mend it.
        """
        asset = context.asset_key.path[-1]
        [partition] = context.asset_partition_keys  # a run over a range of one has no partition_key
        try:
            shard_set = self.store.pinned(asset, partition)
        except StoreError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        if shard_set is None:
            why = f"{asset} has not been materialized for {partition}: materialize it first"
            raise dg.Failure(why, allow_retries=False)
        return shard_set
