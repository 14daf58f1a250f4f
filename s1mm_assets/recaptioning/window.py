"""What an engine is told of a figure, and what it answers. Every engine has this interface."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from s1mm_assets.tables import Rejection


@dataclass(frozen=True, slots=True)
class Mention:
    """A paragraph that cites the figure."""

    section: str | None
    text: str
    is_caption: bool = False  # of another figure


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticWindow:
    """What the paper says about one figure (paper, "Knowledge-Augmented Context Injection")."""

    title: str | None
    abstract: str | None
    figure_number: str | None
    caption: str
    sub_caption: str | None = None
    parent_caption: str | None = None
    mentions: tuple[Mention, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionRequest:
    """One figure to describe."""

    figure_id: str
    paper_id: str
    window: SemanticWindow
    image: bytes | None = None  # given where the engine looks at it


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionAnswer:
    """What an engine made of one request: text, or a rejection."""

    recaption: str | None
    n_prompt_tokens: int | None = None
    n_completion_tokens: int | None = None
    finish_reason: str | None = None
    flags: tuple[str, ...] = ()
    rejection: Rejection | None = None
    evidence: str | None = None


class Captioner(Protocol):
    """An engine that writes recaptions."""

    engine: str
    model: str | None
    model_revision: str | None
    prompt_version: str
    prompt_sha256: str  # of everything that shapes the answer but the request
    needs_image: bool

    def caption(self, requests: Iterable[CaptionRequest]) -> Iterator[CaptionAnswer]:
        """Yield one answer per request, in order. An outage raises; a bad request is answered by a rejection."""
