"""docs/checks.md is what the code says, and nothing that it names is made up."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

from s1mm_assets import definitions
from s1mm_assets.checks.guards import KEY, Guard
from s1mm_assets.checks.page import CHECKED, page
from s1mm_assets.cli import app
from s1mm_assets.resources.settings import Settings
from s1mm_assets_tests.conftest import ROOT

GUARDS = [(module.ASSET, name, guard) for module in CHECKED for name, guard in module.GUARDS.items()]
SETTINGS = Settings().as_dict()
COMMAND = re.compile(r"`s1mm ([^`]+)`")
NAMED = re.compile(r"`\[(\w+)\] (\w+)`")


def test_the_page_is_golden(check_golden: Callable[[str, Path], None]) -> None:
    """`make golden` writes it anew from the guards."""
    check_golden(page(), ROOT / "docs" / "checks.md")


def test_the_page_lists_every_check_of_the_graph() -> None:
    """And each says in the UI what it says there."""
    specs = {
        (each.asset_key.path[-1], each.name): each
        for checks in definitions.CHECKS
        for each in checks.check_specs
    }

    assert set(specs) == {(asset, name) for asset, name, _ in GUARDS}
    for asset, name, guard in GUARDS:
        spec = specs[asset, name]
        assert spec.blocking == guard.stops
        assert spec.description == f"{guard.says} If it fails: {guard.if_it_fails}"


@pytest.mark.parametrize(("asset", "name", "guard"), GUARDS, ids=[name for _, name, _ in GUARDS])
def test_a_guard_says_something(asset: str, name: str, guard: Guard) -> None:
    """A sentence or more on each side; a table's cell holds no line's end and no bar."""
    for text in (guard.says, guard.what_to_do, guard.if_it_fails):
        assert text.endswith((".", "?"))
        assert not set(text) & {"\n", "|"}
    assert guard.stops or not guard.unless


@pytest.mark.parametrize(("asset", "name", "guard"), GUARDS, ids=[name for _, name, _ in GUARDS])
def test_the_settings_that_are_named_exist(asset: str, name: str, guard: Guard) -> None:
    """Those that move it, and those in what to do."""
    named = [tuple(each.split(".")) for each in guard.settings]
    named += NAMED.findall(guard.says + guard.what_to_do)
    assert [each for each in named if each[1] not in SETTINGS[each[0]]] == []


@pytest.mark.parametrize(("asset", "name", "guard"), GUARDS, ids=[name for _, name, _ in GUARDS])
def test_the_commands_that_are_named_exist(asset: str, name: str, guard: Guard) -> None:
    """With their options."""
    for words in map(shlex.split, COMMAND.findall(guard.says + guard.what_to_do)):
        command, rest = command_of(words)
        options = {option for each in command.params for option in each.opts}
        assert {word for word in rest if word.startswith("-")} <= options


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words begin with, and the other words."""
    found: Any = typer.main.get_command(app)
    while commands := getattr(found, "commands", None):
        found, words = commands[words[0]], words[1:]
    return found, words


def test_every_asset_that_is_made_again_is_one() -> None:
    """What to do names assets and jobs that there are."""
    graph = definitions.defs.resolve_asset_graph()
    assets = {key.path[-1] for key in graph.get_all_asset_keys()}
    jobs = {job.name for job in definitions.defs.jobs or ()}
    for _, _, guard in GUARDS:
        assert set(re.findall(r"aterialize (\w+_\w+|recaptions|duplicates)", guard.what_to_do)) <= assets
        assert set(re.findall(r"jobs? (\w+)", guard.what_to_do)) <= jobs


def test_what_waits_for_a_partition_names_it() -> None:
    """Only where there is one."""
    for module in CHECKED:
        is_partitioned = module.ASSET not in {"duplicates", "hf_publication"}
        text = "".join(guard.what_to_do for guard in module.GUARDS.values())
        assert (KEY in text) == is_partitioned
