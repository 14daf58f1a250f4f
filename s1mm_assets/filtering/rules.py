"""Why one figure alone is not kept, in order; then what the duplicates say; together the decisions.

Rules look at one row at a time; duplicates are found among the survivors, in duplicates.py.
"""

from dataclasses import dataclass

import polars as pl

from s1mm_assets.filtering.settings import FilterSettings
from s1mm_assets.tables import Decision, Rejection, schema_of

RULE_COLUMNS = (
    *("figure_id", "caption", "image_size_bytes", "width_px", "height_px", "sha256"),
    "rejection",
)
"""What the rules read of figure_candidates/figures."""

MEASURE_COLUMNS = (
    *("figure_id", "perceptual_hash", "detail_hash", "ink_share", "table_score"),
    *("rejection", "evidence"),
)
"""What rules and duplicates read of figure_measures/measures."""

DECIDED_COLUMNS = (*RULE_COLUMNS, "paper_id", "source_size_bytes", "evidence")
"""What a decision reads of figure_candidates/figures: the rules' columns, and what it hands on."""

SURVIVOR_COLUMNS = ("shard", "figure_id", "sha256", "detail_hash")


@dataclass(frozen=True, slots=True)
class Rule:
    """Read it as "reject, for this reason, where this holds"; column and threshold are the evidence."""

    rejection: Rejection
    holds: pl.Expr
    measured: str
    threshold: float


def below(rejection: Rejection, column: str, threshold: float) -> Rule:
    """Reject what is smaller than the threshold."""
    return Rule(rejection, pl.col(column) < threshold, column, threshold)


def above(rejection: Rejection, column: str, threshold: float) -> Rule:
    """Reject what is larger than the threshold."""
    return Rule(rejection, pl.col(column) > threshold, column, threshold)


def rules(settings: FilterSettings) -> list[Rule]:
    """Return the rules in order: the first that holds is recorded."""
    return [
        below(Rejection.FILE_TOO_SMALL, "image_size_bytes", settings.min_image_size_bytes),
        below(Rejection.DIMENSIONS_TOO_SMALL, "width_px", settings.min_width_px),
        below(Rejection.DIMENSIONS_TOO_SMALL, "height_px", settings.min_height_px),
        above(Rejection.EXTREME_ASPECT, "aspect_ratio", settings.max_aspect_ratio),
        below(Rejection.BLANK, "ink_share", settings.min_ink_share),
        above(Rejection.TABLE_AS_IMAGE, "table_score", settings.max_table_score),
        below(Rejection.CAPTION_MISSING, "caption_length_chars", 1),
    ]


def survivors(figures: pl.DataFrame, measures: pl.DataFrame, settings: FilterSettings) -> pl.DataFrame:
    """Return the figures that no rule rejects, with `SURVIVOR_COLUMNS`.

    Args:
        figures: `RULE_COLUMNS`, and `shard`: the name of the shard that each figure is in.
        measures: `MEASURE_COLUMNS` of the same figures.
        settings: The thresholds.
    """
    judged = _judge(figures, measures, rules(settings))
    return judged.filter(pl.col("rejection").is_null()).select(SURVIVOR_COLUMNS)


def decide(
    figures: pl.DataFrame, measures: pl.DataFrame, duplicates: pl.DataFrame, settings: FilterSettings
) -> pl.DataFrame:
    """Return one decision per figure, in the order given; `rejection` is null where it is kept.

    Args:
        figures: `DECIDED_COLUMNS`. What extraction rejected keeps that rejection.
        measures: `MEASURE_COLUMNS` of the same figures.
        duplicates: What `find_duplicates` returned; may name other figures too.
        settings: The thresholds.

    Raises:
        polars.exceptions.ComputeError: A figure is there twice.
        ValueError: A figure was not measured.
    """
    judged = _judge(figures, measures, rules(settings))
    found = duplicates.select(
        "figure_id",
        "duplicate_of",
        rejection_found="rejection",
        measured_found=pl.when(pl.col("rejection") == Rejection.NEAR_DUPLICATE)
        .then(pl.lit("detail_hash"))
        .otherwise(pl.lit("sha256")),
        distance=pl.col("distance").cast(pl.Float64),
    )
    joined = judged.join(found, on="figure_id", how="left", validate="1:1", maintain_order="left")
    is_duplicate = pl.col("rejection").is_null() & pl.col("rejection_found").is_not_null()
    near = is_duplicate & (pl.col("rejection_found") == Rejection.NEAR_DUPLICATE)
    bits = pl.lit(settings.near_duplicate_bits, pl.Float64)
    return joined.select(
        *("figure_id", "paper_id", "evidence", "sha256", "perceptual_hash", "detail_hash"),
        *("image_size_bytes", "source_size_bytes"),
        rejection=pl.coalesce("rejection", "rejection_found"),
        measured=pl.when(is_duplicate).then("measured_found").otherwise("measured"),
        measured_value=pl.when(is_duplicate).then("distance").otherwise("measured_value"),
        threshold=pl.when(near).then(bits).when(~is_duplicate).then("threshold"),
        duplicate_of=pl.when(is_duplicate).then("duplicate_of"),
    ).match_to_schema(schema_of(Decision))


def _judge(figures: pl.DataFrame, measures: pl.DataFrame, ordered: list[Rule]) -> pl.DataFrame:
    """Add to each figure its measures and what the first rule that holds says of it."""
    seen = measures.select(
        pl.exclude("rejection", "evidence"),
        rejection_seen="rejection",
        evidence_seen="evidence",
        is_seen=pl.lit(value=True),
    )
    rows = figures.join(seen, on="figure_id", how="left", validate="1:1", maintain_order="left")
    unseen = rows.filter(pl.col("is_seen").is_null())
    if not unseen.is_empty():
        raise ValueError(f"{unseen['figure_id'][0]} and {len(unseen) - 1} other figures were not measured")
    longer, shorter = pl.max_horizontal("width_px", "height_px"), pl.min_horizontal("width_px", "height_px")
    rows = rows.with_columns(
        aspect_ratio=longer / shorter,
        caption_length_chars=pl.col("caption").str.strip_chars().str.len_chars(),
    )
    was_rejected = pl.coalesce("rejection", "rejection_seen").is_not_null()

    def first(*values: pl.Expr) -> pl.Expr:
        matches = [pl.when(rule.holds).then(value) for rule, value in zip(ordered, values, strict=True)]
        return pl.when(~was_rejected).then(pl.coalesce(matches))

    columns = rows.with_columns(
        rule_rejection=first(*(pl.lit(rule.rejection.value) for rule in ordered)),
        measured=first(*(pl.lit(rule.measured) for rule in ordered)),
        measured_value=first(*(pl.col(rule.measured).cast(pl.Float64) for rule in ordered)),
        threshold=first(*(pl.lit(rule.threshold, pl.Float64) for rule in ordered)),
    )
    evidence = ["evidence", "evidence_seen"] if "evidence" in figures.columns else ["evidence_seen"]
    return columns.with_columns(
        rejection=pl.coalesce("rejection", "rejection_seen", "rule_rejection"), evidence=pl.coalesce(evidence)
    )
