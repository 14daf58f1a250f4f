"""A real Kubernetes control plane on loopback: etcd, API server, controller manager. Nodes are kubelet.py's."""

import base64
import json
import secrets
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
CONTROLLERS = (
    *("job", "garbagecollector", "namespace", "serviceaccount", "serviceaccount-token"),
    *("resourcequota", "root-ca-cert-publisher", "ttl-after-finished"),
)
HOST = "127.0.0.1"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0

Json = dict[str, Any]
Found = TypeVar("Found")


class Api:
    """The API server's REST interface, as JSON, for whoever holds a token."""

    def __init__(self, url: str, authority: Path, token: str) -> None:
        self.client = httpx2.Client(
            base_url=url,
            verify=ssl.create_default_context(cafile=authority),
            headers={"Authorization": f"Bearer {token}"},
            timeout=30.0,
        )

    def get(self, path: str, **parameters: str) -> Json:
        """Return what lies at a path; HTTP errors pass through."""
        return self._done(self.client.get(path, params=parameters))

    def items(self, path: str, **parameters: str) -> list[Json]:
        """Return the items of a list."""
        return list(self.get(path, **parameters)["items"])

    def create(self, path: str, body: Json) -> Json:
        """Add an item to a list."""
        return self._done(self.client.post(path, json=body))

    def patch(self, path: str, body: Json) -> Json:
        """Merge a change into an item."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._done(self.client.patch(path, content=json.dumps(body), headers=headers))

    def delete(self, path: str, **options: Any) -> None:
        """Ask for an item's end; what is gone already is as good."""
        response = self.client.request("DELETE", path, json=options)
        if response.status_code != httpx2.codes.NOT_FOUND:
            response.raise_for_status()

    @staticmethod
    def _done(response: httpx2.Response) -> Json:
        if response.is_error:
            raise httpx2.HTTPStatusError(response.text, request=response.request, response=response)
        answer: Json = response.json()
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What one needs to know of a running control plane."""

    url: str
    authority: Path  # the certificate that its own is signed by
    admin: Api

    def service_account_token(self, namespace: str, name: str) -> str:
        """Return the token that the controller manager made for a service account, once it has."""
        path = f"/api/v1/namespaces/{namespace}/secrets"

        def tokens() -> list[str]:
            return [
                base64.b64decode(secret["data"]["token"]).decode()
                for secret in self.admin.items(path, fieldSelector="type=kubernetes.io/service-account-token")
                if secret["metadata"]["annotations"]["kubernetes.io/service-account.name"] == name
                and "token" in secret.get("data", {})
            ]

        return wait_for(tokens, f"the token of {namespace}/{name}")[0]

    def kubeconfig(self, token: str, namespace: str) -> Json:
        """Return what a client's configuration file holds."""
        return kubeconfig(self.url, self.authority, token, namespace)


def kubeconfig(url: str, authority: Path, token: str, namespace: str = "default") -> Json:
    """Return the content of a kubeconfig file with one user in one namespace."""
    context = {"cluster": "test", "user": "test", "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": context}],
        "current-context": "test",
    }


def wait_for(look: Callable[[], Found], what: str, limit_s: float = START_TIMEOUT_S) -> Found:
    """Look until something is found; fail with its name where nothing is in time."""
    until = time.monotonic() + limit_s
    while not (found := look()):
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not there after {limit_s:.0f} s")
        time.sleep(0.2)
    return found


@contextmanager
def control_plane(programs: Path, folder: Path) -> Iterator[Cluster]:
    """Start the three programs in `folder`, and stop them.

    Args:
        programs: The folder that control_plane.sh filled.
        folder: Where they keep their data and their logs; empty.
    """
    etcd_port, peer_port, api_port, manager_port = free_ports(4)
    url, token = f"https://{HOST}:{api_port}", secrets.token_hex(16)
    key = folder / "service_accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    authority = folder / "certificates" / "apiserver.crt"
    with ExitStack() as started:
        options = etcd_options(folder, etcd_port, peer_port)
        started.enter_context(running(programs / "etcd", options, folder))
        options = api_server_options(folder, key, etcd_port, api_port)
        api_server = started.enter_context(running(programs / "kube-apiserver", options, folder))
        wait_for(lambda: authority.is_file() or api_server.poll() is not None, "the API server's certificate")
        admin = Api(url, authority, token)
        started.callback(admin.client.close)
        wait_for(lambda: is_ready(admin, api_server, folder), "the API server")
        config = folder / "admin.kubeconfig"
        config.write_text(json.dumps(kubeconfig(url, authority, token)))
        options = manager_options(config, key, authority, manager_port)
        started.enter_context(running(programs / "kube-controller-manager", options, folder))
        wait_for(
            lambda: admin.items("/api/v1/namespaces/default/serviceaccounts"),
            "the controller manager's first work",
        )
        yield Cluster(url=url, authority=authority, admin=admin)


def is_ready(api: Api, server: "subprocess.Popen[bytes]", folder: Path) -> bool:
    """Whether the API server answers; raises where it has ended."""
    if server.poll() is not None:
        raise RuntimeError(f"kube-apiserver ended: see {folder}/kube-apiserver.log")
    try:
        return api.client.get("/readyz").is_success
    except httpx2.TransportError:
        return False


def etcd_options(folder: Path, port: int, peer_port: int) -> list[str]:
    """A store of one member."""
    clients, peers = f"http://{HOST}:{port}", f"http://{HOST}:{peer_port}"
    return [
        *(f"--data-dir={folder / 'etcd'}", f"--initial-cluster=default={peers}"),
        *(f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}"),
        *(f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"),
    ]


def api_server_options(folder: Path, key: Path, etcd_port: int, port: int) -> list[str]:
    """RBAC, the usual admission plug-ins; the server signs its own certificate."""
    return [
        f"--etcd-servers=http://{HOST}:{etcd_port}",
        *(f"--bind-address={HOST}", f"--advertise-address={HOST}", f"--secure-port={port}"),
        *("--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none"),
        *(f"--cert-dir={folder / 'certificates'}", f"--token-auth-file={folder / 'tokens.csv'}"),
        *("--authorization-mode=RBAC", "--feature-gates=TTLAfterFinished=true"),
        "--service-account-issuer=https://kubernetes.default.svc",
        *(f"--service-account-signing-key-file={key}", f"--service-account-key-file={key}"),
        "--disable-admission-plugins=TaintNodesByCondition",  # nobody would lift the taint: no node controller
    ]


def manager_options(config: Path, key: Path, authority: Path, port: int) -> list[str]:
    """The controllers that jobs need; none for nodes, since the imitation's never fail."""
    return [
        *(f"--kubeconfig={config}", f"--bind-address={HOST}", f"--secure-port={port}", "--port=0"),
        *("--leader-elect=false", "--feature-gates=TTLAfterFinished=true"),
        *(f"--controllers={','.join(CONTROLLERS)}", f"--service-account-private-key-file={key}"),
        f"--root-ca-file={authority}",
    ]


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody listens on now."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]


@contextmanager
def running(
    program: Path, options: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program that logs into `folder`, and end it; it dies with this process."""
    with (folder / f"{program.name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", program, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # not the terminal's Ctrl-C: it is stopped in order
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
