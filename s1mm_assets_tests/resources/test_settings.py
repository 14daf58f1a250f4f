"""The section that says how vLLM servers are run."""

from dataclasses import fields
from pathlib import Path

import pytest

from s1mm_assets.recaptioning import RecaptionSettings
from s1mm_assets.resources.settings import Settings, SettingsError, VllmSettings


def settings_of(folder: Path, text: str) -> Settings:
    (folder / "s1mm.toml").write_text(text)
    return Settings(path=str(folder / "s1mm.toml"))


def test_how_servers_are_run_is_one_section(tmp_path: Path) -> None:
    """Named ones are as set, others as by default; it is printed with the rest."""
    settings = settings_of(tmp_path, "[vllm]\ntensor_parallel = 4\nstart_timeout_s = 60\n")

    assert settings.vllm == VllmSettings(tensor_parallel=4, start_timeout_s=60)
    assert settings.as_dict()["vllm"]["tensor_parallel"] == 4
    assert Settings().vllm == VllmSettings()


def test_no_setting_is_in_both_sections() -> None:
    """What shapes answers is in [recaptioning], what does not in [vllm]."""
    both = [{field.name for field in fields(section)} for section in (RecaptionSettings, VllmSettings)]

    assert both[0] & both[1] == set()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("in_flight_per_server = 0", "in_flight_per_server must be at least 1"),
        ("tensor_parallel = 0", "tensor_parallel must be at least 1"),
        ("max_model_len = -1", "max_model_len must be at least 1"),
        ("request_timeout_s = 0.0", "request_timeout_s must be above 0"),
        ("outage_after_s = nan", "outage_after_s must be above 0"),
        ("start_timeout_s = inf", "start_timeout_s must be above 0"),
        ("gpu_memory_utilization = 1.1", "gpu_memory_utilization lies in 0 to 1"),
        ("gpu_memory_utilization = 0.0", "gpu_memory_utilization lies in 0 to 1"),
        ("max_restarts = -1", "max_restarts must be at least 0"),
        ("max_restarts = 1.5", "max_restarts is 1.5; it must be like 10"),
        ("dtype = 'auto'", "has no setting dtype"),
    ],
)
def test_what_no_server_can_be_run_with_is_refused(line: str, says: str, tmp_path: Path) -> None:
    """With the section and what is wrong."""
    with pytest.raises(SettingsError, match=rf"\[vllm\].*{says}"):
        _ = settings_of(tmp_path, f"[vllm]\n{line}\n").vllm
