"""What must be true of papers and figures before they are filtered."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from s1mm_assets.checks.guards import Guard, materialized, reported, specs
from s1mm_assets.checks.results import conserved, none_of
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.steps import IF_KILLED, STEPS

ASSET = "figure_candidates"
DEFECT = (
    "Materialize figure_candidates for PARTITION again. If it fails again, the stage has a defect: try "
    "`s1mm extract FILE` on the files of the papers that are shown (`s1mm fetch` gets one of arXiv), and report them."
)
GUARDS = {
    "every_archive_has_one_paper": Guard(
        says="Each archive that was delivered has one row among the papers that were read, be it without a figure. "
        "So no paper is lost between delivery and reading.",
        what_to_do="Materialize figure_candidates for PARTITION again: raw_archives may have been made anew since. "
        "If it fails again, the stage has a defect: report the papers that are shown.",
    ),
    "every_paper_gave_figures_or_a_reason": Guard(
        says="Each paper has as many rows of figures as it says, and one that has none says why. A silent paper "
        "would look like one without figures.",
        what_to_do=DEFECT,
    ),
    "figure_ids_are_unique": Guard(
        says="No two figures have the same `figure_id`. Every later table joins on it: an id that is there twice would "
        "give figures the captions of others.",
        what_to_do=DEFECT,
    ),
    "every_figure_has_an_image_or_a_reason": Guard(
        says="A figure has its image, or the reason for which it has none, and never both. Filters and release rely "
        "on it.",
        what_to_do=DEFECT,
    ),
}


@dg.multi_asset_check(specs=specs(ASSET, GUARDS), op_tags=STEPS.share_tags("checks"), retry_policy=IF_KILLED)
def figure_candidates_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore, settings: Settings
) -> Iterator[dg.AssetCheckResult]:
    """What came in as archives went out as papers, and every figure is accounted for."""
    key = context.partition_key
    yield from reported(GUARDS, results(store, key), settings=settings, partition=key)


def results(store: ShardStore, partition: str) -> Iterator[dg.AssetCheckResult]:
    """Yield what each check finds."""
    archives = store.read(materialized(store, "raw_archives", partition), "archives", ["paper_id"])
    candidates = materialized(store, ASSET, partition)
    papers = store.read(candidates, "papers", ["paper_id", "n_rows", "rejection"])
    figures = store.read(candidates, "figures", ["figure_id", "paper_id", "sha256", "rejection"])

    yield conserved("every_archive_has_one_paper", archives["paper_id"], papers["paper_id"])
    yield papers_gave_figures_or_a_reason(papers, figures)
    repeated = figures.filter(pl.col("figure_id").is_duplicated()).sort("figure_id")
    yield none_of("figure_ids_are_unique", repeated, {"n": len(figures)})
    has_image, has_reason = pl.col("sha256").is_not_null(), pl.col("rejection").is_not_null()
    wrong = figures.filter(has_image == has_reason)
    yield none_of("every_figure_has_an_image_or_a_reason", wrong, {"n": len(figures)})


def papers_gave_figures_or_a_reason(papers: pl.DataFrame, figures: pl.DataFrame) -> dg.AssetCheckResult:
    """Each paper has as many figure rows as it says, and a rejection where it has none."""
    counted = figures.group_by("paper_id").len("n_found")
    joined = papers.join(counted, on="paper_id", how="full", coalesce=True)
    is_counted = pl.col("n_rows") == pl.col("n_found").fill_null(0)
    is_explained = (pl.col("n_rows") > 0) | pl.col("rejection").is_not_null()
    wrong = joined.filter(~(is_counted & is_explained).fill_null(value=False)).sort("paper_id")
    return none_of("every_paper_gave_figures_or_a_reason", wrong, {"n": len(papers)})
