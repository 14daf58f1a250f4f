"""One record of the release: its columns, its line of JSON, and the path of its image.

Every source and year has the same columns in the same order; what is not known or not evaluated is null.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

RECORD = pa.schema(
    [
        ("doi", pa.string()),
        ("arxiv_id", pa.string()),
        ("title", pa.string()),
        ("image_path", pa.string()),  # the exact member name in the source's image archive
        ("caption", pa.string()),
        ("recaption", pa.string()),
        ("categories", pa.list_(pa.string())),
        ("figure_id", pa.string()),
        ("paper_id", pa.string()),
        ("source", pa.string()),
        ("year", pa.int32()),
        ("figure_number", pa.string()),
        ("sub_caption", pa.string()),
        ("parent_caption", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("mentions", pa.list_(pa.string())),
        ("licence", pa.string()),  # SPDX id
        ("licence_url", pa.string()),
        ("licence_read", pa.string()),  # ISO date
        ("image_sha256", pa.string()),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("image_size_bytes", pa.int64()),
        ("engine", pa.string()),
        ("model", pa.string()),
        ("prompt_version", pa.string()),
        ("method", pa.string()),
        ("grounding", pa.float64()),
        ("caption_clip_score", pa.float64()),
        ("recaption_clip_score", pa.float64()),
        ("caption_pseudo_perplexity", pa.float64()),
        ("recaption_pseudo_perplexity", pa.float64()),
    ]
)
"""The columns of a record; the Parquet files hold the image beside them."""

WITHHELD: dict[str, Any] = {"caption": None, "sub_caption": None, "parent_caption": None, "mentions": []}
"""The authors' words in a record whose licence does not let them be passed on."""
EXTRACTIVE = frozenset({"context"})  # engines whose recaptions are the authors' words too

QUOTED_WORDS = 15  # in a row: no model says them by chance
WORD = re.compile(r"\w+")

EXTENSIONS = {"png": "png", "jpeg": "jpg"}

FIGURE_ID = re.compile(r"([a-z_]+):(.+)#([1-9][0-9]*)\.([1-9][0-9]*)", re.DOTALL)
# Ids that stay readable as folder names: dots and slashes become "_", and no two of them become equal, even
# where "a" and "A" name one file. Every other id gets a digest behind "__", which none of these holds.
READABLE = {
    "arxiv": re.compile(r"\d{4}\.\d{4,5}|[a-z]+(-[a-z]+)*(\.[A-Z]{2})?/\d{7}", re.ASCII),
    "local": re.compile(
        r"(?!.*_\d{7}\Z)"  # looks like an arXiv id of before 2007
        r"(?!(con|prn|aux|nul|com\d|lpt\d)\Z)"  # Windows opens a device
        r"[a-z]([-_]?[a-z0-9]){0,79}",
        re.ASCII,
    ),
}
LINE_BREAKS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}  # str.splitlines would break there
MARKS = tuple(map(chr, LINE_BREAKS))


def image_path(figure_id: str, image_format: str) -> str:
    """Return the name of a figure's image in its archive: "2301_01234/f3_p1.png".

    ASCII, at most 100 characters, relative, its only dot before the extension. No two figures share one.

    Raises:
        ValueError: The id is not `<source>:<paper>#<figure>.<panel>`, or the format is not released.
    """
    match = FIGURE_ID.fullmatch(figure_id)
    if match is None or len(match[3]) + len(match[4]) > 12:
        raise ValueError(f"{figure_id!r} is not <source>:<paper>#<figure>.<panel>")
    if image_format not in EXTENSIONS:
        raise ValueError(f"{figure_id}: images of format {image_format!r} are not released")
    source, paper_id, figure, panel = match.groups()
    return f"{paper_folder(source, paper_id)}/f{figure}_p{panel}.{EXTENSIONS[image_format]}"


def paper_folder(source: str, paper_id: str) -> str:
    """Return a folder name for a paper: safe on every file system, equal for no two papers."""
    readable = re.sub(r"[^A-Za-z0-9-]", "_", paper_id)
    if source in READABLE and READABLE[source].fullmatch(paper_id):
        return readable
    digest = hashlib.sha256(f"{source}:{paper_id}".encode()).hexdigest()
    return f"{re.sub('__+', '_', readable).strip('_-')[:40]}__{digest[:20]}"


def line_of(record: Mapping[str, Any]) -> bytes:
    """Return a record as one line of JSON, its keys in the order of `RECORD`.

    Raises:
        ValueError: A number is not finite; the message names the figure.
    """
    try:
        return json_line({name: record[name] for name in RECORD.names})
    except ValueError as error:
        raise ValueError(f"{record['figure_id']}: {error}") from error


def recipe_line_of(record: Mapping[str, Any], recipe: Mapping[str, Any]) -> bytes:
    """Return a record without what its licence keeps back, and how its image is made, as one line of JSON.

    Raises:
        ValueError: A number is not finite.
    """
    row = {name: record[name] for name in RECORD.names} | WITHHELD
    if record["engine"] in EXTRACTIVE or quotes(record):
        row["recaption"] = None
    return json_line(row | {"recipe": dict(recipe)})


def caption_sha256(caption: str) -> str:
    """Return the digest by which a recipe knows its figure's caption, hex."""
    return hashlib.sha256(caption.encode("utf-8", "surrogatepass")).hexdigest()


def quotes(record: Mapping[str, Any]) -> bool:
    """Whether a recaption takes over `QUOTED_WORDS` words in a row, or all that it has, from what the authors wrote."""
    words = WORD.findall((record["recaption"] or "").lower())
    n = min(QUOTED_WORDS, len(words))
    own = [record[name] for name in ("caption", "sub_caption", "parent_caption")] + list(
        record["mentions"] or ()
    )
    theirs = [f" {' '.join(WORD.findall(text.lower()))} " for text in own if text]
    runs = {f" {' '.join(words[i : i + n])} " for i in range(len(words) - n + 1)} if words else set()
    return any(run in text for run in runs for text in theirs)


def json_line(row: Mapping[str, Any]) -> bytes:
    """Return a row as one line of JSON, whatever breaks lines where.

    Raises:
        ValueError: A number is not finite.
    """
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    if any(mark in text for mark in MARKS):  # seldom; translating takes longer than all else here
        text = text.translate(LINE_BREAKS)
    return (text + "\n").encode()
