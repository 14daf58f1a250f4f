"""open_clip models of two layers with random weights: they load, tokenize and answer as real ones, in nonsense."""

import json
from pathlib import Path
from typing import Any

TINY: dict[str, Any] = {  # as OpenAI's: byte pairs, a causal mask, the end token's state
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}

TINY_SIGLIP: dict[str, Any] = {  # as SigLIP's: another tokenizer, no mask, no start token, the last state
    "embed_dim": 16,
    "custom_text": True,
    "vision_cfg": TINY["vision_cfg"],
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 64,
        "width": 32,
        "heads": 2,
        "layers": 2,
        "hf_tokenizer_name": "tiny",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "no_causal_mask": True,
        "pool_type": "last",
    },
}


def write_tiny_clip(folder: Path, config: dict[str, Any] = TINY, seed: int = 0) -> Path:
    """Write a model's configuration and weights to `folder`: the same bytes each time; return the folder."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    towers = {key: value for key, value in config.items() if key != "custom_text"}
    model = (open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP)(**towers)
    folder.mkdir(parents=True, exist_ok=True)
    written = {"model_cfg": config, "preprocess_cfg": {"size": config["vision_cfg"]["image_size"]}}
    (folder / "open_clip_config.json").write_text(json.dumps(written))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def write_letter_tokenizer(folder: Path) -> None:
    """Write a tokenizer of transformers' kind: a token is a letter, and each text ends with </s>."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    letters = {letter: number for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz", 3)}
    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, **letters}, unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    kinds = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **kinds})
    )
