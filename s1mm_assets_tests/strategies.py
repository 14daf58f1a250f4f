"""Hypothesis strategies for the rows of tables, drawn from both sides of every threshold."""

from typing import Any

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

from s1mm_assets.filtering import FilterSettings
from s1mm_assets.tables import FigureCandidate, Measure, Rejection, frame_of

UNTIMED = settings(deadline=None, max_examples=40)
"""For properties that take milliseconds an example: a busy machine must not fail them."""

SETTINGS = FilterSettings()
SHA256S = [digit * 64 for digit in "abcdef"]
DETAILS = [bytes(128), b"\x01" + bytes(127), b"\xff" * 5 + bytes(123), b"\xff" * 128]  # 0, 1, 40, 1024 bits


def around(threshold: float) -> st.SearchStrategy[int]:
    """Whole numbers on both sides of a threshold, and the threshold itself."""
    middle = int(threshold)
    return st.sampled_from([max(0, middle - 1), middle, middle + 1, 0, middle * 3 + 10])


def shares(threshold: float) -> st.SearchStrategy[float]:
    """Numbers from 0 to 1 on both sides of a threshold, and the threshold itself."""
    return st.sampled_from([0.0, threshold - 1e-6, threshold, threshold + 1e-6, 1.0])


def rejections_of_extraction() -> st.SearchStrategy[str | None]:
    """Mostly none, else what extraction says."""
    reasons = [Rejection.DRAWN_IN_TEX, Rejection.GRAPHICS_MISSING, Rejection.TIMED_OUT]
    return st.one_of(st.none(), st.none(), st.none(), st.sampled_from([reason.value for reason in reasons]))


def figure_ids() -> st.SearchStrategy[list[str]]:
    """Ids of different figures, in any order, with ordinals of one and two digits."""
    one = st.tuples(st.sampled_from(["2001.00001", "hep-ph/0001001"]), st.integers(1, 12), st.integers(1, 11))
    return st.lists(one.map(lambda parts: "arxiv:{}#{}.{}".format(*parts)), max_size=8, unique=True)


def figure(figure_id: str, **values: Any) -> FigureCandidate:
    """A figure that no rule rejects, but for the values given."""
    sound: dict[str, Any] = {
        **dict.fromkeys(FigureCandidate.__dataclass_fields__),
        "figure_id": figure_id,
        "paper_id": figure_id.partition(":")[2].partition("#")[0],
        "method": "latex",
        "labels": [],
        "caption": "A caption.",
        "mentions": [],
        "image": b"not read here",
        "image_size_bytes": 20_000,
        "source_size_bytes": 9_000,
        "width_px": 800,
        "height_px": 600,
        "sha256": SHA256S[0],
    }
    return FigureCandidate(**{**sound, **values})


def measured(figure_id: str, **values: Any) -> Measure:
    """The measure of an image that no rule rejects, but for the values given."""
    sound: dict[str, Any] = {
        "figure_id": figure_id,
        "perceptual_hash": 2**63 + 1,
        "detail_hash": DETAILS[0],
        "ink_share": 0.2,
        "n_colours": 40,
        "table_score": 0.1,
        "rejection": None,
        "evidence": None,
    }
    return Measure(**{**sound, **values})


@st.composite
def figures_and_measures(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tables figure_candidates/figures and figure_measures/measures of one shard."""
    figures, measures = [], []
    for figure_id in draw(figure_ids()):
        rejection = draw(rejections_of_extraction())
        image = {
            "image_size_bytes": draw(around(SETTINGS.min_image_size_bytes)),
            "width_px": draw(around(SETTINGS.min_width_px)) + 1,
            "height_px": draw(around(SETTINGS.min_height_px)) + 1,
            "sha256": draw(st.sampled_from(SHA256S)),
        }
        if rejection:
            image = {**dict.fromkeys(image), "image": None, "evidence": "as extraction saw it"}
        caption = draw(st.sampled_from(["", " ", "a", "A longer caption."]))
        figures.append(figure(figure_id, rejection=rejection, caption=caption, **image))
        measures.append(draw(measures_of(figure_id, rejection)))
    return frame_of(FigureCandidate, figures), frame_of(Measure, measures)


@st.composite
def measures_of(draw: st.DrawFn, figure_id: str, rejection: str | None) -> Measure:
    """What was measured of one figure, or that it could not be."""
    rejection = rejection or draw(st.sampled_from([None, None, None, Rejection.IMAGE_UNREADABLE.value]))
    values: dict[str, Any] = {
        "ink_share": draw(shares(SETTINGS.min_ink_share)),
        "table_score": draw(shares(SETTINGS.max_table_score)),
        "detail_hash": draw(st.sampled_from(DETAILS)),
        "perceptual_hash": draw(st.integers(0, 2**64 - 1)),
    }
    if rejection:
        values = dict.fromkeys([*values, "n_colours"])
    return measured(figure_id, rejection=rejection, **values)


@st.composite
def survivor_tables(draw: st.DrawFn) -> pl.DataFrame:
    """What `find_duplicates` is given: equal images have equal hashes."""
    rows = []
    for figure_id in draw(figure_ids()):
        image = draw(st.integers(0, len(SHA256S) - 1))
        rows.append(
            {
                "shard": draw(st.sampled_from(["chunk_001", "chunk_002"])),
                "figure_id": figure_id,
                "sha256": SHA256S[image],
                "detail_hash": DETAILS[image % len(DETAILS)],
            }
        )
    schema = {"shard": pl.String, "figure_id": pl.String, "sha256": pl.String, "detail_hash": pl.Binary}
    return pl.DataFrame(rows, schema=schema)
