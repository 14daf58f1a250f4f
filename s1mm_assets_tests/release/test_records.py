"""Tests of s1mm_assets.release.records."""

import json
import math
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s1mm_assets.release.records import RECORD, image_path, line_of

SOURCES = st.sampled_from(["arxiv", "local", "biorxiv"])
# Ids that look alike once dots and slashes are gone, and whatever else a file name can be.
ALIKE = st.text("aA0.1/_-~é\\\n\u202e", min_size=1, max_size=12)
ARXIV = st.sampled_from(["2301.01234", "hep-ph/0001001", "math.GT/0309136", "2301_01234", "math_GT_0309136"])
FIGURE_IDS = st.tuples(
    SOURCES, st.one_of(ARXIV, ALIKE, st.text(min_size=1)), st.integers(1, 30), st.integers(1, 30)
).map(lambda parts: f"{parts[0]}:{parts[1]}#{parts[2]}.{parts[3]}")


@pytest.mark.parametrize(
    ("figure_id", "path"),
    [
        ("arxiv:2301.01234#3.1", "2301_01234/f3_p1.png"),
        ("arxiv:hep-ph/0001001#1.2", "hep-ph_0001001/f1_p2.png"),
        ("arxiv:math.GT/0309136#1.1", "math_GT_0309136/f1_p1.png"),
        ("local:smith_2020#1.1", "smith_2020/f1_p1.png"),
        ("local:two-words#12.10", "two-words/f12_p10.png"),
    ],
)
def test_common_ids_stay_readable(figure_id: str, path: str) -> None:
    """What arXiv and plain file names are called can be recognised in the path."""
    assert image_path(figure_id, "png") == path


@pytest.mark.parametrize(
    "paper_id",
    ["../../etc/passwd", "..", "a..b", "C:\\x", "naïve paper", "con", "A" * 300, "-rf", "2301.01234\n", "#"],
)
def test_odd_ids_become_safe_names(paper_id: str) -> None:
    """No id leads out of the archive's folder, or to a name that some file system refuses."""
    path = image_path(f"local:{paper_id}#1.1", "jpeg")

    assert re.fullmatch(r"[A-Za-z0-9_-]*__[0-9a-f]{20}/f1_p1\.jpg", path)
    assert len(path) <= 100


@given(FIGURE_IDS, FIGURE_IDS)
@example("arxiv:2301.01234#1.1", "local:2301.01234#1.1")
@example("arxiv:math.GT/0309136#1.1", "local:math_GT_0309136#1.1")
@example("local:hep-ph_0001001#1.1", "arxiv:hep-ph/0001001#1.1")
@example("local:a.b#1.1", "local:a_b#1.1")
@example("local:a.b#1.1", "biorxiv:a.b#1.1")
@example("local:Ab#1.1", "local:ab#1.1")
def test_two_figures_never_share_a_path(first: str, second: str) -> None:
    """Paths differ where figures do, also where upper and lower case are one."""
    paths = [image_path(figure_id, "png") for figure_id in (first, second)]

    assert (paths[0].lower() == paths[1].lower()) == (first == second)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+/f\d+_p\d+\.png", path) and len(path) <= 100 for path in paths)


@pytest.mark.parametrize("figure_id", ["", "arxiv:1", "arxiv:1#1", "arxiv:1#0.1", "1#1.1", "arxiv:1#01.1"])
def test_an_id_that_is_none_is_refused(figure_id: str) -> None:
    """A figure id of another shape breaks an assumption: the message names it."""
    with pytest.raises(ValueError, match=re.escape(repr(figure_id))):
        image_path(figure_id, "png")


def test_other_formats_are_refused() -> None:
    """Only PNG and JPEG are released."""
    with pytest.raises(ValueError, match=r"arxiv:1#1\.1"):
        image_path("arxiv:1#1.1", "gif")


def record(**values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(RECORD.names), "figure_id": "arxiv:1#1.1", **values}


def test_every_line_has_every_key_in_order() -> None:
    """doi and arxiv_id are always there, null where unknown; unknown columns are left out."""
    line = json.loads(line_of({"image": b"x", **record()}))

    assert list(line) == RECORD.names
    assert list(line)[:7] == [
        *("doi", "arxiv_id", "title", "image_path", "caption", "recaption", "categories")
    ]


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_a_record_survives_its_line(caption: str, grounding: float) -> None:
    """A line is one line for every reader, and gives the values back."""
    line = line_of(record(caption=caption, grounding=grounding)).decode()

    assert json.loads(line) == record(caption=caption, grounding=grounding)
    assert len(line.splitlines()) == 1


def test_text_stays_text() -> None:
    """Letters beyond ASCII are not escaped."""
    assert "“α”".encode() in line_of(record(caption="“α”"))


def test_a_number_that_json_lacks_is_refused() -> None:
    """NaN is no value of a column: it names the figure."""
    with pytest.raises(ValueError, match=r"arxiv:1#1\.1"):
        line_of(record(grounding=math.nan))
