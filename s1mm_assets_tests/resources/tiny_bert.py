"""Masked language models of two small layers with random weights: they load and tokenize as real ones."""

import string
from pathlib import Path
from typing import Any

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("the", "figure", "shows", "a", "curve", "of", "energy", "against", "time", "in", "model", "data")
PIECES = tuple(string.ascii_lowercase + string.digits + string.punctuation)
VOCABULARY = tuple(dict.fromkeys((*SPECIAL, *WORDS, *PIECES, *(f"##{piece}" for piece in PIECES))))


def make(folder: Path, *, n_positions: int = 64, seed: int = 0) -> Path:
    """Write a BERT and its vocabulary to a folder: the same weights each time; return the folder.

    Args:
        folder: Is made.
        n_positions: Its window, special tokens included.
        seed: Of its weights, which are spread wide, so that no two tokens are about as likely.
    """
    bert(n_positions=n_positions, seed=seed).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return folder


def bert(*, n_positions: int = 64, seed: int = 0) -> Any:
    """Return the model itself."""
    import torch
    import transformers

    bert_for_masked_lm: Any = transformers.BertForMaskedLM  # its initializer has no types
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=n_positions,
        initializer_range=0.3,
    )
    return with_biases(bert_for_masked_lm(config).eval())


def with_biases(model: Any) -> Any:
    """Return a model with random biases, as a trained one has them; they begin as zero."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(std=0.3)
    return model
