"""The two costly stages behind quality_metrics: pseudo-perplexity, and CLIP score, of a sample of the figures.

They are apart from it and from each other, so that a change of one measure asks no model for another again.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl

from s1mm_assets.metrics.clip_score import ClipScores, ImageTextEncoder, Pair, clip_scores
from s1mm_assets.metrics.pseudo_perplexity import MaskedModel, PseudoPerplexity, pseudo_perplexities
from s1mm_assets.metrics.settings import MetricSettings
from s1mm_assets.sampling import is_sampled, sample
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import PairScore, TextScore, frame_of

PERPLEXITY_VERSION = CLIP_VERSION = "1"
DIGITS = (
    5  # significant ones that are kept: what another machine's sums change lies beyond nearly all of them
)
BATCH_FIGURES = 128  # several papers: within a batch texts are dealt to other papers' images
BATCH_BYTES = 64 * 2**20
PERPLEXITIES, CLIP_SCORES = "pseudo_perplexities", "clip_scores"  # assets; their models go by the same names
FIGURES, RECAPTIONS = "figure_candidates", "recaptions"


def score_stages(
    settings: MetricSettings,
    *,
    masked_model: Callable[[str, str | None], MaskedModel],
    clip_component: Callable[[str, str, str], str],
    clip_encoder: Callable[[str, str, str], ImageTextEncoder],
) -> list[Stage]:
    """Return the stages that the settings ask for.

    Args:
        settings: What is measured, and by which models.
        masked_model: Gives a masked language model by name and revision.
        clip_component: Says which CLIP model, and with what, that name, weights and revision name.
        clip_encoder: Loads it.
    """
    stages = []
    if settings.pseudo_perplexity:
        revision = settings.masked_language_model_revision or None
        stages.append(perplexity_stage(masked_model(settings.masked_language_model, revision), settings))
    if settings.clip_score:
        named = (settings.clip_model, settings.clip_weights, settings.clip_revision)
        stages.append(clip_stage(lambda: clip_encoder(*named), settings, component=clip_component(*named)))
    return stages


def perplexity_stage(model: MaskedModel, settings: MetricSettings) -> Stage:
    """Return the stage that scores captions and recaptions with a masked language model."""

    def make(shard: ShardReader, writer: ShardWriter) -> None:
        pairs = [
            pair for batch in _pairs(shard, settings.pseudo_perplexity_share, settings.seed) for pair in batch
        ]
        texts = [pair.caption for pair in pairs] + [pair.recaption for pair in pairs]
        found = pseudo_perplexities(texts, model)
        rows = [
            text_score(pair.figure_id, caption, recaption)
            for pair, caption, recaption in zip(pairs, found[: len(pairs)], found[len(pairs) :], strict=True)
        ]
        writer.write("scores", frame_of(TextScore, rows))
        if rows:
            writer.used(PERPLEXITIES)

    return Stage(
        asset=PERPLEXITIES,
        version=PERPLEXITY_VERSION,
        tables={"scores": TextScore},
        make=make,
        reads=_reads(),
        settings=sample(settings.pseudo_perplexity_share, settings.seed),
        environment={PERPLEXITIES: model.component},
    )


def clip_stage(load: Callable[[], ImageTextEncoder], settings: MetricSettings, *, component: str) -> Stage:
    """Return the stage that scores captions and recaptions against their images.

    Args:
        load: Gives the model; called where a shard has to be made.
        settings: What is measured.
        component: What the model says of itself, known before it is loaded.
    """

    def make(shard: ShardReader, writer: ShardWriter) -> None:
        batches = _pairs(shard, settings.clip_score_share, settings.seed)
        for scores in clip_scores(batches, load(), seed=settings.seed):
            writer.write("scores", frame_of(PairScore, [pair_score(each) for each in scores]))
            writer.used(CLIP_SCORES)

    return Stage(
        asset=CLIP_SCORES,
        version=CLIP_VERSION,
        tables={"scores": PairScore},
        make=make,
        reads=_reads("image"),
        settings={"share": settings.clip_score_share, "seed": settings.seed},
        environment={CLIP_SCORES: component},
    )


def _reads(*columns: str) -> dict[str, dict[str, tuple[str, ...]]]:
    return {
        FIGURES: {"figures": ("figure_id", "paper_id", "caption", *columns)},
        RECAPTIONS: {"recaptions": ("figure_id", "recaption", "rejection")},
    }


def _pairs(shard: ShardReader, share: float, seed: int) -> Iterator[list[Pair]]:
    """Yield the sampled figures that have a recaption, in batches of bounded size."""
    recaptions = shard.read(RECAPTIONS, "recaptions").filter(pl.col("rejection").is_null())
    sampled = recaptions.filter(is_sampled(recaptions["figure_id"], share=share, seed=seed))
    texts = dict(sampled.select("figure_id", "recaption").iter_rows())
    batch: list[Pair] = []
    n_bytes = 0
    for figures in shard.scan(FIGURES, "figures"):
        for row in figures.filter(pl.col("figure_id").is_in(list(texts))).iter_rows(named=True):
            image = row.get("image")
            if batch and (len(batch) == BATCH_FIGURES or n_bytes + len(image or b"") > BATCH_BYTES):
                yield batch
                batch, n_bytes = [], 0
            recaption = texts[row["figure_id"]]
            batch.append(Pair(row["figure_id"], row["paper_id"], image, row["caption"], recaption))
            n_bytes += len(image or b"")
    if batch:
        yield batch


def text_score(figure_id: str, caption: PseudoPerplexity, recaption: PseudoPerplexity) -> TextScore:
    """Return the row of one figure's pseudo-perplexities."""
    named = {"caption_pseudo_perplexity": caption, "recaption_pseudo_perplexity": recaption}
    return TextScore(
        figure_id=figure_id,
        caption_pseudo_perplexity=rounded(caption.value),
        recaption_pseudo_perplexity=rounded(recaption.value),
        missing_scores=missing({name: each.reason for name, each in named.items() if each.reason}),
    )


def pair_score(scores: ClipScores) -> PairScore:
    """Return the row of one figure's CLIP scores."""
    columns = {
        column: (text, name)
        for prefix, text in (("caption", scores.caption), ("recaption", scores.recaption))
        for name, column in _columns_of(prefix).items()
    }
    values: dict[str, Any] = {
        column: rounded(getattr(text, name)) for column, (text, name) in columns.items()
    }
    reasons = {column: text.missing[name] for column, (text, name) in columns.items() if name in text.missing}
    return PairScore(
        figure_id=scores.figure_id,
        **values,
        caption_clip_tokens=scores.caption.n_tokens,
        recaption_clip_tokens=scores.recaption.n_tokens,
        missing_scores=missing(reasons),
    )


def _columns_of(prefix: str) -> dict[str, str]:
    """Field of `TextScores` → column."""
    return {
        "standard": f"{prefix}_clip_score",
        "whole": f"{prefix}_whole_clip_score",
        "shuffled": f"{prefix}_shuffled_clip_score",
    }


def rounded(value: float | None) -> float | None:
    """Return a score to `DIGITS` significant digits."""
    return None if value is None else float(f"{value:.{DIGITS}g}")


def missing(reasons: Mapping[str, str]) -> list[dict[str, str]]:
    """Return why scores are missing, as tables hold it."""
    return [{"score": score, "reason": str(reason)} for score, reason in reasons.items()]
