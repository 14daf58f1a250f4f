"""The engine `context`: no model. It composes a description from the author's caption and citing sentences.

Extractive: every sentence stands in the paper, but for references to the figure itself, which become "this
figure", and a closing mention of the paper's title. It looks at no image and invents nothing.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from s1mm_assets.recaptioning.references import ELSEWHERE, names_figure, standing_alone
from s1mm_assets.recaptioning.sentences import repeats, split, words
from s1mm_assets.recaptioning.window import CaptionAnswer, CaptionJob, CaptionRequest, SemanticWindow
from s1mm_assets.tables import Rejection

ENOUGH_CHARS = 600  # the abstract is asked only where caption and mentions give less
MOST_CHARS = 900  # sentences are added as long as the whole stays below; a caption alone may be longer
MIN_SENTENCE_CHARS = 30
MAX_CAPTION_CHARS = 4_000
MAX_MENTIONS = 20
MAX_MENTION_CHARS = 6_000  # a paragraph that goes on for pages says little of one figure
MIN_SHARED_WORDS = 2  # that a sentence of the abstract has in common with what is said of the figure

_DANGLING = re.compile(
    r"(?:It|This|These|Those|They|Such|Here|However|Moreover|Furthermore|Thus|Hence|Therefore)\b"
)
_THIS_FIGURE = re.compile(r"This (?:figure|plot|panel|diagram|graph|image|map)\b")
_COMMON = words(
    "the of and in to for with is are as by from on that this an at be we our which it can or not"
)

PROMPT = """context 1: caption, parent caption, citing sentences by relevance up to 900 characters,
sentences of the abstract below 600, the title"""


class ContextCaptioner:
    """Writes recaptions without a model; its rows say so."""

    engine = "context"
    model: str | None = None
    model_revision: str | None = None
    prompt_version = "context-1"
    prompt_sha256 = hashlib.sha256(PROMPT.encode()).hexdigest()
    parameters: Mapping[str, Any] = MappingProxyType({})
    needs_image = False

    def caption(
        self,
        requests: Iterable[CaptionRequest],
        job: CaptionJob,  # noqa: ARG002 - it keeps nothing
    ) -> Iterator[CaptionAnswer]:
        """Yield one composed description per request; no_context where there is nothing to compose from."""
        for request in requests:
            yield answer(request.window)

    def cost(self) -> dict[str, Any]:
        """Nothing worth counting."""
        return {}


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """A sentence that may be said of the figure; the smallest is the most telling."""

    rank: int
    position: int  # in the paper
    text: str


def answer(window: SemanticWindow) -> CaptionAnswer:
    """Return the description of one figure."""
    title = " ".join((window.title or "").split())[:MOST_CHARS]
    closing = f'From the paper "{title}".' if title else ""
    caption = _captions(window)
    room = MOST_CHARS - len(closing) - 1
    citing = chosen(_citing(window), said=words(caption), room=room - len(caption))
    about = " ".join(part for part in (caption, *citing) if part)
    if not about:
        return CaptionAnswer(
            recaption=None, rejection=Rejection.NO_CONTEXT, evidence="neither a caption nor a citing sentence"
        )
    room -= len(about)
    lacking = room - (MOST_CHARS - ENOUGH_CHARS)
    background = chosen(_background(window, about), said=words(about), room=room, enough=lacking)
    text = " ".join([about, *background])
    if closing and not repeats(title, words(text)):
        text = f"{text} {closing}"
    flags = () if citing else ("caption_only",)
    return CaptionAnswer(recaption=text, finish_reason="composed", flags=flags)


def _captions(window: SemanticWindow) -> str:
    """The caption, and the figure's own where the image is one of its panels and that says more."""
    text = closed(_folded(window.caption))
    for other in (window.sub_caption, window.parent_caption):
        more = closed(_folded(other or ""))
        if more and not repeats(more, words(text)) and len(text) + len(more) < MOST_CHARS:
            text = f"{text} {more}".strip()
    return text


def _folded(text: str) -> str:
    return " ".join(text[:MAX_CAPTION_CHARS].split())


def _citing(window: SemanticWindow) -> list[Candidate]:
    """The sentences of the mentions. One that names the figure tells most, then those behind it.

    A sentence that leans on what stands elsewhere (another figure, an equation, the sentence before) tells less,
    and the captions of other figures least. One that names other figures only is about those,
    and so is what follows it.
    """
    found: list[Candidate] = []
    for mention in window.mentions[:MAX_MENTIONS]:
        distance, is_about_another = None, False
        for sentence in split(mention.text[:MAX_MENTION_CHARS]):
            if names_figure(sentence, window.figure_number):
                distance, is_about_another = 0, False
            elif names_figure(sentence, None):
                is_about_another = True
            elif distance is not None:
                distance += 1
            if is_about_another:
                continue
            text = standing_alone(sentence, window.figure_number)
            rank = 4 if distance is None else min(distance, 3)
            rank += 3 * bool(ELSEWHERE.search(text)) + 2 * is_dangling(text) + 10 * mention.is_caption
            found.append(Candidate(rank, len(found), text))
    return found


def is_dangling(sentence: str) -> bool:
    """Whether a sentence begins by pointing at the one before it."""
    return _DANGLING.match(sentence) is not None and _THIS_FIGURE.match(sentence) is None


def _background(window: SemanticWindow, about: str) -> list[Candidate]:
    """The sentences of the abstract that have words in common with what is said of the figure, most first."""
    known = words(about) - _COMMON
    sentences = split((window.abstract or "")[:MAX_MENTION_CHARS])
    shared = [len((words(sentence) - _COMMON) & known) for sentence in sentences]
    return [
        Candidate(-n, position, sentence)
        for position, (sentence, n) in enumerate(zip(sentences, shared, strict=True))
        if n >= MIN_SHARED_WORDS and not is_dangling(sentence)
    ]


def chosen(
    candidates: list[Candidate], *, said: frozenset[str], room: int, enough: int | None = None
) -> list[str]:
    """Return the most telling sentences that fit, in the paper's order, without what has been said already.

    Args:
        candidates: What may be said.
        said: The words of what is said before.
        room: How many characters may be added, with a blank before each sentence.
        enough: From how many characters on nothing more is needed; by default all room is used.
    """
    enough, used = room if enough is None else enough, 0
    taken = []
    for candidate in sorted(candidates):
        text = closed(candidate.text)
        if (
            used >= enough
            or len(text) < MIN_SENTENCE_CHARS
            or used + len(text) + 1 > room
            or repeats(text, said)
        ):
            continue
        taken.append((candidate.position, text))
        said |= words(text)
        used += len(text) + 1
    return [text for _, text in sorted(taken)]


def closed(text: str) -> str:
    """Return a text that ends as a sentence does."""
    return (
        text if not text or text.rstrip("\"')]”’")[-1:] in (".", "!", "?", "") else text.rstrip(",;:") + "."
    )
