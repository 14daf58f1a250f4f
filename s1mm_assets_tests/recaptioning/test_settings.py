"""What the settings of the recaptions refuse."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s1mm_assets.recaptioning.prompt import PromptError
from s1mm_assets.recaptioning.request import MAX_ASPECT, PIXELS_PER_TOKEN, ModelImage, model_size
from s1mm_assets.recaptioning.settings import RecaptionSettings
from s1mm_assets_tests.strategies import UNTIMED

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"engine": "gpt"}, "engine is 'gpt'; there are: context, vllm"),
        ({"engine": ""}, "engine is ''"),
        ({"engine": "vllm"}, "needs model_revision"),
        ({"min_image_tokens": 0}, "min_image_tokens"),
        ({"min_image_tokens": 300, "max_image_tokens": 299}, "more than twice min_image_tokens"),
        ({"min_image_tokens": 256, "max_image_tokens": 512}, "more than twice min_image_tokens"),
        ({"min_image_tokens": 1, "max_image_tokens": 199}, "max_image_tokens at least 200"),
        ({"server_arguments": (1,)}, "must be texts; 1 is none"),
        ({"server_arguments": ("--api-key", "secret")}, "may not hold --api-key: it"),
        ({"server_arguments": ("--max_model_len=9",)}, "may not hold --max_model_len: it"),
        ({"server_arguments": ("-tp", "2")}, "may not hold -tp"),
        ({"window_tokens": 0}, "window_tokens"),
        ({"max_answer_tokens": 0}, "max_answer_tokens"),
        ({"n_attempts": 0}, "n_attempts"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": NAN}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": NAN}, "top_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"repetition_penalty": 2.1}, "repetition_penalty"),
        ({"repetition_penalty": NAN}, "repetition_penalty"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
    ],
)
def test_what_cannot_be_asked_is_refused(values: dict[str, Any], says: str) -> None:
    """When the settings are made, with what is wrong."""
    with pytest.raises(ValueError, match=says):
        RecaptionSettings(**values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"engine": "vllm", "model_revision": "0123abc"},
        {"min_image_tokens": 256, "max_image_tokens": 513},
        {"min_image_tokens": 1, "max_image_tokens": 200},
        {"server_arguments": ("--max-num-seqs", "64", "--quantization-param-path=x", "-O3", "fp8")},
        {"temperature": 0.0, "top_p": 1.0, "repetition_penalty": 2.0, "seed": 2**31 - 1},
        {"window_tokens": 1, "max_answer_tokens": 1, "n_attempts": 1, "min_image_tokens": 1},
    ],
)
def test_the_limits_themselves_are_allowed(values: dict[str, Any]) -> None:
    """The last value on the right side of each limit."""
    settings = RecaptionSettings(**values)

    assert settings.image == ModelImage(
        min_tokens=settings.min_image_tokens, max_tokens=settings.max_image_tokens
    )
    assert settings.sampling.max_tokens == settings.max_answer_tokens


def test_a_prompt_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """Before any figure is read: a missing template, and one that names an unknown field."""
    own = tmp_path / "own.jinja"
    own.write_text(
        "{% block system %}{% endblock %}{% block paper %}{% endblock %}"
        "{% block figure %}{% if image_text %}{{ nobody }}{% endif %}{% endblock %}"
    )

    with pytest.raises(PromptError, match="neither a prompt of this version"):
        RecaptionSettings(prompt="describe-0")
    with pytest.raises(PromptError, match="nobody"):
        RecaptionSettings(prompt=str(own))


def test_sampling_at_later_attempts() -> None:
    """The first attempt is as set; each further one has another seed and is a little warmer, at most 1."""
    first = RecaptionSettings(temperature=0.2, seed=7).sampling

    assert first.at_attempt(0) == first
    assert [(first.at_attempt(n).temperature, first.at_attempt(n).seed) for n in (1, 2, 3)] == [
        (0.5, 8),
        (0.8, 9),
        (1.0, 10),
    ]


def test_with_what_the_weights_are_served() -> None:
    """It shapes answers, so requests and rows have it; a list, as TOML gives it, says the same as a tuple."""
    plain = RecaptionSettings()
    listed = RecaptionSettings(server_arguments=["--chat-template", "t.jinja"])  # type: ignore[arg-type]

    assert plain.variant == {"dtype": "auto", "quantization": "", "server_arguments": []}
    assert listed == RecaptionSettings(server_arguments=("--chat-template", "t.jinja"))
    assert listed.variant["server_arguments"] == ["--chat-template", "t.jinja"]
    assert RecaptionSettings(dtype="bfloat16", quantization="fp8").variant == {
        **plain.variant,
        "dtype": "bfloat16",
        "quantization": "fp8",
    }
    assert json.loads(json.dumps(listed.variant)) == listed.variant


@given(st.integers(1, 400), st.integers(0, 300), st.tuples(st.integers(1, 9_000), st.integers(1, 9_000)))
@example(1, 0, (9_000, 45))
@example(199, 0, (200, 1))
@example(99, 1, (6_000, 30))
@UNTIMED
def test_whatever_window_is_allowed_has_a_size_for_every_image(
    least: int, more: int, size: tuple[int, int]
) -> None:
    """Within the window; but of images that are nearly too thin for the model, which may have fewer tokens."""
    most = max(200, 2 * least + 1) + more
    window = RecaptionSettings(min_image_tokens=least, max_image_tokens=most).image
    if max(size) > MAX_ASPECT * min(size):
        return
    n_tokens = math.prod(model_size(size, window)) / PIXELS_PER_TOKEN

    assert n_tokens <= most
    assert n_tokens >= least or max(size) > MAX_ASPECT / 4 * min(size)
