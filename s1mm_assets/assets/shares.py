"""A partition larger than a pod: several step pods make its shards, each its share, and the asset's step joins them.

    <asset>_shares → <asset>_share × n → <asset>_joined

Asset key, tables and digests are those of one step: a share derives shards into the store, and the asset's step derives
what none did and pins them all. A share that is lost costs its own time; whoever runs it again goes on.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.steps import IF_KILLED, STEPS, Steps, once


@dataclass(frozen=True, slots=True)
class Share:
    """Every n-th shard of a partition, from one on."""

    index: int = 0
    n: int = 1

    @property
    def key(self) -> str:
        """As Dagster writes it: of a step "recaptions_share[2_of_4]"."""
        return f"{self.index + 1}_of_{self.n}"

    @classmethod
    def of_key(cls, key: str) -> "Share":
        """Return the share that a key names."""
        index, _, n = key.partition("_of_")
        return cls(int(index) - 1, int(n))

    def names(self, shards: Sequence[str]) -> list[str]:
        """Return the shards' names that belong to it."""
        return list(shards[self.index :: self.n])

    def of(self, *handles: ShardSet) -> list[ShardSet]:
        """Return handles with the shards that belong to it."""
        return [replace(each, shards=each.shards[self.index :: self.n]) for each in handles]


WHOLE = Share()


def spread(
    work: Callable[..., object], *, steps: Steps = STEPS
) -> Callable[[dg.AssetsDefinition], dg.AssetsDefinition]:
    """Spread an asset's shards over as many pods as the settings say; over one, the asset stays as it is.

    Args:
        work: Derives a share of the shards. It takes the share, the context, handles and resources, in this order.
        steps: How many pods, and what each asks for.
    """

    def spreading(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
        name = asset.key.path[-1]
        return asset if steps.pods(name) == 1 else spread_asset(asset, work, steps)

    return spreading


def spread_asset(
    asset: dg.AssetsDefinition, work: Callable[..., object], steps: Steps
) -> dg.AssetsDefinition:
    """Return an asset whose step is a graph: shares, and what joins them."""
    name = asset.key.path[-1]
    handles = handles_of(work)
    waits = [each.name for each in asset.op.input_defs if each.dagster_type.is_nothing]
    list_shares = shares_op(f"{name}_shares", handles[:1], waits, steps.pods(name))
    derive_share = share_op(f"{name}_share", name, work, steps)
    join = joining(asset.op, f"{name}_joined")

    def composed(**inputs: Any) -> Any:
        shares = list_shares(**{each: inputs[each] for each in [*handles[:1], *waits]})
        made = shares.map(lambda share: derive_share(share=share, **{each: inputs[each] for each in handles}))
        return join(made=made.collect(), **inputs)

    keyword = inspect.Parameter.KEYWORD_ONLY
    composed.__signature__ = inspect.Signature(  # type: ignore[attr-defined] # Dagster reads the inputs' names there
        [inspect.Parameter(each, keyword) for each in asset.op.ins]
    )
    return dg.AssetsDefinition(
        keys_by_input_name=asset.keys_by_input_name,
        keys_by_output_name={"result": asset.key},
        node_def=dg.graph(name=name, out=dg.GraphOut())(composed),
        specs=list(asset.specs),
    )


def handles_of(work: Callable[..., object]) -> list[str]:
    """Return the names of the handles that a piece of work takes."""
    return [name for name, each in inspect.signature(work).parameters.items() if each.annotation is ShardSet]


def shares_op(name: str, handles: Sequence[str], waits: Sequence[str], n_pods: int) -> dg.OpDefinition:
    """Return the op that says which shares there are: as many as pods, or as shards where there are fewer."""

    @dg.op(
        name=name,
        ins={**{each: dg.In(ShardSet) for each in handles}, **{each: dg.In(dg.Nothing) for each in waits}},
        out=dg.DynamicOut(dg.Nothing),
        retry_policy=IF_KILLED,
    )
    def shares(**inputs: ShardSet) -> Iterator[dg.DynamicOutput[None]]:
        n = min([n_pods, *(len(handle.shards) for handle in inputs.values())])
        for i in range(n):
            yield dg.DynamicOutput(None, mapping_key=Share(i, n).key)

    return shares


def share_op(name: str, asset: str, work: Callable[..., object], steps: Steps) -> dg.OpDefinition:
    """Return the op that derives one share."""

    @functools.wraps(work)
    def derive(context: dg.OpExecutionContext, **given: Any) -> None:
        work(Share.of_key(str(context.get_mapping_key())), context, **given)

    parameters = list(inspect.signature(work).parameters.values())[1:]
    derive.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # without the share
    declared = dg.op(
        name=name,
        ins={"share": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        tags=steps.share_tags(asset),
        pool=steps.share_pool(asset),
        retry_policy=IF_KILLED,
    )
    return declared(once(derive))


def joining(op: dg.OpDefinition, name: str) -> dg.OpDefinition:
    """Return an asset's own op, waiting for what the shares made; a job has no two nodes of one name."""
    return dg.OpDefinition(
        compute_fn=op.compute_fn,
        name=name,
        ins={**op.ins, "made": dg.In(dg.Nothing)},
        outs=op.outs,
        description=op.description,
        required_resource_keys=set(op.required_resource_keys),
        tags=op.tags,
        retry_policy=op.retry_policy,
        code_version=op.version,
        pool=op.pool,
    )
