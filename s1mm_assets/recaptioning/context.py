"""The engine `context`: no model. It composes a description from the author's caption and citing sentences.

Extractive: every sentence stands in the paper, but for references to the figure itself, which become "this
figure", and a closing mention of the paper's title. It looks at no image and invents nothing.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator

from s1mm_assets.recaptioning.sentences import repeats, split, words
from s1mm_assets.recaptioning.window import CaptionAnswer, CaptionRequest, SemanticWindow
from s1mm_assets.tables import Rejection

AIM_CHARS = 900  # sentences are added as long as the whole stays below
MIN_SENTENCE_CHARS = 30
PROMPT = "context 1: caption, then citing sentences by relevance up to 900 characters, then the title"


class ContextCaptioner:
    """Writes recaptions without a model; its rows say so."""

    engine = "context"
    model: str | None = None
    model_revision: str | None = None
    prompt_version = "context-1"
    prompt_sha256 = hashlib.sha256(PROMPT.encode()).hexdigest()
    needs_image = False

    def caption(self, requests: Iterable[CaptionRequest]) -> Iterator[CaptionAnswer]:
        """Yield one composed description per request; no_context where there is nothing to compose from."""
        for request in requests:
            yield answer(request.window)


def answer(window: SemanticWindow) -> CaptionAnswer:
    """Return the description of one figure."""
    caption = closed(window.caption.strip())
    chosen = citing_sentences(window, room=AIM_CHARS - len(caption))
    text = " ".join(part for part in (caption, *chosen) if part)
    if not text:
        return CaptionAnswer(
            recaption=None, rejection=Rejection.NO_CONTEXT, evidence="neither a caption nor a citing sentence"
        )
    if window.title and not repeats(window.title, words(text)):
        text = f'{text} From the paper "{" ".join(window.title.split())}".'
    flags = () if chosen else ("caption_only",)
    return CaptionAnswer(recaption=text, finish_reason="composed", flags=flags)


def citing_sentences(window: SemanticWindow, room: int) -> list[str]:
    """Return sentences of the mentions in the paper's order, the most telling first to be chosen.

    A sentence that names the figure tells most, then those behind it in its paragraph. Sentences of other
    figures' captions come last; what the caption says already is left out.
    """
    ranked: list[tuple[int, int, str]] = []
    position = 0
    for mention in window.mentions:
        distance = None
        for sentence in split(mention.text):
            names_it = own_reference(window.figure_number).search(sentence) is not None
            distance = 0 if names_it else None if distance is None else distance + 1
            rank = (4 if distance is None else min(distance, 3)) + 5 * mention.is_caption
            ranked.append((rank, position, standing_alone(sentence, window.figure_number)))
            position += 1
    said, chosen = words(window.caption), []
    for _, at, sentence in sorted(ranked):
        if len(sentence) < MIN_SENTENCE_CHARS or repeats(sentence, said) or len(sentence) + 1 > room:
            continue
        chosen.append((at, closed(sentence)))
        said |= words(sentence)
        room -= len(sentence) + 1
    return [sentence for _, sentence in sorted(chosen)]


def own_reference(figure_number: str | None) -> re.Pattern[str]:
    """Return what matches a reference to this figure: "Figure 3", "Fig. 3(b)", "figs. 3"."""
    number = re.escape(figure_number) if figure_number else r"\d+"
    return re.compile(rf"\b(?i:fig(?:ure|s)?)s?\.?\s*\(?{number}(?![\d.]\d|\d)\)?(?:\s?\(?[a-z]\)?(?![\w]))?")


def standing_alone(sentence: str, figure_number: str | None) -> str:
    """Return a sentence whose references to this figure read without the paper beside them."""
    if figure_number is None:
        return sentence
    alone = own_reference(figure_number).sub("this figure", sentence)
    return alone[:1].upper() + alone[1:] if alone.startswith("this figure") else alone


def closed(text: str) -> str:
    """Return a text that ends as a sentence does."""
    return text if not text or text[-1] in ".!?" else text + "."
