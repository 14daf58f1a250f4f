"""hf_release -> hf_publication: every released partition, assembled to one release."""

import dagster as dg

from s1mm_assets import release
from s1mm_assets.resources.check_history import require_passed
from s1mm_assets.resources.release_folder import ReleaseFolder
from s1mm_assets.resources.release_pieces import StoredPieces, thresholds
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore


@dg.asset(
    deps=["hf_release"],
    code_version=release.VERSION,
    group_name="publication",
    kinds={"huggingface"},
    pool="publication",
)
def hf_publication(
    context: dg.AssetExecutionContext, store: ShardStore, release_folder: ReleaseFolder, settings: Settings
) -> dg.MaterializeResult[None]:
    """The release: image archives, records, streamable Parquet, manifest and dataset card in one folder.

    It is verified where it is built, and takes the place of the last one only when it is sound.
    """
    require_passed(context.instance, store.partitions("hf_release"))
    pieces = StoredPieces(store)
    made_by = pieces.provenance()
    card = release.dataset_card(
        pieces.facts(),
        settings=settings.release,
        thresholds=thresholds(made_by.get("filtered_figures", {}).get("settings", [])),
        score_settings={
            "CLIP score": "set clip_score = true under [metrics]",
            "pseudo-perplexity": "set pseudo_perplexity = true under [metrics]",
        },
    )
    published = release.publish(
        pieces,
        pieces.open,
        release_folder,
        settings=settings.release,
        readme=card,
        dataset={"licence_policy": "all", "made_by": made_by},
        report=context.log.info,
    )
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(str(release_folder.root)),
            "records": published.n_records,
            "files": published.n_files,
            "bytes": published.n_bytes,
            "files_written": published.n_written,
            "manifest_sha256": published.manifest_sha256,
            "card": dg.MetadataValue.md(card),
        }
    )
