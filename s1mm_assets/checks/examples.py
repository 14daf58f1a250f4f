"""Culprits as people see them in the Dagster UI: a few rows as a table in Markdown, some with a small picture.

Captions and ids are strangers' words, in TeX or HTML: they are shown as they are, and never read as markup. The UI
would load images from anywhere and make links of addresses: no picture is shown but those drawn here, and no link.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

import dagster as dg
import polars as pl

from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.tables import TABLES, schema_of

EXAMPLES = 5
PICTURES = 3
TEXT_CHARS = 300
SIDE_PX = 200
QUALITIES = (75, 40, 10)  # of the JPEG: the first that fits
PICTURE_BYTES = 20_000
MARKUP = re.compile(r"[!\"$&*<>@\[\\\]^_`{|}~]")  # what may begin something within a cell of a table
ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)  # where a link would begin
WORD_JOINER = "\N{WORD JOINER}"  # is not seen, and keeps the UI from making one


def examples(rows: pl.DataFrame, pictures: Mapping[str, str] | None = None) -> dict[str, dg.MetadataValue]:
    """Return the first rows as metadata; nothing where there are none.

    Args:
        rows: Culprits, the worst first.
        pictures: Of some of them, by `figure_id`, as `pictures_of` gives them.
    """
    if rows.is_empty():
        return {}
    pictured = [] if pictures is None else ["picture"]
    lines = [[*pictured, *map(escaped, rows.columns)], ["---"] * (len(pictured) + rows.width)]
    for row in rows.head(EXAMPLES).iter_rows(named=True):
        picture = [] if pictures is None else [pictures.get(row["figure_id"], "")]
        lines.append([*picture, *(escaped(text_of(each)) for each in row.values())])
    return {"examples": dg.MetadataValue.md("\n".join(f"| {' | '.join(line)} |" for line in lines))}


def text_of(value: Any) -> str:
    """Return a value as people read it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (list, tuple)):
        return ", ".join(map(text_of, value))
    return str(value)


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line, in bounded length."""
    line = " ".join(text[: 2 * TEXT_CHARS].split())
    line = line if len(line) <= TEXT_CHARS else f"{line[: TEXT_CHARS - 1]}…"
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)
    plain = ADDRESS.sub(WORD_JOINER, shown)
    return MARKUP.sub(lambda found: f"&#{ord(found[0])};", plain)


def pictures_of(store: ShardStore, figures: ShardSet, ids: Iterable[str]) -> dict[str, str]:
    """Return small pictures of the first of some figures, by id; an image at a time is more than small.

    Args:
        store: Where the tables are.
        figures: The handle of figure_candidates.
        ids: The figures.
    """
    some = pl.Series("figure_id", list(ids)[:PICTURES], dtype=pl.String)
    return {
        figure_id: picture(image)
        for group in store.scan(figures, "figures", ["figure_id", "image"], among=some)
        for figure_id, image in group.iter_rows()
    }


def picture(image: bytes | None) -> str:
    """Return a small picture as Markdown that asks nobody for anything, or that it cannot be shown."""
    from PIL import Image

    from s1mm_assets.decoding import open_rgb

    try:
        shown = open_rgb(image or b"", shown_px=2 * SIDE_PX)
        shown.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=2)
        for quality in QUALITIES:
            file = BytesIO()
            shown.save(file, "JPEG", quality=quality)
            if file.tell() <= PICTURE_BYTES:
                break
    except Exception:  # of hostile bytes Pillow raises many kinds
        return "cannot be shown"
    return f"![picture](data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()})"


def some_rows(
    store: ShardStore, handle: ShardSet, table: str, columns: Sequence[str], ids: pl.Series
) -> pl.DataFrame:
    """Return some figures' rows of a table, in the table's order."""
    none = schema_of(TABLES[handle.asset][table]).to_frame().select(columns)
    return pl.concat([none, *store.scan(handle, table, columns, among=ids)])
