"""What each step asks of the machine that it runs on, in one place: cores, memory, GPUs, hours, pods, pool.

On a cluster it becomes the requests of the step's pod; on a laptop, where a step takes what there is, only the pool
says something. The section [steps] of the settings overrides it, asset by asset. None of it shapes data.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

NODES = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}  # as NVIDIA's GPU feature discovery labels them
TAINTS = ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """One asset's step."""

    pool: str = "cpu"  # of the instance: how many such steps run at a time
    pods: int = 1  # its shards are spread over as many step pods
    cpu: float = 4.0
    memory_gib: float = 16.0
    gpus: int = 0  # asked for where the step itself runs a model on them
    cpu_per_gpu: float = 0.0  # and then for these on top
    memory_gib_per_gpu: float = 0.0
    node_selector: Mapping[str, str] = field(default_factory=dict)  # of a step with GPUs
    tolerations: tuple[Mapping[str, str], ...] = ()  # of a step with GPUs
    time_limit_h: float = 24.0  # of a pod that runs; what was made by then stays

    def __post_init__(self) -> None:
        """Refuse what no pod can ask for."""
        if not 1 <= self.pods <= 1_000:
            raise ValueError("pods lies in 1 to 1,000")
        for name in ("cpu", "memory_gib", "time_limit_h"):
            object.__setattr__(self, name, float(getattr(self, name)))
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0")
        for name in ("cpu_per_gpu", "memory_gib_per_gpu"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0")
        if self.gpus < 0:
            raise ValueError("gpus must be at least 0")

    def as_dict(self) -> dict[str, Any]:
        """Return what the settings may say of it, as TOML takes it."""
        values = {name: getattr(self, name) for name in SETTABLE}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


SETTABLE = tuple(each.name for each in fields(StepSettings) if each.name != "pool")
"""What the settings may say of a step. Its pool is shared with other assets: how many run is the instance's."""

STEPS: dict[str, StepSettings] = {
    "landed_papers": StepSettings(pool="publishers", cpu=1, memory_gib=2, time_limit_h=72),
    "raw_archives": StepSettings(cpu=8, memory_gib=16),
    "figure_candidates": StepSettings(cpu=16, memory_gib=48, time_limit_h=72),
    "filtered_figures": StepSettings(cpu=8, memory_gib=32),
    "recaptions": StepSettings(
        pool="gpu",
        cpu=8,
        memory_gib=32,
        gpus=8,
        cpu_per_gpu=3,  # a server prepares images on the CPU
        memory_gib_per_gpu=28,
        node_selector=NODES,
        tolerations=TAINTS,
        time_limit_h=168,
    ),
    "quality_metrics": StepSettings(
        cpu=8, memory_gib=32, gpus=1, node_selector=NODES, tolerations=TAINTS, time_limit_h=72
    ),
    "hf_release": StepSettings(cpu=4, memory_gib=16),
    "duplicates": StepSettings(pool="duplicates", cpu=4, memory_gib=64),
    "hf_publication": StepSettings(pool="publication", cpu=4, memory_gib=16),
    "hub_repository": StepSettings(pool="publication", cpu=2, memory_gib=8, time_limit_h=72),
    "checks": StepSettings(cpu=2, memory_gib=16),
}
"""Asset → its step, by default; `checks` are the steps of the asset checks. Here are the assets' pools."""


def merged(overrides: Mapping[str, Any]) -> dict[str, StepSettings]:
    """Return every step with what the settings say of it.

    Raises:
        ValueError: A name or value is none; the message says which, and what there is.
    """
    unknown = sorted(set(overrides) - set(STEPS))
    if unknown:
        raise ValueError(f"[steps] has no {unknown[0]}; it has: {', '.join(STEPS)}")
    return {name: _with(name, step, overrides.get(name, {})) for name, step in STEPS.items()}


def _with(name: str, step: StepSettings, values: Any) -> StepSettings:
    known = {each: getattr(step, each) for each in SETTABLE}
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} must be a section: [steps.{name}]")
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"[steps.{name}] has no setting {key}; it has: {', '.join(known)}")
        if not _is_like(value, known[key]):
            raise ValueError(f"[steps.{name}] {key} is {value!r}; it must be like {known[key]!r}")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return StepSettings(pool=step.pool, **{**known, **given})
    except ValueError as error:
        raise ValueError(f"[steps.{name}]: {error}") from error


def _is_like(value: object, default: object) -> bool:
    if isinstance(default, tuple):
        return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)
    if isinstance(default, Mapping):
        return isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values())
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(default)
