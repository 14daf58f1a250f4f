"""Runs of an instance that tests look at: one that works until it is told to go on, others that only wait.

python -m s1mm_assets_tests.cli.instance_job run <home> <store> <folder of go-aheads>
"""

import sys
import time
from pathlib import Path

import dagster as dg
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets_tests.resources.shard_stages import PARTITION, SHARDS, measures

PARTITIONS = dg.StaticPartitionsDefinition([PARTITION])
JOB, ASSET, CHECK = "one_partition", "figure_measures", "ink_is_blue"


def patient(folder: Path) -> Stage:
    """A stage that makes each shard when a file of its name is there."""
    stage = measures()

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        while not (folder / reader.shard).exists():
            time.sleep(0.02)
        stage.make(reader, writer)

    return Stage(
        asset=stage.asset, version="1", tables=stage.tables, make=make, shard_inputs=stage.shard_inputs
    )


def job(store: str, folder: str) -> dg.JobDefinition:
    """One step, and its check, which fails."""

    @dg.asset(
        name=ASSET,
        partitions_def=PARTITIONS,
        check_specs=[dg.AssetCheckSpec(CHECK, asset=ASSET)],
    )
    def figure_measures(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster reads it
        ShardStore(uri=store).derive(patient(Path(folder)), PARTITION, shards=SHARDS, report=context.log.info)
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False, check_name=CHECK)])

    graph = dg.Definitions([figure_measures]).resolve_asset_graph()
    return dg.define_asset_job(JOB, executor_def=dg.in_process_executor).resolve(asset_graph=graph)


@dg.job
def waiting() -> None:
    """Nothing to do."""


def queue(instance: dg.DagsterInstance, n: int) -> None:
    """Put runs on record that wait for a daemon."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("elsewhere"), "__repository__")
    for _ in range(n):
        instance.create_run_for_job(
            waiting,
            status=dg.DagsterRunStatus.QUEUED,
            remote_job_origin=RemoteJobOrigin(repository, waiting.name),
        )


def main(home: str, store: str, folder: str) -> None:
    """Do the run that is looked at."""
    with dg.DagsterInstance.from_config(home) as instance:
        job(store, folder).execute_in_process(partition_key=PARTITION, instance=instance)


if __name__ == "__main__":
    main(*sys.argv[2:])
