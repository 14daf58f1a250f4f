"""CLIP score: the formula, windows, whole texts, shuffled pairs, and rows that cannot be scored."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.metrics.clip_score import (
    MAX_TEXT_CHARS,
    MAX_WINDOWS,
    ClipScores,
    Embeddings,
    Missing,
    Pair,
    TextScores,
    clip_score,
    clip_scores,
    derangement,
    whole_text_embedding,
    windows,
)

DIM = 7


def unit(counts: Sequence[int]) -> Embeddings:
    """A histogram of numbers modulo `DIM`, of unit length."""
    histogram = np.bincount([number % DIM for number in counts], minlength=DIM).astype(np.float32)
    return histogram / np.linalg.norm(histogram)


@dataclass
class Histograms:
    """`ImageTextEncoder` that counts characters and bytes: simple enough to compute by hand."""

    component: str = "histograms"
    window_tokens: int = 4
    added_tokens: int = 2
    n_begun: int = 0
    n_encoded: int = 0
    windows_seen: list[tuple[int, ...]] = field(default_factory=list)

    def tokens(self, text: str) -> list[int]:
        return [ord(character) for character in text if character != " "]

    def texts(self, windows: Sequence[Sequence[int]]) -> Embeddings:
        assert all(1 <= len(window) <= self.window_tokens for window in windows)
        self.windows_seen += [tuple(window) for window in windows]
        return np.stack([unit(window) for window in windows])

    def images(self, images: Sequence[bytes | None]) -> Callable[[], list[Embeddings | Missing]]:
        self.n_begun += 1

        def encoded() -> list[Embeddings | Missing]:
            self.n_encoded += 1
            return [self.image(image) for image in images]

        return encoded

    def image(self, image: bytes | None) -> Embeddings | Missing:
        if not image:
            return Missing.IMAGE_UNREADABLE
        return np.full(DIM, np.nan, dtype=np.float32) if image == b"nan" else unit(list(image))


def pair(number: int, caption: str = "abcdef", recaption: str = "fab", image: bytes | None = b"abc") -> Pair:
    """A figure of a paper of its own."""
    return Pair(f"f{number}", f"p{number}", image, caption, recaption)


def scored(*pairs: Pair) -> list[ClipScores]:
    """The scores of one batch."""
    [scores] = clip_scores([pairs], Histograms(), seed=0)
    return scores


def by_hand(image: Embeddings, text: Embeddings) -> float:
    """The formula in plain Python."""
    return 2.5 * max(sum(float(a) * float(b) for a, b in zip(image, text, strict=True)), 0.0)


def test_scores_are_those_of_the_paper() -> None:
    """2.5 times the cosine, whatever the vectors' lengths, and nothing below zero."""
    images = np.array([[3, 4], [1, 0], [1, 0], [2, 2]], dtype=np.float32)
    texts = np.array([[8, 6], [0, 5], [-1, 0], [3, 3]], dtype=np.float32)

    np.testing.assert_allclose(clip_score(images, texts), [2.4, 0, 0, 2.5], rtol=1e-6)


def test_the_formula_refuses_what_has_no_cosine() -> None:
    """A zero vector is a fault of the model, and shapes that differ are one of the caller."""
    with pytest.raises(ValueError, match="zero embedding in row 1"):
        clip_score(np.eye(2, dtype=np.float32), np.array([[1, 1], [0, 0]], dtype=np.float32))
    with pytest.raises(ValueError, match="shapes differ"):
        clip_score(np.ones((2, 3), dtype=np.float32), np.ones((3, 2), dtype=np.float32))


def test_windows_are_even() -> None:
    """Eighty tokens are twice forty, not seventy-five and five."""
    assert [len(window) for window in windows(range(80), 75)] == [40, 40]
    assert windows([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert windows([1, 2], 2) == [[1, 2]]
    assert windows([], 2) == []


@given(st.lists(st.integers()), st.integers(1, 20))
def test_windows_hold_every_token_once(tokens: list[int], size: int) -> None:
    """In order, in as few windows as there can be, none longer than another by more than one."""
    cut = windows(tokens, size)

    assert [token for window in cut for token in window] == tokens
    assert len(cut) == (len(tokens) + size - 1) // size
    assert all(0 < len(window) <= size for window in cut)
    lengths = [len(window) for window in cut]
    assert not lengths or max(lengths) - min(lengths) <= 1


def test_a_whole_text_is_the_mean_direction_of_its_windows() -> None:
    """Each with the weight of its tokens; one window is itself, to the bit."""
    axes = np.eye(2, dtype=np.float32)

    np.testing.assert_allclose(whole_text_embedding(axes, [3, 1]), np.array([3, 1]) / np.sqrt(10), rtol=1e-6)
    only = np.array([[0.6, 0.8]], dtype=np.float32)
    assert whole_text_embedding(only, [9]).tolist() == only[0].tolist()
    assert np.isnan(whole_text_embedding(np.array([[1, 0], [-1, 0]], dtype=np.float32), [1, 1])).all()


def test_a_batch_is_scored_as_by_hand() -> None:
    """Beginning, whole text, and another paper's text, of both texts, with one image encoding."""
    pairs = [pair(0, "abcdef", "fab", b"abc"), pair(1, "aabb", "aaaaabbb", b"ccd")]

    first, second = scored(*pairs)

    def whole(*parts: str) -> Embeddings:
        total = sum(len(part) * unit(part.encode()) for part in parts)
        return np.asarray(total / np.linalg.norm(total), dtype=np.float32)

    image, other = unit(b"abc"), unit(b"ccd")
    assert (first.figure_id, second.figure_id) == ("f0", "f1")
    assert first.caption.standard == pytest.approx(by_hand(image, unit(b"abcd")))
    assert first.caption.whole == pytest.approx(by_hand(image, whole("abc", "def")))
    assert first.caption.shuffled == pytest.approx(by_hand(image, unit(b"aabb")))
    assert first.caption.n_tokens == 8  # with start and end
    assert first.recaption.standard == first.recaption.whole == pytest.approx(by_hand(image, unit(b"fab")))
    assert first.recaption.shuffled == pytest.approx(by_hand(image, unit(b"aaaa")))
    assert second.recaption.whole == pytest.approx(by_hand(other, whole("aaaa", "abbb")))
    assert first.caption.missing == first.recaption.missing == {}


def test_a_window_that_several_texts_share_is_encoded_once() -> None:
    """A caption that stands on every panel costs one pass."""
    encoder = Histograms()

    list(clip_scores([[pair(number, "abcdef", "abcd") for number in range(5)]], encoder, seed=0))

    assert Counter(encoder.windows_seen) == {(97, 98, 99, 100): 1, (97, 98, 99): 1, (100, 101, 102): 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Missing.EMPTY),
        ("   ", Missing.EMPTY),
        ("a" + " " * MAX_TEXT_CHARS, Missing.TOO_LONG),
        ("a" * (MAX_WINDOWS * 4 + 1), Missing.TOO_LONG),
    ],
)
def test_a_text_that_cannot_be_read_says_why(text: str, reason: Missing) -> None:
    """It costs only its own scores, and is dealt to no other figure."""
    untouched = scored(pair(0), pair(2))

    first, bad, last = scored(pair(0), pair(1, caption=text), pair(2))

    assert [first.caption, last.caption] == [each.caption for each in untouched]
    assert bad.caption == TextScores(missing={"standard": reason, "whole": reason, "shuffled": reason})
    assert bad.recaption.standard is not None


def test_the_longest_texts_are_scored() -> None:
    """At the limits, not one short of them."""
    [only] = scored(pair(0, caption="a" * (MAX_WINDOWS * 4), recaption="a" + " " * (MAX_TEXT_CHARS - 1)))

    assert only.caption.n_tokens == MAX_WINDOWS * 4 + 2
    assert only.recaption.standard is not None


@pytest.mark.parametrize(
    ("image", "reason"),
    [(None, Missing.IMAGE_UNREADABLE), (b"", Missing.IMAGE_UNREADABLE), (b"nan", Missing.NOT_FINITE)],
)
def test_an_image_that_cannot_be_seen_says_why(image: bytes | None, reason: Missing) -> None:
    """Both texts go without scores, but their lengths are known."""
    untouched = scored(pair(0), pair(2))

    first, bad, last = scored(pair(0), pair(1, image=image), pair(2))

    assert [first, last] == untouched
    nothing = {"standard": reason, "whole": reason, "shuffled": reason}
    assert bad.caption == TextScores(n_tokens=8, missing=nothing)
    assert bad.recaption == TextScores(n_tokens=5, missing=nothing)


def test_one_paper_has_no_shuffled_pairs() -> None:
    """Its texts all speak of the same things."""
    alone = [Pair(f"f{number}", "p", b"abc", "abc", "abcd") for number in range(3)]

    for scores in scored(*alone):
        assert scores.caption.shuffled is None
        assert scores.caption.missing == {"shuffled": Missing.NO_OTHER_PAPER}
        assert scores.caption.standard is not None


def test_the_next_batch_is_begun_while_one_is_scored_and_no_more() -> None:
    """Two batches are held at a time, however many there are."""
    encoder = Histograms()

    def batches() -> Iterator[list[Pair]]:
        for number in range(5):
            assert encoder.n_begun - encoder.n_encoded <= 1
            yield [pair(number)]

    scores = clip_scores(batches(), encoder, seed=0)
    next(scores)

    assert (encoder.n_begun, encoder.n_encoded) == (2, 1)
    assert len(list(scores)) == 4


@given(
    st.lists(st.tuples(st.text("abc "), st.text("defg "), st.sampled_from([b"", b"a", b"bc"])), max_size=12),
    st.integers(1, 5),
)
def test_scores_do_not_depend_on_the_batch(rows: list[tuple[str, str, bytes]], size: int) -> None:
    """Those of shuffled pairs excepted; every figure has one row, in order."""
    pairs = [
        pair(number, caption, recaption, image) for number, (caption, recaption, image) in enumerate(rows)
    ]
    batches = [pairs[start : start + size] for start in range(0, len(pairs), size)]

    together = [each for batch in clip_scores(batches, Histograms(), seed=0) for each in batch]
    single = [scored(each)[0] for each in pairs]

    assert [each.figure_id for each in together] == [each.figure_id for each in pairs]
    for one, other in zip(together, single, strict=True):
        for text, same in ((one.caption, other.caption), (one.recaption, other.recaption)):
            assert (text.standard, text.whole, text.n_tokens) == (same.standard, same.whole, same.n_tokens)
            reasons = [each.missing.get("standard") for each in (text, same)]
            assert reasons[0] == reasons[1]
            assert (text.standard is None) == (reasons[0] is not None)


papers = st.lists(st.integers(0, 5).map(str), max_size=30)


@given(papers, st.integers(-5, 5))
def test_each_figure_is_dealt_one_of_another_paper(paper_ids: list[str], seed: int) -> None:
    """All of them if there are two papers, each once where no paper has more than half."""
    dealt = derangement([f"f{i}" for i in range(len(paper_ids))], paper_ids, seed=seed)

    if len(set(paper_ids)) < 2:
        assert dealt == [None] * len(paper_ids)
        return
    chosen = [other for other in dealt if other is not None]
    assert len(chosen) == len(paper_ids)
    assert all(paper_ids[i] != paper_ids[other] for i, other in enumerate(chosen))
    n_largest = max(Counter(paper_ids).values())
    if 2 * n_largest <= len(paper_ids):
        assert sorted(chosen) == list(range(len(paper_ids)))
    else:  # as evenly as can be
        assert max(Counter(chosen).values()) == -(-n_largest // (len(paper_ids) - n_largest))


@given(papers, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_what_is_dealt(paper_ids: list[str], random: Random) -> None:
    """Figures meet by their names alone."""
    rows = [(f"f{i}", paper) for i, paper in enumerate(paper_ids)]
    shuffled = rows.copy()
    random.shuffle(shuffled)

    def met(rows: list[tuple[str, str]]) -> dict[str, str | None]:
        dealt = derangement([figure for figure, _ in rows], [paper for _, paper in rows], seed=1)
        return {rows[i][0]: None if j is None else rows[j][0] for i, j in enumerate(dealt)}

    assert met(rows) == met(shuffled)


def test_another_seed_deals_otherwise() -> None:
    """And the same seed the same."""
    figure_ids, paper_ids = [f"f{i}" for i in range(20)], [f"p{i // 2}" for i in range(20)]

    assert derangement(figure_ids, paper_ids, seed=1) == derangement(figure_ids, paper_ids, seed=1)
    assert derangement(figure_ids, paper_ids, seed=1) != derangement(figure_ids, paper_ids, seed=2)
