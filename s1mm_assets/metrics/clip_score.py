"""CLIP score: the formula, how a text longer than the model's context is read, and texts dealt to other images.

Numbers only: whoever loads and runs a model hands it in as an `ImageTextEncoder`.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from s1mm_assets.tables import Rejection

Embeddings: TypeAlias = NDArray[np.float32]

CLIP_SCORE_WEIGHT = np.float32(2.5)  # Hessel et al. 2021: spreads typical cosines over [0, 1]

MAX_TEXT_CHARS = 10_000
"""Longer texts are not scored: captions end long before, and tokenizers take seconds for what is no prose."""

MAX_WINDOWS = 100
"""Texts of more windows are not scored: 10,000 characters of English take about 40, of Chinese 400."""


class Missing(StrEnum):
    """Why there is no score."""

    EMPTY = Rejection.EMPTY.value  # of the text nothing is left to read
    TOO_LONG = "too_long"
    IMAGE_UNREADABLE = Rejection.IMAGE_UNREADABLE.value
    IMAGE_TOO_LARGE = Rejection.IMAGE_TOO_LARGE.value
    EXTREME_ASPECT = Rejection.EXTREME_ASPECT.value  # scaled to the model's input it would be huge
    NOT_FINITE = "not_finite"  # the model's answer, in half precision, is no number
    NO_OTHER_PAPER = "no_other_paper"  # whose text the image could be paired with


class ImageTextEncoder(Protocol):
    """What scoring needs of a model."""

    @property
    def component(self) -> str:
        """Which model, weights and precision gave the numbers."""

    @property
    def window_tokens(self) -> int:
        """How many tokens of a text the model sees at once, without those it adds."""

    @property
    def added_tokens(self) -> int:
        """How many tokens the model adds to each text: start and end."""

    def tokens(self, text: str) -> list[int]:
        """Return all tokens of a text, none added; any string of `MAX_TEXT_CHARS` has some or none."""

    def texts(self, windows: Sequence[Sequence[int]]) -> Embeddings:
        """Return shape (n_windows, dim), of unit length, in order; each has 1 to `window_tokens` tokens."""

    def images(self, images: Sequence[bytes | None]) -> Callable[[], "list[Embeddings | Missing]"]:
        """Begin to decode; the call that is returned waits for it, and gives one embedding of unit length each."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure with the two texts that are scored against it."""

    figure_id: str
    paper_id: str
    image: bytes | None
    caption: str
    recaption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScores:
    """How one text fits its image. `missing` says why a score is null, by its name here."""

    standard: float | None = (
        None  # of as much of the text as the model sees at once, as the literature has it
    )
    whole: float | None = None  # of the text to its end
    shuffled: float | None = None  # the standard score of another paper's text against this image
    n_tokens: int | None = None  # of the whole text, start and end included
    missing: dict[str, Missing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClipScores:
    """The scores of one figure."""

    figure_id: str
    caption: TextScores
    recaption: TextScores


@dataclass(frozen=True, slots=True)
class TextEmbedding:
    """One text as the model sees it: its beginning, and all of it; unit vectors of shape (dim,)."""

    standard: Embeddings
    whole: Embeddings
    n_tokens: int


def clip_score(image_embeddings: Embeddings, text_embeddings: Embeddings) -> NDArray[np.float32]:
    """Score each text against its own image.

    Args:
        image_embeddings: Shape (n_figures, dim). Rows need not have unit length.
        text_embeddings: Shape (n_figures, dim). Row i embeds the text of image i.

    Returns:
        Shape (n_figures,): 2.5 * max(cosine, 0). Dimensionless, from 0 (unrelated) to 2.5.

    Raises:
        ValueError: The shapes differ, or an embedding is all zeros.

    Source:
        Hessel et al. 2021, "CLIPScore", section 3 (arXiv:2104.08718).
    """
    if image_embeddings.shape != text_embeddings.shape:
        raise ValueError(f"shapes differ: {image_embeddings.shape} and {text_embeddings.shape}")
    lengths = np.linalg.norm(image_embeddings, axis=1) * np.linalg.norm(text_embeddings, axis=1)
    if not lengths.all():
        raise ValueError(f"zero embedding in row {lengths.argmin()}")
    cosine = (image_embeddings * text_embeddings).sum(axis=1) / lengths
    score: NDArray[np.float32] = CLIP_SCORE_WEIGHT * np.clip(cosine, 0, 1)  # rounding may exceed 1
    return score


def windows(tokens: Sequence[int], size: int) -> list[Sequence[int]]:
    """Cut tokens into as few windows as there can be, whose lengths differ by at most one, longer ones first.

    A last window of two or three tokens would weigh little and mean less, so the cut is even. It may fall
    within a word.
    """
    n_windows = -(-len(tokens) // size)
    if n_windows == 0:
        return []
    length, n_longer = divmod(len(tokens), n_windows)
    starts = [number * length + min(number, n_longer) for number in range(n_windows + 1)]
    return [tokens[start:end] for start, end in pairwise(starts)]


def whole_text_embedding(window_embeddings: Embeddings, n_tokens: Sequence[int]) -> Embeddings:
    """Return the mean direction of a text's windows, each with the weight of its tokens.

    Args:
        window_embeddings: Shape (n_windows, dim), of unit length.
        n_tokens: Of each window.

    Returns:
        Shape (dim,), of unit length; of one window that window's own. Not finite where they cancel out.
    """
    if len(window_embeddings) == 1:
        only: Embeddings = window_embeddings[0]
        return only
    mean = np.average(window_embeddings.astype(np.float64), axis=0, weights=n_tokens)
    with np.errstate(invalid="ignore"):
        unit: Embeddings = (mean / np.linalg.norm(mean)).astype(np.float32)
    return unit


def derangement(figure_ids: Sequence[str], paper_ids: Sequence[str], *, seed: int) -> list[int | None]:
    """Deal each figure another paper's figure, by a seeded draw that the rows' order does not change.

    Figures are drawn in an order that keeps those of a paper together, and each is dealt the one that follows
    at a distance of the largest paper: so each is dealt once. Where one paper has more than half of all figures,
    those of the others are dealt to it repeatedly.

    Returns:
        For each figure the index of the one it is dealt; None where all are of one paper.
    """
    draw = [(_draw(paper_ids[i], seed), _draw(figure_ids[i], seed), i) for i in range(len(figure_ids))]
    order = [i for _, _, i in sorted(draw)]
    if len(set(paper_ids)) < 2:
        return [None] * len(order)
    dealt: list[int | None] = [None] * len(order)
    largest, n_largest = Counter(paper_ids[i] for i in order).most_common(1)[0]
    if 2 * n_largest <= len(order):
        for place, i in enumerate(order):
            dealt[i] = order[(place + n_largest) % len(order)]
        return dealt
    theirs = [i for i in order if paper_ids[i] == largest]
    others = [i for i in order if paper_ids[i] != largest]
    for place, i in enumerate(theirs):
        dealt[i] = others[place % len(others)]
    for place, i in enumerate(others):
        dealt[i] = theirs[place]
    return dealt


def _draw(name: str, seed: int) -> bytes:
    key = seed.to_bytes(8, "big", signed=True)
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16, key=key).digest()


def clip_scores(
    batches: Iterable[Sequence[Pair]], encoder: ImageTextEncoder, *, seed: int
) -> Iterator[list[ClipScores]]:
    """Score captions and recaptions of one batch after the other, each image encoded once.

    While the model computes a batch, the images of the next are decoded: two batches are held at a time.

    Args:
        batches: Of figures. Shuffled pairs are made within a batch, so it should hold several papers.
        encoder: The model.
        seed: Of the shuffled pairs.

    Yields:
        For each batch the scores of its figures, in order.
    """
    begun: deque[tuple[Sequence[Pair], Callable[[], list[Embeddings | Missing]]]] = deque()
    for batch in batches:
        begun.append((batch, encoder.images([pair.image for pair in batch])))
        if len(begun) > 1:
            yield _scored(*begun.popleft(), encoder, seed)
    while begun:
        yield _scored(*begun.popleft(), encoder, seed)


def _scored(
    batch: Sequence[Pair],
    decoding: Callable[[], list[Embeddings | Missing]],
    encoder: ImageTextEncoder,
    seed: int,
) -> list[ClipScores]:
    texts = [pair.caption for pair in batch] + [pair.recaption for pair in batch]
    embedded = text_embeddings(texts, encoder)
    images = [_finite(image) for image in decoding()]
    captions = _text_scores(batch, images, embedded[: len(batch)], seed)
    recaptions = _text_scores(batch, images, embedded[len(batch) :], seed)
    return [
        ClipScores(pair.figure_id, caption, recaption)
        for pair, caption, recaption in zip(batch, captions, recaptions, strict=True)
    ]


def text_embeddings(texts: Sequence[str], encoder: ImageTextEncoder) -> list[TextEmbedding | Missing]:
    """Embed each text, its beginning and all of it, in one pass over the distinct windows of them all."""
    tokens = [[] if len(text) > MAX_TEXT_CHARS else encoder.tokens(text) for text in texts]
    size = encoder.window_tokens
    plans: list[tuple[tuple[int, ...], ...] | Missing] = []  # of each text its beginning, then its windows
    for text, its_tokens in zip(texts, tokens, strict=True):
        if len(text) > MAX_TEXT_CHARS or len(its_tokens) > MAX_WINDOWS * size:
            plans.append(Missing.TOO_LONG)
        elif not its_tokens:
            plans.append(Missing.EMPTY)
        else:
            plans.append((tuple(its_tokens[:size]), *(tuple(window) for window in windows(its_tokens, size))))
    rows = _numbered(window for plan in plans if not isinstance(plan, Missing) for window in plan)
    embeddings = encoder.texts(list(rows)) if rows else np.zeros((0, 0), dtype=np.float32)
    return [
        plan
        if isinstance(plan, Missing)
        else _text_embedding(embeddings[[rows[window] for window in plan]], plan, encoder.added_tokens)
        for plan in plans
    ]


def _numbered(windows: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    return {window: number for number, window in enumerate(dict.fromkeys(windows))}


def _text_embedding(
    embeddings: Embeddings, plan: Sequence[Sequence[int]], added_tokens: int
) -> TextEmbedding | Missing:
    n_tokens = [len(window) for window in plan[1:]]
    whole = whole_text_embedding(embeddings[1:], n_tokens)
    if not (np.isfinite(embeddings).all() and np.isfinite(whole).all()):
        return Missing.NOT_FINITE
    return TextEmbedding(embeddings[0], whole, sum(n_tokens) + added_tokens)


def _finite(image: Embeddings | Missing) -> Embeddings | Missing:
    return image if isinstance(image, Missing) or np.isfinite(image).all() else Missing.NOT_FINITE


def _text_scores(
    batch: Sequence[Pair],
    images: Sequence[Embeddings | Missing],
    texts: Sequence[TextEmbedding | Missing],
    seed: int,
) -> list[TextScores]:
    """Return the scores of one text of each figure; what is missing for one costs only its own row."""
    sound = [
        (i, image, text)
        for i, (image, text) in enumerate(zip(images, texts, strict=True))
        if not isinstance(image, Missing) and not isinstance(text, Missing)
    ]
    scores = [_unscored(image, text) for image, text in zip(images, texts, strict=True)]
    if not sound:
        return scores
    seen = np.stack([image for _, image, _ in sound])
    standards = np.stack([text.standard for _, _, text in sound])
    standard = clip_score(seen, standards)
    whole = clip_score(seen, np.stack([text.whole for _, _, text in sound]))
    ids = [(batch[i].figure_id, batch[i].paper_id) for i, _, _ in sound]
    dealt = derangement([figure for figure, _ in ids], [paper for _, paper in ids], seed=seed)
    shuffled = clip_score(seen, standards[[0 if row is None else row for row in dealt]])
    for row, (i, _, text) in enumerate(sound):
        is_alone = dealt[row] is None
        scores[i] = TextScores(
            standard=float(standard[row]),
            whole=float(whole[row]),
            shuffled=None if is_alone else float(shuffled[row]),
            n_tokens=text.n_tokens,
            missing={"shuffled": Missing.NO_OTHER_PAPER} if is_alone else {},
        )
    return scores


def _unscored(image: Embeddings | Missing, text: TextEmbedding | Missing) -> TextScores:
    """Return a row without scores: the text's reason goes first, since the image's stands in both texts' rows."""
    reason = text if isinstance(text, Missing) else image
    n_tokens = None if isinstance(text, Missing) else text.n_tokens
    if not isinstance(reason, Missing):
        return TextScores(n_tokens=n_tokens)  # both are there: the scores follow
    return TextScores(n_tokens=n_tokens, missing=dict.fromkeys(("standard", "whole", "shuffled"), reason))
