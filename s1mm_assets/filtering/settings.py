"""Where the filters draw their lines. All of it shapes the data, so all of it is in the shards' fingerprint."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSettings:
    """Thresholds of the rules and of the duplicates; a value equal to its threshold passes."""

    min_image_size_bytes: int = 5120
    """Of the image as released. The paper discards files below 5 KB."""
    min_width_px: int = 64
    min_height_px: int = 64
    max_aspect_ratio: float = 12.0
    """Longer side over shorter side. The most extreme of the images of docs/adr/0003 has 9.5."""
    min_ink_share: float = 0.001
    """Share of pixels that differ from the background. The emptiest real plot seen has 0.012."""
    max_table_score: float = 0.85
    """What looks more like a typeset table is one. The highest of those images that is no table has 0.73."""
    near_duplicate_bits: int = 32
    """Of the 1,024 bits of the detail hash; see docs/adr/0003."""

    def __post_init__(self) -> None:
        """Refuse what is no threshold."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ValueError(f"{field.name} is {value!r}: it must be a number, 0 or more")
