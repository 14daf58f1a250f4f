"""What a row is: one class per table, the schema derived from it, and why a row goes no further.

Belongs here: the shape of data that crosses from one stage to the next. Does not: how it is made or stored.
One quantity has one name in every table; units are in the name.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

import polars as pl

SCHEMA_VERSION = 1
"""Raised when a table changes otherwise than by a new nullable column; readers then refuse older shards."""


class Rejection(StrEnum):
    """Why a row goes no further. Published with the dataset, so values never change meaning."""

    # archives: the paper as delivered
    EMPTY = "empty"
    CORRUPT = "corrupt"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    UNSAFE_PATHS = "unsafe_paths"
    UNSUPPORTED_ARCHIVE = "unsupported_archive"
    WITHDRAWN = "withdrawn"
    HTML = "html"
    POSTSCRIPT = "postscript"
    NO_TEX = "no_tex"
    NO_IMAGES = (
        "no_images"  # the figure environments are still read: each gets a row that says what is missing
    )

    # papers: what was read from an archive
    NO_EXTRACTOR = "no_extractor"
    UNDECODABLE = "undecodable"
    NO_FIGURES = "no_figures"
    ENCRYPTED = "encrypted"

    # figures: one image, or one figure environment without a usable image
    DRAWN_IN_TEX = "drawn_in_tex"
    GRAPHICS_MISSING = "graphics_missing"
    IMAGE_UNREADABLE = "image_unreadable"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_UNSUPPORTED = "image_unsupported"
    ASSOCIATION_UNCERTAIN = "association_uncertain"

    # decisions: the filters
    FILE_TOO_SMALL = "file_too_small"
    DIMENSIONS_TOO_SMALL = "dimensions_too_small"
    EXTREME_ASPECT = "extreme_aspect"
    BLANK = "blank"
    TABLE_AS_IMAGE = "table_as_image"
    LOGO = "logo"
    PORTRAIT = "portrait"  # of an author
    MACHINE_CODE = "machine_code"  # QR codes and bar codes
    LICENCE_BADGE = "licence_badge"
    CAPTION_MISSING = "caption_missing"
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"

    # recaptions
    NO_CONTEXT = "no_context"
    ANSWER_EMPTY = "answer_empty"
    ANSWER_CUT_OFF = "answer_cut_off"
    ANSWER_REFUSAL = "answer_refusal"
    ANSWER_LOOP = "answer_loop"
    ANSWER_ECHO = "answer_echo"
    ANSWER_WRONG_LANGUAGE = "answer_wrong_language"
    ANSWER_MARKUP = "answer_markup"

    # records: the release
    CLIP_BELOW_THRESHOLD = "clip_below_threshold"
    RETRACTED = "retracted"
    TAKEN_DOWN = "taken_down"

    # caused by the environment, not by the row: redone on request (`s1mm retry`)
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_CRASHED = "worker_crashed"
    RENDERER_MISSING = "renderer_missing"
    REQUEST_REFUSED = "request_refused"  # by the model's server, which others of the shard found well
    REQUEST_FAILED = "request_failed"


ENVIRONMENT_CAUSED = frozenset(
    {
        Rejection.TIMED_OUT,
        Rejection.OUT_OF_MEMORY,
        Rejection.WORKER_CRASHED,
        Rejection.RENDERER_MISSING,
        Rejection.REQUEST_REFUSED,
        Rejection.REQUEST_FAILED,
    }
)

MENTION = pl.Struct({"section": pl.String, "text": pl.String, "is_caption": pl.Boolean})
"""A paragraph that cites a figure: section title (null before the first), plain text, and whether the
paragraph is another figure's caption."""

TEXT_LINE = pl.Struct(
    {
        "text": pl.String,
        "confidence": pl.Float32,
        **dict.fromkeys(("x0", "y0", "x1", "y1"), pl.Float32),
    }
)
"""A line of text read in an image: how sure the reader is, 0 to 1, and its upright box in pixels, origin top-left."""

MISSING_SCORE = pl.Struct({"score": pl.String, "reason": pl.String})
"""A score that a row does not have, by its column's name, and why: empty, too_long, image_unreadable …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """raw_archives/archives: one paper as delivered."""

    paper_id: Annotated[str, pl.String]  # "2301.01234", "hep-ph/0001001"; of a local file its name
    source: Annotated[str, pl.String]
    year: Annotated[int, pl.UInt16]
    kind: Annotated[str, pl.String]  # archives.Kind
    uri: Annotated[str, pl.String]  # where the bytes lie, relative to the source's root
    offset: Annotated[int, pl.UInt64]
    length: Annotated[int, pl.UInt64]  # bytes
    sha256: Annotated[str, pl.String]
    unpacked_bytes: Annotated[int | None, pl.UInt64]  # of all members
    n_members: Annotated[int | None, pl.UInt32]
    n_images: Annotated[int | None, pl.UInt32]  # of its members, by their content
    rejection: Annotated[str | None, pl.String]  # why it was turned away; null: it was not
    evidence: Annotated[str | None, pl.String]  # what was seen of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """raw_archives/metadata: the same paper's bibliographic record; null where the source gives none."""

    paper_id: Annotated[str, pl.String]
    arxiv_id: Annotated[str | None, pl.String]
    doi: Annotated[str | None, pl.String]
    title: Annotated[str | None, pl.String]
    abstract: Annotated[str | None, pl.String]
    authors: Annotated[list[str], pl.List(pl.String)]
    categories: Annotated[list[str], pl.List(pl.String)]
    licence: Annotated[str | None, pl.String]  # as the source gives it: a URL, or an SPDX id
    first_posted: Annotated[str | None, pl.String]  # ISO date
    updated: Annotated[str | None, pl.String]  # ISO date
    version: Annotated[str | None, pl.String]
    is_withdrawn: Annotated[bool, pl.Boolean]
    is_retracted: Annotated[bool | None, pl.Boolean] = None  # by its journal; null: not said
    licence_read: Annotated[str | None, pl.String] = None  # ISO date of the record that gives the licence


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """figure_candidates/papers: what was read from one archive."""

    paper_id: Annotated[str, pl.String]
    method: Annotated[str | None, pl.String]  # latex, pdf, jats
    main_file: Annotated[str | None, pl.String]
    encoding: Annotated[str | None, pl.String]
    title: Annotated[str | None, pl.String]  # metadata first, else as the paper has it
    abstract: Annotated[str | None, pl.String]
    authors: Annotated[list[str], pl.List(pl.String)]
    n_figures: Annotated[int, pl.UInt32]  # numbered figures
    n_rows: Annotated[int, pl.UInt32]  # rows in `figures`
    n_images: Annotated[int, pl.UInt32]  # rows in `figures` that hold an image
    warnings: Annotated[list[str], pl.List(pl.String)]
    rejection: Annotated[str | None, pl.String]  # why it was turned away; null: it was not
    evidence: Annotated[str | None, pl.String]  # what was seen of it
    licence: Annotated[str | None, pl.String] = None  # as the paper's own markup gives it


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureCandidate:
    """figure_candidates/figures: one image, or one figure environment without a usable image."""

    figure_id: Annotated[str, pl.String]  # "arxiv:2001.00001#3.1": source, paper, figure, panel, from 1
    paper_id: Annotated[str, pl.String]
    figure_number: Annotated[str | None, pl.String]  # as the paper prints it: "3", "A1", "S.2"
    method: Annotated[str, pl.String]  # latex, pdf, jats
    environment: Annotated[str | None, pl.String]  # figure, figure*, wrapfigure, subfigure …
    labels: Annotated[list[str], pl.List(pl.String)]  # the panel's own, else the figure's
    caption: Annotated[str, pl.String]  # what a reader attaches to this image; maths kept as LaTeX
    sub_caption: Annotated[str | None, pl.String]  # the panel's own
    parent_caption: Annotated[str | None, pl.String]  # the figure's, where the panel has its own
    caption_raw: Annotated[str | None, pl.String]  # TeX source
    mentions: Annotated[list[dict[str, Any]], pl.List(MENTION)]  # the paragraphs that cite it
    graphics_path: Annotated[str | None, pl.String]  # as written in \includegraphics
    image_member: Annotated[str | None, pl.String]  # the bundle member it was found as
    page: Annotated[int | None, pl.UInt32]  # 0-based
    bbox: Annotated[list[float] | None, pl.List(pl.Float64)]  # points, origin top-left
    confidence: Annotated[float | None, pl.Float64]  # 0 to 1: that image and caption belong together
    image: Annotated[bytes | None, pl.Binary]  # PNG or JPEG as released; null where there is none
    image_format: Annotated[str | None, pl.String]  # png, jpeg
    image_size_bytes: Annotated[int | None, pl.UInt64]
    source_size_bytes: Annotated[int | None, pl.UInt64]  # of the member, before rendering
    width_px: Annotated[int | None, pl.UInt32]
    height_px: Annotated[int | None, pl.UInt32]
    sha256: Annotated[str | None, pl.String]  # of `image`
    renderer: Annotated[str | None, pl.String]  # pillow, pdfium, poppler …; null: as it came
    rejection: Annotated[str | None, pl.String]  # why it was turned away; null: it was not
    evidence: Annotated[str | None, pl.String]  # what was seen of it
    rights: Annotated[str | None, pl.String] = None  # what the figure's own permissions say, where it has any


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """figure_measures/measures: what was seen in one image, before anything is decided."""

    figure_id: Annotated[str, pl.String]
    perceptual_hash: Annotated[int | None, pl.UInt64]  # 64-bit DCT hash; null where it will not decode
    detail_hash: Annotated[bytes | None, pl.Binary] = None  # 1,024-bit DCT hash, which tells plots apart
    ink_share: Annotated[float | None, pl.Float64]  # share of pixels that differ from the background
    n_colours: Annotated[int | None, pl.UInt32]  # distinct colours of the thumbnail, 32 levels a channel
    table_score: Annotated[float | None, pl.Float64]  # 0 to 1: how much it looks like a typeset table
    rejection: Annotated[str | None, pl.String]  # why it could not be measured
    evidence: Annotated[str | None, pl.String]  # what was seen of it
    logo_score: Annotated[float | None, pl.Float64] = None  # 0 to 1: share of its line of large letters
    badge_score: Annotated[float | None, pl.Float64] = None  # 0 to 1: how well it matches a licence's button
    code_share: Annotated[float | None, pl.Float64] = None  # of the content, that a machine code covers
    tone_bits: Annotated[float | None, pl.Float64] = None  # entropy of its grey levels, 0 to 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureText:
    """figure_texts/texts, and the same in filtered_figures: what is written in one image, of those that were read."""

    figure_id: Annotated[str, pl.String]
    lines: Annotated[list[dict[str, Any]], pl.List(TEXT_LINE)]  # from top to bottom, left to right
    rejection: Annotated[str | None, pl.String]  # why it could not be read; `lines` is empty then
    evidence: Annotated[str | None, pl.String]  # what was seen of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """filtered_figures/decisions: one figure, kept or not, with the value that decided it."""

    figure_id: Annotated[str, pl.String]
    paper_id: Annotated[str, pl.String]
    rejection: Annotated[str | None, pl.String]  # null where it is kept
    measured: Annotated[str | None, pl.String]  # the column that decided
    measured_value: Annotated[float | None, pl.Float64]  # its value
    threshold: Annotated[float | None, pl.Float64]  # what the value was held against
    evidence: Annotated[str | None, pl.String]  # what else was seen
    duplicate_of: Annotated[str | None, pl.String]  # figure_id of the one that is kept
    sha256: Annotated[str | None, pl.String]
    perceptual_hash: Annotated[int | None, pl.UInt64]
    detail_hash: Annotated[bytes | None, pl.Binary] = None
    image_size_bytes: Annotated[int | None, pl.UInt64]
    source_size_bytes: Annotated[int | None, pl.UInt64]
    caption_hash: Annotated[bytes | None, pl.Binary] = None  # its words, and the panel's number


@dataclass(frozen=True, slots=True, kw_only=True)
class Recaption:
    """recaptions/recaptions: one kept figure."""

    figure_id: Annotated[str, pl.String]
    paper_id: Annotated[str, pl.String]
    recaption: Annotated[str | None, pl.String]  # null where it was rejected
    engine: Annotated[str, pl.String]  # context, vllm
    model: Annotated[str | None, pl.String]
    model_revision: Annotated[str | None, pl.String]
    prompt_version: Annotated[str, pl.String]
    prompt_sha256: Annotated[str, pl.String]  # of all that shapes the answer but the request
    n_prompt_tokens: Annotated[int | None, pl.UInt32]
    n_completion_tokens: Annotated[int | None, pl.UInt32]
    finish_reason: Annotated[str | None, pl.String]  # as the server gives it: stop, length
    flags: Annotated[list[str], pl.List(pl.String)]  # how it is degenerate
    rejection: Annotated[str | None, pl.String]  # why there is none
    evidence: Annotated[str | None, pl.String]  # what was seen of it
    sampling: Annotated[str | None, pl.String] = None  # of this answer, JSON: temperature, top_p, dtype …
    seed: Annotated[int | None, pl.UInt32] = None
    request_sha256: Annotated[str | None, pl.String] = None  # the answer's key in the answer log


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScore:
    """pseudo_perplexities/scores: one recaptioned figure of the sample."""

    figure_id: Annotated[str, pl.String]
    caption_pseudo_perplexity: Annotated[float | None, pl.Float64]  # lower: more fluent; null: not evaluated
    recaption_pseudo_perplexity: Annotated[float | None, pl.Float64]  # lower: more fluent
    missing_scores: Annotated[list[dict[str, Any]], pl.List(MISSING_SCORE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairScore:
    """clip_scores/scores: one recaptioned figure of the sample; the columns are those of `Metric`."""

    figure_id: Annotated[str, pl.String]
    caption_clip_score: Annotated[float | None, pl.Float64]
    recaption_clip_score: Annotated[float | None, pl.Float64]
    caption_whole_clip_score: Annotated[float | None, pl.Float64]
    recaption_whole_clip_score: Annotated[float | None, pl.Float64]
    caption_shuffled_clip_score: Annotated[float | None, pl.Float64]
    recaption_shuffled_clip_score: Annotated[float | None, pl.Float64]
    caption_clip_tokens: Annotated[int | None, pl.UInt32]
    recaption_clip_tokens: Annotated[int | None, pl.UInt32]
    missing_scores: Annotated[list[dict[str, Any]], pl.List(MISSING_SCORE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """quality_metrics/metrics: one recaptioned figure. A null score was not evaluated."""

    figure_id: Annotated[str, pl.String]
    paper_id: Annotated[str, pl.String]
    caption_length_chars: Annotated[int, pl.UInt32]
    recaption_length_chars: Annotated[int, pl.UInt32]
    caption_pseudo_perplexity: Annotated[float | None, pl.Float64]  # lower: more fluent; null: not evaluated
    recaption_pseudo_perplexity: Annotated[float | None, pl.Float64]  # lower: more fluent
    caption_clip_score: Annotated[float | None, pl.Float64]  # higher: closer to the image
    recaption_clip_score: Annotated[float | None, pl.Float64]  # higher: closer to the image
    n_claims: Annotated[int, pl.UInt32]  # numbers and names in the recaption
    n_grounded_claims: Annotated[int, pl.UInt32]  # those that caption or mentions hold too
    grounding: Annotated[float | None, pl.Float64]  # their share; null without claims
    ungrounded_claims: Annotated[list[str], pl.List(pl.String)]  # the others, as they are written
    flags: Annotated[list[str], pl.List(pl.String)]  # how the recaption is degenerate
    rejection: Annotated[str | None, pl.String]  # why it was turned away; null: it was not
    n_claims_in_image: Annotated[int | None, pl.UInt32] = None  # that only its text grounds; null: not read
    caption_whole_clip_score: Annotated[float | None, pl.Float64] = None  # over windows: the text to its end
    recaption_whole_clip_score: Annotated[float | None, pl.Float64] = None
    caption_clip_tokens: Annotated[int | None, pl.UInt32] = None  # 77 are seen by the standard score
    recaption_clip_tokens: Annotated[int | None, pl.UInt32] = None
    caption_shuffled_clip_score: Annotated[float | None, pl.Float64] = None  # of another figure's caption
    recaption_shuffled_clip_score: Annotated[float | None, pl.Float64] = None
    missing_scores: Annotated[list[dict[str, Any]] | None, pl.List(MISSING_SCORE)] = None
    caption_language: Annotated[str | None, pl.String] = None  # ISO 639-1; null: the text does not show it
    recaption_language: Annotated[str | None, pl.String] = None
    subject: Annotated[str | None, pl.String] = None  # metrics.Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """duplicates/duplicates: one kept figure whose image another partition has too, and releases."""

    figure_id: Annotated[str, pl.String]
    duplicate_of: Annotated[str, pl.String]  # figure_id of the one that is kept
    rejection: Annotated[str, pl.String]  # exact_duplicate, near_duplicate
    distance: Annotated[int, pl.UInt32]  # bits of the detail hash


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRecord:
    """hf_release/records: one figure that reached the release, or why it did not."""

    figure_id: Annotated[str, pl.String]
    paper_id: Annotated[str, pl.String]
    image_path: Annotated[str | None, pl.String]  # exact member name in the image archive
    image_sha256: Annotated[str | None, pl.String]
    rejection: Annotated[str | None, pl.String]  # why it is not released; null: it is
    evidence: Annotated[str | None, pl.String] = None  # the figure that is kept, or the score
    released_as: Annotated[str | None, pl.String] = None  # image; recipe: its licence keeps the image back
    licence: Annotated[str | None, pl.String] = None  # SPDX id; null: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFile:
    """hf_release/files: one piece of the release, stored beside this table."""

    path: Annotated[str, pl.String]  # in the release: "arxiv/jsonl/2019.jsonl"
    piece: Annotated[str, pl.String]  # file name of the piece in the shard
    media: Annotated[str, pl.String]  # records, images, data, recipes …: release.layout.MEDIA
    n_bytes: Annotated[int, pl.UInt64]
    sha256: Annotated[str, pl.String]
    n_rows: Annotated[int, pl.UInt64]
    unpacked_bytes: Annotated[int | None, pl.UInt64]  # of an image archive: before compression
    unpacked_crc32: Annotated[int | None, pl.UInt32]  # of an image archive: of the bytes before compression


def schema_of(row: type) -> pl.Schema:
    """Return the Parquet schema that a row class declares, in field order."""
    hints = get_type_hints(row, include_extras=True)
    return pl.Schema({name: hint.__metadata__[0] for name, hint in hints.items()})


def columns_of(row: type) -> list[str]:
    """Return the column names of a row class, in order."""
    return [field.name for field in fields(row)]


def as_dict(row: Any) -> dict[str, Any]:
    """Return one row as a dict, without copying its values (images are large)."""
    return {field.name: getattr(row, field.name) for field in fields(row)}


def frame_of(row: type, rows: list[Any]) -> pl.DataFrame:
    """Return rows of one class as a table, with that class's schema."""
    return pl.DataFrame([as_dict(each) for each in rows], schema=schema_of(row), orient="row")


TABLES: dict[str, dict[str, type]] = {
    "archive_inspections": {"archives": Archive},  # made on the way to raw_archives
    "raw_archives": {"archives": Archive, "metadata": Metadata},
    "figure_candidates": {"papers": Paper, "figures": FigureCandidate},
    "figure_measures": {"measures": Measure},  # made on the way to filtered_figures
    "figure_texts": {"texts": FigureText},  # likewise, where text is read
    "filtered_figures": {"decisions": Decision, "texts": FigureText},
    "recaptions": {"recaptions": Recaption},
    "pseudo_perplexities": {"scores": TextScore},  # made on the way to quality_metrics, where configured
    "clip_scores": {"scores": PairScore},  # likewise
    "quality_metrics": {"metrics": Metric},
    "duplicates": {"duplicates": Duplicate},
    "hf_release": {"records": ReleaseRecord, "files": ReleaseFile},
}
"""Asset → table → row class."""

MAIN_TABLES = ("archives", "figures", "decisions", "recaptions", "metrics", "duplicates", "records")
"""Of each asset the table that it is about: whose rows are counted where one number is shown."""
