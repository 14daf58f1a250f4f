"""Why one figure alone is not kept, in order; then what the duplicates say; together the decisions.

Rules look at one row at a time; duplicates are found among the survivors, in duplicates.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from s1mm_assets.filtering.paper_words import (
    caption_says_nothing,
    caption_tells_a_life,
    file_says_licence,
    file_says_logo,
    folder_says_logo,
)
from s1mm_assets.filtering.settings import FilterSettings
from s1mm_assets.tables import Decision, Rejection, schema_of

RULE_COLUMNS = (
    *("figure_id", "caption", "image_size_bytes", "width_px", "height_px", "sha256"),
    *("graphics_path", "rejection"),
)
"""What the rules read of figure_candidates/figures."""

MEASURE_COLUMNS = (
    *("figure_id", "perceptual_hash", "detail_hash", "ink_share", "table_score"),
    *("logo_score", "badge_score", "code_share", "tone_bits"),
    *("rejection", "evidence"),
)
"""What rules and duplicates read of figure_measures/measures."""

TEXT_COLUMNS = ("figure_id", "lines")
"""What the rules read of figure_texts/texts."""

DECIDED_COLUMNS = (*RULE_COLUMNS, "paper_id", "source_size_bytes", "evidence")
"""What a decision reads of figure_candidates/figures: the rules' columns, and what it hands on."""

SURVIVOR_COLUMNS = ("shard", "figure_id", "sha256", "detail_hash", "caption_hash")


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


def attested(rejection: Rejection, column: str, *, where: pl.Expr) -> Rule:
    """Reject what words say is so (a column of 0 and 1), where the looks of the image allow it."""
    return Rule(rejection, (pl.col(column) > 0) & where, column, 0.0)


def rules(settings: FilterSettings) -> list[Rule]:
    """Return the rules in order: the first that holds is recorded."""
    is_photograph = pl.col("tone_bits") > settings.max_tone_bits
    reads_as_table = pl.col("table_text_score") > settings.max_table_text_score
    is_mute_or_small = _is_mute_or_small(settings)
    looks_like_letters = pl.col("logo_score") > settings.max_named_logo_score
    looks_like_badge = pl.col("badge_score") > settings.max_named_badge_score
    looks_ruled = pl.col("table_score") > settings.max_table_score_with_text
    return [
        below(Rejection.FILE_TOO_SMALL, "image_size_bytes", settings.min_image_size_bytes),
        below(Rejection.DIMENSIONS_TOO_SMALL, "width_px", settings.min_width_px),
        below(Rejection.DIMENSIONS_TOO_SMALL, "height_px", settings.min_height_px),
        above(Rejection.EXTREME_ASPECT, "aspect_ratio", settings.max_aspect_ratio),
        below(Rejection.BLANK, "ink_share", settings.min_ink_share),
        above(Rejection.TABLE_AS_IMAGE, "table_score", settings.max_table_score),
        Rule(
            Rejection.TABLE_AS_IMAGE,
            reads_as_table & looks_ruled,
            "table_text_score",
            settings.max_table_text_score,
        ),
        above(Rejection.MACHINE_CODE, "code_share", settings.max_code_share),
        above(Rejection.LICENCE_BADGE, "badge_score", settings.max_badge_score),
        attested(
            Rejection.LICENCE_BADGE,
            "licence_in_file_name",
            where=~is_photograph & (looks_like_badge | is_mute_or_small),
        ),
        attested(Rejection.LICENCE_BADGE, "licence_in_text", where=~is_photograph),
        attested(Rejection.LOGO, "publisher_in_text", where=~is_photograph),
        Rule(
            Rejection.LOGO,
            (pl.col("logo_score") > settings.max_logo_score) & (caption_says_nothing() | folder_says_logo()),
            "logo_score",
            settings.max_logo_score,
        ),
        attested(
            Rejection.LOGO,
            "logo_in_file_name",
            where=~is_photograph & (looks_like_letters | is_mute_or_small),
        ),
        attested(Rejection.PORTRAIT, "life_in_caption", where=is_photograph & _is_portrait_shaped()),
        below(Rejection.CAPTION_MISSING, "caption_length_chars", 1),
    ]


def _is_mute_or_small(settings: FilterSettings) -> pl.Expr:
    """No caption, or few pixels: what an emblem has and a plot has not."""
    return caption_says_nothing() | (
        pl.max_horizontal("width_px", "height_px") <= settings.max_emblem_side_px
    )


def _is_portrait_shaped() -> pl.Expr:
    """Upright or square, as photographs beside biographies are."""
    return (pl.col("width_px") / pl.col("height_px")).is_between(0.55, 1.1)


def survivors(
    figures: pl.DataFrame,
    measures: pl.DataFrame,
    settings: FilterSettings,
    texts: Iterable[pl.DataFrame] = (),
) -> pl.DataFrame:
    """Return the figures that no rule rejects, with `SURVIVOR_COLUMNS`.

    Args:
        figures: `RULE_COLUMNS`, and `shard`: the name of the shard that each figure is in.
        measures: `MEASURE_COLUMNS` of the same figures.
        settings: The thresholds.
        texts: `TEXT_COLUMNS` of figures whose text was read, none or some of them; one group in memory at a time.
    """
    from s1mm_assets.filtering.duplicates import caption_hashes

    judged = _judge(figures, measures, texts, rules(settings))
    kept = judged.filter(pl.col("rejection").is_null())
    return kept.with_columns(caption_hashes(kept)).select(SURVIVOR_COLUMNS)


def decide(
    figures: pl.DataFrame,
    measures: pl.DataFrame,
    duplicates: pl.DataFrame,
    settings: FilterSettings,
    texts: Iterable[pl.DataFrame] = (),
) -> pl.DataFrame:
    """Return one decision per figure, in the order given; `rejection` is null where it is kept.

    Args:
        figures: `DECIDED_COLUMNS`. What extraction rejected keeps that rejection.
        measures: `MEASURE_COLUMNS` of the same figures.
        duplicates: What `find_duplicates` returned; may name other figures too.
        settings: The thresholds.
        texts: `TEXT_COLUMNS` of figures whose text was read, none or some of them; one group in memory at a time.
            The same as `survivors` was given, or a duplicate may name a figure that is not kept.

    Raises:
        polars.exceptions.ComputeError: A figure is there twice.
        ValueError: A figure was not measured.
    """
    from s1mm_assets.filtering.duplicates import caption_hashes

    judged = _judge(figures, measures, texts, rules(settings))
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
        caption_hash=caption_hashes(joined),
    ).match_to_schema(schema_of(Decision))


def _judge(
    figures: pl.DataFrame, measures: pl.DataFrame, texts: Iterable[pl.DataFrame], ordered: list[Rule]
) -> pl.DataFrame:
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
    rows = _with_words(rows, texts)
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


def _with_words(rows: pl.DataFrame, texts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Add what shape, caption, file name and the text in the image say."""
    from s1mm_assets.filtering.text_look import licence_words, publisher_words, table_score_of_text

    longer, shorter = pl.max_horizontal("width_px", "height_px"), pl.min_horizontal("width_px", "height_px")
    sizes = rows.select("figure_id", "width_px", "height_px").drop_nulls()
    said = [
        (
            figure_id,
            table_score_of_text(lines, width, height),
            float(licence_words(lines)),
            float(publisher_words(lines)),
        )
        for group in texts
        for figure_id, lines, width, height in group.select(TEXT_COLUMNS)
        .drop_nulls()
        .join(sizes, on="figure_id")
        .iter_rows()
    ]
    columns = ("table_text_score", "licence_in_text", "publisher_in_text")
    found = pl.DataFrame(
        said, schema={"figure_id": pl.String, **dict.fromkeys(columns, pl.Float64)}, orient="row"
    )
    return rows.join(found, on="figure_id", how="left", validate="1:1", maintain_order="left").with_columns(
        aspect_ratio=longer / shorter,
        caption_length_chars=pl.col("caption").str.strip_chars().str.len_chars(),
        logo_in_file_name=file_says_logo().cast(pl.Float64),
        licence_in_file_name=file_says_licence().cast(pl.Float64),
        life_in_caption=caption_tells_a_life().cast(pl.Float64),
    )
