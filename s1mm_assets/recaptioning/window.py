"""What an engine is told of a figure, and what it answers. Every engine has this interface."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

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
    image_text: tuple[str, ...] = ()  # words read in the image


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionRequest:
    """One figure to describe."""

    figure_id: str
    paper_id: str
    window: SemanticWindow
    image: bytes | None = None  # PNG or JPEG as released; given where the engine looks at it
    image_sha256: str | None = None  # of `image`


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionJob:
    """The shard whose figures are described: an engine keeps its answers, and reports, by shard."""

    partition: str
    shard: str
    n_figures: int


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
    sampling: str | None = None  # JSON: what the model was asked with
    seed: int | None = None
    request_sha256: str | None = None


class Captioner(Protocol):
    """An engine that writes recaptions."""

    engine: str
    model: str | None
    model_revision: str | None
    prompt_version: str
    prompt_sha256: str  # of everything that shapes the answer but the request
    parameters: Mapping[str, Any]  # what else shapes the answers; JSON values
    needs_image: bool

    def caption(self, requests: Iterable[CaptionRequest], job: CaptionJob) -> Iterator[CaptionAnswer]:
        """Yield one answer per request, in order. An outage raises; a bad request is answered by a rejection."""

    def cost(self) -> dict[str, Any]:
        """Return what the answers so far cost: rates, tokens, failures. Never part of the data."""
