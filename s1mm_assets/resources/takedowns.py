"""The publisher's list of what must not be released, and what was released without it."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from s1mm_assets.partitions import SOURCES, source_and_year
from s1mm_assets.release.manifest import Manifest
from s1mm_assets.release.takedowns import (
    IMAGE,
    Takedown,
    TakedownError,
    by_shard,
    doi_key,
    paper_key,
    read_takedowns,
    without_effect,
)
from s1mm_assets.resources.settings import Settings, SettingsError
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet

MAX_BYTES = 64 * 2**20
NO_IMAGES = pl.DataFrame(schema={"shard": pl.String, "sha256": pl.String})


class StaleTermsError(Exception):
    """A release's licences or takedowns are not those of the settings; the message says what to do."""


def takedowns(settings: Settings) -> list[Takedown]:
    """Read the list that the settings name; without one, nothing is taken down.

    Raises:
        SettingsError: It is not there, or is no such list. Nothing may be released without it.
    """
    path = settings.release.takedowns
    if not path:
        return []
    try:
        with Path(path).expanduser().open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise TakedownError(f"it is larger than {MAX_BYTES:,} bytes")
        return read_takedowns(data.decode(), SOURCES)
    except (OSError, ValueError) as error:
        raise SettingsError(f"[release] takedowns, {path}: {error}") from error


def terms(settings: Settings) -> dict[str, Any]:
    """Return the terms that the settings release under: licences, and a digest of what is taken down."""
    listed = sorted([each.id, each.reason] for each in takedowns(settings))
    digest = hashlib.sha256(json.dumps(listed).encode()).hexdigest()
    return {**settings.release.licences(), "takedowns": digest}


def takedowns_by_shard(
    store: ShardStore, raw_archives: ShardSet, figures: ShardSet, entries: Sequence[Takedown]
) -> dict[str, dict[str, str]]:
    """Return what each shard of a partition must leave out, as `release.stage` takes it.

    Args:
        store: Holds the tables.
        raw_archives: The partition's handle of that asset.
        figures: Its handle of figure_candidates.
        entries: The whole list.
    """
    if not entries:
        return {}
    source, _ = source_and_year(raw_archives.partition)
    metadata = store.read(raw_archives, "metadata", ["paper_id", "doi"], names_shard=True)
    return by_shard(entries, source, metadata, images_of(store, figures, entries))


def images_of(store: ShardStore, figures: ShardSet, entries: Sequence[Takedown]) -> pl.DataFrame:
    """Return shard and sha256 of a partition's figures; none where no entry names an image."""
    if not any(IMAGE.fullmatch(each.id) for each in entries):
        return NO_IMAGES
    return store.read(figures, "figures", ["sha256"], names_shard=True).drop_nulls()


def released_without(
    store: ShardStore,
    released: ShardSet,
    raw_archives: ShardSet,
    figures: ShardSet,
    entries: Sequence[Takedown],
) -> bool:
    """Whether a partition was released with another list of takedowns than this one."""
    now = takedowns_by_shard(store, raw_archives, figures, entries)
    return any(
        dict(commit.made_from["shard_inputs"]) != now.get(commit.shard, {}) for commit in released.shards
    )


def takedowns_without_effect(
    store: ShardStore, partitions: Iterable[tuple[ShardSet, ShardSet]], entries: Sequence[Takedown]
) -> list[str]:
    """Return the entries that name nothing that is in these partitions: raw_archives and figure_candidates of each."""
    papers: set[str] = set()
    images: set[str] = set()
    for raw_archives, figures in partitions if entries else ():
        source, _ = source_and_year(raw_archives.partition)
        for paper_id, doi in store.read(raw_archives, "metadata", ["paper_id", "doi"]).iter_rows():
            papers.add(paper_key(f"{source}:{paper_id}"))
            if doi:
                papers.add(doi_key(doi))
        images.update(images_of(store, figures, entries)["sha256"])
    return without_effect(entries, papers, images)


def require_current_terms(manifest: Manifest, settings: Settings) -> None:
    """Refuse to pass on a release that was made under other terms than the settings have now.

    Raises:
        StaleTermsError: It was.
    """
    now = terms(settings)
    stale = [name for name, value in now.items() if manifest.dataset.get(name) != value]
    if stale:
        raise StaleTermsError(
            f"the release was made with another {' and '.join(stale)} than the settings have now: release every "
            "partition and publish again (s1mm build), then upload"
        )
