"""What steps ask of Kubernetes, and which of their errors are tried again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from s1mm_assets import definitions
from s1mm_assets.resources.settings import SettingsError
from s1mm_assets.resources.step_settings import STEPS
from s1mm_assets.steps import Steps, once


def config(steps: Steps, asset: str) -> dict[str, Any]:
    found: dict[str, Any] = steps.share_tags(asset)["dagster-k8s/config"]
    return found


@pytest.fixture
def with_vllm(tmp_path: Path) -> dict[str, str]:
    """An environment whose settings file names the engine vllm."""
    return written(tmp_path / "s1mm.toml", '[recaptioning]\nengine = "vllm"\nmodel_revision = "r"\n')


def written(file: Path, text: str) -> dict[str, str]:
    file.write_text(text)
    return {"S1MM_SETTINGS": str(file)}


def test_every_asset_has_a_step() -> None:
    """And nothing else has one, but the checks."""
    assets = {key.path[-1] for key in definitions.defs.resolve_asset_graph().get_all_asset_keys()}

    assert set(STEPS) == {*assets, "checks"}


def test_eight_h100s_are_asked_for(with_vllm: dict[str, str]) -> None:
    """GPUs as request and limit, on nodes that have them, past the taint that keeps others off."""
    found = config(Steps(with_vllm), "recaptions")

    assert found["container_config"]["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert found["container_config"]["resources"]["requests"]["nvidia.com/gpu"] == "8"
    assert "H100" in json.dumps(found["pod_spec_config"]["node_selector"])
    assert found["pod_spec_config"]["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_a_step_that_starts_no_server_asks_for_no_gpus(with_vllm: dict[str, str], tmp_path: Path) -> None:
    """Another engine, or servers elsewhere: its pod would wait for GPUs that it does not use."""
    for environment in (
        {},
        written(tmp_path / "context.toml", '[recaptioning]\nengine = "context"\n'),
        {**with_vllm, "S1MM_VLLM_URLS": "http://a:8000"},
    ):
        assert "nvidia" not in json.dumps(Steps(environment).share_tags("recaptions"))
        asked = config(Steps(environment), "recaptions")
        assert "node_selector" not in asked["pod_spec_config"]
        assert asked["container_config"]["resources"]["requests"] == {"cpu": "8000m", "memory": "32768Mi"}
    assert "nvidia" in json.dumps(Steps({**with_vllm, "S1MM_VLLM_URLS": " "}).share_tags("recaptions"))


def test_the_settings_say_what_a_step_asks_for(tmp_path: Path) -> None:
    """Cores, memory, hours; number, node selector and tolerations of GPUs; the rest stays as it is."""
    text = (
        '[recaptioning]\nengine = "vllm"\nmodel_revision = "r"\n[steps.recaptions]\ngpus = 2\nmemory_gib = 1.5\n'
        'cpu = 3\ntime_limit_h = 1\ncpu_per_gpu = 0\nmemory_gib_per_gpu = 1\nnode_selector = { pool = "h100" }\n'
        'tolerations = [{ key = "gpu", operator = "Exists" }]\n'
    )
    steps = Steps(written(tmp_path / "s.toml", text))

    assert config(steps, "recaptions") == {
        "container_config": {
            "resources": {
                "requests": {"cpu": "3000m", "memory": "3584Mi", "nvidia.com/gpu": "2"},
                "limits": {"memory": "3584Mi", "nvidia.com/gpu": "2"},
            },
            "env": [{"name": "S1MM_WORKERS", "value": "3"}],
        },
        "pod_spec_config": {
            "active_deadline_seconds": 3600,
            "node_selector": {"pool": "h100"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
        },
    }
    assert steps.share_tags("raw_archives") == Steps({}).share_tags("raw_archives")


def test_steps_with_gpus_may_have_an_image_of_their_own(with_vllm: dict[str, str]) -> None:
    """vLLM is large, and wants another numpy: the other steps run the small image."""
    steps = Steps({**with_vllm, "S1MM_GPU_IMAGE": "registry/gpu:1"})

    assert config(steps, "recaptions")["container_config"]["image"] == "registry/gpu:1"
    assert "image" not in config(steps, "figure_candidates")["container_config"]
    assert "image" not in config(Steps(with_vllm), "recaptions")["container_config"]


def test_a_number_of_workers_that_is_set_stays() -> None:
    """Else a step has one for each core that it asks for, not for each of its node."""
    said, unsaid = Steps({"S1MM_WORKERS": "4"}), Steps({})

    assert config(said, "figure_candidates")["container_config"]["env"] == []
    assert config(unsaid, "figure_candidates")["container_config"]["env"][0]["value"] == "16"


def test_scores_on_a_gpu_take_one_and_its_pool() -> None:
    """Where S1MM_DEVICE says so; on the CPU none."""
    on_gpu, on_cpu = Steps({"S1MM_DEVICE": "cuda:0"}), Steps({"S1MM_DEVICE": "cpu"})

    assert (
        config(on_gpu, "quality_metrics")["container_config"]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    )
    assert "nvidia" not in json.dumps(on_cpu.share_tags("quality_metrics"))
    assert (on_gpu.pool("quality_metrics"), on_cpu.pool("quality_metrics")) == ("gpu", "cpu")


def test_where_pods_share_the_work_only_they_ask_for_gpus(with_vllm: dict[str, str]) -> None:
    """The step that joins what they made would hold eight H100s for nothing; it has the asset's memory and time."""
    file = Path(with_vllm["S1MM_SETTINGS"])
    file.write_text(file.read_text() + "[steps.recaptions]\npods = 4\nmemory_gib = 96\ntime_limit_h = 7\n")
    steps = Steps(with_vllm)
    joining = steps.tags("recaptions")["dagster-k8s/config"]

    assert "nvidia" in json.dumps(steps.share_tags("recaptions"))
    assert joining["container_config"]["resources"]["requests"] == {"cpu": "2000m", "memory": "98304Mi"}
    assert joining["pod_spec_config"] == {"active_deadline_seconds": 7 * 3600}
    assert (steps.share_pool("recaptions"), steps.pool("recaptions")) == ("gpu", "cpu")


def test_joining_scores_needs_their_models(tmp_path: Path) -> None:
    """It asks them which versions the scores are of, on the device that made them."""
    environment = {
        **written(tmp_path / "s.toml", "[steps.quality_metrics]\npods = 2\n"),
        "S1MM_DEVICE": "cuda",
    }
    steps = Steps(environment)

    assert steps.tags("quality_metrics") == steps.share_tags("quality_metrics")
    assert (steps.pool("quality_metrics"), steps.pods("quality_metrics")) == ("gpu", 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps = 1", "steps must be sections"),
        ("[steps.recaption]\ngpus = 1", "has no recaption; it has: landed_papers"),
        ("[steps]\nrecaptions = 1", "recaptions must be a section"),
        ("[steps.recaptions]\npool = 'cpu'", "has no setting pool"),
        ("[steps.recaptions]\ngpus = 1.5", "gpus is 1.5; it must be like 8"),
        ("[steps.recaptions]\ngpus = -1", "gpus must be at least 0"),
        ("[steps.recaptions]\npods = 0", "pods lies in 1 to 1,000"),
        ("[steps.recaptions]\ncpu = true", "cpu is True"),
        ("[steps.recaptions]\nmemory_gib = nan", "memory_gib must be above 0"),
        ("[steps.recaptions]\ntime_limit_h = inf", "time_limit_h must be above 0"),
        ("[steps.recaptions]\nnode_selector = { a = 1 }", "node_selector is"),
        ("[steps.recaptions]\ntolerations = ['a']", "tolerations is"),
    ],
)
def test_nonsense_is_refused_by_name(text: str, says: str, tmp_path: Path) -> None:
    """The error names file and setting."""
    with pytest.raises(SettingsError, match=rf"s\.toml.*{says}"):
        Steps(written(tmp_path / "s.toml", text + "\n"))


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
    assert all("memory" in each for each in tags.values())


@pytest.mark.parametrize("error", [ValueError("no"), dg.Failure("no")])
def test_an_error_of_its_own_is_not_tried_again(error: Exception) -> None:
    """What may pass was tried again where it was met: times three, retries would multiply."""
    calls = []

    @dg.op(retry_policy=dg.RetryPolicy(max_retries=2))
    @once
    def step() -> None:
        calls.append(1)
        raise error

    @dg.job
    def job() -> None:
        step()

    result = job.execute_in_process(raise_on_error=False)

    assert not result.success
    assert len(calls) == 1
    assert "no" in str(result.failure_data_for_node("step"))
