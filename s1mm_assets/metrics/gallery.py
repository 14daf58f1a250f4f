"""The gallery: one page on which people judge a sample of a partition's figures, kept and rejected ones.

Belongs here: which figures are shown, and the page. The page is one file that asks no network for anything.
Images and texts come from anywhere: an image is decoded and drawn anew, and a text is never read as markup.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from io import BytesIO
from typing import Any

import polars as pl

from s1mm_assets.metrics.verdicts import COLUMNS, DANGEROUS, KEPT, digest
from s1mm_assets.sampling import draws

SIDE_PX = 960  # of the image in the page: sharp at twice the density of its place in a card
QUALITIES = (80, 60, 35)  # of the WebP: the first that fits, else the last
IMAGE_BYTES = 110_000

TEXT_CHARS, MENTION_CHARS, TITLE_CHARS, WORD_CHARS = 6000, 1200, 400, 120
MAX_MENTIONS, MAX_CLAIMS, MAX_FLAGS = 10, 24, 12
SCORES = {  # column's name without the text's → what people read, and its decimals
    "clip_score": ("CLIP score", 3),
    "whole_clip_score": ("CLIP score, whole text", 3),
    "pseudo_perplexity": ("pseudo-perplexity", 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryFigure:
    """One figure as a person judges it; names as in the tables."""

    figure_id: str
    caption: str
    rejection: str | None = None  # null where it is kept
    figure_number: str | None = None
    title: str | None = None  # of the paper
    recaption: str | None = None
    mentions: Sequence[Mapping[str, Any]] = ()  # tables.MENTION
    image: bytes | None = None
    sha256: str | None = None  # of `image`
    scores: Mapping[str, float | None] = field(default_factory=dict)  # caption_clip_score … grounding
    ungrounded_claims: Sequence[str] = ()
    flags: Sequence[str] = ()
    measured: str | None = None
    measured_value: float | None = None
    threshold: float | None = None
    evidence: str | None = None


def choose(decisions: pl.DataFrame, *, n_kept: int, n_rejected: int, seed: int) -> list[str]:
    """Return the ids of the figures to show: the same ones in whatever order the decisions come.

    Kept figures are drawn with equal chances. Of the rejected ones every reason gets as many as any other, as far
    as it has them, so that a rare reason is judged too. The draw has nothing to do with that of costly measures:
    figures whose text was read pass other filters than the rest.

    Args:
        decisions: `figure_id` and `rejection`, null where the figure is kept.
        n_kept: How many kept figures at most.
        n_rejected: How many rejected ones at most.
        seed: Another one draws another sample.
    """
    ordered = decisions.select(
        "figure_id", "rejection", draw=draws(decisions["figure_id"], seed, "gallery")
    ).sort("draw", "figure_id")
    kept = ordered.filter(pl.col("rejection").is_null()).head(n_kept)
    # each reason's first, then each reason's second, and so on: an equal share for all
    rejected = ordered.filter(pl.col("rejection").is_not_null()).with_columns(
        rank=pl.int_range(pl.len()).over("rejection")
    )
    rejected = rejected.sort("rank", "draw", "figure_id").head(n_rejected)
    return [*kept["figure_id"], *rejected["figure_id"]]


def gallery_page(figures: Iterable[GalleryFigure], *, partition: str, n_kept: int, n_rejected: int) -> bytes:
    """Return the page as HTML in UTF-8. Equal figures, in any order, give equal bytes.

    Args:
        figures: Those to show; one image is held at a time.
        partition: The partition key, "arxiv|2019".
        n_kept: How many figures of the partition are kept.
        n_rejected: How many are rejected.
    """
    cards = sorted((card(figure) for figure in figures), key=card_order)
    data: dict[str, Any] = {
        "partition": text(partition, WORD_CHARS),
        "columns": COLUMNS,
        "dangerous": DANGEROUS,
    }
    data |= {"n_kept": n_kept, "n_rejected": n_rejected, "figures": cards}
    folder = files("s1mm_assets.metrics")
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("gallery.css", "gallery.js"))
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((folder / "gallery.html.jinja").read_text(encoding="utf-8"))
    page = template.render(
        partition=data["partition"],
        style=style,
        script=script,
        data=embedded(data),
        policy=f"default-src 'none'; img-src data:; style-src {source(style)}; script-src {source(script)}; "
        "base-uri 'none'; form-action 'none'",
    )
    return page.encode("utf-8", "replace")


def source(code: str) -> str:
    """Return what a content security policy allows a piece of the page's own code by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def embedded(data: Mapping[str, Any]) -> str:
    """Return JSON that may stand in an HTML script element, whatever its texts hold."""
    as_json = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", as_json)


def card_order(card: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what cards are sorted by: kept ones first, then by id, numbers in it as numbers."""
    parts = re.split(r"(\d+)", card["figure_id"])
    return card["was"] != KEPT, [(int(part[:18]), part) if part.isdecimal() else (-1, part) for part in parts]


def card(figure: GalleryFigure) -> dict[str, Any]:
    """Return what the page shows of one figure, in bounded length."""
    mentions = [mention(each) for each in figure.mentions[:MAX_MENTIONS]]
    return {
        "figure_id": figure.figure_id,
        "number": text(figure.figure_number, WORD_CHARS),
        "title": text(figure.title, TITLE_CHARS),
        "caption": text(figure.caption, TEXT_CHARS),
        "recaption": text(figure.recaption, TEXT_CHARS),
        "mentions": mentions,
        "more_mentions": max(0, len(figure.mentions) - MAX_MENTIONS),
        "image": thumbnail(figure.image) if figure.image else None,
        "has_image": bool(figure.image),
        "scores": score_rows(figure.scores),
        "grounding": number(figure.scores.get("grounding")),
        "claims": [text(each, WORD_CHARS) for each in figure.ungrounded_claims[:MAX_CLAIMS]],
        "more_claims": max(0, len(figure.ungrounded_claims) - MAX_CLAIMS),
        "flags": [text(each, WORD_CHARS) for each in figure.flags[:MAX_FLAGS]],
        "was": figure.rejection or KEPT,
        "measured": text(figure.measured, WORD_CHARS),
        "measured_value": number(figure.measured_value),
        "threshold": number(figure.threshold),
        "evidence": text(figure.evidence, MENTION_CHARS),
        "digest": digest(figure.sha256, figure.caption, figure.recaption),
    }


def score_rows(scores: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Return the scores that a text has, caption and recaption side by side."""
    rows = []
    for name, (label, decimals) in SCORES.items():
        pair = {kind: number(scores.get(f"{kind}_{name}")) for kind in ("caption", "recaption")}
        if pair["caption"] is not None or pair["recaption"] is not None:
            rows.append({"name": name, "label": label, "decimals": decimals, **pair})
    return rows


def mention(of: Mapping[str, Any]) -> dict[str, str | None]:
    """Return a paragraph that cites the figure, in bounded length."""
    return {"section": text(of.get("section"), WORD_CHARS), "text": text(of.get("text"), MENTION_CHARS)}


def text(value: str | None, limit: int) -> str | None:
    """Return a text in bounded length, with a note of what was cut."""
    if value is None or len(value) <= limit:
        return value
    return f"{value[:limit]}… [{len(value) - limit:,} more characters]"


def number(value: float | None) -> float | None:
    """Return a number that JSON can hold; None for others."""
    return float(value) if value is not None and math.isfinite(value) else None


def thumbnail(image: bytes) -> str | None:
    """Return a smaller image as the base64 of a WebP; None where the bytes are no image that can be shown."""
    from PIL import Image

    from s1mm_assets.decoding import open_rgb

    try:
        shown = open_rgb(image, shown_px=2 * SIDE_PX)
        shown.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=2)
        for quality in QUALITIES:
            file = BytesIO()
            shown.save(file, "WEBP", quality=quality, method=4)
            if file.tell() <= IMAGE_BYTES:
                break
    except Exception:  # of hostile bytes Pillow raises many kinds; the card says that it failed
        return None
    return base64.b64encode(file.getvalue()).decode()
