"""What must be true of a partition's pieces before they are published."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

import dagster as dg
import polars as pl

from s1mm_assets.checks.conservation import conserved, guard, materialized, none_of
from s1mm_assets.release.image_archives import END, ArchiveError, Joined, members
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import Commit, ShardSet

ASSET = "hf_release"
IMAGES = "images.tar.gz"
MEMBER = pl.Schema({"image_path": pl.String, "image_sha256": pl.String})


@dg.multi_asset_check(
    specs=[
        guard(ASSET, "every_metric_has_one_record", "Nothing measured is lost at the last door."),
        guard(
            ASSET,
            "records_and_archive_agree",
            "Each record's image is a member of the image archive with the same sha256; no member is an orphan.",
        ),
        guard(ASSET, "image_paths_are_unique", "An image path names one image."),
    ]
)
def hf_release_holds(
    context: dg.AssetCheckExecutionContext, store: ShardStore
) -> Iterator[dg.AssetCheckResult]:
    """What is released joins to the byte; what is not, says why."""
    metrics = store.read(materialized(store, "quality_metrics", context), "metrics", ["figure_id"])
    pieces = materialized(store, ASSET, context)
    columns = ["figure_id", "image_path", "image_sha256", "rejection"]
    records = store.read(pieces, "records", columns)
    released = records.filter(pl.col("rejection").is_null())

    yield conserved("every_metric_has_one_record", metrics["figure_id"], records["figure_id"])
    yield records_and_archive_agree(released, archived(store, pieces))
    repeated = released.filter(pl.col("image_path").is_duplicated())
    yield none_of("image_paths_are_unique", repeated, n_released=len(released))


def records_and_archive_agree(released: pl.DataFrame, in_archive: pl.DataFrame) -> dg.AssetCheckResult:
    """Names and digests of both sides are equal."""
    promised = released.select("image_path", "image_sha256")
    absent = promised.join(in_archive, on=list(MEMBER), how="anti", nulls_equal=True)
    orphans = in_archive.join(promised, on=list(MEMBER), how="anti", nulls_equal=True)
    wrong = pl.concat(
        [absent.with_columns(what=pl.lit("not archived")), orphans.with_columns(what=pl.lit("orphan"))]
    )
    return none_of("records_and_archive_agree", wrong, n_released=len(released), n_archived=len(in_archive))


def archived(store: ShardStore, pieces: ShardSet) -> pl.DataFrame:
    """Read the image archives of a partition to their end: one row per member."""
    rows = [row for commit in pieces.shards if IMAGES in commit.files for row in members_of(store, commit)]
    return pl.DataFrame(rows, schema=MEMBER, orient="row")


def members_of(store: ShardStore, commit: Commit) -> Iterator[tuple[str, str]]:
    """Yield name and digest of every image of one shard; what cannot be read counts as an orphan."""
    parts: list[Callable[[], BinaryIO]] = [partial(store.open_file, commit, IMAGES), partial(io.BytesIO, END)]
    try:
        for member in members(io.BufferedReader(Joined(iter(parts)))):
            yield member.name, member.sha256
    except ArchiveError as error:
        yield f"{commit.shard}: {error}", ""
