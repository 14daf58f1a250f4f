"""What does it cost to keep a model's servers busy? Prints one line of JSON.

From shards on disk to committed recaptions: decode, resize, encode, window, prompt, request, answer, validation, log
and table, against an imitation server with a fixed latency, whose own CPU is not counted. The headline is our
CPU time per figure over that of the bare decode, resize and encode of the same images with Pillow. Images
within the model's window are sent as they are stored, which the bare loop cannot: so the ratio over those
that must be resized alone is printed too. Real image sizes: the kept figures of the corpus's bundles.

Usage: python benchmarks/recaption_feed.py [--home FOLDER] [--passes 3]
       python benchmarks/recaption_feed.py --memory 100000
"""

import argparse
import hashlib
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
from corpus import require_corpus
from end_to_end import S1MM, environment, pack
from PIL import Image

from s1mm_assets import recaptioning
from s1mm_assets.recaptioning import CaptionJob, CaptionRequest, Mention, RecaptionSettings, SemanticWindow
from s1mm_assets.recaptioning.request import PNG_LEVEL, ModelImage, model_size
from s1mm_assets.resources.captioners.service import Service
from s1mm_assets.resources.captioners.vllm import VllmCaptioner
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.resources.worker_pool import WorkerPool
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Decision, FigureCandidate, Paper, columns_of

SETTINGS = RecaptionSettings(engine="vllm", model="imitation", model_revision="0")
IN_FLIGHT = 64
LATENCY_S = 2.0
PARTITION = "arxiv|2019"
H100S, FIGURES_PER_S = 8, 20.0  # what one pod should feed, and how fast each of them may be


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="keep the store here, and take it from here the next time")
    parser.add_argument("--passes", type=int, default=3, help="how often every figure is described")
    parser.add_argument("--memory", type=int, default=0, help="instead: is memory flat over so many figures?")
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(memory(options.memory)))
        return
    require_corpus("recaption_feed")
    with tempfile.TemporaryDirectory() as scratch:
        store = built(options.home or Path(scratch))
        print(json.dumps(feed(store, options.passes)))


def built(home: Path) -> ShardStore:
    """Return a store with the corpus's figures, filtered."""
    store = ShardStore(uri=str(home / "store"))
    if not store.partitions("filtered_figures"):
        sources = pack(home / "sources")
        env = environment(sources, home)
        subprocess.run([S1MM, "build"], env=env, check=True, stdout=subprocess.DEVNULL)
    return store


@contextmanager
def imitation(latency_s: float) -> Iterator[str]:
    """An imitation server in a process of its own; gives its address."""
    command = ["-m", "s1mm_assets_tests.imitations.vllm_server", "--latency-s", str(latency_s)]
    root = Path(__file__).parents[1]
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, cwd=root) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().decode().strip()}"
        finally:
            server.kill()


def service(url: str) -> Service:
    """The imitation as a service."""
    return Service(
        model=SETTINGS.model, urls=[url], in_flight_per_server=IN_FLIGHT, log=logging.getLogger("service")
    )


def merged(store: ShardStore, into: ShardStore) -> list[ShardSet]:
    """Return the kept figures of all partitions as one shard: a shard has thousands of figures, the corpus hundreds."""
    keys = store.partitions("filtered_figures")
    whole = {"papers": Paper, "figures": FigureCandidate}

    def make(asset: str, table: str, row: type, writer: ShardWriter) -> None:
        for key in keys:
            handle = store.pinned(asset, key)
            assert handle is not None
            for rows in store.scan(handle, table, columns_of(row)):
                writer.write(table, rows)

    def make_candidates(_: ShardReader, writer: ShardWriter) -> None:
        for table, row in whole.items():
            make("figure_candidates", table, row, writer)

    def make_decisions(_: ShardReader, writer: ShardWriter) -> None:
        make("filtered_figures", "decisions", Decision, writer)

    stages = (
        Stage(asset="figure_candidates", version="bench", tables=whole, make=make_candidates),
        Stage(asset="filtered_figures", version="bench", tables={"decisions": Decision}, make=make_decisions),
    )
    return [into.derive(stage, PARTITION, shards=["all"]) for stage in stages]


def feed(store: ShardStore, passes: int) -> dict[str, Any]:
    """Describe every kept figure of the store so often, and compare with the bare work."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        WorkerPool() as workers,
        imitation(LATENCY_S) as url,
        service(url) as servers,
    ):
        target = ShardStore(uri=scratch)
        inputs = merged(store, target)
        bare_s, bare_resized_s, n_images, n_resized = bare(target, inputs)
        list(workers.map(len, [b"warm"] * 8))
        start_s, main_start_s, wall = cpu_s(), time.process_time(), time.perf_counter()
        figures = 0
        for number in range(passes):
            captioner = VllmCaptioner(
                replace(SETTINGS, seed=number), store=target, service=servers, map_items=workers.map
            )
            made = target.derive(recaptioning.stage(captioner), PARTITION, inputs=inputs)
            figures += made.n_rows("recaptions")
        wall_s = time.perf_counter() - wall
        spent_s, main_s = cpu_s() - start_s, time.process_time() - main_start_s
    per_figure_s = spent_s / figures
    return {
        "name": "recaption_feed",
        "headline": round(per_figure_s / (bare_s / n_images), 3),
        "goal": 1.4,
        "better": "lower",
        "unit": "CPU per figure / bare decode + resize + encode",
        "figures": figures,
        "images": n_images,
        "resized_share": round(n_resized / n_images, 3),
        "cpu_ms_per_figure": round(1e3 * per_figure_s, 2),
        "bare_ms_per_figure": round(1e3 * bare_s / n_images, 2),
        "over_bare_of_resized_alone": round(spent_s / passes / bare_resized_s, 3),
        "main_process_ms_per_figure": round(1e3 * main_s / figures, 2),
        "figures_per_s_per_core": round(1 / per_figure_s, 1),
        "figures_per_s_of_one_main_process": round(figures / main_s, 1),
        "cores_for_8_h100": round(H100S * FIGURES_PER_S * per_figure_s, 1),
        "wall_s": round(wall_s, 1),
    }


def bare(store: ShardStore, inputs: list[ShardSet]) -> tuple[float, float, int, int]:
    """Return the CPU seconds of decode, resize and encode of all kept images, of those resized, and both numbers."""
    [candidates, decisions] = inputs
    decided = store.read(decisions, "decisions", ["figure_id", "rejection"])
    kept = decided.filter(decided["rejection"].is_null())["figure_id"]
    total = resized = 0.0
    n_images = n_resized = 0
    for rows in store.scan(candidates, "figures", ["figure_id", "image"]):
        for (image,) in rows.filter(rows["figure_id"].is_in(kept.implode())).select("image").iter_rows():
            start = time.process_time()
            is_resized = once(image, SETTINGS.image)
            spent = time.process_time() - start
            total, n_images = total + spent, n_images + 1
            if is_resized:
                resized, n_resized = resized + spent, n_resized + 1
    return total, resized, n_images, n_resized


def once(data: bytes, window: ModelImage) -> bool:
    """Decode, resize to the model's size and encode one image; whether its size changed."""
    with Image.open(BytesIO(data)) as image:
        target = model_size(image.size, window)
        drawn = image if image.mode in ("L", "RGB") else image.convert("RGB")
        drawn = drawn.resize(target, Image.Resampling.BICUBIC)
        if image.format == "JPEG":
            drawn.save(BytesIO(), "JPEG", quality=92)
        else:
            drawn.save(BytesIO(), "PNG", compress_level=PNG_LEVEL)
        return target != image.size


def cpu_s() -> float:
    """CPU seconds of this process and its workers; not of the imitation server."""
    me = psutil.Process()
    total = sum(me.cpu_times()[:2])
    for child in me.children(recursive=True):
        if not any("imitations" in part for part in child.cmdline()):
            total += sum(child.cpu_times()[:2])
    return total


def memory(n_figures: int) -> dict[str, Any]:
    """Describe so many small figures in shards of 2,000, and look at this process's memory on the way."""
    rss: list[float] = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        WorkerPool() as workers,
        imitation(0.0) as url,
        service(url) as servers,
    ):
        store = ShardStore(uri=scratch)
        captioner = VllmCaptioner(SETTINGS, store=store, service=servers, map_items=workers.map)
        for first in range(0, n_figures, 2_000):
            job = CaptionJob(partition="arxiv|2019", shard=f"chunk_{first}", n_figures=2_000)
            n_answers = sum(
                1 for _ in captioner.caption(synthetic(first, min(2_000, n_figures - first)), job)
            )
            assert n_answers == min(2_000, n_figures - first)
            rss.append(psutil.Process().memory_info().rss / 2**20)
            print(f"{first + n_answers:,} figures: {rss[-1]:.0f} MiB", file=sys.stderr, flush=True)
    early, late = max(rss[1 : max(2, len(rss) // 5)]), max(rss[-max(1, len(rss) // 5) :])
    return {
        "name": "recaption_memory",
        "headline": round(late / early, 3),
        "goal": 1.1,
        "better": "lower",
        "unit": "peak resident memory of the last fifth / of the second to the first fifth",
        "figures": n_figures,
        "early_mib": round(early),
        "late_mib": round(late),
    }


def synthetic(first: int, number: int) -> Iterator[CaptionRequest]:
    """Yield figures with images within the model's window and windows of a usual size."""
    file = BytesIO()
    Image.effect_noise((640, 480), 4).save(file, "PNG")
    words = random.Random(first).choices(["mass", "field", "cell", "phase", "model", "energy"], k=400)
    text = " ".join(words)
    for i in range(first, first + number):
        yield CaptionRequest(
            figure_id=f"arxiv:p{i // 6}#{i % 6 + 1}.1",
            paper_id=f"p{i // 6}",
            window=SemanticWindow(
                title=f"Paper {i // 6}",
                abstract=text[:1_200],
                figure_number=str(i % 6 + 1),
                caption=f"Caption number {i}. {text[:200]}",
                mentions=(Mention("Results", f"Figure {i % 6 + 1} shows the {text[:800]}."),) * 2,
            ),
            image=file.getvalue() + i.to_bytes(8, "big"),  # a picture of its own each
            image_sha256=hashlib.sha256(str(i).encode()).hexdigest(),
        )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
