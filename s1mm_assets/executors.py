"""Where steps run, by one setting: S1MM_EXECUTOR.

`multiprocess`: a process for each step, on this machine. `in_process`: in the run's own process. `k8s`: a pod for each
step, which asks for what [steps] says; image, namespace and secrets are those of the instance's K8sRunLauncher.
"""

from collections.abc import Mapping

import dagster as dg

from s1mm_assets.resources.settings import SettingsError

EXECUTORS = ("multiprocess", "in_process", "k8s")


def executor(environment: Mapping[str, str]) -> dg.ExecutorDefinition:
    """Return the executor that S1MM_EXECUTOR names.

    Raises:
        SettingsError: There is none of this name, or what it needs is not installed.
    """
    name = environment.get("S1MM_EXECUTOR", "").strip() or EXECUTORS[0]
    if name == "in_process":
        return dg.in_process_executor
    if name == "k8s":
        return pods()
    if name != "multiprocess":
        raise SettingsError(f"S1MM_EXECUTOR is {name!r}; there are: {', '.join(EXECUTORS)}")
    return dg.multiprocess_executor


def pods() -> dg.ExecutorDefinition:
    """Return the executor that runs each step in a pod of its own, which may ask nothing of the cluster.

    Steps read untrusted papers: they have no token. Their jobs are removed with their run worker's pod: where it is
    evicted, at once; where it failed, when the cluster tidies it up (deploy/ says after an hour).
    """
    try:
        from dagster_k8s import k8s_job_executor
    except ImportError as error:
        raise SettingsError(
            f"S1MM_EXECUTOR is k8s, and dagster-k8s cannot be loaded ({error}): pip install 's1mm-assets[k8s]'"
        ) from error
    without_token = {"pod_spec_config": {"automount_service_account_token": False}}
    config = {"enable_owner_references": True, "step_k8s_config": without_token}
    return k8s_job_executor.configured(config, name="k8s")
