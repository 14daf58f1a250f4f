"""How the release is cut, what its licences allow, and what is taken out of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from s1mm_assets.release.licences import Licence

CLIP_SCORE_WEIGHT = 2.5  # of a cosine of 1: the largest score (Hessel et al. 2021)
ALL, REDISTRIBUTABLE, METADATA_ONLY = "all", "redistributable", "metadata-only"
POLICIES = (ALL, REDISTRIBUTABLE, METADATA_ONLY)
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
SHARED_ALIKE = ("CC0-1.0", "CC-PDM-1.0", "CC-PDDC", "CC-BY", "CC-BY-SA", "CC-BY-NC", "CC-BY-NC-SA")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSettings:
    """What a publisher may choose: what a shard's pieces hold, and from the title on how they are joined."""

    row_group_rows: int = 100  # the Hub's viewer reads one row group for a page of images
    min_clip_score: float = 0.0  # of a recaption (77 tokens); 0 holds nothing back, nor what has no score
    licence_policy: str = REDISTRIBUTABLE  # all: every image; metadata-only: none
    redistributable: Sequence[str] = SHARED_ALIKE  # SPDX ids, or families without version; those without ND
    takedowns: str = ""  # path of a CSV file with columns id and reason: papers or figures to leave out
    webdataset: bool = False  # tar files for WebDataset too; they take as much room as the Parquet
    title: str = "Scientific figures with captions and grounded recaptions"
    single_archive_sources: Sequence[str] = ()  # one images.tar.gz for all years, instead of one per year
    part_bytes: int = 30_000_000_000  # an archive that is larger is cut into .partaa, .partab …
    repository: str = ""  # the dataset's name on the Hub, "owner/name"
    version: int = 0  # of the release; 0: the one after the release that stands

    def __post_init__(self) -> None:
        """Refuse what no release can be cut into."""
        for name in ("row_group_rows", "part_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.version < 0:
            raise ValueError(f"version is {self.version}; versions are numbered from 1")
        if not 0 <= self.min_clip_score <= CLIP_SCORE_WEIGHT:
            raise ValueError(f"min_clip_score is {self.min_clip_score}; it lies in 0 to {CLIP_SCORE_WEIGHT}")
        if self.licence_policy not in POLICIES:
            raise ValueError(f"licence_policy is {self.licence_policy!r}; there are: {', '.join(POLICIES)}")
        if self.repository and not REPOSITORY.fullmatch(self.repository):
            raise ValueError(f"repository is {self.repository!r}; a dataset on the Hub is named owner/name")
        for name in ("single_archive_sources", "redistributable"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"{name} is a list")

    def licences(self) -> dict[str, Any]:
        """Return what says which images may be released, as JSON values."""
        return {"licence_policy": self.licence_policy, "redistributable": list(self.redistributable)}

    def beyond_redistribution(self) -> list[str]:
        """Return the licences that are allowed although they are none under which others may pass images on."""
        if self.licence_policy == ALL:
            return ["every licence, and none"]
        return [each for each in self.redistributable if not Licence(each).is_among(SHARED_ALIKE)]

    def allows(self, licence: Licence) -> bool:
        """Whether an image under this licence goes into the release."""
        if self.licence_policy == REDISTRIBUTABLE:
            return licence.is_among(self.redistributable)
        return self.licence_policy == ALL
