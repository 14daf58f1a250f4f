"""What the Dagster UI shows of a partition: numbers that it plots over years, pictures, the gallery."""

import base64
from collections.abc import Mapping, Sequence

import dagster as dg
import polars as pl

from s1mm_assets.metrics import READ, numbers, quality
from s1mm_assets.release import FACTS_READ, count_rejections
from s1mm_assets.resources.galleries import write_gallery
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet

TURN_ON = {
    "clip_score": "not evaluated: set clip_score = true under [metrics] in the settings",
    "pseudo_perplexity": "not evaluated: set pseudo_perplexity = true under [metrics] in the settings",
    "text_in_image": "not evaluated: set sample_share under [texts] in the settings",
}
"""What turns on a measure that was not taken."""


DRAWN = (
    *("caption_length_chars", "recaption_length_chars"),
    *("caption_pseudo_perplexity", "recaption_pseudo_perplexity"),
    *("caption_clip_score", "recaption_clip_score", "recaption_shuffled_clip_score"),
)
"""The columns of `metrics` that pictures are drawn from."""
SHOWN_DIGITS = 6  # after the point
DOORS = {"figures": "extraction", "decisions": "filters", "recaptions": "recaptions", "records": "release"}
"""Table → the door at which its rows were turned away, in the order in which figures pass them."""


def written(
    store: ShardStore, handles: Sequence[ShardSet], settings: Settings
) -> dict[str, dg.MetadataValue | float | str]:
    """Write the gallery of a partition, and return the metadata of quality_metrics.

    Args:
        store: Where the tables are, and where the gallery goes.
        handles: Of figure_candidates, filtered_figures, recaptions and quality_metrics.
        settings: What was measured, and which figures the gallery shows.
    """
    by_asset = {each.asset: each for each in handles}
    metrics = store.read(by_asset["quality_metrics"], "metrics", READ)
    gallery = write_gallery(store, by_asset, seed=settings.checks.gallery_seed)
    link = dg.MetadataValue.path(gallery) if store.is_local else dg.MetadataValue.text(gallery)
    shown = {
        name: round(value, SHOWN_DIGITS) if isinstance(value, float) else value
        for name, value in numbers(quality(metrics)).items()
    }
    return {**shown, **unevaluated(settings), **pictures(metrics), "gallery": link}


def unevaluated(settings: Settings) -> dict[str, str]:
    """Return, for each measure that is turned off, the setting that turns it on."""
    is_on = {
        "clip_score": settings.metrics.clip_score,
        "pseudo_perplexity": settings.metrics.pseudo_perplexity,
        "text_in_image": settings.texts.sample_share > 0,
    }
    return {name: TURN_ON[name] for name, on in is_on.items() if not on}


def pictures(metrics: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    """Return the same as metadata."""
    subjects = dict(metrics["subject"].value_counts().iter_rows())
    return {f"picture/{name}": as_markdown(name, png) for name, png in drawn(metrics, subjects).items()}


def drawn(metrics: pl.DataFrame, subjects: Mapping[str | None, int]) -> dict[str, bytes]:
    """Return the paper's Figures 1, 2, 5 and 6 as PNG; without those that were not evaluated.

    Args:
        metrics: `DRAWN` of the figures that are shown.
        subjects: Subject → figures; None, where it is not known.
    """
    from s1mm_assets.metrics import charts  # matplotlib takes half a second to load

    made = {
        "lengths": charts.length_histograms(
            metrics["caption_length_chars"], metrics["recaption_length_chars"]
        ),
        "subjects": charts.subject_bars(subjects),
    }
    if metrics["recaption_pseudo_perplexity"].null_count() < len(metrics):
        made["pseudo_perplexity"] = charts.perplexity_cdfs(
            metrics["caption_pseudo_perplexity"], metrics["recaption_pseudo_perplexity"]
        )
    if metrics["recaption_clip_score"].null_count() < len(metrics):
        made["clip_scores"] = charts.clip_histograms(
            metrics["caption_clip_score"],
            metrics["recaption_clip_score"],
            metrics["recaption_shuffled_clip_score"],
        )
    return made


def waterfall(store: ShardStore, handles: Sequence[ShardSet]) -> dict[str, dg.MetadataValue]:
    """Return the picture of what became of a partition's figures, from door to door.

    Args:
        store: Where the tables are.
        handles: Of every asset from raw_archives to hf_release.
    """
    from s1mm_assets.metrics import charts

    by_asset = {each.asset: each for each in handles}

    def read(asset: str, table: str) -> pl.DataFrame:
        return store.read(by_asset[asset], table, FACTS_READ[asset][table])

    n_found = by_asset["figure_candidates"].n_rows("figures")
    png = charts.rejection_waterfall(n_found, steps(count_rejections(read)))
    return {"picture/rejections": as_markdown("rejections", png)}


def steps(counts: Mapping[tuple[str, str], int]) -> list[tuple[str, str, int]]:
    """Return door, reason and number of figures of each rejection, in the order of the doors."""
    return [
        (door, reason, n)
        for table, door in DOORS.items()
        for (of, reason), n in counts.items()
        if of == table
    ]


def as_markdown(name: str, png: bytes) -> dg.MetadataValue:
    """Return a picture as the UI shows it."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})")
