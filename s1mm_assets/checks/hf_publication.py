"""What must be true of a publication before anyone is pointed to it."""

from collections.abc import Iterator

import dagster as dg

from s1mm_assets.release.verify import verify
from s1mm_assets.resources.dataset_loader import DatasetLoader
from s1mm_assets.resources.release_folder import ReleaseFolder

ASSET = "hf_publication"
EXAMPLES = 20


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "the_release_verifies",
            asset=ASSET,
            blocking=True,
            description="Every file is as the manifest says; records, archives and Parquet join.",
        ),
        dg.AssetCheckSpec(
            "datasets_reads_the_release",
            asset=ASSET,
            blocking=True,
            description="load_dataset reads the folder and gives back the same rows.",
        ),
    ]
)
def hf_publication_holds(release_folder: ReleaseFolder) -> Iterator[dg.AssetCheckResult]:
    """The release is whole, joins, and loads."""
    problems = verify(release_folder.published())
    yield dg.AssetCheckResult(
        check_name="the_release_verifies",
        passed=not problems,
        metadata={
            "n_problems": len(problems),
            "problems": [f"{each.kind} {each.path}: {each.detail}" for each in problems[:EXAMPLES]],
        },
    )
    differences = DatasetLoader().differences(release_folder.root)
    yield dg.AssetCheckResult(
        check_name="datasets_reads_the_release",
        passed=not differences,
        metadata={"n_differences": len(differences), "differences": differences[:EXAMPLES]},
    )
