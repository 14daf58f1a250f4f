"""Where the filters draw their lines. All of it shapes the data, so all of it is in the shards' fingerprint."""

from dataclasses import dataclass, fields

from s1mm_assets.sampling import END


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
    max_table_score: float = 0.75
    """What looks more like a typeset table is one."""
    max_table_score_with_text: float = 0.5
    """Likewise, of images whose text stands as a table's cells do (`max_table_text_score`). Without rules no image
    scores more than 0.5: alignments of sequences and numbered listings stand in columns too."""
    max_table_text_score: float = 0.7
    """Text whose boxes score higher stands in rows and columns. Read only where text is read at all."""
    max_code_share: float = 0.5
    """Share of the content that a QR or bar code covers: a figure may contain one, but not be one."""
    max_badge_score: float = 0.8
    """Correlation with the Creative Commons button."""
    max_named_badge_score: float = 0.4
    """Likewise, of an image whose file is named after a licence."""
    max_logo_score: float = 0.09
    """Share of the picture that one line of large letters takes, where no caption says what it is or the file lies in a
    folder of logos: stimuli and samples of fonts have large letters too, so that the looks do not decide alone."""
    max_named_logo_score: float = 0.03
    """Likewise, of an image whose file is named a logo, whatever its caption."""
    max_emblem_side_px: int = 200
    """An image no side of which is longer needs only the name of its file to be a logo or a licence badge."""
    max_tone_bits: float = 3.8
    """Entropy of grey levels above which a picture is a photograph: a portrait, if its caption tells a life."""
    near_duplicate_bits: int = 32
    """Of the 1,024 bits of the detail hash; see docs/adr/0003."""

    def __post_init__(self) -> None:
        """Refuse what is no threshold."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ValueError(f"{field.name} is {value!r}: it must be a number, 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """Of which images the text is read, and how closely."""

    sample_share: float = 0.0
    """Share of the figures, drawn by their ids: 0 reads none, 1 all. It costs seconds of a core per image."""
    seed: int = 0
    max_side_px: int = 1600
    """A larger image is read reduced to it."""
    min_confidence: float = 0.5
    """From 0 to 1: lines of which the reader is less sure are left out."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not 0 <= self.sample_share <= 1 or not 0 <= self.min_confidence <= 1:
            raise ValueError("sample_share and min_confidence lie in 0 to 1")
        if not 0 <= self.seed < END:
            raise ValueError("seed must be a whole number from 0, below 2^64")
        if self.max_side_px < 32:
            raise ValueError("max_side_px must be at least 32")
