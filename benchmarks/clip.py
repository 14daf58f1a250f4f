"""What does a CLIP score cost beyond the model's own computing? Prints one line of JSON.

Headline: our time from image files and texts to all scores (standard and whole-text, of caption and recaption) over
that of the model alone on the very same inputs: decoded, tokenized, cut and batched before the clock starts, padding
left out as we leave it out. `over_padded_model`: the same over `encode_image` and `encode_text` as open_clip has
them, each window padded to the model's context. `pairs_per_s`: of a plain open_clip loop with a DataLoader, which
gives the two standard scores of a figure, and ours with nothing but those. Each way takes turns in every round; the
headline is the median of the rounds' ratios. A pair is one image with its caption and its recaption.

The model is a ViT-B-32 of random weights, which computes as a trained one does. Pairs: figures of the corpus's
bundles as the pipeline draws them, with their captions; for a recaption, this caption and that of the paper's
next figure.
Compare lines from one machine only.

Usage: python benchmarks/clip.py [--model local-dir:FOLDER] [--device cuda] [--pairs 12] [--rounds 3]
"""

import argparse
import gzip
import json
import os
import statistics
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from corpus import require_corpus
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from s1mm_assets.extraction.images import paper_images
from s1mm_assets.extraction.raster import Picture, RasterSettings
from s1mm_assets.metrics.clip_score import ClipScores, Embeddings, Missing, Pair, clip_scores, windows
from s1mm_assets.resources.clip_encoder import ClipEncoder, ClipEncoders, model_pixels
from s1mm_assets.resources.machine import usable_cores
from s1mm_assets.resources.renderers import Renderers
from s1mm_assets_tests.resources.tiny_clip import write_tiny_clip

ARCHITECTURE = "ViT-B-32"
PER_PAPER = 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="", help=f"default: a {ARCHITECTURE} of random weights")
    parser.add_argument("--pretrained", default="")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=12, help="of the corpus; repeated where it has fewer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-rows", type=int, default=64)
    options = parser.parse_args()
    pairs = real_pairs(require_corpus("clip"), options.pairs)
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model
        if not model:
            folder = Path(scratch) / ARCHITECTURE
            model = f"local-dir:{write_tiny_clip(folder, open_clip.get_model_config(ARCHITECTURE))}"
        encoders = ClipEncoders(device=options.device, batch_rows=options.batch_rows)
        encoder = encoders.encoder(model, options.pretrained)
    print(json.dumps(measured(pairs, encoder, options.batch_rows, options.rounds)))


def real_pairs(corpus: Path, n_pairs: int) -> list[Pair]:
    """Return pairs of as many papers as there are, repeated if there are too few, so that papers differ."""
    captions: dict[str, dict[str, str]] = defaultdict(dict)
    for line in (corpus / "gt" / "latex_pairs.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["image"] and row["caption"]:
            captions[row["paper"]].setdefault(Path(row["image"]).name, row["caption"])
    found: list[Pair] = []
    for paper, texts in sorted(captions.items()):
        found += pairs_of(paper, texts, corpus / "latex" / f"{paper}.tar.gz")
        if len(found) >= n_pairs:
            break
    return [found[i % len(found)] for i in range(n_pairs)]


def pairs_of(paper: str, captions: dict[str, str], bundle: Path) -> Iterator[Pair]:
    """Yield a paper's first figures, drawn as the pipeline does."""
    if not bundle.is_file():
        return
    with tarfile.open(fileobj=BytesIO(gzip.decompress(bundle.read_bytes()))) as archive:
        members = {
            Path(member.name).name: opened.read()
            for member in archive
            if Path(member.name).name in captions and (opened := archive.extractfile(member))
        }
    names = [name for name in captions if name in members][:PER_PAPER]
    drawn = paper_images(
        [(name, None) for name in names],
        members,
        renderers=Renderers().pictures(),
        settings=RasterSettings(),
    )
    texts = list(captions.values())
    for name, picture, following in zip_longest(names, drawn, texts[1 : len(names) + 1], fillvalue=""):
        if isinstance(picture, Picture):
            recaption = f"{captions[name]} {following or captions[name]}"
            yield Pair(f"{paper}/{name}", paper, picture.image, captions[name], recaption)


class StandardOnly:
    """`ImageTextEncoder` that sees of each text what the standard score sees, so that nothing more is computed."""

    def __init__(self, encoder: ClipEncoder) -> None:
        self._encoder = encoder
        self.component, self.added_tokens = encoder.component, encoder.added_tokens
        self.window_tokens = encoder.window_tokens
        self.texts, self.images = encoder.texts, encoder.images

    def tokens(self, text: str) -> list[int]:
        """Return as many tokens as fit into one window."""
        return self._encoder.tokens(text)[: self.window_tokens]


class Figures(Dataset):  # type: ignore[misc, type-arg]
    """The usual recipe's data set: opens and transforms a figure when it is its turn."""

    def __init__(self, pairs: Sequence[Pair], encoder: ClipEncoder) -> None:
        self.pairs, self.transform, self.tokenizer = pairs, encoder.transform, encoder.tokenizer

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        pair = self.pairs[i]
        assert pair.image is not None
        image = self.transform(Image.open(BytesIO(pair.image)).convert("RGB"))
        return image, self.tokenizer([pair.caption, pair.recaption])


def plain_loop(pairs: Sequence[Pair], encoder: ClipEncoder, batch_rows: int, n_workers: int) -> Embeddings:
    """Return the standard scores of caption and recaption by the usual recipe, shape (n_pairs, 2)."""
    loader = DataLoader(Figures(pairs, encoder), batch_size=batch_rows, num_workers=n_workers)
    device = next(encoder.model.parameters()).device
    scores = []
    with torch.inference_mode():
        for images, texts in loader:
            n_texts = texts.shape[1]
            pixels = images.to(device, encoder.input_dtype)
            seen = torch.nn.functional.normalize(encoder.model.encode_image(pixels).float(), dim=-1)
            read = encoder.model.encode_text(texts.flatten(0, 1).to(device)).float()
            read = torch.nn.functional.normalize(read, dim=-1).unflatten(0, (-1, n_texts))
            scores.append(2.5 * (read * seen.unsqueeze(1)).sum(-1).clamp(min=0).cpu())
    return np.asarray(torch.cat(scores).numpy())


def model_alone(
    pairs: Sequence[Pair], encoder: ClipEncoder, batch_rows: int, *, is_padded: bool
) -> Callable[[], None]:
    """Prepare every input; return what runs the model on them."""
    pixels = [model_pixels(pair.image, steps=encoder.steps, side_px=encoder.side_px) for pair in pairs]
    sound = [each for each in pixels if not isinstance(each, Missing)]
    assert len(sound) == len(pairs)
    images = [encoder.batch(each) for each in chunks(sound, batch_rows)]
    wanted: dict[tuple[int, ...], None] = {}
    for text in (text for pair in pairs for text in (pair.caption, pair.recaption)):
        tokens = encoder.tokens(text)
        wanted[tuple(tokens[: encoder.window_tokens])] = None
        wanted.update({tuple(window): None for window in windows(tokens, encoder.window_tokens)})
    device = images[0].device
    texts = []
    for each in chunks(sorted(wanted, key=len), batch_rows):
        length = encoder.template.context if is_padded else len(each[-1]) + encoder.added_tokens
        texts.append(
            torch.tensor([encoder.template.framed(window, length) for window in each], device=device)
        )
    encode_text = encoder.model.encode_text if is_padded else encoder.encode_text

    def run() -> None:
        with torch.inference_mode():
            for image in images:
                encoder.model.encode_image(image)
            for tokens in texts:
                encode_text(tokens)
        if device.type == "cuda":
            torch.cuda.synchronize()

    run.n_windows = len(wanted)  # type: ignore[attr-defined]
    return run


def chunks(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield the rows, so many at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def measured(pairs: list[Pair], encoder: ClipEncoder, batch_rows: int, rounds: int) -> dict[str, Any]:
    """Time every way in turns, and check that ours and the plain loop agree."""
    standard = StandardOnly(encoder)
    bare, padded = (model_alone(pairs, encoder, batch_rows, is_padded=flag) for flag in (False, True))
    batches = list(chunks(pairs, batch_rows))
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: list(clip_scores(batches, encoder, seed=0)),
        "model": bare,
        "padded_model": padded,
        "ours_standard": lambda: list(clip_scores(batches, standard, seed=0)),
        "loop": lambda: plain_loop(pairs, encoder, batch_rows, usable_cores()),
    }
    list(clip_scores([pairs[:2]], encoder, seed=0))  # warms up threads and kernels
    seconds: dict[str, list[float]] = defaultdict(list)
    answers: dict[str, Any] = {}
    for _ in range(rounds):
        for way, work in ways.items():
            start = time.perf_counter()
            answers[way] = work()
            seconds[way].append(time.perf_counter() - start)

    def ratio(way: str, over: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[way], seconds[over], strict=True))

    def pairs_per_s(way: str) -> float:
        return round(len(pairs) / statistics.median(seconds[way]), 2)

    return {
        "name": "clip",
        "headline": round(ratio("ours", "model"), 3),
        "goal": 1.15,
        "better": "lower",
        "over_padded_model": round(ratio("ours", "padded_model"), 3),
        "over_plain_loop": round(ratio("ours_standard", "loop"), 3),
        "pairs_per_s": {way: pairs_per_s(way) for way in ("ours", "ours_standard", "loop")},
        "largest_difference_of_standard_scores": difference(answers["ours"], answers["loop"]),
        "pairs": len(pairs),
        "windows": bare.n_windows,  # type: ignore[attr-defined]
        "megapixels": round(sum(megapixels(pair) for pair in pairs) / len(pairs), 2),
        "batch_rows": batch_rows,
        "rounds": rounds,
        "seconds": {way: [round(each, 2) for each in its] for way, its in seconds.items()},
        "model": encoder.component,
        "on": device_name(encoder),
    }


def megapixels(pair: Pair) -> float:
    """Return the size of a pair's image."""
    assert pair.image is not None
    with Image.open(BytesIO(pair.image)) as image:
        return image.width * image.height / 1e6


def device_name(encoder: ClipEncoder) -> str:
    """Return what computed."""
    device = next(encoder.model.parameters()).device
    cores = f"{usable_cores()} cores of {os.cpu_count()}"
    return f"{torch.cuda.get_device_name(device)}, {cores}" if device.type == "cuda" else f"CPU, {cores}"


def difference(batches: Sequence[Sequence[ClipScores]], plain: Embeddings) -> float:
    """Return how far our standard scores are from the plain loop's; transparent images differ by the ground."""
    ours = [[each.caption.standard, each.recaption.standard] for batch in batches for each in batch]
    return float(np.abs(np.array(ours, dtype=np.float64) - plain).max())


if __name__ == "__main__":
    main()
