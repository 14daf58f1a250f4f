"""What the model is asked: a versioned template, filled from the window.

Paper-level text comes first, then the image, then what is particular to the figure, so that a server's prefix cache
serves all figures of a paper. A changed template is a new file with a new version.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1mm_assets.recaptioning.mending import INVISIBLE
from s1mm_assets.recaptioning.window import Mention, SemanticWindow

if TYPE_CHECKING:
    from jinja2 import Environment, Template

FOLDER = Path(__file__).parent / "prompts"
BUILT_IN = tuple(sorted(path.stem for path in FOLDER.glob("*.jinja")))
BLOCKS = ("system", "paper", "figure")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SPECIAL = re.compile(
    r"""<(?=[|｜]|/?s>|[A-Za-z]{1,24}(?:_[A-Za-z]{1,24}){1,4}>)
    |<(?=/?(?i:bos|eos|pad|unk|mask|sep|cls|image|img|video|audio|think|thinking|box|ref|quad|tool_call|tool_response)>)
    |<<(?=/?SYS>>)
    |\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|IMG|IMG_BREAK|IMG_END)\])""",
    re.VERBOSE,
)
"""Where what some tokenizer takes for the end of a turn, an image or the like begins: `<|im_end|>`, `</s>`."""

_PLACE_IN_MEMORY = re.compile(r" at 0x[0-9a-f]{6,}")
_BARE = SemanticWindow(title=None, abstract=None, figure_number=None, caption="")
_FULL = SemanticWindow(
    title="t",
    abstract="a",
    figure_number="1",
    caption="c",
    sub_caption="s",
    parent_caption="p",
    mentions=(Mention("m", "m"), Mention(None, "m", is_caption=True)),
    image_text=("i", "i"),
)


class PromptError(ValueError):
    """A template that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class PromptText:
    """The texts of one request, in the order in which the model reads them; the image stands before `figure`."""

    system: str
    paper: str
    figure: str

    def __str__(self) -> str:
        """All of it, as the model reads it."""
        return f"{self.system}\n{self.paper}\n{self.figure}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template with the three blocks `system`, `paper` and `figure`."""

    version: str
    source: str

    @classmethod
    def load(cls, name: str) -> Prompt:
        """Return a built-in template by its version, or one's own by its path.

        Raises:
            PromptError: There is none, or it lacks a block.
        """
        path = FOLDER / f"{name}.jinja" if name in BUILT_IN else Path(name)
        try:
            prompt = cls(path.stem, path.read_text("utf-8"))
        except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no path at all
            raise PromptError(
                f"{name} is neither a prompt of this version ({', '.join(BUILT_IN)}) nor a readable file: {error}"
            ) from error
        missing = [block for block in BLOCKS if block not in prompt.template().blocks]
        if missing:
            raise PromptError(f"the prompt {name} lacks the block {missing[0]}")
        prompt._require_fillable(name)
        return prompt

    @property
    def sha256(self) -> str:
        """Digest of the template, comments included."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    def template(self) -> Template:
        """The compiled template; PromptError where it is none."""
        return _compiled(self.source)

    def _require_fillable(self, name: str) -> None:
        """Raise PromptError where a window could not be filled in: at once, not at the first figure of its kind."""
        from jinja2 import meta

        environment = _environment()
        named = meta.find_undeclared_variables(environment.parse(self.source))
        unknown = sorted(named - set(dict(fields_of(_BARE))) - set(environment.globals))
        if unknown:
            fields = ", ".join(dict(fields_of(_BARE)))
            raise PromptError(f"the prompt {name} names {unknown[0]}, which no window has; it has: {fields}")
        for window in (_BARE, _FULL):
            try:
                filled = self.fill(window)
            except Exception as error:  # a template can do almost anything
                raise PromptError(f"the prompt {name} cannot be filled in: {error}") from error
            if _PLACE_IN_MEMORY.search(str(filled)):
                raise PromptError(
                    f"the prompt {name} writes an object's place in memory, which differs each time"
                )

    def fill(self, window: SemanticWindow) -> PromptText:
        """Return the texts for one figure.

        Every text of the paper is folded to one line without control and format characters, and cannot hold
        the special tokens of a chat template.
        """
        values = dict(fields_of(window))
        template = self.template()
        return PromptText(*("".join(template.blocks[name](template.new_context(values))) for name in BLOCKS))


def fields_of(window: SemanticWindow) -> Iterator[tuple[str, Any]]:
    """Yield what a template may name, each text on one line."""
    for name in ("title", "abstract", "figure_number", "caption", "sub_caption", "parent_caption"):
        yield name, one_line(getattr(window, name))
    yield "is_panel", window.sub_caption is not None or window.parent_caption is not None
    mentions = [
        {"section": one_line(each.section), "text": one_line(each.text), "is_caption": each.is_caption}
        for each in window.mentions
    ]
    yield "mentions", mentions
    yield "image_text", [one_line(each) for each in window.image_text]


def one_line(text: str | None) -> str:
    """Return a text without line ends and invisible characters; special tokens are broken by a blank, to be read."""
    visible = INVISIBLE.sub("", _CONTROL.sub(" ", text or ""))
    return _SPECIAL.sub(r"\g<0> ", " ".join(visible.split()))


def _environment() -> Environment:
    from jinja2 import Environment, StrictUndefined

    # Not HTML: nothing is escaped. What gives another text each time is not there: the same window, the same prompt.
    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=False)  # noqa: S701
    environment.globals.clear()
    environment.globals["range"] = range
    del environment.filters["random"]
    return environment


@cache
def _compiled(source: str) -> Template:
    try:
        return _environment().from_string(source)
    except Exception as error:
        raise PromptError(f"the prompt is no template: {error}") from error
