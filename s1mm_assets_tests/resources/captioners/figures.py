"""A store with kept figures to describe, made by the tests, and a process that describes them."""

import hashlib
import io
import logging
import sys
from typing import Any

import numpy as np
from PIL import Image

from s1mm_assets import recaptioning
from s1mm_assets.recaptioning import RecaptionSettings
from s1mm_assets.resources.captioners.chat_servers import Patience
from s1mm_assets.resources.captioners.service import Service
from s1mm_assets.resources.captioners.vllm import VllmCaptioner
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Decision, FigureCandidate, FigureText, Paper, frame_of
from s1mm_assets_tests.fakes import map_here
from s1mm_assets_tests.strategies import figure

PARTITION = "arxiv|2019"
SHARDS = ("chunk_001", "chunk_002")
FIGURES_PER_PAPER = 3
SETTINGS = RecaptionSettings(engine="vllm", model="tiny", model_revision="abc123", min_image_tokens=16)
IN_FLIGHT = 8


def picture(number: int, size_px: tuple[int, int] = (160, 128)) -> bytes:
    """A small PNG, another for each number."""
    file = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 255, (size_px[1], size_px[0]), dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def candidates(n_figures: int, captions: dict[int, str]) -> Stage:
    """A stage that writes shards of papers with three figures each."""

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        papers = []
        for number in range(n_figures):
            paper_id = f"{reader.shard}-{number // FIGURES_PER_PAPER}"
            image = picture(number)
            row = figure(
                f"arxiv:{paper_id}#{number % FIGURES_PER_PAPER + 1}.1",
                paper_id=paper_id,
                figure_number=str(number % FIGURES_PER_PAPER + 1),
                caption=captions.get(number, f"Caption number {number} of {reader.shard}."),
                image=image,
                sha256=hashlib.sha256(image).hexdigest(),
            )
            writer.write("figures", frame_of(FigureCandidate, [row]))
            if number % FIGURES_PER_PAPER == 0:
                papers.append(paper(paper_id))
        writer.write("papers", frame_of(Paper, papers))

    return Stage(
        asset="figure_candidates",
        version="1",
        tables={"papers": Paper, "figures": FigureCandidate},
        make=make,
        settings={"n": n_figures},
    )


def paper(paper_id: str) -> Paper:
    """A paper with a title and nothing else."""
    counts: dict[str, Any] = {"authors": [], "warnings": [], "n_figures": 3, "n_rows": 3, "n_images": 3}
    values = {**dict.fromkeys(Paper.__dataclass_fields__), **counts}
    return Paper(**{**values, "paper_id": paper_id, "title": f"On the matter of {paper_id}"})


def decisions() -> Stage:
    """A stage that keeps every figure."""

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        nothing: dict[str, Any] = dict.fromkeys(Decision.__dataclass_fields__)
        for group in reader.scan("figure_candidates", "figures"):
            rows = [Decision(**{**nothing, "figure_id": a, "paper_id": b}) for a, b in group.iter_rows()]
            writer.write("decisions", frame_of(Decision, rows))

    return Stage(
        asset="filtered_figures",
        version="1",
        tables={"decisions": Decision, "texts": FigureText},
        make=make,
        reads={"figure_candidates": {"figures": ("figure_id", "paper_id")}},
    )


def kept_figures(store: ShardStore, n_figures: int, captions: dict[int, str] | None = None) -> None:
    """Put shards with this many kept figures each into a store."""
    made = store.derive(candidates(n_figures, captions or {}), PARTITION, shards=SHARDS)
    store.pin(made)
    store.pin(store.derive(decisions(), PARTITION, inputs=[made]))


def service(*urls: str, **patience: Any) -> Service:
    """Servers by their addresses, asked with little patience."""
    quick = {"first_pause_s": 0.01, "most_pause_s": 0.05, "outage_after_s": 1.0, "request_timeout_s": 5.0}
    return Service(
        model=SETTINGS.model,
        urls=urls,
        in_flight_per_server=IN_FLIGHT,
        patience=Patience(**{**quick, **patience}),
        log=logging.getLogger("service"),
    )


def describe(store: ShardStore, service: Service, settings: RecaptionSettings = SETTINGS) -> ShardSet:
    """Describe every kept figure of the store, as the asset does."""
    return derived(store, VllmCaptioner(settings, store=store, service=service, map_items=map_here))


def derived(store: ShardStore, captioner: VllmCaptioner) -> ShardSet:
    """Make the recaptions of the store with an engine."""
    inputs = [store.pinned(asset, PARTITION) for asset in ("figure_candidates", "filtered_figures")]
    stage = recaptioning.stage(captioner)
    return store.derive(stage, PARTITION, inputs=[each for each in inputs if each is not None])


if __name__ == "__main__":
    uri, url = sys.argv[1:]
    with service(url, outage_after_s=60.0) as opened:
        print(describe(ShardStore(uri=uri), opened).digest(), flush=True)
