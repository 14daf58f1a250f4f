"""docs/checks.md: every check with what it guards, what its failure does, what moves it, and what to do then.

`make golden` writes it anew; what it says is said nowhere else but in the guards of each asset.
"""

from collections.abc import Mapping
from types import ModuleType

from s1mm_assets.checks import (
    duplicates,
    figure_candidates,
    filtered_figures,
    hf_publication,
    hf_release,
    quality_metrics,
    raw_archives,
    recaptions,
)
from s1mm_assets.checks.guards import Guard
from s1mm_assets.resources.settings import Settings

CHECKED: tuple[ModuleType, ...] = (
    raw_archives,
    figure_candidates,
    filtered_figures,
    recaptions,
    quality_metrics,
    duplicates,
    hf_release,
    hf_publication,
)
"""A module for each asset that has checks, in the order of the pipeline."""

INTRODUCTION = """\
# Checks: what must hold at each door

This page is made from the code by `make golden`. Every asset below is checked when it is materialized, all checks of an
asset in one step; in the Dagster UI they stand on the asset's page under *Checks*, by partition. A check shows its
numbers, the settings that move it and, where it fails, up to five examples (some with pictures) and what to do.

A failure either **stops** what comes after the asset, in this run and in later ones (`hf_release` and `hf_publication`
refuse partitions whose last check stopped them), or it **warns**. A measure that was not taken warns as "not
evaluated", and says what turns it on. `[checks] …` are sections and names of the settings file; `s1mm settings` prints
it with every default. PARTITION stands for the partition key, such as `arxiv|2019`.
"""

HEADER = (
    "| check | what it guards | if it fails | settings and defaults | what to do |\n|---|---|---|---|---|"
)


def page() -> str:
    """Return the page as Markdown."""
    tables = [table(module.ASSET, module.GUARDS) for module in CHECKED]
    return "\n".join([INTRODUCTION, *tables])


def table(asset: str, guards: Mapping[str, Guard]) -> str:
    """Return what there is to say of one asset's checks."""
    rows = [line(name, guard) for name, guard in guards.items()]
    return "\n".join([f"## {asset}", "", HEADER, *rows, ""])


def line(name: str, guard: Guard) -> str:
    """Return one check as a row of its table."""
    thresholds = guard.thresholds(Settings()).items()
    settings = "<br>".join(f"`{setting}` = {shown(default)}" for setting, default in thresholds)
    cells = (f"`{name}`", guard.says, guard.if_it_fails, settings or "–", guard.what_to_do)
    return f"| {' | '.join(cells)} |"


def shown(default: float | str) -> str:
    """Return a default as people write it in the settings file."""
    return f'"{default}"' if isinstance(default, str) else f"{default}"
