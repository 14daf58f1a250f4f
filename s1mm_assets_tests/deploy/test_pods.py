"""The pods of runs and steps: what dagster-k8s would send for the real definitions, on the cluster of deploy/."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from s1mm_assets_tests.conftest import ROOT
from s1mm_assets_tests.deploy.charts import code_location, config_map, image, objects, values

pytestmark = pytest.mark.xdist_group("pods")  # so that each cluster's Jobs are made once

URLS = "http://vllm-0.vllm:8000 http://vllm-1.vllm:8000"
GPU = "nvidia.com/gpu"
CLUSTERS = {  # what differs from the ConfigMaps: environment, settings → steps with GPUs, and how many
    "as it is": ({}, "", {"recaptions": "8", "quality_metrics": "1"}),
    "with long-lived servers": ({"S1MM_VLLM_URLS": URLS}, "", {"quality_metrics": "1"}),
    "without a GPU": ({"S1MM_DEVICE": "cpu", "S1MM_VLLM_URLS": URLS}, "", {}),
    "spread over pods": (
        {},
        "pods = 4\n[steps.figure_candidates]\npods = 3\n",
        {"recaptions.recaptions_share[?]": "8", "quality_metrics": "1"},
    ),
}


@functools.cache
def jobs(cluster: str) -> dict[str, Any]:
    """Return the Jobs of a run of one partition; a process of its own, since importing reads the environment."""
    changed, settings, _ = CLUSTERS[cluster]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "s1mm.toml")
        path.write_text(
            config_map("s1mm-settings")["s1mm.toml"] + settings, "utf-8"
        )  # its last section: recaptions
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("S1MM_", "DAGSTER_"))}
        environment = {**kept, **config_map("s1mm-environment"), "S1MM_SETTINGS": str(path), **changed}
        done = subprocess.run(
            [sys.executable, "-m", "s1mm_assets_tests.deploy.pods", "one_partition"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def all_of(cluster: str) -> dict[str, dict[str, Any]]:
    """Return the pods of a run, by step; the run worker's under its own name."""
    found = jobs(cluster)
    return {
        name: job["spec"]["template"]["spec"]
        for name, job in {"run worker": found["run"], **found["steps"]}.items()
    }


def resources(pod: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return what the one container of a pod asks for."""
    (container,) = pod["containers"]
    found: dict[str, dict[str, str]] = container["resources"]
    return found


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_kubernetes_takes_the_jobs(cluster: str) -> None:
    """Each with no field that it does not know."""
    found = jobs(cluster)

    assert len(found["steps"]) >= 15
    for job in (found["run"], *found["steps"].values()):
        kubernetes_validate.validate(job, "1.37", strict=True)


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_gpus_reach_the_steps_that_use_them_and_no_other(cluster: str) -> None:
    """As request and limit; and with them the nodes that have them, and leave to run there."""
    pods = all_of(cluster)
    asked = {
        name: resources(pod)["requests"][GPU]
        for name, pod in pods.items()
        if GPU in resources(pod)["requests"]
    }

    assert asked == CLUSTERS[cluster][2]
    for name, pod in pods.items():
        assert resources(pod)["limits"].get(GPU) == asked.get(name)
        assert bool(pod.get("nodeSelector")) is (name in asked)
        assert bool(pod.get("tolerations")) is (name in asked)


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_every_pod_asks_for_cores_and_memory(cluster: str) -> None:
    """And is held to its memory; to its cores is none, or it would inherit the code location's."""
    for name, pod in all_of(cluster).items():
        asked = resources(pod)
        assert {"cpu", "memory"} <= set(asked["requests"]), name
        assert asked["limits"]["memory"] == asked["requests"]["memory"], name
        assert "cpu" not in asked["limits"], name


def test_steps_ask_for_more_than_the_run_that_waits_for_them() -> None:
    """What a step asks for itself counts, not what it inherits."""
    pods = all_of("as it is")

    assert resources(pods["run worker"])["requests"] == code_location(values())["resources"]["requests"]
    assert resources(pods["figure_candidates"])["requests"] == {"cpu": "16000m", "memory": "49152Mi"}


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_every_pod_is_as_the_namespace_wants_it(cluster: str) -> None:
    """Restricted, where papers are read above all; what it writes lies in scratch."""
    for name, pod in all_of(cluster).items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
        assert {path for path, mount in mounts.items() if not mount.get("readOnly")} == {"/tmp", "/dev/shm"}  # noqa: S108
        assert {"/etc/s1mm", "/weights"} < set(mounts)
        assert {each["name"] for each in mounts.values()} == {each["name"] for each in pod["volumes"]}


def test_pods_reach_what_they_need() -> None:
    """By the labels that dagster-k8s gives them, and the network policies look for."""
    found = jobs("as it is")
    every = {"default-deny", "dns", "database", "https"}

    assert policies_of(found["run"]) == every | {"api-server-runs"}
    for name, job in found["steps"].items():
        assert policies_of(job) == every | {"to-vllm"}, name


def policies_of(job: dict[str, Any]) -> set[str]:
    """Return the network policies that a Job's pod is under."""
    labels = job["spec"]["template"]["metadata"]["labels"]
    selectors = {each["metadata"]["name"]: each["spec"]["podSelector"] for each in objects("NetworkPolicy")}
    return {
        name
        for name, selector in selectors.items()
        if selector.get("matchLabels", {}).items() <= labels.items()
        and all(labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", []))
    }


def test_secrets_and_addresses_come_by_reference() -> None:
    """From the Secret and the ConfigMap that everything has; no value of theirs is in a Job."""
    for name, pod in all_of("as it is").items():
        (container,) = pod["containers"]
        sources = [next(iter(each.values()))["name"] for each in container["envFrom"]]
        assert sources == ["s1mm-environment", "s1mm-secrets"], name
        named = {each["name"]: each.get("valueFrom") for each in container["env"]}
        assert named["DAGSTER_PG_PASSWORD"]["secretKeyRef"]["name"] == "s1mm-postgresql", name


def test_a_steps_time_is_limited_and_what_vanished_is_not_begun_by_kubernetes() -> None:
    """Dagster begins it again, or nobody does."""
    for name, job in jobs("as it is")["steps"].items():
        assert job["spec"]["backoffLimit"] == 0, name
        assert job["spec"]["template"]["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
    recaptions = jobs("as it is")["steps"]["recaptions"]["spec"]
    assert recaptions["template"]["spec"]["activeDeadlineSeconds"] == 168 * 3600
    assert "activeDeadlineSeconds" not in recaptions  # it would count while the pod waits for GPUs


def test_steps_with_gpus_run_the_image_with_vllm() -> None:
    """All others the code location's, which is small."""
    for name, pod in all_of("as it is").items():
        (container,) = pod["containers"]
        if GPU in resources(pod)["requests"]:
            assert container["image"] == config_map("s1mm-environment")["S1MM_GPU_IMAGE"], name
        else:
            assert container["image"] == image(code_location(values())["image"]), name


def test_steps_hold_no_token_of_the_api_server() -> None:
    """Their account may start Jobs, for the run worker's sake; a paper that takes a step over shall not."""
    pods = all_of("as it is")

    assert pods.pop("run worker")["automountServiceAccountToken"] is True
    assert {pod["automountServiceAccountToken"] for pod in pods.values()} == {False}
