"""One installation of the pipeline on the test cluster: a namespace, a service account, an instance, a store."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import yaml

from s1mm_assets_tests.conftest import ROOT
from s1mm_assets_tests.k8s.cluster import Cluster, Json, wait_for
from s1mm_assets_tests.k8s.kubelet import Kubelet

ACCOUNT = "dagster"
CHANGE = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
LOOK = ["get", "list", "watch"]
ROLE_RULES = [  # what the official Helm chart lets Dagster's accounts do
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": CHANGE},
    {"apiGroups": ["batch"], "resources": ["jobs/status"], "verbs": LOOK},
    {"apiGroups": [""], "resources": ["pods", "events"], "verbs": CHANGE},
    {"apiGroups": [""], "resources": ["pods/log", "pods/status"], "verbs": LOOK},
]
DEPLOY = ROOT / "deploy"
ELSEWHERE = ("storage", "compute_logs")  # of deploy/dagster.yaml: PostgreSQL and S3
INSTANCE, VARIABLES = "dagster-instance", "s1mm"  # ConfigMaps
RUN_TIMEOUT_S = 900.0


@dataclass(slots=True)
class Installation:
    """Where everything of one installation lies, and what was asked of it."""

    cluster: Cluster
    kubelet: Kubelet
    namespace: str
    sources: Path
    variables: dict[str, str] = field(default_factory=dict)  # S1MM_… of every pod

    @property
    def home(self) -> Path:
        """DAGSTER_HOME, for the pods as well."""
        return self.kubelet.folder / "homes" / self.namespace

    @property
    def store(self) -> Path:
        return self.home / "store"

    @property
    def settings(self) -> Path:
        """The TOML file that every pod reads."""
        return self.home / "s1mm.toml"

    @property
    def environment(self) -> dict[str, str]:
        """What commands of this machine find, which look after the installation."""
        return {**os.environ, **self.variables, "DAGSTER_HOME": str(self.home)}

    @property
    def token(self) -> str:
        return self.cluster.service_account_token(self.namespace, ACCOUNT)

    def path(self, kind: str, group: str = "api/v1") -> str:
        """Where the API server keeps this namespace's things of a kind."""
        return f"/{group}/namespaces/{self.namespace}/{kind}"

    def install(self, settings: str, instance: Json) -> None:
        """Make the namespace and what it needs.

        Args:
            settings: The content of S1MM_SETTINGS.
            instance: Added to dagster.yaml.
        """
        self.home.mkdir(parents=True)
        self.settings.write_text(settings)
        admin = self.cluster.admin
        admin.create("/api/v1/namespaces", named(self.namespace))
        admin.create(self.path("serviceaccounts"), named(ACCOUNT))
        rbac = "apis/rbac.authorization.k8s.io/v1"
        admin.create(self.path("roles", rbac), {**named(ACCOUNT), "rules": ROLE_RULES})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT}
        subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.namespace}
        binding = {**named(ACCOUNT), "roleRef": role, "subjects": [subject]}
        admin.create(self.path("rolebindings", rbac), binding)
        config = self.home / "kubeconfig"
        config.write_text(json.dumps(self.cluster.kubeconfig(self.token, self.namespace)))
        text = json.dumps(self._instance(config) | instance)  # JSON is YAML
        (self.home / "dagster.yaml").write_text(text)
        admin.create(self.path("configmaps"), {**named(INSTANCE), "data": {"dagster.yaml": text}})
        self.variables = {
            "S1MM_EXECUTOR": "k8s",
            "S1MM_SOURCES": str(self.sources),
            "S1MM_STORE": str(self.store),
            "S1MM_RELEASE": str(self.home / "release"),
            "S1MM_SETTINGS": str(self.settings),
            "S1MM_WORKERS": "1",
            **self.variables,
        }
        admin.create(self.path("configmaps"), {**named(VARIABLES), "data": self.variables})

    def _instance(self, config: Path) -> Json:
        """deploy/dagster.yaml, but for what is not here: PostgreSQL, S3, secrets, a daemon that dequeues runs."""
        deployed: Json = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
        instance = {name: value for name, value in deployed.items() if name not in ELSEWHERE}
        instance["run_coordinator"] |= {"class": "DefaultRunCoordinator", "config": {}}
        launcher = instance["run_launcher"]["config"]
        for name in ("postgres_password_secret", "env_secrets"):
            launcher.pop(name, None)
        launcher |= {
            "load_incluster_config": False,
            "kubeconfig_file": str(config),
            "job_namespace": self.namespace,
            "service_account_name": ACCOUNT,
            "job_image": "s1mm-assets:test",
            "dagster_home": str(self.home),
            "instance_config_map": INSTANCE,
            "env_config_maps": [VARIABLES],
        }
        return instance

    def limit(self) -> None:
        """Put the quota and the default requests of deploy/ on the namespace."""
        kinds = {"ResourceQuota": "resourcequotas", "LimitRange": "limitranges"}
        for manifest in manifests("limits.yaml"):
            if manifest["kind"] in kinds:
                named_anew = {**manifest, "metadata": {"name": manifest["metadata"]["name"]}}
                self.cluster.admin.create(self.path(kinds[manifest["kind"]]), named_anew)
        quotas = self.path("resourcequotas")
        wait_for(lambda: all(each["status"] for each in self.cluster.admin.items(quotas)), "quotas")

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The Dagster instance, as daemon and webserver open it."""
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            yield instance

    def launch(self, job: str, partition: str, module: str = "s1mm_assets.definitions") -> str:
        """Launch a run of one partition as an operator does; gives its id."""
        run_id = str(uuid.uuid4())
        source, year = partition.split("|")
        tags = {
            "dagster/partition": partition,
            "dagster/partition/source": source,
            "dagster/partition/year": year,
        }
        dagster = Path(sys.executable).with_name("dagster")
        words = ["-m", module, "-j", job, "--run-id", run_id, "--tags", json.dumps(tags)]
        done = subprocess.run(
            [dagster, "job", "launch", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_TIMEOUT_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return run_id

    def wait(self, run_id: str) -> dg.DagsterRunStatus:
        """Wait until a run has ended; say where the logs of its failed pods are."""
        with self.instance() as instance:

            def ended() -> dg.DagsterRun | None:
                run = instance.get_run_by_id(run_id)
                return run if run and run.is_finished else None

            run = wait_for(ended, f"the end of run {run_id}: see {self.kubelet.folder}/logs", RUN_TIMEOUT_S)
        assert run is not None
        for pod in self.pods():
            if pod["status"]["phase"] == "Failed":
                print(f"{pod['metadata']['name']} failed: {self.kubelet.log_of(pod['metadata']['name'])}")
        return run.status

    def jobs(self) -> list[Json]:
        """The namespace's jobs, of runs and steps."""
        return self.cluster.admin.items(self.path("jobs", "apis/batch/v1"))

    def pods(self, **labels: str) -> list[Json]:
        """The namespace's pods with these labels (`op`, `run_id`: dagster/op, dagster/run-id)."""
        selector = ",".join(f"dagster/{name.replace('_', '-')}={value}" for name, value in labels.items())
        return self.cluster.admin.items(self.path("pods"), labelSelector=selector)


def manifests(name: str) -> list[Json]:
    """Return the manifests of one of deploy's files."""
    return list(yaml.safe_load_all((DEPLOY / "manifests" / name).read_text()))


def named(name: str) -> Json:
    """The beginning of anything that Kubernetes keeps."""
    return {"metadata": {"name": name}}
