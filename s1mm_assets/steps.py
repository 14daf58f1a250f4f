"""How a step runs: its pool, what it asks of Kubernetes, if it is tried again, and over how many pods it is spread.

The numbers are in resources/step_settings. Requests are op tags, because tags of a job do not reach the pods of its
steps; on a laptop they say nothing to anybody.
"""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

import dagster as dg

from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.step_settings import StepSettings

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

IF_KILLED = dg.RetryPolicy(max_retries=2, delay=10)
"""A process or pod that vanishes (evicted, out of memory) is started again; an error of its own is not, see `once`."""
JOINING_CPU = 2.0  # cores of a step that joins what pods made
JOINS_WITH_MODELS = {"quality_metrics"}
"""Their joining steps ask models which versions the scores are of; `recaptions` has it from the settings."""


class Steps:
    """What each asset's step asks for, by settings and environment.

    Args:
        environment: S1MM_SETTINGS; S1MM_VLLM_URLS and S1MM_DEVICE, which say what runs on GPUs; S1MM_GPU_IMAGE, the
            image of such steps where it is another; S1MM_WORKERS, else a step's pod has as many as cores.

    Raises:
        SettingsError: The settings are none.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        settings = Settings(path=environment.get("S1MM_SETTINGS", ""))
        self._steps = settings.steps
        starts_servers = (
            settings.recaptioning.engine == "vllm" and not environment.get("S1MM_VLLM_URLS", "").strip()
        )
        scores_on_gpu = environment.get("S1MM_DEVICE", "").startswith("cuda")
        self._says_workers = bool(environment.get("S1MM_WORKERS", "").strip())
        self._gpu_image = environment.get("S1MM_GPU_IMAGE", "").strip()
        self._on_gpus = {"recaptions": starts_servers, "quality_metrics": scores_on_gpu}

    def pods(self, asset: str) -> int:
        """Over how many step pods the shards of a partition are spread."""
        return self._steps[asset].pods

    def share_pool(self, asset: str) -> str:
        """The instance's pool that limits how many steps that make shards run at a time."""
        return "gpu" if self._on_gpus.get(asset) else self._steps[asset].pool

    def share_tags(self, asset: str) -> dict[str, Any]:
        """Return the op tags of a step that makes shards."""
        n_gpus = self._steps[asset].gpus if self._on_gpus.get(asset) else 0
        return self._tags(self._steps[asset], n_gpus)

    def pool(self, asset: str) -> str:
        """The pool of an asset's own step."""
        is_light = self.pods(asset) > 1 and asset not in JOINS_WITH_MODELS
        return "cpu" if is_light else self.share_pool(asset)

    def tags(self, asset: str) -> dict[str, Any]:
        """Return the op tags of an asset's own step: where pods make its shards before it, it only joins."""
        if self.pods(asset) == 1 or asset in JOINS_WITH_MODELS:
            return self.share_tags(asset)
        return self._tags(replace(self._steps[asset], cpu=JOINING_CPU), 0)

    def _tags(self, step: StepSettings, n_gpus: int) -> dict[str, Any]:
        cpu, memory_gib = (
            step.cpu + n_gpus * step.cpu_per_gpu,
            step.memory_gib + n_gpus * step.memory_gib_per_gpu,
        )
        workers = {} if self._says_workers else {"S1MM_WORKERS": str(max(1, round(step.cpu)))}
        asked = replace(step, cpu=cpu, memory_gib=memory_gib)
        return tags_of(asked, n_gpus, image=self._gpu_image if n_gpus else "", environment=workers)


def tags_of(
    step: StepSettings, n_gpus: int, *, image: str = "", environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the op tags that ask Kubernetes for what a step needs.

    Memory is request and limit, so that no other pod is evicted for this one. Cores are a request alone, as idle ones
    may be used; a step is told how many workers it may have, where it would count all cores of its node.
    """
    memory = {"memory": f"{round(step.memory_gib * 1024)}Mi"}
    gpus = {"nvidia.com/gpu": str(n_gpus)} if n_gpus else {}
    cpu = {"cpu": f"{round(step.cpu * 1000)}m"}
    container: dict[str, Any] = {
        "resources": {"requests": {**cpu, **memory, **gpus}, "limits": {**memory, **gpus}},
        "env": [{"name": name, "value": value} for name, value in (environment or {}).items()],
    }
    pod: dict[str, Any] = {
        "active_deadline_seconds": round(step.time_limit_h * 3600)
    }  # of a pod that runs, not waits
    if image:
        container["image"] = image
    if n_gpus:
        pod["node_selector"] = dict(step.node_selector)
        pod["tolerations"] = [dict(each) for each in step.tolerations]
    return {"dagster-k8s/config": {"container_config": container, "pod_spec_config": pod}}


STEPS = Steps(os.environ)


def once(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a step's own errors fail it at once: what may pass was already tried again by the resource that met it.

    Raises:
        dg.Failure: Instead of any other error, which is its cause.
    """

    @functools.wraps(function)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except dg.Failure as failure:
            failure.allow_retries = False
            raise
        except Exception as error:
            raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error

    return run
