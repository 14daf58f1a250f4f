"""What a step that runs a model on GPUs asks of Kubernetes: its H100s, and the nodes that have them.

Op tags, because tags of a job do not reach the pods of its steps. On a laptop they say nothing to anybody.
"""

import json
from collections.abc import Mapping
from typing import Any

from s1mm_assets.resources.settings import Settings, SettingsError

NODES = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}  # as NVIDIA's GPU feature discovery labels them
TAINTS = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def h100_tags(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return op tags that ask for GPUs.

    Args:
        environment: S1MM_H100_COUNT (0: nothing is asked for; see `default_count`),
            S1MM_H100_NODE_SELECTOR and S1MM_H100_TOLERATIONS (JSON); S1MM_VLLM_URLS, S1MM_SETTINGS.

    Raises:
        SettingsError: One of them is not what it should be; the message names it.
    """
    return _tags(environment, environment.get("S1MM_H100_COUNT") or default_count(environment))


def scorer_tags(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return op tags that ask for one GPU, with the same nodes, where scores are computed on one (S1MM_DEVICE)."""
    return _tags(environment, "1") if runs_on_gpu(environment) else {}


def runs_on_gpu(environment: Mapping[str, str]) -> bool:
    """Whether CLIP and the masked language model were told to run on a GPU."""
    return environment.get("S1MM_DEVICE", "").startswith("cuda")


def _tags(environment: Mapping[str, str], count: str) -> dict[str, Any]:
    if not count.isdigit():
        raise SettingsError(f"S1MM_H100_COUNT is {count!r}; it must be a whole number")
    if int(count) == 0:
        return {}
    selector = _json(environment, "S1MM_H100_NODE_SELECTOR", NODES, dict)
    tolerations = _json(environment, "S1MM_H100_TOLERATIONS", TAINTS, list)
    gpus = {"nvidia.com/gpu": count}
    return {
        "dagster-k8s/config": {
            "container_config": {"resources": {"requests": gpus, "limits": gpus}},
            "pod_spec_config": {"node_selector": selector, "tolerations": tolerations},
        }
    }


def default_count(environment: Mapping[str, str]) -> str:
    """Return 8 where the step starts servers itself; else 0: its pod would wait for GPUs that it does not use."""
    settings = Settings(path=environment.get("S1MM_SETTINGS", ""))
    has_addresses = environment.get("S1MM_VLLM_URLS", "").strip()
    return "8" if settings.recaptioning.engine == "vllm" and not has_addresses else "0"


def _json(environment: Mapping[str, str], variable: str, default: Any, kind: type) -> Any:
    text = environment.get(variable)
    if text is None:
        return default
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{variable} is no JSON: {error}") from error
    if not isinstance(value, kind):
        raise SettingsError(f"{variable} must be a JSON {'object' if kind is dict else 'array'}")
    return value
