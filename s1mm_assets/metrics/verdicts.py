"""What people judged in a gallery: read back from the CSV files that its page saves, and how often we were right.

The files come from people's machines, by way of spreadsheets: nothing in them is trusted. A verdict counts only
while what was judged is still what we have: the same image, texts and decision.
"""

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

GOOD, BAD = "good", "bad"
KEPT = "kept"  # in the column `was`: the figure was not rejected
REQUIRED = ("partition", "figure_id", "verdict", "was", "digest")
COLUMNS = (*REQUIRED, "reviewer", "note", "judged_at")
VERDICTS = pl.Schema(dict.fromkeys((*COLUMNS, "file"), pl.String))
"""One verdict: the partition key, the figure, good or bad, what the pipeline had decided (kept, or the reason),
the digest of what was shown, who judged, a note, when (UTC, empty where not said), and the file it comes from."""

DELIMITERS = ",;\t"  # spreadsheets choose one by the user's language
TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", re.ASCII
)  # as the page writes it: sorts as text
MAX_BYTES = 8 * 2**20  # of one file: about 50,000 verdicts
DANGEROUS = (
    "'",
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
)  # what a spreadsheet may take for a formula; our own mark
Z_95 = 1.959963984540054  # of the normal distribution, two-sided


class VerdictError(ValueError):
    """A file of verdicts cannot be used; the message names file, line and what is wrong."""

    def __init__(self, file: str, line: int, what: str) -> None:
        super().__init__(f"{file}, line {line}: {what}")


@dataclass(frozen=True, slots=True)
class Proportion:
    """How often something was judged right, with Wilson's 95 % interval; None where nothing was judged."""

    n_judged: int
    n_right: int
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What verdicts say of a partition's decisions. Verdicts that are not used are counted by why."""

    kept: Proportion  # right: judged good
    rejected: Proportion  # right: judged bad; of a sample that holds every reason, not of all rejections
    by_reason: Mapping[str, Proportion]
    n_gone: int  # the figure is not in the partition
    n_redecided: int  # it was kept and is rejected now, or the reverse, or for another reason
    n_changed: int  # its image or texts are others
    n_disputed: int  # as many reviewers say good as say bad


def digest(image_sha256: str | None, caption: str, recaption: str | None) -> str:
    """Return the digest of what a person judges: the image and both texts. 16 hexadecimal digits."""
    parts = "\x00".join([image_sha256 or "", caption, recaption or ""])
    return hashlib.sha256(parts.encode("utf-8", "replace")).hexdigest()[:16]


def read_verdicts(files: Iterable[tuple[str, bytes]]) -> pl.DataFrame:
    """Return the verdicts of several files; where one reviewer judged a figure twice, the later one stands.

    Args:
        files: Name and content of each. Where a verdict does not say when it was given, it counts as older than
            those that do, and among its like the order of files and lines decides.

    Returns:
        Rows of `VERDICTS`, at most one per partition, figure and reviewer.

    Raises:
        VerdictError: A file is too large, is no CSV in UTF-8, lacks a column, or has a verdict that is neither
            good nor bad.
    """
    rows = [row for name, content in files for row in rows_of(name, content)]
    frame = pl.DataFrame(rows, schema=VERDICTS, orient="row").sort("judged_at", maintain_order=True)
    return frame.unique(["partition", "figure_id", "reviewer"], keep="last", maintain_order=True)


def rows_of(file: str, content: bytes) -> list[dict[str, str]]:
    """Return the verdicts of one file, in order. Lines without a verdict are left out.

    Raises:
        VerdictError: As `read_verdicts` says.
    """
    if len(content) > MAX_BYTES:
        raise VerdictError(file, 1, f"{len(content)} bytes, more than {MAX_BYTES}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise VerdictError(file, line, "not UTF-8: save the file as CSV UTF-8") from error
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, line = [], 1
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        check_header(file, header)
        for fields in lines:
            line += 1  # of the table: what a spreadsheet numbers; a note may span several of the file
            if row := row_of(file, line, header, fields):
                rows.append(row)
    except csv.Error as error:
        raise VerdictError(file, line, f"no CSV: {error}") from error
    return rows


def check_header(file: str, header: list[str]) -> None:
    """Refuse a file without the columns that verdicts need.

    Raises:
        VerdictError: It lacks a column, or has one twice.
    """
    if missing := [name for name in REQUIRED if name not in header]:
        raise VerdictError(file, 1, f"no column {', '.join(missing)}: is this a file saved by a gallery?")
    if twice := [name for name in COLUMNS if header.count(name) > 1]:
        raise VerdictError(file, 1, f"the column {', '.join(twice)} is there twice")


def row_of(file: str, line: int, header: list[str], fields: list[str]) -> dict[str, str] | None:
    """Return one verdict, or None for a line without one.

    Raises:
        VerdictError: The line has too few or too many fields, names no figure or has an unknown verdict.
    """
    if not any(field.strip() for field in fields):
        return None
    if len(fields) != len(header):
        raise VerdictError(file, line, f"{len(fields)} fields, not {len(header)}")
    found = dict(zip(header, map(unescape, fields), strict=True))
    row = {name: found.get(name, "") for name in COLUMNS} | {"file": file}
    row["verdict"] = row["verdict"].strip().lower()
    row["judged_at"] = row["judged_at"] if TIME.fullmatch(row["judged_at"]) else ""
    if not row["verdict"]:
        return None
    if row["verdict"] not in {GOOD, BAD}:
        raise VerdictError(file, line, f"the verdict {row['verdict'][:40]!r} is neither {GOOD} nor {BAD}")
    if not row["figure_id"]:
        raise VerdictError(file, line, "no figure_id")
    return row


def unescape(field: str) -> str:
    """Return a field without the apostrophe that keeps a spreadsheet from running it as a formula."""
    return field[1:] if field.startswith("'") and field[1:].startswith(DANGEROUS) else field


def precision(verdicts: pl.DataFrame, current: pl.DataFrame) -> Precision:
    """Return how often one partition's decisions were judged right.

    Args:
        verdicts: Rows of `VERDICTS`, of this partition alone.
        current: `figure_id`, `rejection` (null where it is kept), `sha256`, `caption` and `recaption` of the
            figures as they are now; it is enough to give those that were judged.
    """
    joined = verdicts.join(current, on="figure_id", how="left", coalesce=True).with_columns(
        is_gone=~pl.col("figure_id").is_in(current["figure_id"].implode()),
        now=pl.col("rejection").fill_null(KEPT),
    )
    there = joined.filter(~pl.col("is_gone"))
    same = there.filter(pl.col("was") == pl.col("now"))
    texts = same.select("sha256", "caption", "recaption").iter_rows()
    digests = pl.Series("now_digest", [digest(*row) for row in texts], dtype=pl.String)
    usable = same.filter(same["digest"] == digests)
    balance = pl.when(pl.col("verdict") == GOOD).then(1).otherwise(-1).sum()
    judged = usable.group_by("figure_id", "now", maintain_order=True).agg(balance.alias("balance"))
    agreed = judged.filter(pl.col("balance") != 0).with_columns(
        is_right=(pl.col("balance") > 0) == (pl.col("now") == KEPT)
    )
    reasons = sorted(set(agreed["now"]) - {KEPT})
    return Precision(
        kept=proportion(agreed.filter(pl.col("now") == KEPT)["is_right"]),
        rejected=proportion(agreed.filter(pl.col("now") != KEPT)["is_right"]),
        by_reason={
            reason: proportion(agreed.filter(pl.col("now") == reason)["is_right"]) for reason in reasons
        },
        n_gone=len(joined) - len(there),
        n_redecided=len(there) - len(same),
        n_changed=len(same) - len(usable),
        n_disputed=len(judged) - len(agreed),
    )


def proportion(is_right: pl.Series) -> Proportion:
    """Return the share of what was judged right, with its interval."""
    n, n_right = len(is_right), int(is_right.sum())
    if not n:
        return Proportion(0, 0, None, None, None)
    low, high = wilson_interval(n_right, n)
    return Proportion(n, n_right, n_right / n, low, high)


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of a binomial proportion; n is positive.

    Source:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    share, z2 = n_right / n, Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)
