"""Reading back what people judged, from files that nobody vouches for."""

import csv
import io
import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.metrics import verdicts as module
from s1mm_assets.metrics.verdicts import (
    COLUMNS,
    DANGEROUS,
    VerdictError,
    digest,
    precision,
    read_verdicts,
    unescape,
    wilson_interval,
)

HEAD = ",".join(COLUMNS)
KEPT = {"rejection": None, "sha256": "aa", "caption": "A caption.", "recaption": "Longer."}
DIGEST = digest("aa", "A caption.", "Longer.")


def line(figure_id: str, verdict: str, **values: str) -> str:
    """One line of a file of verdicts on figures as in `KEPT`."""
    row = {
        "partition": "arxiv|2019",
        "was": "kept",
        "digest": DIGEST,
        "reviewer": "",
        "note": "",
        "judged_at": "",
    }
    row |= {"figure_id": figure_id, "verdict": verdict, **values}
    return ",".join(row[name] for name in COLUMNS)


def file(*lines: str, name: str = "a.csv") -> tuple[str, bytes]:
    """A file of verdicts."""
    return name, "\n".join([HEAD, *lines]).encode()


def current(**figures: dict[str, Any]) -> pl.DataFrame:
    """Figures as they are now."""
    schema = dict.fromkeys(["figure_id", *KEPT], pl.String)
    return pl.DataFrame([{"figure_id": name, **values} for name, values in figures.items()], schema=schema)


def test_a_file_is_read_back() -> None:
    """Each column by its name, whatever their order."""
    content = b'verdict,figure_id,digest,was,partition,note\ngood,f,0,kept,p,"a, b\nc"\n'

    assert read_verdicts([("a.csv", content)]).rows(named=True) == [
        {"partition": "p", "figure_id": "f", "verdict": "good", "was": "kept", "digest": "0"}
        | {"reviewer": "", "note": "a, b\nc", "judged_at": "", "file": "a.csv"}
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text + "\n\n,,,,,,,\n",
        lambda text: text.replace("good", " Good "),
        lambda text: text.replace("figure_id", " Figure_ID"),
        lambda text: "\n".join(f'"{each}"' for each in text.split("\n")).replace(",", '","'),
    ],
    ids=["BOM", "CRLF", "semicolons", "tabs", "empty lines", "capitals", "header", "quotes"],
)
def test_what_spreadsheets_make_of_a_file_is_read_too(change: Any) -> None:
    """Byte order mark, line ends, separators and quotes are the spreadsheet's own."""
    text = file(line("f#1.1", "good"), line("f#2.1", "bad"))[1].decode()

    found = read_verdicts([("a.csv", change(text).encode())])

    assert found.select("figure_id", "verdict", "digest").rows() == [
        ("f#1.1", "good", DIGEST),
        ("f#2.1", "bad", DIGEST),
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "line 1: no column partition"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "line 1: not UTF-8"),
        ("".join([HEAD, "\nköln"]).encode("latin-1"), "line 2: not UTF-8"),
        (HEAD.replace("was", "what").encode(), "line 1: no column was"),
        (f"{HEAD},verdict".encode(), "line 1: the column verdict is there twice"),
        (
            file(line("f", "good"), line("g", "maybe"))[1],
            "line 3: the verdict 'maybe' is neither good nor bad",
        ),
        (file("arxiv|2019,f,good")[1], "line 2: 3 fields, not 8"),
        (file(line("", "good"))[1], "line 2: no figure_id"),
        (file('"open')[1], "line 1: no CSV"),
        (file("x" * 200_000)[1], "line 1: no CSV"),
        (b"," * (module.MAX_BYTES + 1), "more than"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_line(content: bytes, says: str) -> None:
    """So that whoever sent it can mend it."""
    with pytest.raises(VerdictError) as error:
        read_verdicts([("one.csv", content)])

    assert str(error.value).startswith("one.csv, line ")
    assert says in str(error.value)


@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda end: f"{HEAD}\n".encode() + end))
def test_any_bytes_are_verdicts_or_a_clear_error(content: bytes) -> None:
    """Nothing else leaves the reader."""
    try:
        found = read_verdicts([("any.csv", content)])
    except VerdictError:
        return
    assert set(found["verdict"]) <= {"good", "bad"}


def test_the_later_verdict_of_a_reviewer_stands() -> None:
    """In one file, and in a later file; other reviewers and other partitions have their own."""
    first = file(
        line("f", "bad", reviewer="ada"),
        line("f", "bad", reviewer="ben"),
        line("g", "bad", reviewer="ada"),
        line("g", "good", reviewer="ada"),
        line("f", "bad", reviewer="ada", partition="arxiv|2020"),
    )
    later = file(line("f", "good", reviewer="ada"), name="b.csv")

    found = read_verdicts([first, later])

    columns = ["partition", "figure_id", "reviewer", "verdict", "file"]
    assert sorted(found.select(columns).rows()) == [
        ("arxiv|2019", "f", "ada", "good", "b.csv"),
        ("arxiv|2019", "f", "ben", "bad", "a.csv"),
        ("arxiv|2019", "g", "ada", "good", "a.csv"),
        ("arxiv|2020", "f", "ada", "bad", "a.csv"),
    ]


def test_the_later_verdict_stands_whatever_its_file_is_called() -> None:
    """A browser calls the second download "(1)", which sorts before the first; what is no time says nothing."""
    early, late = "2026-01-02T10:00:00.000Z", "2026-01-02T10:00:01.000Z"
    second = file(line("f", "good", judged_at=late), line("g", "good"), name="v (1).csv")
    first = file(line("f", "bad", judged_at=early), line("g", "bad", judged_at="Friday"), name="v.csv")

    found = read_verdicts([second, first])

    assert sorted(found.select("figure_id", "verdict").rows()) == [("f", "good"), ("g", "bad")]


@given(st.text(max_size=20))
def test_the_mark_against_formulas_comes_off_again(value: str) -> None:
    """What the page marks is what is read; what needs no mark stays as it is."""
    marked = f"'{value}" if value.startswith(DANGEROUS) else value

    assert not marked.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert unescape(marked) == value


def test_formulas_in_a_file_are_read_as_texts() -> None:
    """A figure id that a spreadsheet would run comes back equal."""
    lines = io.StringIO()
    ids = ["=1+1", "+f", "-f", "@f", "'f", "'=f", "f"]
    rows = [
        ["p", f"'{each}" if each.startswith(DANGEROUS) else each, "good", "kept", "0", "", "", ""]
        for each in ids
    ]
    csv.writer(lines, quoting=csv.QUOTE_ALL).writerows([COLUMNS, *rows])

    found = read_verdicts([("a.csv", lines.getvalue().encode())])

    assert found["figure_id"].to_list() == ids


def test_kept_figures_are_right_where_good_and_rejected_ones_where_bad() -> None:
    """Precision of what is kept, and of each reason's rejections."""
    logo, blank = {**KEPT, "rejection": "logo"}, {**KEPT, "rejection": "blank"}
    lines = [line(f"k{i}", "good" if i < 3 else "bad") for i in range(4)]
    lines += [line("l0", "bad", was="logo"), line("l1", "good", was="logo"), line("b0", "bad", was="blank")]
    now = current(**{f"k{i}": KEPT for i in range(4)}, l0=logo, l1=logo, b0=blank, other=KEPT)

    found = precision(read_verdicts([file(*lines)]), now)

    assert (found.kept.n_judged, found.kept.n_right, found.kept.share) == (4, 3, 0.75)
    assert (found.kept.low, found.kept.high) == wilson_interval(3, 4)
    assert (found.rejected.n_judged, found.rejected.n_right) == (3, 2)
    assert {reason: (each.n_right, each.n_judged) for reason, each in found.by_reason.items()} == {
        "blank": (1, 1),
        "logo": (1, 2),
    }
    assert (found.n_gone, found.n_redecided, found.n_changed, found.n_disputed) == (0, 0, 0, 0)


def test_verdicts_of_what_is_no_more_are_counted_apart() -> None:
    """A figure that is gone, decided otherwise, with another image, recaption or caption is not what was judged."""
    names = ["same", "gone", "now_rejected", "now_kept", "image", "recaption", "caption"]
    lines = [line(name, "good", was="blank" if name == "now_kept" else "kept") for name in names]
    now = current(
        same=KEPT,
        now_rejected={**KEPT, "rejection": "logo"},
        now_kept=KEPT,
        image={**KEPT, "sha256": None},
        recaption={**KEPT, "recaption": "Other."},
        caption={**KEPT, "caption": "Other."},
    )

    found = precision(read_verdicts([file(*lines)]), now)

    assert (found.kept.n_judged, found.kept.n_right) == (1, 1)
    assert found.rejected.share is None
    assert (found.n_gone, found.n_redecided, found.n_changed) == (1, 2, 3)


def test_most_reviewers_decide_and_a_tie_decides_nothing() -> None:
    """A figure counts once, however many people saw it."""
    votes = {"two_to_one": ["good", "bad", "good"], "tie": ["good", "bad"], "one": ["bad"]}
    lines = [
        line(name, each, reviewer=f"r{i}") for name, all_ in votes.items() for i, each in enumerate(all_)
    ]

    found = precision(read_verdicts([file(*lines)]), current(two_to_one=KEPT, tie=KEPT, one=KEPT))

    assert (found.kept.n_judged, found.kept.n_right, found.n_disputed) == (2, 1, 1)


def test_without_verdicts_there_is_no_estimate() -> None:
    """Nothing judged is not the same as nothing right."""
    found = precision(read_verdicts([]), current())

    assert (found.kept.n_judged, found.kept.share, found.kept.low, found.by_reason) == (0, None, None, {})


def test_the_interval_is_wilsons() -> None:
    """Its ends p solve |x/n - p| = z sqrt(p (1 - p) / n); a known pair is 0.75 of 20: 0.531 to 0.888."""
    assert wilson_interval(15, 20) == pytest.approx((0.5313, 0.8881), abs=1e-4)
    for n_right, n in ((0, 5), (5, 5), (1, 1000), (37, 64)):
        low, high = wilson_interval(n_right, n)
        assert 0 <= low < high <= 1
        for end in {low, high} - {0.0, 1.0}:
            deviation = module.Z_95 * math.sqrt(end * (1 - end) / n)
            assert abs(n_right / n - end) == pytest.approx(deviation, abs=1e-9)
