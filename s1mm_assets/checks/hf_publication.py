"""What must be true of a publication before anyone is pointed to it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dagster as dg
import polars as pl

from s1mm_assets.checks.guards import Guard, reported, specs
from s1mm_assets.checks.results import none_of, not_evaluated, some_of_each
from s1mm_assets.release.papers import IMAGE
from s1mm_assets.resources.release_folder import ReleasePlace
from s1mm_assets.resources.release_pieces import StoredPieces
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.takedowns import takedowns
from s1mm_assets.steps import IF_KILLED, STEPS
from s1mm_assets.tables import Rejection

ASSET = "hf_publication"
PROBLEM = pl.Schema({"problem": pl.String, "path": pl.String, "detail": pl.String})
UNMET = pl.Schema({"what": pl.String, "id": pl.String})
BANS = (Rejection.WITHDRAWN, Rejection.RETRACTED, Rejection.TAKEN_DOWN)
WARN = dg.AssetCheckSeverity.WARN
GUARDS = {
    "no_image_is_released_twice": Guard(
        says="Over all partitions, the images of the records are different files. A dataset that repeats images "
        "weighs them more, and leaks between training and test.",
        what_to_do="Run the job find_duplicates, materialize hf_release of the partitions whose figures are shown, and "
        "run the job publication.",
    ),
    "the_release_verifies": Guard(
        says="Every file is as the manifest says, by length and digest; records, image archives and Parquet hold the "
        "same figures. It is what `s1mm verify` does for everybody who downloads the release.",
        what_to_do="Remove the files that are named, and run the job publication: they are made anew. `s1mm verify "
        "RELEASE` names all of them.",
    ),
    "datasets_reads_the_release": Guard(
        says="`load_dataset` of the library datasets reads the folder and gives back the same rows: that is how most "
        "people will meet it.",
        unless="Only warns where the release is in an object store, from which it is not read.",
        what_to_do="Run the job publication again. If it fails again, report what is shown with the version of "
        "datasets: the two disagree on a type or a file.",
    ),
    "takedowns_take_effect": Guard(
        says="Each entry of the list of takedowns names something that there is, and no image that is kept back in "
        "one paper stands in another. A typing error in the list would publish what must not be.",
        stops=False,
        settings=("release.takedowns",),
        what_to_do="Correct the entries that are without effect. To keep an image out of every paper, list it as "
        "sha256:DIGEST. Then materialize hf_release of the papers' partitions, and run the job publication.",
    ),
}


@dg.multi_asset_check(
    specs=specs(ASSET, GUARDS, partitions=None), op_tags=STEPS.share_tags("checks"), retry_policy=IF_KILLED
)
def hf_publication_holds(
    context: dg.AssetCheckExecutionContext,
    release_folder: ReleasePlace,
    store: ShardStore,
    settings: Settings,
) -> Iterator[dg.AssetCheckResult]:
    """The release is whole, joins, holds every image once, and loads."""
    found = results(release_folder, store, settings, context.log.info)
    yield from reported(GUARDS, found, settings=settings)


def results(
    release_folder: ReleasePlace, store: ShardStore, settings: Settings, report: Callable[[str], None]
) -> Iterator[dg.AssetCheckResult]:
    """Yield what each check finds."""
    from s1mm_assets.release.verify import verify

    released = released_images(store)
    repeated = released.filter(pl.col("image_sha256").is_duplicated()).sort("image_sha256", "figure_id")
    yield none_of("no_image_is_released_twice", repeated, {"n_released": len(released)})
    problems = [(each.kind, each.path, each.detail) for each in verify(release_folder.published())]
    wrong = pl.DataFrame(problems, schema=PROBLEM, orient="row")
    yield none_of("the_release_verifies", wrong, {})
    yield datasets_reads_the_release(release_folder.local_root, report)
    unmet = StoredPieces(store, settings).takedowns_without_effect(takedowns(settings))
    yield takedowns_take_effect(released, banned_images(store), unmet)


def takedowns_take_effect(
    released: pl.DataFrame, banned: pl.DataFrame, unmet: Sequence[str]
) -> dg.AssetCheckResult:
    """No entry is without effect, and what is kept back in one paper does not stand in another."""
    shown = released.join(banned, on="image_sha256", how="semi")["figure_id"]
    wrong = [("entry without effect", each) for each in unmet]
    wrong += [("image shown elsewhere", each) for each in shown]
    culprits = some_of_each(pl.DataFrame(wrong, schema=UNMET, orient="row"))
    found = none_of(
        "takedowns_take_effect", culprits, {"n_without_effect": len(unmet), "n_shown_elsewhere": len(shown)}
    )
    return found._replace(severity=WARN)


def datasets_reads_the_release(folder: Path | None, report: Callable[[str], None]) -> dg.AssetCheckResult:
    """`datasets` gives back every row; not evaluated where the release is in no local folder."""
    name = "datasets_reads_the_release"
    if folder is None:
        why = "the release is in an object store. Load it from the Hub, or publish it in a folder"
        return not_evaluated(name, why)
    from s1mm_assets.resources.dataset_loader import DatasetLoader

    differences = DatasetLoader().differences(folder, report)
    return none_of(name, pl.DataFrame({"difference": differences}, schema={"difference": pl.String}), {})


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
