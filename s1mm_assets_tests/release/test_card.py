"""Tests of s1mm_assets.release.card and facts."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
import yaml

from s1mm_assets.release import (
    FACTS_READ,
    PartitionFacts,
    ReleaseSettings,
    dataset_card,
    joined_facts,
    partition_facts,
)
from s1mm_assets.release.card import cell, size_category
from s1mm_assets.release.facts import MEASURES, Sums
from s1mm_assets.release.records import RECORD
from s1mm_assets.tables import TABLES, Archive, Decision, frame_of, schema_of
from s1mm_assets_tests.release.shards import Figure, make, tables_of

THRESHOLDS = {"min_image_size_bytes": 5120}
SCORE_SETTINGS = {"CLIP score": "no CLIP encoder", "pseudo-perplexity": "no language model"}


def archive(paper_id: str, rejection: str | None = None) -> Archive:
    return Archive(
        paper_id=paper_id,
        source="arxiv",
        year=2023,
        kind="tar_gz",
        uri="a",
        offset=0,
        length=1,
        sha256="0",
        unpacked_bytes=None,
        n_members=None,
        n_images=None,
        rejection=rejection,
        evidence=None,
    )


def decision(figure: Figure, rejection: str | None) -> Decision:
    return Decision(
        figure_id=figure.figure_id,
        paper_id=figure.paper_id,
        rejection=rejection,
        measured=None,
        measured_value=None,
        threshold=None,
        evidence=None,
        duplicate_of=None,
        sha256=None,
        perceptual_hash=None,
        image_size_bytes=None,
        source_size_bytes=None,
    )


FIGURES = [
    Figure(number=1, caption="abc", licence="CC-BY-4.0"),
    Figure(number=2, caption="abcde", licence="CC-BY-4.0", grounding=None),
    Figure(number=3, rejection="no_context"),
    Figure(number=4, is_filtered=True),
    Figure(number=5, is_filtered=True),
    Figure(number=1, paper_id="2301.00002", licence=None),
]


def facts_of(figures: Sequence[Figure], archives: Sequence[Archive], year: int = 2023) -> PartitionFacts:
    """Facts of one shard, read as a store would give its tables."""
    tables = tables_of(figures)
    shard = make(figures, partition=f"arxiv|{year}")
    tables["hf_release", "records"], tables["hf_release", "files"] = (
        shard.table("records"),
        shard.table("files"),
    )
    tables["raw_archives", "archives"] = frame_of(Archive, list(archives))
    # What extraction turned away is turned away again, with the same reason, by the filters.
    turned = tables["figure_candidates", "figures"].with_columns(
        rejection=pl.when(pl.col("figure_number") == "5").then(pl.lit("drawn_in_tex"))
    )
    tables["figure_candidates", "figures"] = turned
    reasons = {4: "blank", 5: "drawn_in_tex"}
    tables["filtered_figures", "decisions"] = frame_of(
        Decision, [decision(figure, reasons.get(figure.number)) for figure in figures]
    )

    def read(asset: str, table: str) -> pl.DataFrame:
        return tables[asset, table].select(FACTS_READ[asset][table])

    return partition_facts("arxiv", year, read)


@pytest.fixture(scope="module")
def facts() -> PartitionFacts:
    return facts_of(FIGURES, [archive("2301.01234"), archive("2301.00002"), archive("9", "corrupt")])


def card_of(facts: Sequence[PartitionFacts], **settings: Any) -> str:
    return dataset_card(
        facts,
        settings=ReleaseSettings(**settings),
        thresholds=THRESHOLDS,
        score_settings=SCORE_SETTINGS,
    )


def test_facts_count_what_the_tables_hold(facts: PartitionFacts) -> None:
    """Papers, figures, records, licences and engines of one partition."""
    assert (facts.n_papers, facts.n_figures, facts.n_records, facts.n_record_papers) == (3, 6, 2, 2)
    assert (facts.n_recipes, facts.n_tombstones) == (1, 0)
    assert facts.licences == {("CC-BY-4.0", "image"): 2, ("not known", "recipe"): 1}
    assert facts.subjects == {"not known": 3}
    assert facts.engines == {("context", "", "", "1"): 3}
    assert set(facts.n_bytes) == {"records", "images", "data", "recipes", "attribution"}


def test_a_row_is_rejected_once(facts: PartitionFacts) -> None:
    """It counts where it was turned away first, however many tables repeat the reason; counts are conserved."""
    assert facts.rejections == {
        ("archives", "corrupt"): 1,
        ("figures", "drawn_in_tex"): 1,
        ("decisions", "blank"): 1,
        ("recaptions", "no_context"): 1,
    }
    of_figures = sum(n for (table, _), n in facts.rejections.items() if table != "archives")
    assert facts.n_records + facts.n_recipes + of_figures == facts.n_figures


def test_measures_are_of_the_records(facts: PartitionFacts) -> None:
    """Mean and deviation where there is a value; what was not evaluated has none."""
    lengths = facts.measures["caption_length_chars"]

    assert (lengths.n, lengths.total) == (3, 3 + 5 + len("A caption."))
    assert facts.measures["grounding"] == Sums(6, 3, 3)  # two claims of each record, one of them grounded
    assert facts.measures["caption_clip_score"].n == 0
    assert (Sums(2, 4.0, 10.0).mean, Sums(2, 4.0, 10.0).standard_deviation) == (2.0, 1.0)


def test_facts_of_shards_add_up(facts: PartitionFacts) -> None:
    """Counted shard by shard, so that memory is bounded, a partition has the numbers that it has as a whole."""
    first = facts_of(FIGURES[:-1], [archive("2301.01234"), archive("9", "corrupt")])
    second = facts_of(FIGURES[-1:], [archive("2301.00002")])

    both = joined_facts([first, second])

    assert replace(both, n_bytes={}) == replace(facts, n_bytes={})  # compressed apart, pieces are longer
    assert both.n_bytes.keys() == facts.n_bytes.keys()
    assert joined_facts([facts]) == facts


def test_a_partition_that_was_never_made_counts_nothing() -> None:
    """Tables without rows give zeros."""
    nothing = partition_facts("arxiv", 1999, lambda asset, table: schema_of(TABLES[asset][table]).to_frame())

    assert (nothing.n_papers, nothing.n_records, nothing.rejections) == (0, 0, {})
    assert all(sums.mean == 0.0 for sums in nothing.measures.values())
    assert "arxiv | 1999 | 0 | 0 | 0" in card_of([nothing])


def front_matter(card: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return loaded


def test_the_front_matter_configures_every_source(facts: PartitionFacts) -> None:
    """One configuration for all, one per source with records, and what the Hub wants to know."""
    other = replace(facts, source="local")
    empty = replace(facts, source="biorxiv", n_records=0)

    front = front_matter(card_of([other, facts, empty]))

    assert front["configs"] == [
        {"config_name": "default", "default": True, "data_files": "*/data/*/*.parquet"},
        {"config_name": "arxiv", "data_files": "arxiv/data/*/*.parquet"},
        {"config_name": "local", "data_files": "local/data/*/*.parquet"},
    ]
    assert (front["license"], front["size_categories"]) == ("other", ["n<1K"])
    assert "configs" not in front_matter(card_of([empty]))


def test_the_card_says_what_the_facts_say(facts: PartitionFacts) -> None:
    """Counts, thresholds, rejections, engine, licences, and what was not evaluated, and why."""
    card = card_of([facts])

    for line in (
        "| arxiv | 2023 | 3 | 6 | 2 | 1 | 2 |",
        "| min\\_image\\_size\\_bytes | 5120 |",
        "| decisions | blank | 1 |",
        "| context | none | none | 1 | 3 |",
        "| caption\\_length\\_chars | 3 | 6.000 |",
        "| grounding | 6 | 0.500 | ± 0.400 | 0.500 |",
        "Not evaluated: CLIP score (no CLIP encoder).",
        "Not evaluated: pseudo-perplexity (no language model).",
        "| CC-BY-4.0 | 2 | 0 |",
        "| not known | 0 | 1 |",
        "s1mm rehydrate",
        "uses no model",
    ):
        assert line in card
    assert all(f"`{name}`" in card for name in RECORD.names)


def test_what_was_evaluated_is_not_called_otherwise(facts: PartitionFacts) -> None:
    """A score that some records have is a row of the table; a model is named, and `context` is not explained."""
    measured = replace(
        facts,
        measures={**facts.measures, "recaption_clip_score": Sums(3, 2.1, 1.5)},
        engines={("vllm", "Qwen/Qwen3-VL-8B-Instruct", "abc", "2"): 3},
    )
    card = card_of([measured], single_archive_sources=["arxiv"])

    assert "Not evaluated: CLIP score" not in card
    assert "| recaption\\_clip\\_score | 3 | 0.700 |" in card
    assert "| vllm | Qwen/Qwen3-VL-8B-Instruct | abc | 2 | 3 |" in card
    assert "uses no model" not in card
    assert "All years of arxiv are in one archive" in card


def test_equal_facts_give_equal_cards(facts: PartitionFacts) -> None:
    """Whatever order they come in, and on any day."""
    every = [replace(facts, source=source, year=year) for source in ("a", "b") for year in (1999, 2001)]
    shuffled = random.Random(7).sample(every, len(every))

    assert card_of(every) == card_of(shuffled)


def test_text_from_outside_stays_in_its_cell(facts: PartitionFacts) -> None:
    """A licence that holds Markdown or HTML cannot break out of the table."""
    hostile = replace(facts, licences={("a|b\n\n# <img src=x> [l](u)" + "x" * 500, "image"): 1})

    line = next(line for line in card_of([hostile]).splitlines() if line.startswith("| a\\|"))
    assert line.startswith("| a\\|b # \\<img src=x\\> \\[l\\](u)xxx")
    assert len(line) < 200
    assert cell("__") == "\\_\\_"


def test_every_measure_is_a_column_read() -> None:
    """What is summed is read."""
    assert set(MEASURES) < set(FACTS_READ["quality_metrics"]["metrics"])
    for asset, of_asset in FACTS_READ.items():
        for table, columns in of_asset.items():
            assert set(columns) <= set(schema_of(TABLES[asset][table]))


@pytest.mark.parametrize(
    ("n", "name"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (15_500_000, "10M<n<100M"), (10**8, "100M<n<1B")],
)
def test_sizes_have_the_hubs_names(n: int, name: str) -> None:
    """Limits belong to the larger class."""
    assert size_category(n) == name
