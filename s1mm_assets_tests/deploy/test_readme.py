"""The pages for whoever is on call name nothing that is not there: commands, files, settings, variables, messages."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster._cli
import dagster._daemon.cli
import dagster._daemon.monitoring
import dagster_k8s
import pytest
import typer.main

from s1mm_assets.cli import app
from s1mm_assets.definitions import defs
from s1mm_assets.resources.settings import Settings
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.conftest import ROOT
from s1mm_assets_tests.deploy.charts import DEPLOY, MANIFESTS, objects

README = DEPLOY / "README.md"
TEXT = README.read_text("utf-8")
DECISION = (ROOT / "docs" / "adr" / "0017-where-vllm-runs.md").read_text("utf-8")
CODE = [(spans + block) for spans, block in re.findall(r"`([^`\n]+)`|^    (.*)$", TEXT, re.MULTILINE)]
DAGSTER: Any = dagster._cli  # without types
PROGRAMS: dict[str, Any] = {  # typer's click is not the click that Dagster has
    "s1mm": typer.main.get_command(app),
    "dagster": DAGSTER.create_dagster_cli(),
    "dagster-daemon": dagster._daemon.cli.create_dagster_daemon_cli(),
}


def commands() -> list[str]:
    """Return every call of our programs that the page tells to make, from its name to the end of the call."""
    call = re.compile(rf"(?:^|(?<=-- )|(?<=with ))({'|'.join(PROGRAMS)}) ([^#`;&]*)")
    return [f"{name} {rest}".strip() for code in CODE for name, rest in call.findall(code)]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_a_command_exists_with_its_options(command: str) -> None:
    """As the program itself says, without running it."""
    program, *words = command.replace("'", "").split()
    found = PROGRAMS[program]
    while hasattr(found, "commands"):
        name, *words = words
        assert name in found.commands, f"{command}: no {name}"
        found = found.commands[name]
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_commands_are_found() -> None:
    """The test above judges something."""
    assert len({command.split()[1] for command in commands() if command.startswith("s1mm ")}) >= 8
    assert any(command.startswith("dagster instance migrate") for command in commands())


def test_the_files_that_are_named_exist() -> None:
    """Links from where the page lies; paths from the repository's root or from deploy/."""
    links = [each for each in re.findall(r"\]\(([^)#]+)\)", TEXT) if not each.startswith("https://")]
    paths = re.findall(r"(?<![\w/.])((?:deploy/(?!dagster-)|manifests/|docs/)[\w./-]*[\w/])", TEXT)

    assert len(links) >= 4
    assert all((DEPLOY / link).exists() for link in links)
    assert len(set(paths)) >= 8
    assert [path for path in paths if not ((ROOT / path).exists() or (DEPLOY / path).exists())] == []


@pytest.mark.parametrize("text", [TEXT, DECISION], ids=["README", "ADR"])
def test_the_settings_that_are_named_exist(text: str) -> None:
    """By section and name."""
    known = Settings().as_dict()
    named = re.findall(r"`\[([\w.]+)\](?: (\w+))?", text)

    assert named
    for section, name in named:
        values = functools.reduce(lambda found, key: found[key], section.split("."), known)
        assert not name or name in values, f"[{section}] {name}"


def variables() -> list[str]:
    """Return the environment variables of ours that anything below deploy/ names."""
    files = [README, DEPLOY / "values.yaml", *MANIFESTS]
    return sorted(
        {name for path in files for name in re.findall(r"S1MM_[A-Z0-9_]+", path.read_text("utf-8"))}
    )


@pytest.mark.parametrize("variable", variables())
def test_a_variable_is_read_by_the_code(variable: str) -> None:
    """None is named that nobody reads."""
    read = [
        path for path in (ROOT / "s1mm_assets").rglob("*.py") if f'"{variable}"' in path.read_text("utf-8")
    ]

    assert read


def test_jobs_pools_and_reasons_exist() -> None:
    """What is run in the UI, and what rows say."""
    jobs = {job.name for job in defs.resolve_all_job_defs()}
    pools = {pool for node in defs.resolve_asset_graph().asset_nodes for pool in node.pools or ()}

    assert set(re.findall(r"the job `(\w+)`", TEXT)) <= jobs
    assert set(re.findall(r"the pool `(\w+)`", TEXT)) <= pools
    assert set(re.findall(r"--reason (\w+)", TEXT)) <= {each.value for each in Rejection}
    assert {"worker_crashed", "timed_out", "out_of_memory"} <= {each.value for each in Rejection}


def test_objects_of_the_cluster_exist() -> None:
    """Those that the page names by kind; of the chart's, what its templates call them."""
    of_chart = {
        f"deploy/dagster-{name}"
        for name in (
            "daemon",
            "dagster-webserver",
            "dagster-webserver-read-only",
            "dagster-user-deployments-s1mm",
        )
    }
    ours = {
        f"{kind.lower()}/{each['metadata']['name']}"
        for kind in ("Job", "StatefulSet")
        for each in objects(kind)
    }

    assert (
        set(re.findall(r"(?<![\w/.])(?:deploy|job|statefulset)/[\w-]+(?![\w/.-])", TEXT)) <= of_chart | ours
    )


# --- messages -------------------------------------------------------------------------------------------------


def texts_in(path: Path) -> Iterator[str]:
    """Yield the texts of a file of Python, with … for what is put in; parts of one text joined as Python does."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)


@functools.cache
def messages() -> tuple[str, ...]:
    """Return what our code and the parts of Dagster that watch over runs can say."""
    folders = [
        ROOT / "s1mm_assets",
        *(Path(str(module.__file__)).parent for module in (dagster_k8s, dagster._daemon.monitoring)),
    ]
    return tuple(text for folder in folders for path in folder.rglob("*.py") for text in texts_in(path))


def symptoms() -> list[str]:
    """Return the messages that the run books quote."""
    seen = re.findall(r"^\*\*Seen:\*\* (.*)$", TEXT, re.MULTILINE)
    quoted = [text for line in seen for text in re.findall(r"`([^`]+)`", line)]
    return [text for text in quoted if "…" in text or len(text) > 40]  # shorter ones are commands


@pytest.mark.parametrize("symptom", sorted(set(symptoms())))
def test_a_symptom_is_what_the_code_says(symptom: str) -> None:
    """Word for word, in one message; what differs is left out on both sides."""
    parts = [part.strip(" :()") for part in symptom.split("…") if len(part.strip(" :()")) > 2]

    assert any(all(part in text for part in parts) for text in messages()), parts


def test_every_run_book_is_whole() -> None:
    """What is seen, why, what to do, and how one knows that it is mended."""
    books = re.split(r"^### \d+\. ", TEXT, flags=re.MULTILINE)[1:]

    assert len(books) >= 10
    for book in books:
        assert re.findall(r"^\*\*([\w ]+):\*\*", book, re.MULTILINE) == [
            "Seen",
            "Cause",
            "Do",
            "Mended when",
        ], book
