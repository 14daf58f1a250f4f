"""The stages of the costly scores: which figures they take, in which batches, and what their rows say."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from s1mm_assets.metrics import MetricSettings, score_stages
from s1mm_assets.metrics import scores as module
from s1mm_assets.metrics.clip_score import Embeddings, Missing
from s1mm_assets.metrics.pseudo_perplexity import MaskedBatch
from s1mm_assets.sampling import is_sampled
from s1mm_assets.stages import Stage
from s1mm_assets.tables import FigureCandidate, Recaption, frame_of
from s1mm_assets_tests.fakes import MemoryShard
from s1mm_assets_tests.metrics.test_stage import recaption
from s1mm_assets_tests.strategies import figure

BOTH = MetricSettings(pseudo_perplexity=True, clip_score=True)
N = 40


class Letters:
    """A masked language model to whose mind every token has one chance in four, of any text of letters."""

    component, window, prefix, suffix, mask_id, pad_id, batch_tokens = "letters", 32, (1,), (2,), 3, 0, 256

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [[ord(char) for char in text if char.isalpha()] for text in texts]

    def log_probabilities(self, batches: Iterable[MaskedBatch]) -> Iterator[NDArray[np.float32]]:
        for batch in batches:
            yield np.full(len(batch.targets), np.log(0.25), dtype=np.float32)


class Halves:
    """An encoder to whose mind an image is as its bytes say, and a text as its first letter."""

    component, window_tokens, added_tokens = "halves", 75, 2

    def tokens(self, text: str) -> list[int]:
        return [ord(char) for char in text]

    def texts(self, windows: Sequence[Sequence[int]]) -> Embeddings:
        return np.array([direction(window[0]) for window in windows], dtype=np.float32)

    def images(self, images: Sequence[bytes | None]) -> Callable[[], list[Embeddings | Missing]]:
        return lambda: [
            np.array(direction(image[0]), dtype=np.float32) if image else Missing.IMAGE_UNREADABLE
            for image in images
        ]


def direction(letter: int) -> tuple[float, float]:
    """East for capitals, north for others."""
    return (1.0, 0.0) if chr(letter).isupper() else (0.0, 1.0)


def stages(settings: MetricSettings = BOTH) -> list[Stage]:
    return score_stages(
        settings,
        masked_model=lambda *_: Letters(),
        clip_component=lambda *_: Halves.component,
        clip_encoder=lambda *_: Halves(),
    )


def scored(stage: Stage, captions: Sequence[str] = ("Abc",) * N) -> MemoryShard:
    """A shard with figures of which every fourth has no recaption, and the second no image."""
    ids = [f"arxiv:{i % 5}#{i + 1}.1" for i in range(len(captions))]
    figures = [
        figure(each, caption=caption, image=None if i == 1 else b"Image")
        for i, (each, caption) in enumerate(zip(ids, captions, strict=True))
    ]
    recaptions = [
        recaption(each, None if i % 4 == 3 else "north" if i % 2 else "East") for i, each in enumerate(ids)
    ]
    shard = MemoryShard(
        stage,
        {
            ("figure_candidates", "figures"): frame_of(FigureCandidate, figures),
            ("recaptions", "recaptions"): frame_of(Recaption, recaptions),
        },
    )
    stage.make(shard, shard)
    return shard


def test_only_what_is_asked_for_is_measured() -> None:
    """And a model that is not asked for is not sought."""
    assert stages(MetricSettings()) == []
    assert [stage.asset for stage in stages()] == ["pseudo_perplexities", "clip_scores"]
    assert [stage.asset for stage in stages(MetricSettings(clip_score=True))] == ["clip_scores"]


def test_a_model_is_loaded_where_a_shard_is_made() -> None:
    """Not to find out that there is nothing to do."""
    loads: list[int] = []

    def load(*_: str) -> Halves:
        loads.append(1)
        return Halves()

    [stage] = score_stages(
        MetricSettings(clip_score=True),
        masked_model=lambda *_: Letters(),
        clip_component=lambda *_: "halves",
        clip_encoder=load,
    )
    assert (stage.environment, loads) == ({"clip_scores": "halves"}, [])
    scored(stage)
    assert loads == [1]


def test_the_seed_shapes_a_sample_and_nothing_else() -> None:
    """Of all figures another seed gives the same pseudo-perplexities; a whole share may be written as 1."""

    def settings(**values: float) -> dict[str, object]:
        return dict(stages(MetricSettings(pseudo_perplexity=True, **values))[0].settings)  # type: ignore[arg-type]

    assert settings(seed=1) == settings(seed=0)
    assert settings(seed=1, pseudo_perplexity_share=0.5) != settings(pseudo_perplexity_share=0.5)


def test_each_recaptioned_figure_has_its_pseudo_perplexities() -> None:
    """A certainty of a quarter is a perplexity of four; an empty caption has none, and says why."""
    shard = scored(stages()[0], ["Abc", "", "Abc", "Abc", "Abc"])
    rows = {row["figure_id"]: row for row in shard.tables["scores"].rows(named=True)}

    assert len(rows) == 4
    assert rows["arxiv:0#1.1"]["caption_pseudo_perplexity"] == pytest.approx(4)
    assert rows["arxiv:1#2.1"]["recaption_pseudo_perplexity"] == pytest.approx(4)
    assert rows["arxiv:1#2.1"]["caption_pseudo_perplexity"] is None
    assert rows["arxiv:1#2.1"]["missing_scores"] == [
        {"score": "caption_pseudo_perplexity", "reason": "empty"}
    ]
    assert shard.components == {"pseudo_perplexities"}


def test_each_recaptioned_figure_has_its_clip_scores() -> None:
    """2.5 where the text points as the image does, 0 where it stands upright on it."""
    shard = scored(stages()[1])
    scores = shard.tables["scores"]

    assert len(scores) == N * 3 // 4
    assert scores["caption_clip_score"].drop_nulls().unique().to_list() == [2.5]
    assert sorted(scores["recaption_clip_score"].drop_nulls().unique()) == [0, 2.5]
    assert scores["recaption_clip_tokens"][0] == 4 + 2
    assert shard.components == {"clip_scores"}
    [blind] = scores.filter(figure_id="arxiv:1#2.1").rows(named=True)
    assert blind["caption_clip_score"] is None
    assert {"score": "caption_clip_score", "reason": "image_unreadable"} in blind["missing_scores"]


def test_batches_do_not_change_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only which texts are shuffled; a batch is cut by figures, and by bytes."""
    columns = ["figure_id", "caption_clip_score", "recaption_clip_score", "recaption_whole_clip_score"]
    whole = scored(stages()[1]).tables["scores"].select(columns)

    for name, value in (("BATCH_FIGURES", 3), ("BATCH_BYTES", 7)):
        monkeypatch.setattr(module, name, value)
        assert scored(stages()[1]).tables["scores"].select(columns).equals(whole)


@pytest.mark.parametrize("which", [0, 1])
def test_a_sample_is_measured(which: int) -> None:
    """That of the seed and the share, whatever else is in the shard."""
    settings = MetricSettings(
        pseudo_perplexity=True, clip_score=True, pseudo_perplexity_share=0.5, clip_score_share=0.5, seed=4
    )
    found = scored(stages(settings)[which]).tables["scores"]["figure_id"]
    everything = scored(stages()[which]).tables["scores"]["figure_id"]

    assert 0 < len(found) < len(everything)
    assert found.to_list() == everything.filter(is_sampled(everything, share=0.5, seed=4)).to_list()


def test_nothing_to_score() -> None:
    """An empty table, and no model was used."""
    for stage in stages():
        shard = scored(stage, [])
        assert shard.tables["scores"].is_empty()
        assert not shard.components


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_is_none_is_refused(seed: int) -> None:
    """Before a model has run for hours."""
    with pytest.raises(ValueError, match="seed must be a whole number"):
        MetricSettings(seed=seed)


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_shares_are_shares(share: float) -> None:
    """A measure is turned off by its name, not by an empty sample."""
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        MetricSettings(clip_score_share=share)


def test_the_columns_are_those_of_the_metrics() -> None:
    """Or the join would lose them."""
    for stage in stages():
        names = scored(stage).tables["scores"].columns
        metrics = pl.Series(module_columns())
        assert pl.Series(names).is_in(metrics.implode()).all()


def module_columns() -> list[str]:
    """The columns of quality_metrics/metrics."""
    from s1mm_assets.tables import Metric, columns_of

    return columns_of(Metric)
