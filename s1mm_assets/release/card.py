"""The dataset card: README.md of a release, rendered from facts alone. Equal facts give equal cards."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import jinja2

from s1mm_assets.release.columns import COLUMN_DESCRIPTIONS
from s1mm_assets.release.facts import PartitionFacts, Sums
from s1mm_assets.release.manifest import Edition
from s1mm_assets.release.papers import IMAGE, RECIPE
from s1mm_assets.release.settings import ReleaseSettings

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
MORE_SIZES = ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"))
SCORES = {"CLIP score": "clip_score", "pseudo-perplexity": "pseudo_perplexity"}


def dataset_card(
    facts: Sequence[PartitionFacts],
    *,
    settings: ReleaseSettings,
    thresholds: Mapping[str, Any],
    score_settings: Mapping[str, str],
    history: Sequence[Edition] = (),
    pictures: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the dataset card.

    Args:
        facts: One entry per partition; their order does not matter.
        settings: How the release is cut.
        thresholds: Name of each setting of the filters, and its value.
        score_settings: For "CLIP score" and "pseudo-perplexity", why they were not evaluated.
        history: The versions so far, the first one first.
        pictures: Path of each picture in the release, and what it shows.
    """
    ordered = sorted(facts, key=lambda fact: (fact.source, fact.year))
    released = [fact for fact in ordered if fact.n_records]
    measures = summed(ordered)
    return template("card.md.jinja").render(
        title=settings.title,
        policy=settings.licence_policy,
        redistributable=settings.redistributable,
        has_webdataset=settings.webdataset,
        history=history,
        pictures=pictures,
        columns=COLUMN_DESCRIPTIONS,
        facts=ordered,
        released=released,
        sources=sorted({fact.source for fact in released}),
        single=sorted(settings.single_archive_sources),
        part_bytes=settings.part_bytes,
        n_records=sum(fact.n_records for fact in ordered),
        n_recipes=sum(fact.n_recipes for fact in ordered),
        n_tombstones=sum(fact.n_tombstones for fact in ordered),
        subjects=added(fact.subjects for fact in ordered),
        size_category=size_category(sum(fact.n_records for fact in ordered)),
        rejections=added(fact.rejections for fact in ordered),
        licences=by_licence(ordered),
        engines=added(fact.engines for fact in ordered),
        measures=measures,
        thresholds=thresholds,
        not_evaluated=not_evaluated(measures, score_settings),
        has_context_engine=any(key[0] == "context" for fact in ordered for key in fact.engines),
    )


def attribution(facts: Sequence[PartitionFacts]) -> str:
    """Return ATTRIBUTION.md: where it is said whose the images are, and what was done to them."""
    images = [(licence, n) for licence, n, _ in by_licence(facts) if n]
    return template("attribution.md.jinja").render(by_licence=images)


def template(name: str) -> jinja2.Template:
    """Return one of this package's templates."""
    return environment().from_string((files("s1mm_assets.release") / name).read_text(encoding="utf-8"))


def environment() -> jinja2.Environment:
    """Return an environment that fails on a missing name and writes Markdown."""
    made = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown; what comes from outside goes through `cell`
    )
    made.filters["cell"] = cell
    made.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    made.filters["thousands"] = lambda value: f"{value:,}"
    return made


def cell(value: object) -> str:
    """Return a text that stays within its cell of a Markdown table, whatever it holds."""
    text = re.sub(r"\s+", " ", str(value)).strip()
    return re.sub(r"([\\|`*_<>\[\]])", r"\\\1", text if len(text) <= 120 else text[:119] + "…")


def size_category(n: int) -> str:
    """Return the Hub's name for a number of rows."""
    return next((name for limit, name in (*SIZES, *MORE_SIZES) if n < limit), "100M<n<1B")


def added(counts: Any) -> list[tuple[Any, int]]:
    """Add counts up over partitions; the largest first."""
    total: Counter[Any] = Counter()
    for each in counts:
        total.update(each)
    return sorted(total.items(), key=lambda item: (-item[1], item[0]))


def by_licence(facts: Sequence[PartitionFacts]) -> list[tuple[str, int, int]]:
    """Return each licence with its records with and without image; the commonest first."""
    counts: dict[str, dict[str, int]] = {}
    for (licence, released_as), n in added(fact.licences for fact in facts):
        counts.setdefault(licence, {})[released_as] = n
    rows = [(licence, each.get(IMAGE, 0), each.get(RECIPE, 0)) for licence, each in counts.items()]
    return sorted(rows, key=lambda row: (-row[1] - row[2], row[0]))


def not_evaluated_scores(facts: Sequence[PartitionFacts]) -> list[str]:
    """Return the names of the scores that no record has."""
    return [score for score, _ in not_evaluated(summed(facts), dict.fromkeys(SCORES, ""))]


def summed(facts: Sequence[PartitionFacts]) -> dict[str, Sums]:
    """Add the measures of all partitions up."""
    names = facts[0].measures if facts else {}
    return {name: sum((fact.measures[name] for fact in facts), Sums()) for name in names}


def not_evaluated(measures: Mapping[str, Sums], score_settings: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the scores that no record has, each with the setting that would have it evaluated."""
    return [
        (score, score_settings[score])
        for score, column in SCORES.items()
        if not any(sums.n for name, sums in measures.items() if name.endswith(column))
    ]
