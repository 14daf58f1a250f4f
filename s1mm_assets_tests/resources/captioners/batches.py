"""Batches of requests about stored figures, and results as a cluster elsewhere would give them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from s1mm_assets.recaptioning import RecaptionSettings
from s1mm_assets.resources.captioners.vllm import VllmCaptioner
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets_tests.fakes import map_here
from s1mm_assets_tests.imitations.vllm_server import completion
from s1mm_assets_tests.resources.captioners import figures
from s1mm_assets_tests.resources.captioners.figures import SETTINGS, SHARDS, service

N_FIGURES = 7
N_ALL = N_FIGURES * len(SHARDS)
MAX_BYTES = 1 << 20
NOWHERE = "http://127.0.0.1:9"


def store_of_figures(folder: Path) -> ShardStore:
    """A store with kept figures in two shards."""
    store = ShardStore(uri=str(folder / "store"))
    figures.kept_figures(store, N_FIGURES)
    return store


def engine(store: ShardStore, settings: RecaptionSettings = SETTINGS, **changes: Any) -> VllmCaptioner:
    """The engine, which no server is there for."""
    return VllmCaptioner(
        settings, **{"store": store, "service": service(NOWHERE), "map_items": map_here, **changes}
    )


def requests_in(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """The requests of some files."""
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def answered(request: dict[str, Any], fault: str | None = None) -> dict[str, Any]:
    """A line of what vllm run-batch writes."""
    body = completion(request["body"], hashlib.sha256(request["custom_id"].encode()).hexdigest(), fault)
    response = {"status_code": 200, "request_id": "vllm-batch-1", "body": body}
    return {"id": "vllm-1", "custom_id": request["custom_id"], "response": response, "error": None}


def write_results(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write results as a file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
