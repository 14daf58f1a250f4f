"""What the step that runs the model asks of Kubernetes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from s1mm_assets.assets.h100 import h100_tags
from s1mm_assets.resources.settings import SettingsError


def config(environment: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = h100_tags(environment)["dagster-k8s/config"]
    return found


@pytest.fixture
def with_vllm(tmp_path: Path) -> dict[str, str]:
    """An environment whose settings file names the engine vllm."""
    (tmp_path / "s1mm.toml").write_text('[recaptioning]\nengine = "vllm"\nmodel_revision = "r"\n')
    return {"S1MM_SETTINGS": str(tmp_path / "s1mm.toml")}


def test_eight_h100s_are_asked_for(with_vllm: dict[str, str]) -> None:
    """GPUs as request and limit, on nodes that have them, past the taint that keeps others off."""
    found = config(with_vllm)

    assert found["container_config"]["resources"]["limits"] == {"nvidia.com/gpu": "8"}
    assert found["container_config"]["resources"]["requests"] == {"nvidia.com/gpu": "8"}
    assert "H100" in json.dumps(found["pod_spec_config"]["node_selector"])
    assert found["pod_spec_config"]["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_a_step_that_starts_no_server_asks_for_no_gpus(with_vllm: dict[str, str], tmp_path: Path) -> None:
    """Another engine, or servers elsewhere: its pod would wait for GPUs that it does not use."""
    (tmp_path / "context.toml").write_text('[recaptioning]\nengine = "context"\n')

    assert h100_tags({}) == {}
    assert h100_tags({"S1MM_SETTINGS": str(tmp_path / "context.toml")}) == {}
    assert h100_tags({**with_vllm, "S1MM_VLLM_URLS": "http://a:8000"}) == {}
    assert h100_tags({**with_vllm, "S1MM_VLLM_URLS": " "}) == h100_tags(with_vllm) != {}


def test_the_cluster_decides_what_its_nodes_are_called() -> None:
    """Number, node selector and tolerations come from the environment, a number always; no GPUs, no tags."""
    found = config(
        {
            "S1MM_H100_COUNT": "2",
            "S1MM_H100_NODE_SELECTOR": '{"pool": "h100"}',
            "S1MM_H100_TOLERATIONS": '[{"key": "gpu", "operator": "Exists"}]',
            "S1MM_VLLM_URLS": "http://a:8000",
        }
    )

    assert found["container_config"]["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert found["pod_spec_config"] == {
        "node_selector": {"pool": "h100"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    }


@pytest.mark.parametrize("count", ["0", "00"])
def test_a_count_of_none_asks_for_nothing(count: str, with_vllm: dict[str, str]) -> None:
    """Also where servers would be started."""
    assert h100_tags({**with_vllm, "S1MM_H100_COUNT": count}) == {}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("S1MM_H100_COUNT", "many"),
        ("S1MM_H100_NODE_SELECTOR", "h100"),
        ("S1MM_H100_NODE_SELECTOR", "[1]"),
        ("S1MM_H100_TOLERATIONS", "{}"),
    ],
)
def test_nonsense_is_refused_by_name(variable: str, value: str) -> None:
    """The error names the variable."""
    with pytest.raises(SettingsError, match=variable):
        h100_tags({"S1MM_H100_COUNT": "1", variable: value})


def test_only_recaptions_asks_for_gpus(with_vllm: dict[str, str]) -> None:
    """The tags reach the step itself: those of a job would not reach its pods."""
    code = (
        "import json; from s1mm_assets import definitions; "
        "print(json.dumps({each.key.path[-1]: dict(each.op.tags) for each in definitions.PIPELINE}))"
    )
    known = {name: value for name, value in os.environ.items() if not name.startswith("S1MM_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**known, **with_vllm}, capture_output=True, text=True, check=True
    )
    tags = {name: json.dumps(each) for name, each in json.loads(done.stdout).items()}

    assert [name for name, each in tags.items() if "nvidia.com/gpu" in each] == ["recaptions"]
    assert json.loads(json.loads(tags["recaptions"])["dagster-k8s/config"])["container_config"]["resources"][
        "limits"
    ] == {"nvidia.com/gpu": "8"}
