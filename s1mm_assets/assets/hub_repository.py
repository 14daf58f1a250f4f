"""hf_publication -> hub_repository: the release, on the Hugging Face Hub."""

import dagster as dg

from s1mm_assets import release
from s1mm_assets.resources.check_history import require_publication_passed
from s1mm_assets.resources.hub_repository import HubRepository
from s1mm_assets.resources.release_folder import ReleasePlace
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.takedowns import require_current_terms
from s1mm_assets.steps import IF_KILLED, STEPS, once


@dg.asset(
    deps=["hf_publication"],
    code_version=release.VERSION,
    group_name="publication",
    kinds={"huggingface"},
    pool=STEPS.pool("hub_repository"),
    op_tags=STEPS.tags("hub_repository"),
    retry_policy=IF_KILLED,
)
@once
def hub_repository(
    context: dg.AssetExecutionContext, release_folder: ReleasePlace, settings: Settings
) -> dg.MaterializeResult[None]:
    """The dataset repository on the Hugging Face Hub: what is new is sent, all of it is verified, and tagged.

    It needs `[release] repository` and the environment's HF_TOKEN, and goes on where it was interrupted.
    """
    require_publication_passed(context.instance)
    if not settings.release.repository:
        raise dg.Failure(
            'set [release] repository = "owner/name" in the settings: the dataset\'s name on the Hub'
        )
    published = release_folder.published()
    manifest = release.manifest_in(published)
    require_current_terms(manifest, settings)
    uploaded = HubRepository(repo_id=settings.release.repository).upload(
        published,
        manifest,
        settings=settings.publication,
        report=context.log.info,
    )
    return dg.MaterializeResult(
        metadata={
            "repository": f"datasets/{uploaded.repo_id}@{uploaded.tag}",
            "version": uploaded.version,
            "commit": uploaded.commit or "",
            "files_sent": uploaded.n_sent,
            "bytes_sent": uploaded.n_bytes_sent,
            "files_kept": uploaded.n_kept,
        }
    )
