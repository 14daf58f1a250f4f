"""A Qwen3-VL of two layers with random weights: loads, tokenizes and answers as a real one, in nonsense.

Run as `python -m s1mm_assets_tests.vllm.tiny_model FOLDER`, in an environment that has vLLM.
"""

import sys
from itertools import product
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# As Qwen3-VL's own, for text and images: the system message first, content in the order given.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type in ('image', 'image_url') or 'image' in part or 'image_url' in part -%}
<|vision_start|><|image_pad|><|vision_end|>
{%- elif 'text' in part -%}
{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""

_SUBJECTS = ("The figure", "The upper panel", "A dashed line", "Each bar", "The blue curve", "The model")
_VERBS = ("shows", "rises with", "falls below", "agrees with", "scatters around", "saturates at")
_OBJECTS = ("the measured rate", "temperature in kelvin", "12.5 percent", "the baseline", "time in seconds")


def make(folder: Path) -> None:
    """Write model, tokenizer and processor to `folder`: the same bytes each time."""
    import torch
    from transformers import Qwen3VLForConditionalGeneration

    tokenizer = _tokenizer()
    torch.manual_seed(0)
    model = Qwen3VLForConditionalGeneration(_config(tokenizer))
    model.to(torch.float32).save_pretrained(folder)
    _processor(tokenizer).save_pretrained(folder)


def _tokenizer() -> Any:
    """Train a byte-level BPE on a few sentences."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2TokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(
        (f"{' '.join(words)}." for words in product(_SUBJECTS, _VERBS, _OBJECTS)), trainer
    )
    return Qwen2TokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
        unk_token=None,
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        model_max_length=4096,
    )


def _config(tokenizer: Any) -> Any:
    from transformers import Qwen3VLConfig

    ids = tokenizer.convert_tokens_to_ids
    return Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
            "bos_token_id": ids("<|endoftext|>"),
            "eos_token_id": ids("<|im_end|>"),
            "pad_token_id": ids("<|endoftext|>"),
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "out_hidden_size": 64,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        dtype="float32",
    )


def _processor(tokenizer: Any) -> Any:
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    # As Qwen3-VL's: a token is 32 x 32 pixels, 256 to 1280 of them where the image has as many.
    vision = {"patch_size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            **vision, size={"shortest_edge": 4 * 32 * 32, "longest_edge": 1280 * 32 * 32}
        ),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**vision),
        chat_template=CHAT_TEMPLATE,
    )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
