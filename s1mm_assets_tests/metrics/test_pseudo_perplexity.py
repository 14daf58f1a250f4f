"""Pseudo-perplexity: by hand, against the definition written out, and how the work is packed."""

import math
import tracemalloc
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from s1mm_assets.metrics.pseudo_perplexity import (
    MAX_CHARS_PER_TOKEN,
    MAX_PADDING,
    MIN_ROW_COST,
    WINDOW,
    MaskedBatch,
    NoScore,
    PseudoPerplexity,
    masked_batches,
    pseudo_perplexities,
    token_log_probabilities,
    window_starts,
)

CLS, SEP, MASK, PAD = 101, 102, 103, 104


@dataclass
class FakeModel:
    """A `MaskedModel` by arithmetic: a token is a letter; what it costs depends on its neighbours in the row."""

    window: int = 12
    batch_tokens: int = 64
    prefix: tuple[int, ...] = (CLS,)
    suffix: tuple[int, ...] = (SEP,)
    mask_id: int = MASK
    pad_id: int = PAD
    component: str = "fake"
    batches: list[MaskedBatch] = field(default_factory=list)
    tokenized: list[str] = field(default_factory=list)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        self.tokenized += texts
        return [[ord(letter) - ord("a") for letter in text if letter.isalpha()] for text in texts]

    def log_probabilities(self, batches: Iterable[MaskedBatch]) -> Iterator[NDArray[np.float32]]:
        """Two batches ahead, as a real one."""
        under_way: deque[MaskedBatch] = deque()
        for batch in batches:
            under_way.append(batch)
            if len(under_way) > 2:
                yield self.scored(under_way.popleft())
        yield from map(self.scored, under_way)

    def scored(self, batch: MaskedBatch) -> NDArray[np.float32]:
        self.batches.append(batch)
        rows = zip(batch.ids, batch.lengths, batch.positions, batch.targets, strict=True)
        return np.array(
            [cost(list(row[:length]), position, target) for row, length, position, target in rows], np.float32
        )


def cost(row: list[int], position: int, target: int) -> float:
    """The log probability of a target: every token of the row counts, the more the nearer it is."""
    assert row[position] == MASK
    weights = (token / (1 + abs(position - place)) for place, token in enumerate(row) if place != position)
    return -0.01 * (target + 1) - 1e-3 * math.fsum(weights)


def by_definition(ids: Sequence[int], model: FakeModel) -> list[float]:
    """Mask, look, restore, go on: for texts that one window holds, and the middle window of longer ones."""
    room = model.window - 2
    found = []
    for index, token in enumerate(ids):
        first = max(0, min(index - room // 2, len(ids) - room))
        row = [CLS, *ids[first : first + room], SEP]
        row[index - first + 1] = MASK
        found.append(cost(row, index - first + 1, token))
    return found


def as_arrays(texts: Sequence[Sequence[int]]) -> list[NDArray[np.int64]]:
    return [np.array(text, np.int64) for text in texts]


TEXTS = st.lists(st.lists(st.integers(0, 25), max_size=30), max_size=12)
BUDGETS = st.integers(1, 400)


def test_by_hand() -> None:
    """Two tokens with probabilities 1/2 and 1/8 have the inverse geometric mean, 4; special tokens do not count."""

    class Halves(FakeModel):
        def scored(self, batch: MaskedBatch) -> NDArray[np.float32]:
            assert batch.ids.tolist() == [[CLS, MASK, 1, SEP], [CLS, 0, MASK, SEP]]
            assert batch.targets.tolist() == [0, 1]
            return np.log(np.array([1 / 2, 1 / 8], np.float32))

    (result,) = pseudo_perplexities(["ab"], Halves())

    assert result.value == pytest.approx(4.0, rel=1e-6)
    assert (result.n_tokens, result.reason) == (2, None)


def test_each_token_is_masked_alone_with_the_whole_text_around_it() -> None:
    """The log probabilities are those of the definition, where a window holds the text and where it does not."""
    model = FakeModel()
    texts = [[1, 2, 3], list(range(10)), list(range(11)), list(range(26)), [], [7] * 40]

    found = token_log_probabilities(as_arrays(texts), model)

    for text, logs in zip(texts, found, strict=True):
        np.testing.assert_allclose(logs, by_definition(text, model), rtol=1e-6)


@given(TEXTS, BUDGETS)
def test_log_probabilities_are_the_definitions(texts: list[list[int]], budget: int) -> None:
    """Whatever the texts and the batches, each token gets the value that it gets alone."""
    model = FakeModel(batch_tokens=budget)

    found = token_log_probabilities(as_arrays(texts), model)

    for text, logs in zip(texts, found, strict=True):
        np.testing.assert_allclose(logs, by_definition(text, model), rtol=1e-5)


@given(TEXTS, BUDGETS)
def test_every_token_is_masked_once(texts: list[list[int]], budget: int) -> None:
    """Each (text, token) has one row; no row masks anything else or exceeds the window."""
    model = FakeModel(batch_tokens=budget)

    rows = Counter[tuple[int, int]]()
    for batch in masked_batches(as_arrays(texts), model):
        rows.update(zip(batch.texts.tolist(), batch.tokens.tolist(), strict=True))
        assert batch.ids.shape[1] <= model.window
        assert ((batch.ids == MASK).sum(axis=1) == 1).all()
        for row, length, text, token, target in zip(
            batch.ids, batch.lengths, batch.texts, batch.tokens, batch.targets, strict=True
        ):
            assert target == texts[text][token]
            assert (row[0], row[length - 1]) == (CLS, SEP)
            assert (row[length:] == PAD).all()

    assert rows == Counter((text, token) for text, ids in enumerate(texts) for token in range(len(ids)))


@given(TEXTS, BUDGETS)
def test_batches_are_full_and_hold_little_padding(texts: list[list[int]], budget: int) -> None:
    """No batch exceeds the budget unless it is one row, and no row is padding for more than the stated share."""
    for batch in masked_batches(as_arrays(texts), FakeModel(batch_tokens=budget)):
        n_rows, width = batch.ids.shape
        assert n_rows == 1 or n_rows * max(width, MIN_ROW_COST) <= budget
        assert (batch.lengths >= width * (1 - MAX_PADDING)).all()
        assert batch.lengths.max() == width


@given(TEXTS, st.randoms(use_true_random=False))
def test_a_value_does_not_depend_on_its_neighbours(texts: list[list[int]], random: object) -> None:
    """Alone, in order or shuffled, a text has the same value."""
    words = ["".join(chr(ord("a") + token) for token in text) for text in texts]
    shuffled = words[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    together = dict(zip(words, pseudo_perplexities(words, FakeModel()), strict=True))
    otherwise = dict(zip(shuffled, pseudo_perplexities(shuffled, FakeModel()), strict=True))

    assert together == otherwise
    assert together == {word: pseudo_perplexities([word], FakeModel())[0] for word in words}


def test_rows_of_one_length_are_not_padded() -> None:
    """The rows of one text share batches with those of texts about as long."""
    texts = as_arrays([[1] * 9, [1] * 9, [1] * 3, [1] * 3])

    batches = list(masked_batches(texts, FakeModel(batch_tokens=10_000)))

    assert [batch.ids.shape for batch in batches] == [(18, 11), (6, 5)]


@pytest.mark.parametrize(("n_tokens", "length"), [(11, 10), (40, 10), (41, 9), (1_024, 510)])
def test_a_token_is_in_the_middle_of_its_window(n_tokens: int, length: int) -> None:
    """On each side a token sees half a window, or all that there is on that side and the rest on the other."""
    tokens = np.arange(n_tokens)
    starts = window_starts(tokens, n_tokens, length)

    before, after = tokens - starts, starts + length - 1 - tokens
    assert (starts >= 0).all()
    assert (starts + length <= n_tokens).all()
    assert ((before >= length // 2) | (starts == 0)).all()
    assert ((after >= (length - 1) // 2) | (starts + length == n_tokens)).all()


def test_window_is_512_at_most() -> None:
    """A model that could see more is not given more, so that the rule is one for all models."""
    (batch, *_) = masked_batches(as_arrays([[1] * 600]), FakeModel(window=8_192, batch_tokens=WINDOW))

    assert batch.ids.shape == (1, WINDOW)


def test_texts_without_tokens_and_long_texts_have_a_reason() -> None:
    """They are not scored; what has too many characters is not even tokenized."""
    model = FakeModel()
    huge = "ab" * 1_000_000

    found = pseudo_perplexities(["", "123", "abcdef", "abcde", huge], model, max_tokens=5)

    assert [(each.reason, each.n_tokens) for each in found] == [
        (NoScore.EMPTY, 0),
        (NoScore.EMPTY, 0),
        (NoScore.TOO_LONG, 6),
        (None, 5),
        (NoScore.TOO_LONG, None),
    ]
    assert [each.value is None for each in found] == [True, True, True, False, True]
    assert huge not in model.tokenized
    assert pseudo_perplexities(["x" * 5 * MAX_CHARS_PER_TOKEN], model, max_tokens=5)[0].n_tokens == 500


@pytest.mark.parametrize("odd", [math.nan, -math.inf, math.inf, -1e9])
def test_an_answer_that_is_no_number_costs_one_text(odd: float) -> None:
    """Half precision may overflow: the text says so, its neighbours keep their values."""

    class Odd(FakeModel):
        def scored(self, batch: MaskedBatch) -> NDArray[np.float32]:
            found = super().scored(batch)
            return np.where(batch.targets == 25, np.float32(odd), found)

    found = pseudo_perplexities(["az", "ab"], Odd())

    assert found[0] == PseudoPerplexity(None, 2, NoScore.NOT_FINITE)
    assert found[1] == pseudo_perplexities(["ab"], FakeModel())[0]


def test_equal_texts_are_scored_once() -> None:
    """Panels share captions: each occurrence gets the result, the model sees one."""
    model = FakeModel()

    found = pseudo_perplexities(["abc", "de", "abc", "abc"], model)

    assert found[0] == found[2] == found[3] != found[1]
    assert sum(len(batch.ids) for batch in model.batches) == 5


def test_nothing_to_score() -> None:
    """No texts are no results, and the model is not asked."""
    model = FakeModel()

    assert pseudo_perplexities([], model) == []
    assert [each.reason for each in pseudo_perplexities(["", ""], model)] == [NoScore.EMPTY] * 2
    assert not model.batches


def test_memory_does_not_grow_with_the_rows() -> None:
    """All rows of these texts would take 200 MB; a batch at a time takes less than 2."""
    texts = as_arrays([[1] * 500] * 100)
    tracemalloc.start()

    n_rows = sum(len(batch.ids) for batch in masked_batches(texts, FakeModel(window=512, batch_tokens=8_192)))

    assert n_rows == 50_000
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()
