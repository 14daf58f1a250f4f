"""What must be true of papers and figures before they are filtered."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from s1mm_assets.checks.conservation import conserved, guard, materialized, none_of
from s1mm_assets.resources.shard_store import ShardStore

ASSET = "figure_candidates"


@dg.multi_asset_check(
    specs=[
        guard(ASSET, "every_archive_has_one_paper", "No archive is lost between delivery and reading."),
        guard(ASSET, "every_paper_gave_figures_or_a_reason", "A paper without figures says why."),
        guard(ASSET, "figure_ids_are_unique", "Later tables join on figure_id."),
        guard(ASSET, "every_figure_has_an_image_or_a_reason", "A figure without an image says why."),
    ]
)
def figure_candidates_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore
) -> Iterator[dg.AssetCheckResult]:
    """What came in as archives went out as papers, and every figure is accounted for."""
    archives = store.read(materialized(store, "raw_archives", context), "archives", ["paper_id"])
    candidates = materialized(store, ASSET, context)
    papers = store.read(candidates, "papers", ["paper_id", "n_rows", "rejection"])
    figures = store.read(candidates, "figures", ["figure_id", "paper_id", "sha256", "rejection"])

    yield conserved("every_archive_has_one_paper", archives["paper_id"], papers["paper_id"])
    yield papers_gave_figures_or_a_reason(papers, figures)
    yield none_of(
        "figure_ids_are_unique", figures.filter(pl.col("figure_id").is_duplicated()), n=len(figures)
    )
    has_image, has_reason = pl.col("sha256").is_not_null(), pl.col("rejection").is_not_null()
    wrong = figures.filter(has_image == has_reason)
    yield none_of("every_figure_has_an_image_or_a_reason", wrong, n=len(figures))


def papers_gave_figures_or_a_reason(papers: pl.DataFrame, figures: pl.DataFrame) -> dg.AssetCheckResult:
    """Each paper has as many figure rows as it says, and a rejection where it has none."""
    counted = figures.group_by("paper_id").len("n_found")
    joined = papers.join(counted, on="paper_id", how="full", coalesce=True)
    is_counted = pl.col("n_rows") == pl.col("n_found").fill_null(0)
    is_explained = (pl.col("n_rows") > 0) | pl.col("rejection").is_not_null()
    wrong = joined.filter(~(is_counted & is_explained).fill_null(value=False))
    return none_of("every_paper_gave_figures_or_a_reason", wrong, n=len(papers))
