"""One partition in numbers."""

from typing import Any

import polars as pl
import pytest

from s1mm_assets.metrics.quality import PAPER, READ, beside_paper, drift, means, numbers, quality
from s1mm_assets.tables import Metric, schema_of


def metrics(**columns: list[Any]) -> pl.DataFrame:
    """Some columns of metrics; the others are null, or nothing."""
    n = len(next(iter(columns.values())))
    filled: dict[str, Any] = {
        **dict.fromkeys(READ, [None] * n),
        "paper_id": [str(i) for i in range(n)],
        "caption_length_chars": [100] * n,
        "recaption_length_chars": [300] * n,
        "n_claims": [0] * n,
        "n_grounded_claims": [0] * n,
        "flags": [[]] * n,
        **columns,
    }
    schema = schema_of(Metric)
    return pl.DataFrame(filled, schema={name: schema[name] for name in READ})


def test_a_partition_without_models() -> None:
    """Lengths, grounding, flags, languages and subjects are there; scores are not."""
    found = quality(
        metrics(
            caption_length_chars=[100, 300],
            recaption_length_chars=[400, 800],
            n_claims=[3, 1],
            n_grounded_claims=[2, 1],
            flags=[["too_short", "cut_off"], []],
            recaption_language=["en", None],
            subject=["Physics", None],
        )
    )

    assert found.caption_length is not None
    assert (found.n, found.caption_length.mean, found.expansion) == (2, 200, 3)
    assert (found.grounding, found.degenerate_share) == (0.75, 0.5)
    assert dict(found.flags) == {"cut_off": 1, "too_short": 1}
    assert dict(found.languages) == {"?": 1, "en": 1}
    assert dict(found.subjects) == {"Physics": 1, "not known": 1}
    assert (found.clip, found.perplexity_shift, found.recaption_auc) == (None, None, None)
    assert not any("clip" in name for name in numbers(found))


def test_scores_are_compared_where_both_are_known() -> None:
    """Uplift, shift, probe, and how many recaptions the standard score sees whole."""
    found = quality(
        metrics(
            caption_clip_score=[0.5, 0.5, None],
            recaption_clip_score=[0.6, 0.7, None],
            caption_whole_clip_score=[0.5, 0.5, None],
            recaption_whole_clip_score=[0.5, 0.5, None],
            caption_shuffled_clip_score=[0.4, 0.6, None],
            recaption_shuffled_clip_score=[0.1, 0.2, None],
            recaption_clip_tokens=[77, 150, None],
            caption_pseudo_perplexity=[100.0, None, 10.0],
            recaption_pseudo_perplexity=[10.0, 5.0, 1.0],
        )
    )

    assert found.clip is not None
    assert found.clip.mean.value == pytest.approx(0.3)
    assert found.whole_clip is not None
    assert found.whole_clip.mean.value == pytest.approx(0)
    assert found.recaption_auc is not None
    assert found.recaption_auc.value == 1
    assert found.caption_auc is not None
    assert found.caption_auc.value == 0.5
    assert found.share_seen_whole == 0.5
    assert found.perplexity_shift is not None
    assert found.n_perplexity == 2
    assert found.perplexity_shift.value == pytest.approx(-1)
    plotted = numbers(found)
    assert plotted["clip_score/n"] == 2
    assert plotted["clip_score/uplift"] == pytest.approx(0.3)
    assert plotted["recaption_clip_score/mean"] == pytest.approx(0.65)
    assert all(isinstance(value, float | int) for value in plotted.values())


def test_what_was_read_in_images() -> None:
    """Of the claims of figures whose text was read, those that only the image holds."""
    found = quality(metrics(n_claims=[4, 6, 9], n_grounded_claims=[4, 6, 9], n_claims_in_image=[1, 2, None]))

    assert found.share_of_claims_in_image == pytest.approx(0.3)


def test_an_empty_partition() -> None:
    """Nothing is divided by nothing."""
    found = quality(metrics(n_claims=[]))

    assert numbers(found) == {"measured": 0, "pseudo_perplexity/n": 0}
    assert [found.expansion, found.degenerate_share] == [None, None]


def test_beside_the_paper() -> None:
    """By the names of the paper's numbers; without what was not evaluated."""
    beside = beside_paper(quality(metrics(n_claims=[0, 0])))

    ours = {name: value for name, (value, _) in beside.items()}
    assert ours["expansion"] == 3
    assert ours["caption_length_chars"] == 100
    assert all(papers == PAPER[name] for name, (_, papers) in beside.items())
    assert "clip_uplift" not in ours


def test_drift_is_a_share_of_the_other() -> None:
    """Of what both have."""
    assert drift({"a": 3.0, "b": 1.0, "c": 1.0}, {"a": 2.0, "b": 0.0}) == {"a": 0.5}
    assert set(means(metrics(n_claims=[0]))) == {"caption_length_chars", "recaption_length_chars"}
