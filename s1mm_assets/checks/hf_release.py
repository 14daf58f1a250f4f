"""What must be true of a partition's pieces before they are published."""

import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, cast

import dagster as dg
import polars as pl

from s1mm_assets.checks.guards import Guard, materialized, reported, specs
from s1mm_assets.checks.results import conserved, none_of, some_of_each
from s1mm_assets.partitions import source_and_year
from s1mm_assets.release.image_archives import END, ArchiveError, Joined, members
from s1mm_assets.release.layout import MEDIA
from s1mm_assets.release.licences import read_licence
from s1mm_assets.release.papers import IMAGE, figure_licence
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import Commit, ShardSet
from s1mm_assets.resources.takedowns import takedowns, takedowns_by_shard
from s1mm_assets.steps import IF_KILLED, STEPS

ASSET = "hf_release"
IMAGES, RECIPES = MEDIA["images"][0], MEDIA["recipes"][0]
LEAK = pl.Schema({"figure_id": pl.String, "what": pl.String})
MEMBER = pl.Schema({"image_path": pl.String, "image_sha256": pl.String})


AGAIN = (
    "Materialize hf_release for PARTITION again: what it is made of may have been made anew since. If it fails "
    "again, the stage has a defect: report the figures that are shown."
)
GUARDS = {
    "every_metric_has_one_record": Guard(
        says="Each figure that was measured has one record, released or with the reason why not. So nothing is lost "
        "at the last door.",
        what_to_do=AGAIN,
    ),
    "records_and_archive_agree": Guard(
        says="Each record's image is a member of the image archive, with the same SHA-256, and no member is without "
        "a record. The archives are read to their end. Who downloads the dataset joins the two by name.",
        what_to_do="Materialize hf_release for PARTITION again. If it fails again, a piece in the store is damaged: "
        "remove the shard's folder of hf_release, and materialize it once more.",
    ),
    "image_paths_are_unique": Guard(
        says="An image path names one image. Of two with one name an archive would give back the last.",
        what_to_do=AGAIN,
    ),
    "nothing_leaks": Guard(
        says="No image, and none of the authors' words, is released that its licence, a retraction or the list of "
        "takedowns keeps back. It is judged anew, by what sources and list say now.",
        settings=("release.licence_policy", "release.takedowns"),
        what_to_do="Materialize hf_release for PARTITION again, so that it is made by what is known now. What was "
        "already published stays public until the next publication: run the jobs publication and upload.",
    ),
}


@dg.multi_asset_check(specs=specs(ASSET, GUARDS), op_tags=STEPS.share_tags("checks"), retry_policy=IF_KILLED)
def hf_release_holds(
    context: dg.AssetCheckExecutionContext, store: ShardStore, settings: Settings
) -> Iterator[dg.AssetCheckResult]:
    """What is released joins to the byte; what is not, says why."""
    key = context.partition_key
    yield from reported(GUARDS, results(store, settings, key), settings=settings, partition=key)


def results(store: ShardStore, settings: Settings, partition: str) -> Iterator[dg.AssetCheckResult]:
    """Yield what each check finds."""
    metrics = store.read(materialized(store, "quality_metrics", partition), "metrics", ["figure_id"])
    pieces = materialized(store, ASSET, partition)
    columns = ["figure_id", "paper_id", "image_path", "image_sha256", "rejection", "released_as"]
    records = store.read(pieces, "records", columns)
    released = records.filter(pl.col("rejection").is_null())

    yield conserved("every_metric_has_one_record", metrics["figure_id"], records["figure_id"])
    shown = released.filter(pl.col("released_as") == IMAGE)
    yield records_and_archive_agree(shown, archived(store, pieces))
    repeated = released.filter(pl.col("image_path").is_duplicated()).sort("image_path", "figure_id")
    repeated = repeated.select("image_path", "figure_id", "image_sha256")
    yield none_of("image_paths_are_unique", repeated, {"n_released": len(released)})
    archives = materialized(store, "raw_archives", partition)
    markup = materialized(store, "figure_candidates", partition)
    leaks = [leaked_images(store, shown, archives, markup, settings), leaked_texts(store, pieces)]
    yield none_of(
        "nothing_leaks", pl.concat(leaks), {"n_images": len(shown), "n_recipes": len(released) - len(shown)}
    )


def leaked_images(
    store: ShardStore, shown: pl.DataFrame, archives: ShardSet, markup: ShardSet, settings: Settings
) -> pl.DataFrame:
    """Return the released images that must not be, judged anew by what sources and list of takedowns say."""
    papers = store.read(archives, "metadata", ["paper_id", "licence", "is_withdrawn", "is_retracted"])
    own = dict(store.read(markup, "figures", ["figure_id", "rights"]).drop_nulls().iter_rows())
    said = dict(store.read(markup, "papers", ["paper_id", "licence"]).drop_nulls().iter_rows())
    said |= dict(papers.select("paper_id", "licence").drop_nulls().iter_rows())
    is_gone = pl.col("is_withdrawn") | pl.col("is_retracted").fill_null(value=False)
    gone = set(papers.filter(is_gone)["paper_id"])
    left_out = takedowns_by_shard(store, archives, markup, takedowns(settings)).values()
    taken_down = {name for names in left_out for name in names}
    source, _ = source_and_year(archives.partition)
    rows = []
    for figure_id, paper_id, sha256 in shown.select("figure_id", "paper_id", "image_sha256").iter_rows():
        if paper_id in gone:
            rows.append((figure_id, "its paper is withdrawn or retracted"))
        licence = figure_licence(read_licence(said.get(paper_id)), own.get(figure_id))
        if not settings.release.allows(licence):
            stated = own.get(figure_id) or said.get(paper_id)
            rows.append((figure_id, f"its licence, {stated}, does not allow it"))
        if taken_down & {figure_id, f"{source}:{paper_id}", f"sha256:{sha256}"}:
            rows.append((figure_id, "it is taken down"))
    return pl.DataFrame(rows, schema=LEAK, orient="row")


def leaked_texts(store: ShardStore, pieces: ShardSet) -> pl.DataFrame:
    """Return the records without image that hold words of the authors."""
    from s1mm_assets.release.records import EXTRACTIVE, WITHHELD

    rows = []
    for commit in pieces.shards:
        if RECIPES in commit.files:
            with store.open_file(commit, RECIPES) as stream:
                for record in map(json.loads, io.BufferedReader(cast(io.RawIOBase, stream))):
                    held = [name for name in WITHHELD if record[name]]
                    held += ["recaption"] if record["engine"] in EXTRACTIVE and record["recaption"] else []
                    rows += [(record["figure_id"], f"its {name} stands in the recipe") for name in held]
    return pl.DataFrame(rows, schema=LEAK, orient="row")


def records_and_archive_agree(released: pl.DataFrame, in_archive: pl.DataFrame) -> dg.AssetCheckResult:
    """Names and digests of both sides are equal."""
    promised = released.select("image_path", "image_sha256")
    absent = promised.join(in_archive, on=list(MEMBER), how="anti", nulls_equal=True)
    orphans = in_archive.join(promised, on=list(MEMBER), how="anti", nulls_equal=True)
    wrong = pl.concat(
        [absent.with_columns(what=pl.lit("not archived")), orphans.with_columns(what=pl.lit("orphan"))]
    )
    shown = some_of_each(wrong)
    return none_of(
        "records_and_archive_agree", shown, {"n_released": len(released), "n_archived": len(in_archive)}
    )


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
