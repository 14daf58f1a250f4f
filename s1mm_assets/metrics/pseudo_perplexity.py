"""Pseudo-perplexity of texts with a masked language model: what it is, and how the work is cut into batches.

Belongs here: the definition, the window of a long text, the list of masked rows and their packing. Does not: the
model, which is handed in.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise, tee
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

WINDOW = 512
"""Most tokens that a row has, special ones included: what BERT was trained on. A model may allow fewer."""

MAX_TOKENS = 1_024
"""Most tokens of a text that is scored. A text of n tokens costs n rows of min(n, window) tokens each."""

MAX_CHARS_PER_TOKEN = 100
"""WordPiece's longest word. Texts with more characters than so many per allowed token are not even tokenized."""

MAX_PADDING = 0.25  # share of a row
MIN_ROW_COST = 16  # tokens: each row, however short, takes a softmax over the vocabulary
MAX_LOSS = 700.0  # nats per token; its exponential still is a number
TEXTS_AT_ONCE = 1_000  # for the tokenizer


class MaskedModel(Protocol):
    """A masked language model with its tokenizer."""

    @property
    def component(self) -> str:
        """Name, revision and precision: what has to be the same for scores to be the same."""

    @property
    def window(self) -> int:
        """Most tokens in a row, special ones included."""

    @property
    def prefix(self) -> tuple[int, ...]:
        """Special tokens that stand before each row's text."""

    @property
    def suffix(self) -> tuple[int, ...]:
        """Special tokens that stand after it."""

    @property
    def mask_id(self) -> int:
        """The token that hides another."""

    @property
    def pad_id(self) -> int:
        """The token that fills up short rows."""

    @property
    def batch_tokens(self) -> int:
        """So many tokens, padding included, are best given at a time."""

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text, without special ones; never raises, whatever the text."""

    def log_probabilities(self, batches: Iterable["MaskedBatch"]) -> Iterator[NDArray[np.float32]]:
        """Yield for each batch, in order, the natural logarithm of each target's probability: shape (n_rows,).

        Batches are taken a few ahead of those that are yielded.
        """


class NoScore(StrEnum):
    """Why a text has no pseudo-perplexity."""

    EMPTY = "empty"  # it has no tokens
    TOO_LONG = "too_long"  # it would take too much time
    NOT_FINITE = "not_finite"  # the model's answer is no number: half precision has overflowed, say


@dataclass(frozen=True, slots=True)
class PseudoPerplexity:
    """The pseudo-perplexity of one text, or why it has none."""

    value: float | None  # 1 (every token is certain) upwards
    n_tokens: int | None  # special ones not counted; None where the text was too long to tokenize
    reason: NoScore | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MaskedBatch:
    """Rows of tokens, in each of which one is masked. All arrays have one entry per row."""

    ids: IntArray  # shape (n_rows, width): special tokens, text with its mask, padding on the right
    lengths: IntArray  # tokens that are no padding
    positions: IntArray  # where in its row the mask is
    targets: IntArray  # the token that it hides
    texts: IntArray  # which text the row is of
    tokens: IntArray  # which of that text's tokens is masked


class _Piece(NamedTuple):
    """The tokens `first` to `stop` of a text, each to be masked in a row."""

    text: int
    first: int
    stop: int


def pseudo_perplexities(
    texts: Sequence[str], model: MaskedModel, *, max_tokens: int = MAX_TOKENS
) -> list[PseudoPerplexity]:
    """Return exp(-mean over a text's tokens of log P(token | the text with that token masked)), for each text.

    Special tokens are not scored. Where the text is longer than the model's window, each token is scored in a row of
    its own: the longest stretch of the text that fits, with the token in its middle, or as near to it as the text's
    ends allow. So every token sees at least half a window on each side, or all that there is; and where one
    window holds the text, this is the plain definition. Equal texts are scored once.

    Args:
        texts: Any strings.
        model: Scores masked tokens.
        max_tokens: Longer texts are not scored.

    Returns:
        One result per text, in order. A value does not depend on the other texts, but for rounding.

    Source:
        Salazar et al. 2020, "Masked Language Model Scoring", sections 2 and 3.1 (arXiv:1910.14659); there it is
        defined over a corpus, here each text is a corpus of its own.
    """
    distinct = list(dict.fromkeys(texts))
    token_ids = _tokenized(distinct, model, max_tokens * MAX_CHARS_PER_TOKEN)
    is_scored = [ids is not None and len(ids) <= max_tokens for ids in token_ids]
    nothing = np.empty(0, np.int64)
    log_probabilities = token_log_probabilities(
        [ids if ids is not None and len(ids) <= max_tokens else nothing for ids in token_ids], model
    )
    results = {
        text: _result(logs) if scored else _too_long(ids)
        for text, ids, scored, logs in zip(distinct, token_ids, is_scored, log_probabilities, strict=True)
    }
    return [results[text] for text in texts]


def token_log_probabilities(texts: Sequence[IntArray], model: MaskedModel) -> list[NDArray[np.float64]]:
    """Return log P(token | the rest of its window), for each token of each text."""
    found = [np.full(len(ids), np.nan) for ids in texts]
    batches, given = tee(masked_batches(texts, model))  # holds those that the model is ahead
    for scores, batch in zip(model.log_probabilities(given), batches, strict=True):
        starts = np.flatnonzero(np.diff(batch.texts, prepend=-1))
        for start, stop in pairwise([*starts, len(scores)]):
            found[batch.texts[start]][batch.tokens[start:stop]] = scores[start:stop]
    return found


def masked_batches(texts: Sequence[IntArray], model: MaskedModel) -> Iterator[MaskedBatch]:
    """Yield each token of each text masked once, the longest rows first, in batches of `model.batch_tokens`.

    Rows of one batch have about the same length: no more than `MAX_PADDING` of a row is padding. A batch is made
    when it is asked for: all of them together would take the square of the memory that the texts take.
    """
    for pieces in _packed(texts, model):
        yield _batch(texts, pieces, model)


def _packed(texts: Sequence[IntArray], model: MaskedModel) -> Iterator[list[_Piece]]:
    """Yield the pieces of texts that make up each batch."""
    n_special, room_in_row = len(model.prefix) + len(model.suffix), _room_in_row(model)
    lengths = [min(len(ids), room_in_row) + n_special for ids in texts]
    pieces: list[_Piece] = []
    width = n_free = 0  # of the batch that is being packed: tokens per row, rows that may still come
    for text in sorted(range(len(texts)), key=lambda text: -lengths[text]):
        if pieces and lengths[text] < width * (1 - MAX_PADDING):
            yield pieces
            pieces = []
        first = 0
        while first < len(texts[text]):
            if not pieces:
                width = lengths[text]
                n_free = max(1, model.batch_tokens // max(width, MIN_ROW_COST))
            piece = _Piece(text, first, min(len(texts[text]), first + n_free))
            pieces.append(piece)
            n_free -= piece.stop - piece.first
            first = piece.stop
            if not n_free:
                yield pieces
                pieces = []
    if pieces:
        yield pieces


def _batch(texts: Sequence[IntArray], pieces: Sequence[_Piece], model: MaskedModel) -> MaskedBatch:
    """Return the rows of these pieces."""
    room_in_row, n_prefix = _room_in_row(model), len(model.prefix)
    n_special = n_prefix + len(model.suffix)
    n_rows = sum(piece.stop - piece.first for piece in pieces)
    width = max(min(len(texts[piece.text]), room_in_row) for piece in pieces) + n_special
    ids = np.full((n_rows, width), model.pad_id, np.int64)
    lengths, positions, targets, of_texts, of_tokens = (np.empty(n_rows, np.int64) for _ in range(5))
    start = 0
    for piece in pieces:
        tokens = np.arange(piece.first, piece.stop)
        rows = slice(start, start + len(tokens))
        start = rows.stop
        text = texts[piece.text]
        length = min(len(text), room_in_row)
        begins = window_starts(tokens, len(text), length)
        ids[rows, :n_prefix] = model.prefix
        ids[rows, n_prefix : n_prefix + length] = text[begins[:, None] + np.arange(length)]
        ids[rows, n_prefix + length : length + n_special] = model.suffix
        lengths[rows] = length + n_special
        positions[rows] = tokens - begins + n_prefix
        targets[rows] = text[tokens]
        of_texts[rows] = piece.text
        of_tokens[rows] = tokens
    ids[np.arange(n_rows), positions] = model.mask_id
    return MaskedBatch(ids, lengths, positions, targets, of_texts, of_tokens)


def window_starts(tokens: IntArray, n_tokens: int, length: int) -> IntArray:
    """Return where the window of each token begins: the token in its middle, as far as the text's ends allow.

    Args:
        tokens: Which tokens, from 0.
        n_tokens: Of the whole text.
        length: Tokens in a window, no more than the text has.
    """
    return np.clip(tokens - length // 2, 0, n_tokens - length)


def _room_in_row(model: MaskedModel) -> int:
    """Return how many tokens of a text a row can take."""
    return min(model.window, WINDOW) - len(model.prefix) - len(model.suffix)


def _tokenized(texts: Sequence[str], model: MaskedModel, max_chars: int) -> list[IntArray | None]:
    """Return the tokens of each text; None for those with more characters than allowed."""
    found: list[IntArray | None] = [None] * len(texts)
    short = [index for index, text in enumerate(texts) if len(text) <= max_chars]
    for first in range(0, len(short), TEXTS_AT_ONCE):
        chosen = short[first : first + TEXTS_AT_ONCE]
        for index, ids in zip(chosen, model.token_ids([texts[index] for index in chosen]), strict=True):
            found[index] = np.asarray(ids, np.int64)
    return found


def _too_long(ids: IntArray | None) -> PseudoPerplexity:
    return PseudoPerplexity(None, None if ids is None else len(ids), NoScore.TOO_LONG)


def _result(log_probabilities: NDArray[np.float64]) -> PseudoPerplexity:
    """Return what the log probabilities of one text's tokens come to."""
    n_tokens = len(log_probabilities)
    if not n_tokens:
        return PseudoPerplexity(None, 0, NoScore.EMPTY)
    loss = -math.fsum(log_probabilities) / n_tokens if np.isfinite(log_probabilities).all() else math.inf
    if loss > MAX_LOSS:
        return PseudoPerplexity(None, n_tokens, NoScore.NOT_FINITE)
    return PseudoPerplexity(math.exp(loss), n_tokens)
