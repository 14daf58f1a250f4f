"""Prints the Jobs that a run of a job, and each of its steps, would be on the cluster of deploy/values.yaml, as JSON.

    python -m s1mm_assets_tests.deploy.pods one_partition

A program of its own, because the definitions read the environment when they are imported. What K8sRunLauncher and
K8sStepHandler do before they ask the API server is done here with the same functions.
"""

import json
import sys
import tempfile
from typing import Any

import dagster as dg
import kubernetes.client
import yaml
from dagster._core.execution.api import create_execution_plan
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import (
    UserDefinedDagsterK8sConfig,
    construct_dagster_k8s_job,
    get_user_defined_k8s_config,
)

from s1mm_assets import definitions
from s1mm_assets_tests.deploy.charts import code_location, container_context, image, launcher, taken, values

NO_CLUSTER = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "users": [{"name": "none", "user": {}}],
}


def run_launcher(config: dict[str, Any]) -> K8sRunLauncher:
    """Return the launcher as the instance would make it, of a cluster that nobody asks."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as kubeconfig:
        yaml.safe_dump(NO_CLUSTER, kubeconfig)
        kubeconfig.flush()
        outside = {**config, "load_incluster_config": False, "kubeconfig_file": kubeconfig.name}
        return K8sRunLauncher(**taken(K8sRunLauncher, outside))


def executor_config() -> dict[str, Any]:
    """Return the executor's config, as its definition completes it."""
    executor: Any = definitions.defs.executor
    found: dict[str, Any] = executor.apply_config_mapping({"config": {}}).value["config"]
    return found


def manifest(
    context: K8sContainerContext, starter: K8sRunLauncher, labels: dict[str, str], component: str
) -> dict[str, Any]:
    """Return a Job as it would be sent."""
    job = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config(image(code_location(values())["image"]), starter),
        args=["dagster", "api", component],
        job_name=f"dagster-{component.partition('_')[0]}-00000000",
        component=component,
        user_defined_k8s_config=context.run_k8s_config,
        labels=labels,
    )
    found: dict[str, Any] = kubernetes.client.ApiClient().sanitize_for_serialization(job)
    return found


def jobs_of(name: str) -> dict[str, Any]:
    """Return the Jobs of a Dagster job: its run worker's, and its steps' by step key."""
    starter = run_launcher(launcher(values()))
    location = K8sContainerContext.create_from_config(container_context(values()))
    run = dg.DagsterRun(job_name=name)
    inherited = K8sContainerContext.create_for_run(run, starter, include_run_tags=False).merge(location)
    raw: Any = UserDefinedDagsterK8sConfig
    of_steps = raw.from_dict(executor_config().get("step_k8s_config", {}))
    inherited_by_steps = inherited.merge(K8sContainerContext(run_k8s_config=of_steps))
    plan = create_execution_plan(definitions.defs.resolve_job_def(name))
    steps = {
        key: inherited_by_steps.merge(
            K8sContainerContext(run_k8s_config=get_user_defined_k8s_config(step.tags or {}))
        )
        for key, step in plan.step_dict_by_key.items()
    }
    return {
        "run": manifest(inherited, starter, {"dagster/job": name}, "run_worker"),
        "steps": {
            key: manifest(context, starter, {"dagster/job": name, "dagster/op": key}, "step_worker")
            for key, context in steps.items()
        },
    }


if __name__ == "__main__":
    json.dump(jobs_of(sys.argv[1]), sys.stdout)
