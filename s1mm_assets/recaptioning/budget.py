"""How much of the window a request may hold, and what is cut first.

Tokens are estimated, not counted, so that a request does not depend on where it is sent: the estimate lies
above what byte-pair tokenizers of this family give for scientific English (`benchmarks/RESULTS.md`).
"""

import re
from dataclasses import replace

from s1mm_assets.recaptioning.references import names_figure
from s1mm_assets.recaptioning.sentences import split
from s1mm_assets.recaptioning.window import Mention, SemanticWindow

PROTECTED_MENTIONS = 2  # the first ones outlast the abstract
MAX_PLACES = 8  # in a caption at which a text is looked for
MIN_PART_TOKENS = 24  # less of a text than this tells nothing

_PIECE = re.compile(r"[A-Z]?[a-z]{1,6}|[A-Z]{1,2}|[!-@[-`{-~]")


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has.

    One per six letters of a word begun, per two of an abbreviation, per other sign of ASCII; beyond ASCII one per byte
    after a sign's first. Texts side by side have as many as both have.
    """
    folded = " ".join(text.split())
    n_beyond_ascii = len(folded.encode("utf-8", "surrogatepass")) - len(folded)
    return len(_PIECE.findall(folded)) + n_beyond_ascii


def fitted(window: SemanticWindow, max_tokens: int) -> tuple[SemanticWindow, tuple[str, ...]]:
    """Return the window within a budget, and a flag for each kind of text that lost something.

    The panel's caption and the whole figure's are left out wherever they stand in the caption. Then is cut, until
    the rest fits: text read in the image; captions of other figures; mentions, the last first, down to two; the
    abstract, from its end; the two mentions; the parent caption; the panel's own; the title. The caption never.
    """
    window = told_once(window)
    excess = window_tokens(window) - max_tokens
    flags: list[str] = []
    for flag, cut in _CUTS:
        if excess <= 0:
            break
        shorter = cut(window, excess)
        if shorter != window:
            flags.append(flag)
            window = shorter
            excess = window_tokens(window) - max_tokens
    return window, tuple(dict.fromkeys(flags))


def told_once(window: SemanticWindow) -> SemanticWindow:
    """Return the window without panel and figure captions that the caption holds: empty, not None, as they exist."""
    caption = " ".join(window.caption.split())
    return replace(
        window,
        sub_caption="" if _is_in(caption, window.sub_caption) else window.sub_caption,
        parent_caption="" if _is_in(caption, window.parent_caption) else window.parent_caption,
    )


def _is_in(caption: str, part: str | None) -> bool:
    """Whether a text stands in the caption as whole words, white space aside."""
    if part is None:
        return False
    part, start = " ".join(part.split()), -1
    for _ in range(MAX_PLACES):
        start = caption.find(part, start + 1)
        if start < 0:
            return False
        if not (_is_within_word(caption, start) or _is_within_word(caption, start + len(part))):
            return True
    return False


def _is_within_word(text: str, at: int) -> bool:
    around = text[max(0, at - 1) : at + 1]
    return len(around) == 2 and around.isalnum()


def window_tokens(window: SemanticWindow) -> int:
    """Return about how many tokens the texts of a window have."""
    texts = (window.title, window.abstract, window.caption, window.sub_caption, window.parent_caption)
    mentioned = (text for each in window.mentions for text in (each.section, each.text))
    return sum(estimated_tokens(text) for text in (*texts, *mentioned, *window.image_text) if text)


def _without_image_text(window: SemanticWindow, excess: int) -> SemanticWindow:
    kept = list(window.image_text)
    while kept and excess > 0:
        excess -= estimated_tokens(kept.pop())
    return replace(window, image_text=tuple(kept))


def _without_other_captions(window: SemanticWindow, excess: int) -> SemanticWindow:
    at = [i for i, each in enumerate(window.mentions) if each.is_caption]
    return _fewer_mentions(window, at, excess)


def _without_late_mentions(window: SemanticWindow, excess: int) -> SemanticWindow:
    return _fewer_mentions(window, range(PROTECTED_MENTIONS, len(window.mentions)), excess)


def _without_mentions(window: SemanticWindow, excess: int) -> SemanticWindow:
    return _fewer_mentions(window, range(len(window.mentions)), excess)


def _fewer_mentions(window: SemanticWindow, at: "range | list[int]", excess: int) -> SemanticWindow:
    """Shorten or drop mentions at some places, the last first, until the excess is gone."""
    mentions: list[Mention | None] = list(window.mentions)
    for i in reversed(at):
        if excess <= 0:
            break
        mention = window.mentions[i]
        n_tokens = estimated_tokens(mention.text)
        text = around_reference(mention.text, window.figure_number, n_tokens - excess)
        mentions[i] = replace(mention, text=text) if text else None
        excess -= n_tokens - estimated_tokens(text)
        excess -= 0 if text else estimated_tokens(mention.section or "")
    return replace(window, mentions=tuple(each for each in mentions if each is not None))


def around_reference(text: str, figure_number: str | None, max_tokens: int) -> str:
    """Return the sentences of a paragraph that stand nearest to the one that names the figure, and fit."""
    if max_tokens < MIN_PART_TOKENS:
        return ""
    sentences = split(text)
    naming = [i for i, each in enumerate(sentences) if names_figure(each, figure_number)] or [0]
    order = sorted(range(len(sentences)), key=lambda i: (min(abs(i - j) for j in naming[:8]), i))
    taken = set()
    for i in order:
        n_tokens = estimated_tokens(sentences[i])
        if n_tokens > max_tokens:
            break
        max_tokens -= n_tokens
        taken.add(i)
    return " ".join(sentences[i] for i in sorted(taken))


def _shorter_abstract(window: SemanticWindow, excess: int) -> SemanticWindow:
    return replace(window, abstract=beginning(window.abstract, excess))


def _shorter_parent(window: SemanticWindow, excess: int) -> SemanticWindow:
    return replace(window, parent_caption=beginning(window.parent_caption, excess))


def _shorter_panel(window: SemanticWindow, excess: int) -> SemanticWindow:
    return replace(window, sub_caption=beginning(window.sub_caption, excess))


def _shorter_title(window: SemanticWindow, excess: int) -> SemanticWindow:
    return replace(window, title=beginning(window.title, excess))


def beginning(text: str | None, excess: int) -> str | None:
    """Return the first sentences of a text, shorter by the excess; None where not even one fits."""
    if not text:
        return text
    room = estimated_tokens(text) - excess
    kept = []
    for sentence in split(text):
        room -= estimated_tokens(sentence)
        if room < 0:
            break
        kept.append(sentence)
    return " ".join(kept) or None


_CUTS = (
    ("cut_image_text", _without_image_text),
    ("cut_mentions", _without_other_captions),
    ("cut_mentions", _without_late_mentions),
    ("cut_abstract", _shorter_abstract),
    ("cut_mentions", _without_mentions),
    ("cut_parent_caption", _shorter_parent),
    ("cut_sub_caption", _shorter_panel),
    ("cut_title", _shorter_title),
)
"""What is cut, in this order, and the flag that says so in the row."""
