"""How the release is cut: into row groups, archives and parts."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSettings:
    """What a publisher may choose. `row_group_rows` shapes a shard's pieces, the rest how they are joined."""

    title: str = "Scientific figures with captions and grounded recaptions"
    row_group_rows: int = 100  # the Hub's viewer reads one row group for a page of images
    single_archive_sources: Sequence[str] = ()  # one images.tar.gz for all years, instead of one per year
    part_bytes: int = 30_000_000_000  # an archive that is larger is cut into .partaa, .partab …

    def __post_init__(self) -> None:
        """Refuse what no release can be cut into."""
        for name in ("row_group_rows", "part_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if isinstance(self.single_archive_sources, str):
            raise ValueError("single_archive_sources is a list of sources")
