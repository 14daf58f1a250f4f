"""A Dagster job with one asset that maps over items in workers, for a multiprocess run."""

from typing import Any

import dagster as dg

from s1mm_assets.resources import progress, worker_pool
from s1mm_assets.resources.worker_pool import WorkerPool
from s1mm_assets.stages import Failed
from s1mm_assets_tests.resources.worker_tasks import misbehave


@dg.asset
def mapped(workers: WorkerPool) -> dg.MaterializeResult[Any]:
    """Good work around one crash."""
    progress.PROGRESS_INTERVAL_S, worker_pool.PRELOAD = 0.1, ()
    results = list(workers.map(misbehave, ["well", "segfault", "print", "well"], what="papers", total=4))
    seen = [result.evidence if isinstance(result, Failed) else result for result in results]
    return dg.MaterializeResult(metadata={"results": seen})


def job() -> dg.JobDefinition:
    """Assemble the job, in whichever process needs it."""
    workers = WorkerPool(n_workers=2, memory_limit_mib=400)
    definitions = dg.Definitions(
        assets=[mapped],
        resources={"workers": workers},
        jobs=[dg.define_asset_job("mapped_job", executor_def=dg.multiprocess_executor)],
    )
    return definitions.resolve_job_def("mapped_job")
