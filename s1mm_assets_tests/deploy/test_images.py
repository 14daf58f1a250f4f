"""The images: linted, pinned, without secrets, run by nobody in particular."""

import re
import subprocess
import sys
from pathlib import Path

from s1mm_assets_tests.conftest import ROOT
from s1mm_assets_tests.deploy.charts import DEPLOY

DOCKERFILE = DEPLOY / "images" / "Dockerfile"
TEXT = DOCKERFILE.read_text("utf-8")
HADOLINT = Path(sys.executable).with_name("hadolint")


def test_the_linter_finds_nothing() -> None:
    """hadolint, with all of its rules but those that a comment gives a reason against."""
    done = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False)

    lines = TEXT.splitlines()
    above = [lines[at - 1] for at, line in enumerate(lines) if line.startswith("# hadolint ignore")]

    assert (done.returncode, done.stdout) == (0, "")
    assert above
    assert all(line.startswith("# ") for line in above)


def test_the_base_is_pinned_to_a_patch_release_and_a_debian() -> None:
    """And is one argument, so that a digest can be put in its place; nothing else is pulled."""
    assert re.search(r"^ARG PYTHON=python:3\.\d+\.\d+-slim-bookworm$", TEXT, re.MULTILINE)
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", TEXT, re.MULTILINE)
    names = {name for _, name in stages}

    assert {source for source, _ in stages} <= {"${PYTHON}", *names}
    assert {"cpu", "gpu"} <= names


def stage(name: str) -> str:
    """Return the lines of a stage."""
    (_, _, rest) = TEXT.partition(f" AS {name}\n")
    return rest.partition("\nFROM ")[0]


def test_both_images_run_as_a_user_that_pods_are_told_of() -> None:
    """By number, as `runAsNonRoot` wants it, and the same as in the manifests."""
    for name in ("cpu", "gpu"):
        assert "USER 10001:10001" in stage(name)
        assert "HEALTHCHECK" in stage(name)
    assert "--uid 10001" in stage("base")


def test_packages_are_those_of_the_constraints() -> None:
    """But for numpy in the image with vLLM, as the Makefile has it, too."""
    installs = re.findall(r"pip install (.*)", TEXT)

    assert all("--constraint" in each or "--no-deps" in each for each in installs)
    assert len(installs) == 3
    assert "grep -v '^numpy" in stage("gpu-dependencies")
    assert "grep -v '^numpy" in (ROOT / "Makefile").read_text("utf-8")


def test_what_a_step_runs_is_in_the_image() -> None:
    """Ghostscript and poppler, and of GPU images a compiler for Triton."""
    assert {"ghostscript", "poppler-utils", "tini"} <= set(stage("base").split())
    assert "gcc" in stage("gpu").split()
    extras = (ROOT / "pyproject.toml").read_text("utf-8")
    for extra in ("k8s", "models", "vllm"):
        assert re.search(rf"^{extra} = \[", extras, re.MULTILINE)


def test_only_what_images_are_made_of_is_sent_to_the_builder() -> None:
    """Everything is left out but what a COPY names; so no store and no credentials get into a layer."""
    lines = (DEPLOY / "images" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    wanted = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", TEXT, re.MULTILINE)
        for word in line.split()[:-1]
    }

    assert lines[1] == "*"
    assert wanted == copied
    assert all((ROOT / each).exists() for each in wanted)


def test_no_secret_is_an_argument_or_a_variable() -> None:
    """Layers and histories are everybody's to read: a package index with a password is a secret of the builder."""
    named = re.findall(r"^(?:ARG|ENV|    )\s*(\w+)=", TEXT, re.MULTILINE)

    assert not [name for name in named if re.search("TOKEN|SECRET|PASSWORD|KEY|INDEX", name)]
    assert TEXT.count("--mount=type=secret,id=pip.conf") == 3
