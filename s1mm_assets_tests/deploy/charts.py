"""What Dagster's chart makes of deploy/values.yaml: the parts that Dagster itself reads, under its own names.

Written after the chart's templates (helm/dagster of the Dagster repository, 1.13). The chart itself renders the values
in test_values, where one is at hand.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from dagster._config import process_config, resolve_to_config_type

from s1mm_assets_tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "manifests").rglob("*.yaml"))
NAMESPACE = "s1mm"


def documents(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file."""
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def objects(kind: str) -> list[dict[str, Any]]:
    """Return all manifests of a kind."""
    return [each for path in MANIFESTS for each in documents(path) if each["kind"] == kind]


def config_map(name: str) -> dict[str, str]:
    """Return the data of a ConfigMap of the manifests."""
    (found,) = [each for each in objects("ConfigMap") if each["metadata"]["name"] == name]
    data: dict[str, str] = found["data"]
    return data


def values() -> dict[str, Any]:
    """Return the chart's values."""
    (found,) = documents(DEPLOY / "values.yaml")
    return found


def code_location(found: dict[str, Any]) -> dict[str, Any]:
    """Return the one user deployment."""
    (deployment,) = found["dagster-user-deployments"]["deployments"]
    result: dict[str, Any] = deployment
    return result


def image(found: dict[str, Any]) -> str:
    """Return an image as the chart joins it."""
    return f"{found['repository']}:{found['tag']}"


def snake(found: Any) -> Any:
    """Return a section with the names of its keys as Dagster writes them."""
    if not isinstance(found, dict):
        return found
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower(): snake(value) for key, value in found.items()}


def launcher(found: dict[str, Any]) -> dict[str, Any]:
    """Return the config of the K8sRunLauncher. What is empty is left out; Kubernetes' own fields keep their names."""
    given = {
        key: value
        for key, value in found["runLauncher"]["config"]["k8sRunLauncher"].items()
        if value not in ([], None)
    }
    raw = given.pop("runK8sConfig", {})
    return {
        **{next(iter(snake({key: None}))): value for key, value in given.items()},
        "run_k8s_config": {next(iter(snake({key: None}))): value for key, value in raw.items()},
        "job_namespace": NAMESPACE,
        "service_account_name": found["serviceAccount"]["name"],
        "dagster_home": found["global"]["dagsterHome"],
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": found["global"]["postgresqlSecretName"],
    }


def container_context(found: dict[str, Any]) -> dict[str, Any]:
    """Return what run workers and steps inherit from the code location."""
    deployment = code_location(found)
    return {
        "k8s": {
            "image_pull_policy": deployment["image"]["pullPolicy"],
            "env_config_maps": [each["name"] for each in deployment["envConfigMaps"]],
            "env_secrets": [each["name"] for each in deployment["envSecrets"]],
            "volume_mounts": deployment["volumeMounts"],
            "volumes": deployment["volumes"],
            "resources": deployment["resources"],
            "env": deployment["env"],
            "namespace": NAMESPACE,
            "service_account_name": found["dagster-user-deployments"]["serviceAccount"]["name"],
        }
    }


def taken(configurable: Any, config: Any) -> dict[str, Any]:
    """Return a config as a class of Dagster completes it by its own schema; fail where the class does not take it."""
    processed = process_config(resolve_to_config_type(configurable.config_type()), config)
    assert processed.success, processed.errors
    return dict(processed.value or {})
