"""How much faster are pseudo-perplexities than one token at a time? Prints one line of JSON.

The headline is the time of the faster of two others over ours, on the same model and texts: the naive loop (mask a
token, run the model, read its probability; one row at a time), and minicons' `MaskedLMScorer`, one text at a time so
that it pads nothing. They take turns, a few texts each, so that a busy machine slows all of them; the models are
loaded and warm before. Without `--model` it is a BERT of SciBERT's shape with random weights: time does not depend
on what the weights are. On a machine that others use, the ratio of CPU times (`cpu_headline`) and one thread
(OMP_NUM_THREADS=1) say more. Texts are captions of the corpus (TeX, as authors wrote it), a seeded sample by length.

minicons is no dependency: `pip install --no-deps --target FOLDER minicons wonderwords`, and FOLDER on PYTHONPATH;
without it only the naive loop is compared.

Usage: python benchmarks/perplexity.py [--texts 12] [--model NAME] [--device cuda] [--precision float32]
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from corpus import require_corpus
from numpy.typing import NDArray
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForMaskedLM

from s1mm_assets.metrics.pseudo_perplexity import MaskedBatch, PseudoPerplexity, pseudo_perplexities
from s1mm_assets.resources.masked_language_model import MaskedLanguageModel, MaskedLanguageModels

N_VOCABULARY = 31_090  # SciBERT's
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROUNDS = 2
MAX_TOKENS = 64  # of a text: the naive loop takes minutes for longer ones
Scorer = Callable[[Sequence[str]], list[float]]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--model", help="a folder or a repository of the Hub")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    captions = captions_of(require_corpus("perplexity"))
    with tempfile.TemporaryDirectory() as scratch:
        name = options.model or random_scibert(Path(scratch), captions)
        models = MaskedLanguageModels(device=options.device, precision=options.precision)
        print(json.dumps(compared(models.model(name), captions, options.texts)))


def captions_of(corpus: Path) -> list[str]:
    """Return the distinct captions of the corpus, shuffled by a fixed seed."""
    lines = (corpus / "gt" / "latex_pairs.jsonl").read_text(encoding="utf-8").splitlines()
    captions = sorted({json.loads(line)["caption"] for line in lines} - {"", None})
    random.Random(0).shuffle(captions)
    return captions


def random_scibert(folder: Path, captions: Sequence[str]) -> str:
    """Write a BERT of SciBERT's shape, with the captions' most frequent words as vocabulary; return its folder."""
    words = Counter(word for caption in captions for word in caption.lower().split() if word.isalpha())
    letters = sorted({letter for caption in captions for letter in caption.lower()})
    known = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    known += [word for word, _ in words.most_common() if len(word) > 1]
    known += [f"[filler{index}]" for index in range(N_VOCABULARY - len(known))]
    torch.manual_seed(0)
    kind: Any = BertForMaskedLM
    kind(BertConfig(vocab_size=N_VOCABULARY, initializer_range=0.1)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(known[:N_VOCABULARY]) + "\n", encoding="utf-8")
    return str(folder)


@dataclass
class Timed:
    """A `MaskedModel` that counts the time that goes into other things than its network."""

    model: MaskedLanguageModel
    other_s: float = 0.0

    def __getattr__(self, name: str) -> Any:
        """Be the model in everything else."""
        return getattr(self.model, name)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenize, and count."""
        begin = time.perf_counter()
        found = self.model.token_ids(texts)
        self.other_s += time.perf_counter() - begin
        return found

    def log_probabilities(self, batches: Iterable[MaskedBatch]) -> Iterator[NDArray[np.float32]]:
        """Score batches, and count what it takes to make them."""
        return self.model.log_probabilities(self._counted(iter(batches)))

    def _counted(self, batches: Iterator[MaskedBatch]) -> Iterator[MaskedBatch]:
        while True:
            begin = time.perf_counter()
            batch = next(batches, None)
            self.other_s += time.perf_counter() - begin
            if batch is None:
                return
            yield batch


def compared(model: MaskedLanguageModel, captions: Sequence[str], n_texts: int) -> dict[str, Any]:
    """Return what the scorers took for the same texts, and how far apart their values are."""
    tokens = [len(ids) for ids in model.token_ids(captions)]
    texts = [text for text, n in zip(captions, tokens, strict=True) if 0 < n <= MAX_TOKENS][:n_texts]
    timed = Timed(model)
    scorers: dict[str, Scorer] = {
        "ours": lambda texts: values(pseudo_perplexities(texts, timed)),
        **others(model),
    }
    seconds, found = dict.fromkeys(scorers, 0.0), {name: list[float]() for name in scorers}
    cpu_seconds = dict.fromkeys(scorers, 0.0)
    for score in scorers.values():
        score(["The first run takes longer than those after it."])
    timed.other_s = 0.0
    for chunk in chunks(texts):
        for name, score in scorers.items():
            begin, cpu_begin = time.perf_counter(), time.process_time()
            found[name] += score(chunk)
            seconds[name] += time.perf_counter() - begin
            cpu_seconds[name] += time.process_time() - cpu_begin
            print(f"{name}: {seconds[name]:.1f} s for {len(found[name])} texts", flush=True)
    fastest_s = min(value for name, value in seconds.items() if name != "ours")
    counts = [len(ids) for ids in model.token_ids(texts)]
    return {
        "name": "perplexity",
        "headline": round(fastest_s / seconds["ours"], 3),
        "goal": 1.5,
        "better": "higher",
        "cpu_headline": round(
            min(value for name, value in cpu_seconds.items() if name != "ours") / cpu_seconds["ours"], 3
        ),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "largest_relative_difference": {
            name: float(np.max(np.abs(np.array(other) / found["ours"] - 1)))
            for name, other in found.items()
            if name != "ours"
        },
        "network_share": round(1 - timed.other_s / seconds["ours"], 4),
        "texts": len(texts),
        "tokens": {"total": sum(counts), "shortest": min(counts), "longest": max(counts)},
        "tokens_scored_per_s": round(sum(counts) / seconds["ours"], 2),
        "minicons": "measured" if "minicons" in scorers else "not installed",
        **circumstances(model),
    }


def chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield `ROUNDS` parts of the texts."""
    for index in range(ROUNDS):
        yield texts[index::ROUNDS]


def others(model: MaskedLanguageModel) -> dict[str, Scorer]:
    """Return the scorers to compare with, on a model of their own: ours has been changed."""
    dtype = getattr(torch, model.precision)
    plain = AutoModelForMaskedLM.from_pretrained(model.name, dtype=dtype).to(model.device).eval()
    tokenizer = AutoTokenizer.from_pretrained(model.name)
    scorers: dict[str, Scorer] = {"naive": lambda texts: [naive(text, plain, tokenizer) for text in texts]}
    try:
        from minicons.scorer import MaskedLMScorer
    except ImportError as error:
        print(f"minicons is not compared: {error}")
        return scorers
    minicons = MaskedLMScorer(plain, device=model.device, tokenizer=tokenizer)
    return scorers | {
        # It is given tokens: its own call of the tokenizer is gone from transformers 5.
        "minicons": lambda texts: [
            float(np.exp(-minicons.sequence_score(tokenizer([text]))[0])) for text in texts
        ]
    }


def naive(text: str, model: Any, tokenizer: Any) -> float:
    """Return the pseudo-perplexity of a text, by the definition."""
    ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.device)
    positions = range(1, ids.shape[1] - 1)
    total = 0.0
    with torch.inference_mode():
        for position in positions:
            masked = ids.clone()
            masked[0, position] = tokenizer.mask_token_id
            logits = model(input_ids=masked).logits[0, position]
            total += float(logits.float().log_softmax(-1)[ids[0, position]])
    return float(np.exp(-total / len(positions)))


def values(results: Sequence[PseudoPerplexity]) -> list[float]:
    """Return the values; every text has one."""
    return [result.value for result in results if result.value is not None]


def circumstances(model: MaskedLanguageModel) -> dict[str, Any]:
    """Return what was measured on."""
    on_gpu = model.device != "cpu"
    config = AutoModelForMaskedLM.from_pretrained(model.name).config
    return {
        "model": f"{config.num_hidden_layers} layers, {config.hidden_size} wide, {config.vocab_size} tokens",
        "precision": model.precision,
        "device": torch.cuda.get_device_name(model.device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
