"""What the UI says of an asset beside its docstring: columns, owner, code version, freshness, and what makes it anew.

A code version is the stage's version and a digest of the settings that shape its data, so that a changed threshold or
prompt shows as "outdated". Conditions act only when the sensor `stale_partitions` is turned on.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from s1mm_assets import tables
from s1mm_assets.metrics.settings import MetricSettings
from s1mm_assets.recaptioning.settings import RecaptionSettings
from s1mm_assets.release.stage import SHAPING
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shards import digest_of
from s1mm_assets.tables import MAIN_TABLES, TABLES, schema_of

OWNERS = {
    "landed_papers": "team:papers",
    "raw_archives": "team:papers",
    "figure_candidates": "team:figures",
    "filtered_figures": "team:figures",
    "recaptions": "team:models",
    "quality_metrics": "team:models",
    "duplicates": "team:figures",
    "hf_release": "team:release",
    "hf_publication": "team:release",
    "hub_repository": "team:release",
}
"""Asset → who is asked about it."""

FRESHNESS = {
    "landed_papers": dg.FreshnessPolicy.time_window(
        warn_window=timedelta(days=40), fail_window=timedelta(days=70)
    ),
    "hf_publication": dg.FreshnessPolicy.time_window(
        warn_window=timedelta(days=100), fail_window=timedelta(days=190)
    ),
}
"""Publishers add papers by the month; a release that is two quarters old misses a tenth of a field."""

FIELD = re.compile(r"    (\w+): Annotated\[.*\](?: = \w+)?  # (.+)")


def rebuilds() -> dict[str, dg.AutomationCondition[Any]]:
    """Return by what condition each asset is made anew: when what it reads is, or its code version changes.

    Landing, releases, publication and upload are started by people: they ask others, or are seen by others.
    """
    condition = dg.AutomationCondition
    outdated = condition.code_version_changed() & ~condition.missing()
    changed = (
        condition.any_deps_updated() | outdated
    )  # also by what is requested at the same time: in one run
    passed = condition.all_deps_blocking_checks_passed()
    chain = ("raw_archives", "figure_candidates", "filtered_figures", "recaptions", "quality_metrics")
    return {
        asset: (
            changed.since(condition.newly_requested() | condition.newly_updated())
            & guard
            & ~condition.any_deps_in_progress()
            & ~condition.in_progress()
        ).with_label("what it reads, its code or its settings changed")
        for asset, guard in {**dict.fromkeys(chain, passed), "duplicates": ~condition.in_progress()}.items()
    }


def described(assets: Sequence[dg.AssetsDefinition], settings: Settings) -> list[dg.AssetsDefinition]:
    """Return assets with all that the UI says of them."""
    conditions, digests = rebuilds(), {name: digest_of(each) for name, each in shaping(settings).items()}

    def full(spec: dg.AssetSpec) -> dg.AssetSpec:
        name = spec.key.path[-1]
        version = "+".join(filter(None, [spec.code_version, digests.get(name, "")[:8]]))
        found = spec.replace_attributes(
            code_version=version or None,
            owners=[OWNERS[name]],
            automation_condition=conditions.get(name),
        ).merge_attributes(metadata=columns(name))
        policy = FRESHNESS.get(name)
        return dg.apply_freshness_policy(found, policy) if policy else found

    return [each.map_asset_specs(full) for each in assets]


def shaping(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return, for each asset that has any, the settings that shape its data, as JSON; of what is off, nothing."""
    filtering, release = asdict(settings.filtering), settings.release
    return {
        "figure_candidates": {"raster": asdict(settings.raster), "pdf": asdict(settings.pdf)},
        "filtered_figures": {"filtering": filtering, "texts": asdict(settings.texts)},
        "recaptions": of_engine(settings.recaptioning),
        "quality_metrics": of_scores(settings.metrics),
        "duplicates": {"bits": filtering["near_duplicate_bits"], **release.licences()},
        "hf_release": {name: getattr(release, name) for name in SHAPING} | release.licences(),
    }


def of_engine(settings: RecaptionSettings) -> dict[str, Any]:
    """Return what shapes recaptions: of a prompt of one's own its text, wherever it lies."""
    if settings.engine == "context":
        return {"engine": settings.engine}
    file = Path(settings.prompt)
    prompt = file.read_text("utf-8") if file.is_file() else settings.prompt
    return {**asdict(settings), "prompt": prompt}


def of_scores(settings: MetricSettings) -> dict[str, Any]:
    """Return what shapes the scores that are turned on."""
    off = [
        *(() if settings.clip_score else ("clip_",)),
        *(() if settings.pseudo_perplexity else ("masked_", "pseudo_perplexity_share")),
    ]
    return {name: value for name, value in asdict(settings).items() if not name.startswith(tuple(off))}


def columns(asset: str) -> dict[str, Any]:
    """Return the column schemas of an asset's tables, the main one under Dagster's own key."""
    return {
        ("dagster/column_schema" if name in MAIN_TABLES else f"columns/{name}"): table_schema(row)
        for name, row in TABLES.get(asset, {}).items()
    }


def table_schema(row: type) -> dg.TableSchema:
    """Return a row class as the UI shows it: names, types, and what tables.py says of each."""
    said = comments().get(row.__name__, {})
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name, str(kind), description=said.get(name))
            for name, kind in schema_of(row).items()
        ]
    )


@cache
def comments() -> Mapping[str, Mapping[str, str]]:
    """Return row class → column → the comment beside it in tables.py; no second text can differ from it."""
    found: dict[str, dict[str, str]] = {}
    current = ""
    for line in Path(tables.__file__).read_text("utf-8").splitlines():
        if line.startswith("class "):
            current = line[6:].partition("(")[0].rstrip(":")
        elif match := FIELD.fullmatch(line):
            found.setdefault(current, {})[match[1]] = match[2]
    return found
