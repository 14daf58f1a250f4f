"""The imitation itself: what the tests beside this one rely on."""

from collections.abc import Callable
from typing import Any

import pytest

from s1mm_assets_tests.k8s.cluster import Api, Json, wait_for
from s1mm_assets_tests.k8s.installation import ACCOUNT, Installation, named
from s1mm_assets_tests.k8s.kubelet import GPU, GPU_TAINT, H100

TOLERATIONS = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
GPUS = {"requests": {GPU: "8"}, "limits": {GPU: "8"}}
Install = Callable[..., Installation]


@pytest.fixture
def here(install: Install) -> Installation:
    return install()


def run(here: Installation, name: str, script: str, *, container: Json | None = None, **spec: Any) -> str:
    """Make a pod that runs a shell script, with the rights of nobody in particular."""
    shell = {"name": "main", "image": "none", "command": ["sh", "-c", script], **(container or {})}
    spec = {"restartPolicy": "Never", "serviceAccountName": ACCOUNT, "containers": [shell], **spec}
    here.cluster.admin.create(here.path("pods"), {**named(name), "spec": spec})
    return name


def pod(here: Installation, name: str) -> Json:
    return here.cluster.admin.get(here.path(f"pods/{name}"))


def ended(here: Installation, name: str) -> Json:
    """Wait for a pod's end; gives how its container ended."""

    def terminated() -> Json | None:
        for status in pod(here, name)["status"].get("containerStatuses", []):
            if "terminated" in status["state"]:
                return {"phase": pod(here, name)["status"]["phase"], **status["state"]["terminated"]}
        return None

    found = wait_for(terminated, f"the end of {name}", 30)
    assert found is not None
    return found


def why_pending(here: Installation, name: str) -> str:
    def message() -> str:
        conditions = pod(here, name)["status"].get("conditions", [])
        return str(conditions[0].get("message", "")) if conditions else ""

    text = wait_for(message, f"why {name} waits", 30)
    assert pod(here, name)["status"]["phase"] == "Pending"
    return text


def test_a_container_finds_its_environment(here: Installation) -> None:
    """From its own list, from ConfigMaps and Secrets, and of its pod; each pod has a folder of its own."""
    admin = here.cluster.admin
    admin.create(here.path("configmaps"), {**named("words"), "data": {"A": "a", "B": "b"}})
    admin.create(here.path("secrets"), {**named("password"), "stringData": {"word": "secret"}})
    variables = [
        {"name": "B", "value": "own"},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "password", "key": "word"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    container = {"envFrom": [{"configMapRef": {"name": "words"}}], "env": variables}

    name = run(here, "speaks", 'echo "$A $B $C $POD $HOSTNAME"; ls | wc -l', container=container)

    assert ended(here, name)["phase"] == "Succeeded"
    assert here.kubelet.log_of(name).read_text() == "a own secret speaks speaks\n0\n"


def test_a_configmap_is_mounted(here: Installation) -> None:
    """As one file or as a folder; a pod whose ConfigMap is missing waits and says so."""
    here.cluster.admin.create(here.path("configmaps"), {**named("files"), "data": {"x.toml": "x = 1"}})
    folder = here.home / "mounted"
    mounts = [{"name": "files", "mountPath": str(folder)}]
    container = {"volumeMounts": mounts, "workingDir": "/"}
    volumes = [{"name": "files", "configMap": {"name": "files"}}]

    name = run(here, "reads", f"cat {folder}/x.toml", container=container, volumes=volumes)

    assert ended(here, name)["exitCode"] == 0
    assert here.kubelet.log_of(name).read_text() == "x = 1"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 3", {"phase": "Failed", "exitCode": 3, "reason": "Error"}),
        ("kill -KILL $$", {"phase": "Failed", "exitCode": 137, "reason": "OOMKilled"}),
        ("sleep 1000 & exit 0", {"phase": "Succeeded", "exitCode": 0, "reason": "Completed"}),
    ],
)
def test_how_a_container_ended_is_told(script: str, says: Json, here: Installation) -> None:
    """With its exit code, 128 more for a signal; what it left running does not hold it."""
    end = ended(here, run(here, "ends", script))

    assert {name: end[name] for name in says} == says


def test_a_pod_that_fits_nowhere_waits_and_says_why(here: Installation) -> None:
    """No node has 9 GPUs, and those with GPUs are for pods that tolerate their taint."""
    nine = {"requests": {GPU: "9"}, "limits": {GPU: "9"}}
    run(here, "many", "true", container={"resources": nine}, tolerations=TOLERATIONS)
    run(here, "intolerant", "true", container={"resources": GPUS})
    run(here, "elsewhere", "true", nodeSelector={"disk": "fast"})

    assert "1 Insufficient nvidia.com/gpu, 1 Insufficient nvidia.com/gpu" in why_pending(here, "many")
    assert f"1 node(s) had taint {{{GPU}: {GPU_TAINT['value']}}}" in why_pending(here, "intolerant")
    assert "1 node(s) didn't match Pod's node affinity" in why_pending(here, "elsewhere")


def test_gpus_are_given_to_one_pod_at_a_time(here: Installation) -> None:
    """The second pod waits for the first one's end, on the node with GPUs."""
    asks: Json = {"container": {"resources": GPUS}, "tolerations": TOLERATIONS, "nodeSelector": H100}
    first = run(here, "first", "read line < /dev/zero & sleep 1000", **asks)
    wait_for(lambda: pod(here, first)["status"]["phase"] == "Running", "the first pod", 30)
    second = run(here, "second", "true", **asks)

    assert f"1 Insufficient {GPU}" in why_pending(here, second)
    here.cluster.admin.delete(here.path(f"pods/{first}"))
    assert ended(here, second)["phase"] == "Succeeded"
    assert pod(here, second)["spec"]["nodeName"] == "h100-1"


def test_a_deleted_pod_is_ended(here: Installation) -> None:
    """It is told to end, killed when its time is up, and gone."""
    name = run(here, "stays", "trap 'echo told' TERM; while true; do sleep 0.1; done")
    wait_for(lambda: pod(here, name)["status"]["phase"] == "Running", "the pod", 30)
    wait_for(lambda: here.kubelet.containers[pod(here, name)["metadata"]["uid"]], "its process", 30)

    here.cluster.admin.delete(here.path(f"pods/{name}"), gracePeriodSeconds=2)

    pods = here.path("pods")
    wait_for(lambda: not here.cluster.admin.items(pods), "the pod's end", 30)
    assert here.kubelet.log_of(name).read_text() == "told\n"


def test_a_service_account_may_do_what_its_role_says(here: Installation) -> None:
    """RBAC is on: Dagster's account sees its namespace's pods, not its secrets, nor another's pods."""
    with Api(here.cluster.url, here.cluster.authority, here.token).client as account:
        assert account.get(here.path("pods")).is_success
        assert account.get(here.path("secrets")).status_code == 403
        assert account.get("/api/v1/namespaces/default/pods").status_code == 403
