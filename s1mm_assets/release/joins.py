"""Do the parts of a release join? Records with images, with Parquet and WebDataset rows, with attributions.

Works on the tables that `contents` wrote. Memory is bounded: a join of more than `PASS_ROWS` rows is done in passes,
each over the rows whose key falls into one share.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from s1mm_assets.release.licences import Licence
from s1mm_assets.release.problems import MAX_LISTED, Problems

PASS_ROWS = 100_000  # some 200 MiB, joined

Allows = Callable[[Licence], bool]
"""Whether an image under a licence may be in the release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What one task remembers."""

    kind: str
    source: str
    year: int | None
    file: Path
    n_rows: int


class Tables:
    """The tables of every file that was read."""

    def __init__(self, tables: Sequence[Table], unchecked: frozenset[tuple[str, str, int | None]]) -> None:
        self._tables = tables
        self._unchecked = unchecked  # (kind, source, year) of files whose content is not there

    def partitions(self) -> list[tuple[str, int]]:
        """Return every source and year that has a table, in order."""
        return sorted({(each.source, each.year) for each in self._tables if each.year is not None})

    def sources(self) -> list[str]:
        """Return every source that has a table, be it of no year, in order."""
        return sorted({each.source for each in self._tables})

    def has(self, kind: str) -> bool:
        """Whether there is any file of a kind."""
        return any(each.kind == kind for each in self._tables)

    def years(self, kind: str, source: str) -> list[int | None]:
        """Return the years of a source's files of one kind; None stands for a file of all years."""
        return [each.year for each in self._tables if (each.kind, each.source) == (kind, source)]

    def are_read(self, kinds: Sequence[str], source: str | None = None, year: int | None = None) -> bool:
        """Whether no content is missing, of a source's year, of all its years, or of all sources."""
        return not any(
            kind in kinds and source in (None, of) and (year is None or when in (None, year))
            for kind, of, when in self._unchecked
        )

    def chosen(self, kind: str, source: str | None = None, year: int | None = None) -> list[Table]:
        """Return the tables of one kind: of a source's year, of all its years, or of all sources."""
        return [
            each
            for each in self._tables
            if each.kind == kind and source in (None, each.source) and year in (None, each.year)
        ]


def check(tables: Tables, problems: Problems, allows: Allows | None = None) -> None:
    """Note everything that does not join, and records whose licence is not allowed."""
    check_unique(tables, problems)
    check_tombstones(tables, problems)
    if allows is not None:
        check_licences(tables, allows, problems)
    for source in tables.sources():
        is_single = None in tables.years("images", source)
        years = sorted({year for of, year in tables.partitions() if of == source})
        for year in (None,) if is_single else years:
            check_images(tables, source, year, problems)
    for source, year in tables.partitions():
        check_rows(tables, "data", source, year, problems)
        if tables.has("webdataset"):
            check_rows(tables, "webdataset", source, year, problems)
        check_attribution(tables, source, year, problems)


def shares(key: str, *groups: Sequence[Table], columns: Sequence[str]) -> Iterator[list[pl.DataFrame]]:
    """Yield the rows of each group of tables, share by share of the values of a key.

    Args:
        key: A column of all of them.
        groups: Tables of one kind each, or of kinds that have the columns.
        columns: Those wanted, of the groups that have them.
    """
    n_shares = max(1, math.ceil(max(sum(table.n_rows for table in group) for group in groups) / PASS_ROWS))
    for share in range(n_shares):
        is_of_share = pl.col(key).hash(seed=0) % n_shares == share if n_shares > 1 else None
        yield [collected(group, is_of_share, columns) for group in groups]


def collected(group: Sequence[Table], condition: pl.Expr | None, columns: Sequence[str]) -> pl.DataFrame:
    """Return some columns of the rows of tables that a condition holds for, or of all; of no tables, none."""
    if not group:
        return pl.DataFrame(schema=NOTHING)
    present = pl.read_parquet_schema(group[0].file)
    scans = [pl.scan_parquet(table.file) for table in group]
    if condition is not None:
        scans = [scan.filter(condition) for scan in scans]
    return pl.concat(scan.select(name for name in columns if name in present) for scan in scans).collect()


NOTHING: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("path", "figure_id", "image_path", "image_sha256", "paper_id", "licence"), pl.String),
    "n": pl.Int64,
    "line": pl.Binary,
    "is_own_image": pl.Boolean,
    **dict.fromkeys(("n_figures", "image_size_bytes", "n_bytes"), pl.Int64),
}
"""The columns of all tables."""


def note(problems: Problems, kind: str, rows: pl.DataFrame, detail: pl.Expr) -> None:
    """Note a problem for each row, by its path, in order of path and row."""
    for (path,), group in rows.sort("path", "n").group_by("path", maintain_order=True):
        details = group.head(MAX_LISTED).select(detail.alias("detail"))["detail"].to_list()
        problems.add_many(kind, str(path), details, len(group))


def check_unique(tables: Tables, problems: Problems) -> None:
    """Note figure ids that stand twice in the dataset, and image paths that stand twice in a source."""
    both = [*tables.chosen("records"), *tables.chosen("recipes")]
    for source in (None, *sorted({table.source for table in both})):
        key = "figure_id" if source is None else "image_path"
        own = [table for table in both if source in (None, table.source)]
        for (rows,) in shares(key, own, columns=("path", "n", key)):
            repeated = rows.group_by(key).agg(pl.min("path"), pl.min("n"), pl.len().alias("count"))
            detail = pl.format("{} stands there {} times", key, "count")
            note(problems, f"duplicate_{key}", repeated.filter(pl.col("count") > 1), detail)


def check_tombstones(tables: Tables, problems: Problems) -> None:
    """Note figures that are released although a tombstone says that they are gone."""
    both = [*tables.chosen("records"), *tables.chosen("recipes")]
    columns = ("path", "n", "figure_id")
    for rows, gone in shares("figure_id", both, tables.chosen("tombstones"), columns=columns):
        found = rows.join(gone, on="figure_id", how="semi")
        note(problems, "tombstone_released", found, pl.format("{} has a tombstone", "figure_id"))


def check_licences(tables: Tables, allows: Allows, problems: Problems) -> None:
    """Note released records whose licence keeps the image back."""
    for table in tables.chosen("records"):
        rows = pl.scan_parquet(table.file)
        licences = rows.select(pl.col("licence").unique()).collect()["licence"]
        refused = [each for each in licences if not allows(Licence(each))]
        if refused:
            is_refused = pl.col("licence").is_in(
                pl.Series(refused, dtype=pl.String).implode(), nulls_equal=True
            )
            found = rows.filter(is_refused).select("path", "n", "figure_id", "licence").collect()
            detail = pl.format("{} is under {}", "figure_id", pl.col("licence").fill_null("no known licence"))
            note(problems, "licence_not_allowed", found, detail)


def only_first(records: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return the first record of each key: n of them would join with n rows to n² (`check_unique` notes them)."""
    return records.sort("path", "n").unique(key, keep="first", maintain_order=True)


def check_images(tables: Tables, source: str, year: int | None, problems: Problems) -> None:
    """Compare the images of archives with the records of a year, or of all years of a source."""
    if not tables.are_read(("records", "images"), source, year):
        return
    groups = (tables.chosen(kind, source, year) for kind in ("records", "recipes", "images"))
    columns = (*("path", "n", "image_path", "figure_id"), *("image_sha256", "image_size_bytes", "n_bytes"))
    for all_records, recipes, images in shares("image_path", *groups, columns=columns):
        records = only_first(all_records, "image_path")
        check_withheld(images, recipes, "image", "image_path", problems)
        met = images.join(recipes, on="image_path", how="anti").join(
            records.select("image_path", "figure_id", "image_size_bytes", wanted="image_sha256"),
            on="image_path",
            how="left",
        )
        orphans = met.filter(pl.col("figure_id").is_null())
        note(problems, "image_orphan", orphans, pl.format("'{}' has no record", "image_path"))
        is_other = (pl.col("image_sha256") != pl.col("wanted")) | (
            pl.col("n_bytes") != pl.col("image_size_bytes")
        )
        changed = met.filter(is_other)
        detail = pl.format("'{}' is not the image of its record", "image_path")
        note(problems, "image_changed", changed, detail)
        detail = pl.format("{} ({})", "figure_id", "image_path")
        check_met_once(records, images, ("image", "image_path"), detail, problems)


def check_withheld(
    rows: pl.DataFrame, recipes: pl.DataFrame, kind: str, key: str, problems: Problems
) -> None:
    """Note what is given away although its licence keeps it back."""
    leaked = rows.join(recipes, on=key, how="semi")
    note(problems, f"{kind}_withheld", leaked, pl.format("'{}' is to be kept back, and is there", key))


def check_met_once(
    records: pl.DataFrame, rows: pl.DataFrame, what: tuple[str, str], detail: pl.Expr, problems: Problems
) -> None:
    """Note records whose counterpart, of a kind and by a key, was met never, or more than once."""
    kind, key = what
    counted = records.join(rows.group_by(key).len("count"), on=key, how="left")
    note(problems, f"{kind}_missing", counted.filter(pl.col("count").is_null()), detail)
    note(problems, f"{kind}_twice", counted.filter(pl.col("count") > 1), detail)


def check_rows(tables: Tables, kind: str, source: str, year: int, problems: Problems) -> None:
    """Compare the rows of Parquet or WebDataset files with their records."""
    if not tables.are_read(("records", kind), source, year):
        return
    groups = (tables.chosen(each, source, year) for each in ("records", "recipes", kind))
    columns = ("path", "n", "figure_id", "paper_id", "line", "is_own_image")
    for all_records, recipes, rows in shares("figure_id", *groups, columns=columns):
        records = only_first(all_records, "figure_id")
        check_withheld(rows, recipes, kind, "figure_id", problems)
        met = rows.join(recipes, on="figure_id", how="anti").join(
            records.select("figure_id", "paper_id", wanted="line"), on="figure_id", how="left"
        )
        orphans = met.filter(pl.col("paper_id").is_null())
        note(problems, f"{kind}_orphan", orphans, pl.format("{} has no record", "figure_id"))
        is_changed = pl.col("line").ne_missing(pl.col("wanted"))
        known = met.filter(pl.col("paper_id").is_not_null())
        changed, own = known.filter(is_changed), known.filter(~is_changed)
        note(problems, f"{kind}_changed", changed, pl.format("{} differs from its record", "figure_id"))
        detail = pl.format("the image of {} is not the one of its record", "figure_id")
        note(problems, f"{kind}_changed", own.filter(~pl.col("is_own_image")), detail)
        check_met_once(records, rows, (kind, "figure_id"), pl.col("figure_id"), problems)


def check_attribution(tables: Tables, source: str, year: int, problems: Problems) -> None:
    """Compare the papers that are attributed with those of the records, and their licences."""
    if not tables.are_read(("records", "attribution"), source, year):
        return
    groups = (tables.chosen(kind, source, year) for kind in ("records", "attribution"))
    columns = ("path", "n", "paper_id", "licence", "n_figures")
    for records, named in shares("paper_id", *groups, columns=columns):
        papers = only_first(records, "paper_id")
        check_met_once(papers, named, ("attribution", "paper_id"), pl.col("paper_id"), problems)
        orphans = named.join(papers, on="paper_id", how="anti")
        note(problems, "attribution_orphan", orphans, pl.format("{} has no record", "paper_id"))
        known = pl.col("licence").drop_nulls()  # a figure may have none although its paper has one
        wanted = records.group_by("paper_id").agg(
            n_wanted=pl.len().cast(pl.Int64), n_licences=known.n_unique(), wanted=known.first()
        )
        is_other = (pl.col("n_licences") > 1) | (pl.col("n_figures") != pl.col("n_wanted"))
        is_other |= pl.col("wanted").is_not_null() & pl.col("licence").ne_missing(pl.col("wanted"))
        differing = named.join(wanted, on="paper_id").filter(is_other)
        detail = pl.format("{} has another licence or number of figures than its records", "paper_id")
        note(problems, "attribution_changed", differing, detail)
