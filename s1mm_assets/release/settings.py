"""How the release is cut: into row groups, archives and parts."""

from collections.abc import Sequence
from dataclasses import dataclass

CLIP_SCORE_WEIGHT = 2.5  # of a cosine of 1: the largest score (Hessel et al. 2021)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSettings:
    """What a publisher may choose. The first two shape a shard's pieces, the rest how they are joined."""

    title: str = "Scientific figures with captions and grounded recaptions"
    row_group_rows: int = 100  # the Hub's viewer reads one row group for a page of images
    min_clip_score: float = 0.0  # of a recaption (77 tokens); 0 holds nothing back, nor what has no score
    single_archive_sources: Sequence[str] = ()  # one images.tar.gz for all years, instead of one per year
    part_bytes: int = 30_000_000_000  # an archive that is larger is cut into .partaa, .partab …

    def __post_init__(self) -> None:
        """Refuse what no release can be cut into."""
        for name in ("row_group_rows", "part_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.min_clip_score <= CLIP_SCORE_WEIGHT:
            raise ValueError(f"min_clip_score is {self.min_clip_score}; it lies in 0 to {CLIP_SCORE_WEIGHT}")
        if isinstance(self.single_archive_sources, str):
            raise ValueError("single_archive_sources is a list of sources")
