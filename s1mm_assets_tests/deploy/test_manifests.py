"""The manifests: strictly what Kubernetes takes, refusing by default, and in step with the code."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from s1mm_assets.resources.captioners.own_servers import ServerPlan
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.step_settings import NODES
from s1mm_assets_tests.deploy.charts import MANIFESTS, NAMESPACE, documents, objects

VERSIONS = ("1.35", "1.36", "1.37")  # those that Kubernetes maintains
CLUSTER_WIDE = {"Namespace", "PriorityClass"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_takes_every_object(path: Path, version: str) -> None:
    """With no field that it does not know."""
    for each in documents(path):
        kubernetes_validate.validate(each, version, strict=True)


def test_everything_is_in_one_namespace() -> None:
    """Which forbids pods that run as root."""
    for path in MANIFESTS:
        for each in documents(path):
            if each["kind"] not in CLUSTER_WIDE:
                assert each["metadata"]["namespace"] == NAMESPACE, path.name
    (namespace,) = objects("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Return the pods of the manifests, by name of what makes them."""
    made = [*objects("Deployment"), *objects("StatefulSet"), *objects("Job")]
    found = [(each["metadata"]["name"], each["spec"]["template"]["spec"]) for each in made]
    return [*found, *((each["metadata"]["name"], each["spec"]) for each in objects("Pod"))]


@pytest.mark.parametrize(("name", "pod"), pods())
def test_a_pod_is_as_the_namespace_wants_it(name: str, pod: dict[str, Any]) -> None:
    """Restricted, of a pinned image, asking for cores and memory, and holding a token only where it needs one."""
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod.get("automountServiceAccountToken") is (None if name == "toolbox" else False)
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["image"].rpartition(":")[2] not in ("", "latest")
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_nothing_is_allowed_that_no_policy_names() -> None:
    """One policy denies all; no other lets anybody in from everywhere."""
    policies = {each["metadata"]["name"]: each["spec"] for each in objects("NetworkPolicy")}

    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, spec in policies.items():
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            assert rule.get("from") or rule.get("to"), name
            assert rule["ports"], name
    (https,) = policies["https"]["egress"]
    assert "169.254.0.0/16" in https["to"][0]["ipBlock"]["except"]


def test_only_those_that_start_jobs_reach_the_api_server() -> None:
    """Steps read papers, which nobody vouches for."""
    policies = {each["metadata"]["name"]: each["spec"] for each in objects("NetworkPolicy")}
    runs = policies["api-server-runs"]["podSelector"]["matchLabels"]
    (services,) = policies["api-server-services"]["podSelector"]["matchExpressions"]

    assert runs == {"app.kubernetes.io/component": "run_worker"}
    assert set(services["values"]) == {"dagster-daemon", "dagster-webserver"}


def test_long_lived_servers_answer_as_a_steps_own_would(clusters_settings: Path) -> None:
    """Their arguments are those that a step starts servers with, by the settings that the cluster has."""
    (vllm,) = objects("StatefulSet")
    (container,) = vllm["spec"]["template"]["spec"]["containers"]
    settings = Settings(path=str(clusters_settings))
    recaptioning, servers = settings.recaptioning, settings.vllm
    plan = ServerPlan(
        model=recaptioning.model,
        revision=recaptioning.model_revision,
        dtype=recaptioning.dtype,
        quantization=recaptioning.quantization or None,
        extra_arguments=tuple(recaptioning.server_arguments),
        tensor_parallel=servers.tensor_parallel,
        max_model_len=servers.max_model_len,
        gpu_memory_utilization=servers.gpu_memory_utilization,
    )
    expected = plan.command_line(8000)
    expected[expected.index("--host") + 1] = "0.0.0.0"  # noqa: S104 - of a pod

    assert container["args"] == expected
    assert container["resources"]["requests"]["nvidia.com/gpu"] == str(plan.tensor_parallel)
    assert vllm["spec"]["template"]["spec"]["nodeSelector"] == NODES
