"""An imitation of scheduler and kubelet: binds each pod to a node that fits it, and runs it as a local process.

It does what Dagster's pods need and no more: one container, its command and arguments, its environment, files from
ConfigMaps and Secrets, its end. There is no image, no network and no isolation: a container is a process of this
machine, in the environment that `image` gives.
"""

import base64
import os
import signal
import subprocess
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from s1mm_assets_tests.k8s.cluster import Api, Json

TURN_S = 0.25
GPU = "nvidia.com/gpu"
H100 = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
GPU_TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
UNITS: dict[str, int | Decimal] = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "m": Decimal("0.001")}
UNITS |= {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine that is said to be there."""

    name: str
    allocatable: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()

    def against(self, pod: Json, free: Mapping[str, Decimal]) -> str | None:
        """Return why a pod does not fit here, in the scheduler's words; None where it does."""
        spec = pod["spec"]
        labels = {**self.labels, "kubernetes.io/hostname": self.name}
        if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
            return "node(s) didn't match Pod's node affinity"
        for taint in self.taints:
            if not any(tolerates(each, taint) for each in spec.get("tolerations", [])):
                return f"node(s) had taint {{{taint['key']}: {taint['value']}}}, that the pod didn't tolerate"
        lacking = [name for name, amount in requests(pod).items() if amount > free.get(name, Decimal(0))]
        return f"Insufficient {lacking[0]}" if lacking else None

    def manifest(self) -> Json:
        """The node as the API server keeps it."""
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": dict(self.labels)},
            "spec": {"taints": [dict(taint) for taint in self.taints]},
        }


NODES = (
    Node(name="cpu-1", allocatable={"cpu": "64", "memory": "256Gi", "pods": "110"}),
    Node(
        name="h100-1",
        allocatable={"cpu": "96", "memory": "1Ti", "pods": "110", GPU: "8"},
        labels=H100,
        taints=(GPU_TAINT,),
    ),
)


@dataclass(slots=True)
class Container:
    """A pod's process."""

    process: "subprocess.Popen[bytes]"
    started_at: str
    killed_by_us: bool = False


class Kubelet:
    """All nodes of one cluster, in a thread."""

    def __init__(self, api: Api, folder: Path, image: Mapping[str, str]) -> None:
        """Nothing runs before `start`.

        Args:
            api: With an administrator's rights.
            folder: Logs and working folders lie here; containers' files are mounted only below it.
            image: The environment that containers find, as an image would set it.
        """
        self.api, self.folder, self.image = api, folder, image
        self.containers: dict[str, Container] = {}  # uid → …
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet")
        (folder / "logs").mkdir(parents=True)

    def start(self) -> None:
        """Register the nodes, and begin to look for pods."""
        for node in NODES:
            self.api.create("/api/v1/nodes", node.manifest())
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "imitation"}
            amounts = dict(node.allocatable)
            status = {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}
            self.api.patch(f"/api/v1/nodes/{node.name}/status", {"status": status})
        self._thread.start()

    def stop(self) -> None:
        """Kill what still runs."""
        self._stopping.set()
        self._thread.join()
        for container in self.containers.values():
            kill(container)

    def log_of(self, name: str) -> Path:
        """The file that a pod's container writes to."""
        return self.folder / "logs" / f"{name}.log"

    def kill(self, pod: Json) -> None:
        """End a pod's processes from outside, as the kernel does where memory runs out."""
        os.killpg(self.containers[pod["metadata"]["uid"]].process.pid, signal.SIGKILL)

    def _run(self) -> None:
        while not self._stopping.wait(TURN_S):
            with self._told():
                pods = self.api.items("/api/v1/pods")
                for pod in pods:
                    with self._told():
                        self._look_after(pod, pods)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Write an error down instead of stopping: the next turn tries again."""
        try:
            yield
        except Exception:
            with (self.folder / "kubelet.log").open("a") as log:
                traceback.print_exc(file=log)

    def _look_after(self, pod: Json, pods: list[Json]) -> None:
        container = self.containers.get(pod["metadata"]["uid"])
        if container and container.process.poll() is not None:
            kill(container)  # what it left behind
            self._tell_end(pod, container)
            del self.containers[pod["metadata"]["uid"]]
        elif is_going(pod):
            self._end(pod, container)
        elif pod["status"]["phase"] == "Pending" and container is None:
            if "nodeName" in pod["spec"]:
                self._begin(pod)
            else:
                self._schedule(pod, pods)

    def _schedule(self, pod: Json, pods: list[Json]) -> None:
        reasons = []
        for node in NODES:
            reason = node.against(pod, free_on(node, pods))
            if reason is None:
                target = {"apiVersion": "v1", "kind": "Node", "name": node.name}
                binding = {"metadata": {"name": pod["metadata"]["name"]}, "target": target}
                self.api.create(f"{path_of(pod)}/binding", binding)
                pod["spec"]["nodeName"] = node.name  # counts for the next pod of this turn
                return
            reasons.append(f"1 {reason}")
        message = f"0/{len(NODES)} nodes are available: {', '.join(reasons)}."
        unscheduled = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
        }
        if pod["status"].get("conditions") != [unscheduled]:
            self._tell(pod, {"conditions": [unscheduled]})

    def _begin(self, pod: Json) -> None:
        started_at = now()
        try:
            process = self._process(pod)
        except (OSError, ValueError, httpx2.HTTPStatusError) as error:
            state = {"waiting": {"reason": "CreateContainerConfigError", "message": str(error)}}
            self._tell(pod, {"containerStatuses": [container_status(pod, state)]})
            return
        self.containers[pod["metadata"]["uid"]] = Container(process, started_at)
        conditions = [
            {"type": name, "status": "True"}
            for name in ("PodScheduled", "Initialized", "Ready", "ContainersReady")
        ]
        self._tell(
            pod,
            {
                "phase": "Running",
                "startTime": started_at,
                "conditions": conditions,
                "containerStatuses": [container_status(pod, {"running": {"startedAt": started_at}})],
            },
        )

    def _process(self, pod: Json) -> "subprocess.Popen[bytes]":
        (container,) = pod["spec"]["containers"]  # more are a ValueError
        name = pod["metadata"]["name"]
        self._mount(pod, container)
        directory = self.folder / "work" / name
        directory.mkdir(parents=True, exist_ok=True)
        environment = {**self.image, "HOSTNAME": name, **self._environment(pod, container)}
        with self.log_of(name).open("ab") as log:
            return subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "--"),
                    *container.get("command", []),
                    *container.get("args", []),
                ],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self, pod: Json, container: Json) -> dict[str, str]:
        namespace = pod["metadata"]["namespace"]
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            kind = "configmaps" if "configMapRef" in source else "secrets"
            name = (source.get("configMapRef") or source["secretRef"])["name"]
            found |= self._texts(namespace, kind, name)
        for variable in container.get("env", []):
            origin = variable.get("valueFrom", {})
            if "fieldRef" in origin:
                value: Any = pod
                for key in origin["fieldRef"]["fieldPath"].split("."):
                    value = value[key]
            elif origin:
                kind = "configmaps" if "configMapKeyRef" in origin else "secrets"
                reference = origin.get("configMapKeyRef") or origin["secretKeyRef"]
                value = self._texts(namespace, kind, reference["name"])[reference["key"]]
            else:
                value = variable.get("value", "")
            found[variable["name"]] = value
        return found

    def _mount(self, pod: Json, container: Json) -> None:
        """Lay ConfigMaps and Secrets where containers look for them: for all of them, so only below our folder."""
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        for mount in container.get("volumeMounts", []):
            target, volume = Path(mount["mountPath"]), volumes[mount["name"]]
            if not target.is_relative_to(self.folder):
                continue  # the service account's token, for one
            if "configMap" in volume:
                source = ("configmaps", volume["configMap"]["name"])
            elif "secret" in volume:
                source = ("secrets", volume["secret"]["secretName"])
            else:
                target.mkdir(parents=True, exist_ok=True)
                continue
            texts = self._texts(pod["metadata"]["namespace"], *source)
            files = (
                {target: texts[mount["subPath"]]}
                if "subPath" in mount
                else {target / name: text for name, text in texts.items()}
            )
            for path, text in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_name(f".{path.name}.{pod['metadata']['uid']}")
                partial.write_text(text)
                partial.replace(path)

    def _texts(self, namespace: str, kind: str, name: str) -> dict[str, str]:
        found: dict[str, str] = self.api.get(f"/api/v1/namespaces/{namespace}/{kind}/{name}").get("data", {})
        if kind == "secrets":
            return {key: base64.b64decode(value).decode() for key, value in found.items()}
        return found

    def _end(self, pod: Json, container: Container | None) -> None:
        """Bring a pod that somebody deleted to its end, with the time that it is given."""
        if container is None:
            self.api.delete(path_of(pod), gracePeriodSeconds=0)
            return
        if not container.killed_by_us:
            container.killed_by_us = True
            container.process.terminate()
        deadline = datetime.fromisoformat(
            pod["metadata"]["deletionTimestamp"]
        )  # the grace period is counted in
        if datetime.now(UTC) > deadline:
            kill(container)

    def _tell_end(self, pod: Json, container: Container) -> None:
        code = container.process.returncode
        exit_code = 128 - code if code < 0 else code
        reason = "Error" if exit_code else "Completed"
        if code == -signal.SIGKILL and not container.killed_by_us:
            reason = "OOMKilled"  # on a node nobody else kills with this signal
        ended = {
            "exitCode": exit_code,
            "reason": reason,
            "startedAt": container.started_at,
            "finishedAt": now(),
        }
        self._tell(
            pod,
            {
                "phase": "Failed" if exit_code else "Succeeded",
                "containerStatuses": [container_status(pod, {"terminated": ended})],
            },
        )

    def _tell(self, pod: Json, status: Json) -> None:
        self.api.patch(f"{path_of(pod)}/status", {"status": status})


def is_going(pod: Json) -> bool:
    """Whether somebody deleted a pod that is still there."""
    return "deletionTimestamp" in pod["metadata"]


def kill(container: Container) -> None:
    """End every process of a container: with its first one a container ends."""
    with suppress(ProcessLookupError):
        os.killpg(container.process.pid, signal.SIGKILL)
    container.process.wait()


def container_status(pod: Json, state: Json) -> Json:
    """What a kubelet says of a pod's only container."""
    (container,) = pod["spec"]["containers"]
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": "running" in state,
        "restartCount": 0,
        "state": state,
    }


def tolerates(toleration: Json, taint: Mapping[str, str]) -> bool:
    """Whether a toleration is for a taint."""
    if toleration.get("effect", taint["effect"]) != taint["effect"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return bool(toleration.get("key", taint["key"]) == taint["key"])
    return (toleration.get("key"), toleration.get("value", "")) == (taint["key"], taint["value"])


def requests(pod: Json) -> dict[str, Decimal]:
    """What a pod asks of its node; the API server has already taken limits for missing requests."""
    asked: dict[str, Decimal] = {"pods": Decimal(1)}
    for container in pod["spec"]["containers"]:
        for name, amount in container.get("resources", {}).get("requests", {}).items():
            asked[name] = asked.get(name, Decimal(0)) + quantity(amount)
    return asked


def free_on(node: Node, pods: list[Json]) -> dict[str, Decimal]:
    """What pods that have not ended leave of a node."""
    free = {name: quantity(amount) for name, amount in node.allocatable.items()}
    for pod in pods:
        has_ended = pod["status"]["phase"] in ("Succeeded", "Failed")
        if pod["spec"].get("nodeName") == node.name and not has_ended:
            for name, amount in requests(pod).items():
                free[name] = free.get(name, Decimal(0)) - amount
    return free


def quantity(text: str) -> Decimal:
    """Read an amount as Kubernetes writes it: 500m, 2, 4Gi."""
    for suffix, factor in UNITS.items():
        if text.endswith(suffix):
            return Decimal(text.removesuffix(suffix)) * factor
    return Decimal(text)


def path_of(pod: Json) -> str:
    """Where the API server keeps a pod."""
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
