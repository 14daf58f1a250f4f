"""What is said before the first partition starts."""

from pathlib import Path

import pytest

from s1mm_assets.cli import build
from s1mm_assets.resources.captioners.registry import VllmServers
from s1mm_assets.resources.layout_detector import LayoutDetectors
from s1mm_assets.resources.renderers import Renderers
from s1mm_assets.resources.settings import Settings, SettingsError


def test_what_is_missing_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Renderers, and the layout detector that is asked for: a line each, with what to do."""
    (tmp_path / "settings.toml").write_text('[pdf]\ndetector = "magic-pdf"\n')
    monkeypatch.setattr(build, "SETTINGS", Settings(path=str(tmp_path / "settings.toml")))
    monkeypatch.setattr(build, "RENDERERS", Renderers(ghostscript="no-such-gs", poppler="sh"))
    monkeypatch.setattr(build, "LAYOUT", LayoutDetectors(magic_pdf="no-such-engine"))

    build.prepare()

    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert [line.split(":")[1] for line in said] == [
        " ghostscript is not installed",
        " no-such-engine is not there",
    ]
    assert all("s1mm retry" in line for line in said)


def test_a_setting_that_is_none_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an hour of work, not after it."""
    (tmp_path / "settings.toml").write_text('[pdf]\ndetector = "magic"\n')
    monkeypatch.setattr(build, "SETTINGS", Settings(path=str(tmp_path / "settings.toml")))

    with pytest.raises(SettingsError, match="detector is 'magic'; there are: rapid-layout"):
        build.prepare()


def test_a_vllm_that_is_not_there_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the step would start servers itself; nothing is started to find out."""

    def n_said(engine: str, *urls: str) -> int:
        (tmp_path / "s.toml").write_text(f'[recaptioning]\nengine = "{engine}"\nmodel_revision = "r"\n')
        monkeypatch.setattr(build, "SETTINGS", Settings(path=str(tmp_path / "s.toml")))
        monkeypatch.setattr(build, "VLLM", VllmServers(urls=list(urls), command=["no-such-vllm", "serve"]))
        build.prepare()
        return capsys.readouterr().err.count("warning: no-such-vllm is not there")

    assert n_said("vllm") == 1
    assert n_said("vllm", "http://a:8000") == 0
    assert n_said("context") == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[recaptioning]\nprompt = "describe-0"\n', "describe-0 is neither a prompt"),
        ('[recaptioning]\nengine = "vllm"\n', "needs model_revision"),
        ("[vllm]\ntensor_parallel = 0\n", "tensor_parallel must be at least 1"),
    ],
)
def test_what_recaptions_could_not_be_asked_with_is_said_at_once(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings, the prompt, and how servers are run."""
    (tmp_path / "s.toml").write_text(text)
    monkeypatch.setattr(build, "SETTINGS", Settings(path=str(tmp_path / "s.toml")))

    with pytest.raises(SettingsError, match=says):
        build.prepare()
