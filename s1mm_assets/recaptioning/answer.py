"""How a model's answer is read: mended, then accepted with flags or rejected with the reason and what was seen.

What is taken off without harm stands in `mending`, what an answer is rejected for in `faults`.
"""

from dataclasses import dataclass

from s1mm_assets.grounding import grounding
from s1mm_assets.recaptioning.faults import MAX_CHARS, RULES, Answer, texts_of
from s1mm_assets.recaptioning.mending import folded, mended
from s1mm_assets.recaptioning.window import SemanticWindow
from s1mm_assets.tables import Rejection

MAX_RAW_CHARS = 100_000  # thinking and wrapping included
MAX_EVIDENCE_CHARS = 200
SHORT_CHARS, LONG_CHARS = 200, 2_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one answer: a recaption, or a rejection."""

    recaption: str | None  # on one line
    rejection: Rejection | None
    evidence: str | None  # what was seen; of an accepted answer what no source holds
    flags: tuple[str, ...]


def read_answer(text: str | None, finish_reason: str | None, window: SemanticWindow, prompt: str) -> Verdict:
    """Read one answer. Never raises; an accepted recaption that is read again is accepted as it is.

    Args:
        text: What the model wrote.
        finish_reason: Why it stopped, as the server says.
        window: What the model was told of the figure.
        prompt: All that the model was told, as text.

    Returns:
        The recaption with the flags "cleaned" (more than white space was mended), "ungrounded" (a number or name
        stands neither in the window nor in the image's text), "short" (below 200 characters) and "long" (above
        2,000); or the first reason for which it is rejected.
    """
    raw = (text or "")[:MAX_RAW_CHARS]
    lines = mended(raw)
    whole = mended_line(lines)
    answer = Answer(
        text=whole[:MAX_CHARS],
        lines=lines[:MAX_CHARS],
        finish_reason=finish_reason,
        is_whole=len(whole) <= MAX_CHARS and len(raw) == len(text or ""),
        window=window,
        prompt=prompt,
    )
    flags = ["cleaned"] if whole != folded(raw) else []
    for rejection, seen in RULES:
        evidence = seen(answer)
        if evidence is not None:
            return Verdict(None, rejection, evidence[:MAX_EVIDENCE_CHARS], tuple(flags))
    evidence = None
    ungrounded = grounding(whole, texts_of(window)).ungrounded
    if ungrounded:
        flags.append("ungrounded")
        evidence = f"ungrounded: {', '.join(ungrounded)}"[:MAX_EVIDENCE_CHARS]
    if not SHORT_CHARS <= len(whole) <= LONG_CHARS:
        flags.append("short" if len(whole) < SHORT_CHARS else "long")
    return Verdict(whole, None, evidence, tuple(flags))


def mended_line(lines: str) -> str:
    """Return a mended text on one line, mended again: line by line and in one it may look different."""
    return folded(mended(folded(lines)))
