"""What do real vLLM servers make of our requests? Prints one line of JSON. Runs in the environment of `make test-vllm`.

Without a GPU: a tiny random Qwen3-VL on the CPU, with a key-value cache that holds a small share of the requests, as an
H100's holds of a year's: the share of prompt tokens that the prefix cache serves, in the order in which the pipeline
asks (paper by paper) against shuffled figures.

With a GPU and --full-size: a Qwen3-VL-8B with random weights (vLLM's load format "dummy": no weights are
downloaded; a trained one answers as fast), served as the pipeline serves it: figures and tokens per second and GPU.

Usage: .venv-vllm/bin/python benchmarks/recaption_servers.py [--papers 40] [--full-size]

On a machine without CUDA first: export VLLM_CPU_KVCACHE_SPACE=1
PYTHONPATH=s1mm_assets_tests/torchvision_shim:s1mm_assets_tests/vllm/command_metadata
"""

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
import time
from base64 import b64encode
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests make the tiny model

from s1mm_assets.recaptioning import Mention, SemanticWindow
from s1mm_assets.recaptioning.prompt import Prompt
from s1mm_assets.recaptioning.request import Sampling, body_bytes
from s1mm_assets.resources.captioners.chat_servers import ChatServers
from s1mm_assets.resources.captioners.own_servers import OwnServers, ServerPlan
from s1mm_assets.resources.captioners.server_plan import visible_gpus
from s1mm_assets.resources.captioners.throughput import PREFIX_HITS, PREFIX_QUERIES

VLLM = (str(Path(sys.executable).with_name("vllm")), "serve")
# vLLM 0.32 on a CPU dies of a prompt that is read in parts and has a seed.
CPU_ARGUMENTS = ("--enforce-eager", "--max-num-batched-tokens", "32768", "--max-num-seqs", "4")
FIGURES_PER_PAPER = 6  # 15.5 million of 2.5 million papers
ANSWER_TOKENS = 200  # what 760 characters of such prose have, about
SAMPLING = Sampling(temperature=0.2, top_p=0.9, repetition_penalty=1.05, max_tokens=ANSWER_TOKENS, seed=0)
QWEN3_VL_8B = {
    "text_config": {
        "vocab_size": 151_936,
        "hidden_size": 4_096,
        "intermediate_size": 12_288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 262_144,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 5_000_000.0,
            "mrope_section": [24, 20, 20],
            "mrope_interleaved": True,
        },
    },
    "vision_config": {
        "depth": 27,
        "hidden_size": 1_152,
        "intermediate_size": 4_304,
        "num_heads": 16,
        "out_hidden_size": 4_096,
        "num_position_embeddings": 2_304,
        "deepstack_visual_indexes": [8, 16, 24],
    },
    "torch_dtype": "bfloat16",
}
"""The sizes of Qwen/Qwen3-VL-8B-Instruct; what is not named stays as in the tiny model's config."""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--papers", type=int, default=40)
    parser.add_argument(
        "--full-size", action="store_true", help="a Qwen3-VL-8B with random weights, on a GPU"
    )
    options = parser.parse_args()
    name = "recaption_gpu" if options.full_size else "prefix_sharing"
    try:
        import vllm
    except ImportError:
        say_skipped(
            name, "vLLM is not installed: run it with .venv-vllm/bin/python (make test-vllm makes it)"
        )
        return
    if options.full_size and not visible_gpus():
        say_skipped(name, "no GPU is visible: this needs one with 24 GiB or more")
        return
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model"
        make_model(model, is_full_size=options.full_size)
        measured = (
            full_size(model, options.papers) if options.full_size else prefix_sharing(model, options.papers)
        )
    print(json.dumps({"name": name, **measured, "vllm": vllm.__version__}))


def say_skipped(name: str, why: str) -> None:
    """Print a line that says what is missing."""
    print(json.dumps({"name": name, "skipped": why}))


def make_model(folder: Path, *, is_full_size: bool) -> None:
    """Write a model's folder; of the full size its config alone, the weights are made up by vLLM."""
    from s1mm_assets_tests.vllm import tiny_model

    tiny_model.make(folder)
    if is_full_size:
        config = json.loads((folder / "config.json").read_text())
        for section, values in QWEN3_VL_8B.items():
            config[section] = {**config[section], **values} if isinstance(values, dict) else values
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").unlink()


def requests(
    n_papers: int, *, words: int, size_px: tuple[int, int], model: str, sampling: Sampling
) -> list[tuple[str, bytes]]:
    """Return (paper, request) of every figure, paper by paper."""
    prompt = Prompt.load("describe-1")
    found = []
    for paper in range(n_papers):
        text = random.Random(paper)
        vocabulary = ["the", "measured", "rate", "rises", "with", "temperature", "in", "kelvin", "baseline"]
        abstract = " ".join(text.choices(vocabulary, k=words)) + f" {paper}."
        for number in range(1, FIGURES_PER_PAPER + 1):
            said = " ".join(text.choices(vocabulary, k=words))
            window = SemanticWindow(
                title=f"On the rate {paper}",
                abstract=abstract,
                figure_number=str(number),
                caption=said[:200],
                mentions=(Mention("Results", f"Figure {number} shows {said}."),),
            )
            seed = paper * FIGURES_PER_PAPER + number
            url = b"data:image/png;base64," + b64encode(picture(seed, size_px))
            found.append((str(paper), body_bytes(model, prompt.fill(window), sampling, url)))
    return found


def picture(seed: int, size_px: tuple[int, int]) -> bytes:
    """A plot-like PNG, another for each seed."""
    shade = random.Random(seed)
    image = Image.new("RGB", size_px, "white")
    for _ in range(12):
        at = (shade.randrange(size_px[0]), shade.randrange(size_px[1]))
        image.paste((shade.randrange(256), 80, 120), (*at, at[0] + size_px[0] // 8, at[1] + size_px[1] // 8))
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


async def asked(servers: ChatServers, todo: list[tuple[str, bytes]]) -> tuple[float, dict[str, float]]:
    """Ask everything; return the seconds it took and by how much the servers' counters rose."""
    before = await servers.metrics()
    start = time.perf_counter()
    await asyncio.gather(*(servers.ask(body, group=paper) for paper, body in todo))
    seconds = time.perf_counter() - start
    after = await servers.metrics()
    return seconds, {name: value - before.get(name, 0.0) for name, value in after.items()}


def prefix_sharing(model: Path, n_papers: int) -> dict[str, Any]:
    """Return the share of prompt tokens that the prefix cache served, in order and shuffled."""
    short = replace(SAMPLING, max_tokens=4)  # the answers do not matter here
    todo = requests(n_papers, words=250, size_px=(320, 256), model=str(model), sampling=short)
    shuffled = random.Random(0).sample(todo, len(todo))
    shares, seconds = {}, 0.0
    for order, bodies in (("in_order", todo), ("shuffled", shuffled)):
        shares[order], spent_s = asyncio.run(cached_share(model, bodies))
        seconds += spent_s
    return {
        "headline": round(shares["in_order"] / max(1e-9, shares["shuffled"]), 3),
        "goal": 1.05,
        "better": "higher",
        "unit": "cached share of prompt tokens, paper by paper over shuffled",
        **{name: round(share, 3) for name, share in shares.items()},
        "figures": len(todo),
        "seconds": round(seconds, 1),
        "model": "tiny random Qwen3-VL on the CPU",
    }


async def cached_share(model: Path, todo: list[tuple[str, bytes]]) -> tuple[float, float]:
    """Ask a fresh server, whose cache holds about a dozen requests."""
    plan = ServerPlan(
        command=VLLM,
        model=str(model),
        dtype="float32",
        max_model_len=4_096,
        replicas=1,
        gpu_memory_utilization=0.5,
        extra_arguments=(*CPU_ARGUMENTS, "--block-size", "32", "--num-gpu-blocks-override", "600"),
    )
    with OwnServers(plan, log=logging.getLogger("servers")) as own:
        servers = ChatServers(own.urls, model=str(model), api_key=own.api_key, in_flight_per_server=4)
        seconds, rose = await asked(servers, todo)
        await servers.close()
    return rose[PREFIX_HITS] / rose[PREFIX_QUERIES], seconds


def full_size(model: Path, n_papers: int) -> dict[str, Any]:
    """Return figures and tokens per second and GPU of a full-size model."""
    plan = ServerPlan(
        command=VLLM,
        model=str(model),
        extra_arguments=("--load-format", "dummy"),
    )
    # Of 1,280 tokens, the most that an image is sent with; windows of a usual length.
    todo = requests(n_papers, words=400, size_px=(1_280, 1_024), model=str(model), sampling=SAMPLING)
    with OwnServers(plan, log=logging.getLogger("servers")) as own:
        n_gpus = own.n_gpus or 1

        async def measure() -> tuple[float, dict[str, float]]:
            servers = ChatServers(own.urls, model=str(model), api_key=own.api_key, in_flight_per_server=128)
            await asked(servers, todo[: 4 * FIGURES_PER_PAPER])  # warm
            found = await asked(servers, todo[4 * FIGURES_PER_PAPER :])
            await servers.close()
            return found

        seconds, rose = asyncio.run(measure())
    n_figures = len(todo) - 4 * FIGURES_PER_PAPER
    return {
        "headline": round(n_figures / seconds / n_gpus, 2),
        "goal": 20.0,
        "better": "higher",
        "unit": "figures/s per GPU",
        "figures": n_figures,
        "prompt_tokens_per_s": round(rose.get("vllm:prompt_tokens_total", 0.0) / seconds / n_gpus),
        "completion_tokens_per_s": round(rose.get("vllm:generation_tokens_total", 0.0) / seconds / n_gpus),
        "prefix_cache_hit_rate": round(rose[PREFIX_HITS] / rose[PREFIX_QUERIES], 3),
        "gpu_s_per_1000_figures": round(1_000 * n_gpus * seconds / n_figures, 1),
        "gpus": n_gpus,
        "model": "Qwen3-VL-8B, random weights",
    }


if __name__ == "__main__":
    main()
