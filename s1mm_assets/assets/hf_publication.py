"""hf_release -> hf_publication: every released partition, assembled to one release."""

import dagster as dg

from s1mm_assets import release
from s1mm_assets.resources.check_history import require_passed
from s1mm_assets.resources.file_digests import digesting
from s1mm_assets.resources.release_folder import ReleasePlace
from s1mm_assets.resources.release_pieces import StoredPieces
from s1mm_assets.resources.release_texts import ReleaseTexts
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.steps import IF_KILLED, STEPS, once


@dg.asset(
    deps=["hf_release"],
    code_version=release.VERSION,
    group_name="publication",
    kinds={"huggingface"},
    pool=STEPS.pool("hf_publication"),
    op_tags=STEPS.tags("hf_publication"),
    retry_policy=IF_KILLED,
)
@once
def hf_publication(
    context: dg.AssetExecutionContext, store: ShardStore, release_folder: ReleasePlace, settings: Settings
) -> dg.MaterializeResult[None]:
    """The release: image archives, records, streamable Parquet, manifest and dataset card in one folder.

    It is verified where it is built, and takes the place of the last one only when it is sound.
    """
    require_passed(context.instance, store.partitions("hf_release"))
    pieces = StoredPieces(store, settings)
    texts = ReleaseTexts(pieces, settings)
    published = release.publish(
        pieces,
        pieces.open,
        release_folder,
        settings=settings.release,
        texts=texts,
        dataset=texts.dataset(),
        digesting=digesting,
        report=context.log.info,
    )
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(str(release_folder.local_root or release_folder.path)),
            "version": published.version,
            "records": published.n_records,
            "files": published.n_files,
            "bytes": published.n_bytes,
            "files_written": published.n_written,
            "manifest_sha256": published.manifest_sha256,
            "card": dg.MetadataValue.md(texts.card(published.history)),
        }
    )
