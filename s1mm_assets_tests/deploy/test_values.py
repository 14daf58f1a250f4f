"""The chart's values: what Dagster itself can judge of them, and, where the chart is at hand, the chart."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster_aws.s3.compute_log_manager import S3ComputeLogManager
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext

from s1mm_assets_tests.conftest import ROOT
from s1mm_assets_tests.deploy.charts import (
    DEPLOY,
    code_location,
    config_map,
    container_context,
    launcher,
    objects,
    snake,
    taken,
    values,
)

CHART = "S1MM_HELM_CHART"  # the folder of the chart, unpacked: helm pull dagster/dagster --untar
INSTANCE = yaml.safe_load((DEPLOY / "dagster.yaml").read_text("utf-8"))
SERVICES = ("dagsterWebserver", "dagsterDaemon")


def test_the_launcher_takes_its_config() -> None:
    """Every field by dagster-k8s' own schema."""
    assert taken(K8sRunLauncher, launcher(values()))["job_namespace"] == "s1mm"


def test_runs_take_what_the_code_location_hands_on() -> None:
    """Every field by dagster-k8s' own schema; the call raises otherwise."""
    context = K8sContainerContext.create_from_config(container_context(values()))

    assert context.run_k8s_config.pod_spec_config["service_account_name"] == "s1mm-runs"


def test_compute_logs_go_to_the_bucket() -> None:
    """Every field by dagster-aws' own schema."""
    found = snake(values()["computeLogManager"]["config"]["s3ComputeLogManager"])

    assert taken(S3ComputeLogManager, found)["bucket"] == "example-s1mm-logs"


@pytest.mark.parametrize(
    ("section", "found"),
    [
        ("run_monitoring", lambda of: of["dagsterDaemon"]["runMonitoring"]),
        ("run_retries", lambda of: of["dagsterDaemon"]["runRetries"]),
        ("retention", lambda of: {key: of["retention"][key] for key in ("schedule", "sensor")}),
        ("concurrency", lambda of: {key: of["concurrency"][key] for key in ("runs", "pools")}),
        ("telemetry", lambda of: of["telemetry"]),
    ],
)
def test_both_ways_to_install_give_the_same_instance(section: str, found: Callable[[Any], Any]) -> None:
    """deploy/dagster.yaml says what the chart makes of the values."""
    assert snake(found(values())) == INSTANCE[section]


def test_both_ways_give_runs_the_same_pods() -> None:
    """Scratch, settings, weights, and who they are."""
    chart, plain = code_location(values()), INSTANCE["run_launcher"]["config"]
    raw = launcher(values())["run_k8s_config"]

    assert plain["volumes"] == chart["volumes"]
    assert plain["volume_mounts"] == chart["volumeMounts"]
    assert plain["resources"] == chart["resources"]
    assert plain["security_context"] == launcher(values())["security_context"]
    assert (
        plain["run_k8s_config"]["pod_spec_config"]["security_context"]
        == raw["pod_spec_config"]["securityContext"]
    )
    assert snake(raw["job_spec_config"]) == plain["run_k8s_config"]["job_spec_config"]
    assert raw["pod_template_spec_metadata"] == plain["run_k8s_config"]["pod_template_spec_metadata"]


def test_pools_are_those_of_a_laptop() -> None:
    """A pool that nobody has widened lets one step through; publishers' rates depend on it."""
    laptop = yaml.safe_load((ROOT / "dagster.yaml").read_text("utf-8"))

    assert INSTANCE["concurrency"]["pools"] == laptop["concurrency"]["pools"]


def test_a_failed_step_does_not_start_its_run_again() -> None:
    """It has a retry policy of its own, and two would multiply."""
    assert values()["dagsterDaemon"]["runRetries"]["retryOnAssetOrOpFailure"] is False


def test_no_password_is_in_the_values() -> None:
    """They are in Secrets, which are named."""
    text = (DEPLOY / "values.yaml").read_text("utf-8")

    assert "postgresqlPassword" not in text
    assert values()["generatePostgresqlPasswordSecret"] is False
    assert [each["name"] for each in code_location(values())["envSecrets"]] == ["s1mm-secrets"]


@pytest.mark.parametrize("service", SERVICES)
def test_services_are_as_the_namespace_wants_them(service: str) -> None:
    """Nobody's root, on a read-only root file system, with scratch beside it."""
    found = values()[service]

    assert found["podSecurityContext"]["runAsNonRoot"]
    assert found["securityContext"]["readOnlyRootFilesystem"]
    assert found["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert [each["mountPath"] for each in found["volumeMounts"]] == ["/tmp"]  # noqa: S108
    assert {"requests", "limits"} == set(found["resources"])


def test_webservers_are_behind_the_proxy() -> None:
    """One for those who launch, one for all others; the ports agree in values, policy and proxies."""
    webserver = values()["dagsterWebserver"]
    port = webserver["service"]["port"]
    upstreams = [
        argument.partition("=")[2]
        for deployment in objects("Deployment")
        for argument in deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        if argument.startswith("--upstream=")
    ]
    (policy,) = [each for each in objects("NetworkPolicy") if each["metadata"]["name"] == "webserver"]

    assert webserver["enableReadOnly"]
    assert values()["ingress"]["enabled"] is False
    assert webserver["readinessProbe"]["httpGet"]["port"] == port
    assert policy["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": port}]
    assert upstreams == [
        f"http://dagster-dagster-webserver:{port}",
        f"http://dagster-dagster-webserver-read-only:{port}",
    ]


def test_what_the_values_name_is_in_the_manifests() -> None:
    """ConfigMaps, claim and priority of runs."""
    location = code_location(values())
    named = {name for each in location["volumes"] for name in _names(each)}
    made = {
        each["metadata"]["name"]
        for kind in ("ConfigMap", "PersistentVolumeClaim", "PriorityClass")
        for each in objects(kind)
    }

    assert named == {"s1mm-settings", "s1mm-weights"}
    pod = launcher(values())["run_k8s_config"]["pod_spec_config"]
    assert {*named, pod["priorityClassName"], location["envConfigMaps"][0]["name"]} == made
    assert "s1mm.toml" in config_map("s1mm-settings")


def _names(volume: dict[str, Any]) -> list[str]:
    claim, settings = volume.get("persistentVolumeClaim"), volume.get("configMap")
    return [each["claimName"] for each in [claim] if each] + [each["name"] for each in [settings] if each]


def rendered(chart: Path) -> list[dict[str, Any]]:
    """Return what a chart makes of the values, checked against the chart's own schema."""
    import helm_python

    with helm_python.Chart.load(str(chart)) as loaded:
        loaded.validate_schema(values())
        files = loaded.render(values(), name="dagster", namespace="s1mm")
    texts = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def test_kubernetes_takes_what_the_chart_makes_of_them() -> None:
    """The real chart, unpacked; it is not in this repository."""
    folder = os.environ.get(CHART)
    if not folder:
        pytest.skip(
            f"the chart is not at hand: {CHART} names the folder of `helm pull dagster/dagster --untar`"
        )
    made = rendered(Path(folder))
    (instance,) = [each for each in made if each["metadata"]["name"] == "dagster-instance"]
    found = yaml.safe_load(instance["data"]["dagster.yaml"])

    for each in made:
        kubernetes_validate.validate(each, "1.37", strict=True)
    for section in ("concurrency", "run_monitoring", "run_retries", "compute_logs", "retention"):
        assert INSTANCE[section].keys() <= found[section].keys()
    assert {"dagster-dagster-webserver", "dagster-dagster-webserver-read-only", "dagster-daemon"} < {
        each["metadata"]["name"] for each in made
    }
