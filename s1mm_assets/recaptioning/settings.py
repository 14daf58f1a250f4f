"""Who writes the recaptions, and with what: the settings that shape them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s1mm_assets.recaptioning.request import MAX_ASPECT, ModelImage, Sampling

ENGINES = ("context", "vllm")
NOT_ARGUMENTS = re.compile(
    r"--(?:no-)?(?:host|port|api-key|served-model-name|model|(?:tokenizer-)?revision|dtype|quantization"
    r"|tensor-parallel-size|max-model-len|gpu-memory-utilization)(?:=|\Z)|-(?:q|tp)\Z"
)
"""Arguments of `vllm serve` that are settings by themselves, or this program's own to give; keys are no settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecaptionSettings:
    """There is no fallback from one engine to another."""

    engine: str = "context"  # context: extractive, no model; vllm: a model on vLLM servers
    model: str = (
        "Qwen/Qwen3-VL-8B-Instruct"  # as the servers call it; a Hub id or a folder where they are our own
    )
    model_revision: str = ""  # the commit of the weights; vllm asks for it, so that rows say what wrote them
    dtype: str = "auto"  # with what the weights are served; of running servers: with what they were started
    quantization: str = ""  # such as fp8; empty: as the model is stored
    server_arguments: tuple[str, ...] = ()  # further arguments of `vllm serve`, where the servers are our own
    prompt: str = "describe-1"  # a built-in template, or the path of one's own
    window_tokens: int = 2_500  # of the texts of the paper; more is cut in the order that budget.py states
    min_image_tokens: int = 256
    max_image_tokens: int = 1_280
    max_answer_tokens: int = 640
    temperature: float = 0.2
    top_p: float = 0.9
    repetition_penalty: float = 1.05
    seed: int = 0
    n_attempts: int = 3  # until an answer can be used; each with another seed

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        from s1mm_assets.recaptioning.prompt import BUILT_IN, Prompt

        if self.engine not in ENGINES:
            raise ValueError(f"engine is {self.engine!r}; there are: {', '.join(ENGINES)}")
        if self.engine == "vllm" and not self.model_revision:
            raise ValueError("engine vllm needs model_revision: name the commit of the weights")
        if self.min_image_tokens < 1 or self.max_image_tokens < MAX_ASPECT:
            raise ValueError(f"min_image_tokens must be at least 1, max_image_tokens at least {MAX_ASPECT}")
        if self.max_image_tokens <= 2 * self.min_image_tokens:  # rounding to whole patches halves or doubles
            raise ValueError("max_image_tokens must be more than twice min_image_tokens")
        if min(self.window_tokens, self.max_answer_tokens, self.n_attempts) < 1:
            raise ValueError("window_tokens, max_answer_tokens and n_attempts must be at least 1")
        if not (0 <= self.temperature <= 2 and 0 < self.top_p <= 1 and 0 < self.repetition_penalty <= 2):
            raise ValueError("temperature lies in 0 to 2, top_p in 0 to 1, repetition_penalty in 0 to 2")
        if not 0 <= self.seed < 2**31:
            raise ValueError("seed must be at least 0 and below 2**31")
        self._require_arguments()
        if self.prompt not in BUILT_IN:  # tests load those; the templates' library is not read for nothing
            Prompt.load(self.prompt)

    def _require_arguments(self) -> None:
        """Refuse arguments that say what another setting says; make them a tuple, as TOML has but lists."""
        for argument in self.server_arguments:
            if not isinstance(argument, str):
                raise ValueError(f"server_arguments must be texts; {argument!r} is none")
            if NOT_ARGUMENTS.match(argument.replace("_", "-")):
                raise ValueError(
                    f"server_arguments may not hold {argument.partition('=')[0]}: it is set elsewhere"
                )
        object.__setattr__(self, "server_arguments", tuple(self.server_arguments))

    @property
    def variant(self) -> Mapping[str, Any]:
        """With what the weights are served: part of a request's key and of the rows, not of what is sent."""
        return {
            "dtype": self.dtype,
            "quantization": self.quantization,
            "server_arguments": list(self.server_arguments),
        }

    @property
    def sampling(self) -> Sampling:
        """Of the first attempt."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            repetition_penalty=self.repetition_penalty,
            max_tokens=self.max_answer_tokens,
            seed=self.seed,
        )

    @property
    def image(self) -> ModelImage:
        """The window of image sizes."""
        return ModelImage(min_tokens=self.min_image_tokens, max_tokens=self.max_image_tokens)
