"""`s1mm publish`: the release to the Hub."""

from s1mm_assets import release
from s1mm_assets.cli.terminal import UsageError, out
from s1mm_assets.definitions import RELEASE, SETTINGS
from s1mm_assets.release.manifest import ManifestError
from s1mm_assets.resources.hub_repository import HubError, HubRepository
from s1mm_assets.resources.takedowns import StaleTermsError, require_current_terms


def publish(repository: str | None, *, is_dry_run: bool, is_public: bool) -> None:
    """Upload the release that stands, and say what was done.

    Args:
        repository: "owner/name"; of the settings where not given.
        is_dry_run: Say what would be done, and do nothing.
        is_public: Make a repository that is not there public; by default it is private.
    """
    repo_id = repository or SETTINGS.release.repository
    if not repo_id:
        raise UsageError('name a repository, or set [release] repository = "owner/name" in the settings')
    published = RELEASE.published()
    try:
        manifest = release.manifest_in(published)
        require_current_terms(manifest, SETTINGS)
        uploaded = HubRepository(repo_id=repo_id, private=not is_public).upload(
            published,
            manifest,
            settings=SETTINGS.publication,
            report=lambda line: out.print(line, highlight=False, markup=False),
            is_dry_run=is_dry_run,
        )
    except (HubError, ManifestError, StaleTermsError) as error:
        raise UsageError(str(error)) from error
    verb = "would send" if is_dry_run else "sent"
    out.print(
        f"datasets/{uploaded.repo_id}@{uploaded.tag}: {verb} {uploaded.n_sent:,} files, "
        f"{uploaded.n_bytes_sent:,} bytes; {uploaded.n_kept:,} were there",
        highlight=False,
        markup=False,
    )
