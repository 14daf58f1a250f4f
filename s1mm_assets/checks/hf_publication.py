"""What must be true of a publication before anyone is pointed to it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dagster as dg
import polars as pl

from s1mm_assets.checks.conservation import none_of
from s1mm_assets.release.papers import IMAGE
from s1mm_assets.release.verify import verify
from s1mm_assets.resources.dataset_loader import DatasetLoader
from s1mm_assets.resources.release_folder import ReleasePlace
from s1mm_assets.resources.release_pieces import StoredPieces
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.takedowns import takedowns
from s1mm_assets.tables import Rejection

ASSET = "hf_publication"
EXAMPLES = 20
BANS = (Rejection.WITHDRAWN, Rejection.RETRACTED, Rejection.TAKEN_DOWN)


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "the_release_verifies",
            asset=ASSET,
            blocking=True,
            description="Every file is as the manifest says; records, archives and Parquet join.",
        ),
        dg.AssetCheckSpec(
            "no_image_is_released_twice",
            asset=ASSET,
            blocking=True,
            description="Over all partitions, the images of the records are different files.",
        ),
        dg.AssetCheckSpec(
            "datasets_reads_the_release",
            asset=ASSET,
            blocking=True,
            description="load_dataset reads the folder and gives back the same rows.",
        ),
        dg.AssetCheckSpec(
            "takedowns_take_effect",
            asset=ASSET,
            description="Each entry of the list names something that there is; no such image stands in another paper.",
        ),
    ]
)
def hf_publication_holds(
    context: dg.AssetCheckExecutionContext,
    release_folder: ReleasePlace,
    store: ShardStore,
    settings: Settings,
) -> Iterator[dg.AssetCheckResult]:
    """The release is whole, joins, holds every image once, and loads."""
    released = released_images(store)
    repeated = released.filter(pl.col("image_sha256").is_duplicated())
    yield none_of("no_image_is_released_twice", repeated.drop("image_sha256"), n_released=len(released))
    problems = verify(release_folder.published())
    yield dg.AssetCheckResult(
        check_name="the_release_verifies",
        passed=not problems,
        metadata={
            "n_problems": len(problems),
            "what_to_do": "remove the files that are named, and publish again: they are made anew",
            "problems": [f"{each.kind} {each.path}: {each.detail}" for each in problems[:EXAMPLES]],
        },
    )
    yield datasets_reads_the_release(release_folder.local_root, context.log.info)
    unmet = StoredPieces(store, settings).takedowns_without_effect(takedowns(settings))
    yield takedowns_take_effect(released, banned_images(store), unmet)


def takedowns_take_effect(
    released: pl.DataFrame, banned: pl.DataFrame, unmet: Sequence[str]
) -> dg.AssetCheckResult:
    """No entry is without effect, and what is kept back in one paper does not stand in another."""
    shown = released.join(banned, on="image_sha256", how="semi")
    return dg.AssetCheckResult(
        check_name="takedowns_take_effect",
        passed=not unmet and shown.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "n_without_effect": len(unmet),
            "without_effect": list(unmet[:EXAMPLES]),
            "n_shown_elsewhere": len(shown),
            "shown_elsewhere": shown["figure_id"].head(EXAMPLES).to_list(),
            "what_to_do": "correct the entries; to keep an image out of every paper, list it as sha256:…",
        },
    )


def datasets_reads_the_release(folder: Path | None, report: Callable[[str], None]) -> dg.AssetCheckResult:
    """`datasets` gives back every row; not evaluated where the release is in no local folder."""
    name = "datasets_reads_the_release"
    if folder is None:
        why = "not evaluated: the release is in an object store. Load it from the Hub, or publish it in a folder"
        return dg.AssetCheckResult(
            check_name=name, passed=False, severity=dg.AssetCheckSeverity.WARN, metadata={"why": why}
        )
    differences = DatasetLoader().differences(folder, report)
    return dg.AssetCheckResult(
        check_name=name,
        passed=not differences,
        metadata={"n_differences": len(differences), "differences": differences[:EXAMPLES]},
    )


def banned_images(store: ShardStore) -> pl.DataFrame:
    """Return figure_id and image_sha256 (bytes) of what is withdrawn, retracted or taken down."""
    return images_where(store, pl.col("rejection").is_in([each.value for each in BANS]))


def released_images(store: ShardStore) -> pl.DataFrame:
    """Return figure_id and image_sha256 (bytes) of every record with image, of all partitions."""
    return images_where(store, pl.col("released_as") == IMAGE)


def images_where(store: ShardStore, condition: pl.Expr) -> pl.DataFrame:
    """Return figure_id and image_sha256 (bytes) of some rows of hf_release, of all partitions."""
    handles = [
        handle for key in store.partitions("hf_release") if (handle := store.pinned("hf_release", key))
    ]
    frames = [
        rows.filter(condition & pl.col("image_sha256").is_not_null()).select(
            "figure_id", pl.col("image_sha256").str.decode("hex")
        )
        for handle in handles
        for rows in store.scan(handle, "records", ["figure_id", "image_sha256", "released_as", "rejection"])
    ]
    none = pl.DataFrame(schema={"figure_id": pl.String, "image_sha256": pl.Binary})
    return pl.concat([none, *frames])
