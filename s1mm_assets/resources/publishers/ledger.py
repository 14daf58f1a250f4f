"""What is on record of a source's folder: what its publisher listed, what landed, what was refused, what it cost.

    <source>/listed/<year>.parquet          the offers of the year, as last listed
    <source>/ledger/<year>/<writer>.jsonl   a line for each file that landed or was refused, and for what was used

The files themselves say what has landed (a name is only given to a whole file); the ledger says it without looking at
each, and with the MD5 that was taken. A line that a kill swallowed is written again from the file.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from s1mm_assets.resources.publishers import Offer
from s1mm_assets.resources.publishers.landing import Landing

LISTED, LEDGER = "listed", "ledger"
TAKEN_UP = "takes_up"  # in a line that names the segments whose lines this one repeats
LISTING = pl.Schema(
    {
        "path": pl.String,
        "shard": pl.String,
        "origin": pl.String,
        "paper_id": pl.String,
        "version": pl.String,
        "size": pl.UInt64,
        "md5": pl.String,
        "metadata": pl.String,  # JSON
        "is_offered": pl.Boolean,  # False: listed once, and not any more
    }
)
ROWS_PER_GROUP = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What became of one file."""

    path: str
    at: str  # ISO time
    size: int | None = None  # bytes
    md5: str | None = None
    paper_id: str | None = None
    version: str | None = None
    shard: str | None = None
    origin: str | None = None  # digest of the offer's
    refused: str | None = None  # the evidence; null where it landed


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What asking for a partition has taken so far, all runs together."""

    n_requests: int = 0
    n_bytes: int = 0
    usd: float = 0.0

    def plus(self, other: "Spent") -> "Spent":
        """Return the sum."""
        return Spent(
            n_requests=self.n_requests + other.n_requests,
            n_bytes=self.n_bytes + other.n_bytes,
            usd=self.usd + other.usd,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a ledger says of one year: the last line of each path."""

    lines: Mapping[str, Line]
    spent: Spent

    @property
    def landed(self) -> dict[str, Line]:
        """The files that are there."""
        return {path: line for path, line in self.lines.items() if line.refused is None}

    @property
    def refused(self) -> dict[str, Line]:
        """The files that the publisher does not give, or not whole."""
        return {path: line for path, line in self.lines.items() if line.refused is not None}


class Ledger:
    """The records of one source's folder. A writer appends lines; `flush` makes them durable, `close` tidies up."""

    def __init__(self, landing: Landing) -> None:
        """Open nothing yet."""
        self._landing = landing
        self._held: dict[int, list[str]] = {}
        self._n_segments = 0
        self._writer = f"{time.time_ns():020d}-{os.getpid()}"

    # --- listings ------------------------------------------------------------------------------------------

    def years(self) -> list[int]:
        """Return the years that were listed."""
        stems = [name.removesuffix(".parquet") for name in self._landing.names(LISTED)]
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def put_listing(self, year: int, offers: Sequence[Offer]) -> int:
        """Replace the listing of a year; what is not offered any more stays on it, marked so, with its own metadata.

        A paper that its publisher has moved to this year is taken off the other years' listings.

        Returns:
            How many papers are not offered any more.
        """
        new = pl.DataFrame([_row(offer) for offer in offers], schema=LISTING, orient="row")
        papers, paths = new["paper_id"].drop_nulls(), new["path"]
        old = self.listing(year)
        gone = old.filter(~pl.col("path").is_in(paths.implode())).with_columns(is_offered=pl.lit(value=False))
        for other in self.years():
            if other != year:
                self._take_off(other, papers)
        self._write(year, pl.concat([new, gone.select(LISTING.names())]))
        without = gone["paper_id"].drop_nulls().unique()
        return int((~without.is_in(papers.implode())).sum())

    def _take_off(self, year: int, papers: pl.Series) -> None:
        is_moved = pl.col("paper_id").is_in(papers.implode()).fill_null(value=False)
        if not self.listing(year, ["paper_id"]).filter(is_moved).is_empty():
            self._write(year, self.listing(year).filter(~is_moved))

    def _write(self, year: int, listing: pl.DataFrame) -> None:
        packed = io.BytesIO()
        listing.sort("shard", "path").write_parquet(packed, row_group_size=ROWS_PER_GROUP)
        self._landing.put(f"{LISTED}/{year}.parquet", packed.getvalue())

    def listing(self, year: int, columns: Sequence[str] = tuple(LISTING)) -> pl.DataFrame:
        """Return some columns of a year's listing; no rows where there is none."""
        data = self._landing.read(f"{LISTED}/{year}.parquet")
        if data is None:
            return LISTING.to_frame().select(columns)
        return pl.read_parquet(io.BytesIO(data), columns=list(columns))

    # --- lines ---------------------------------------------------------------------------------------------

    def record(self, year: int) -> Record:
        """Return what is known of a year; lines that are damaged count as not written."""
        return self._record(year, self._landing.names(f"{LEDGER}/{year}"))

    def _record(self, year: int, names: Sequence[str]) -> Record:
        lines: dict[str, Line] = {}
        spent = Spent()
        for value in self._values(year, names):
            if "usd" in value:
                spent = spent.plus(Spent(**value))
            elif "path" in value:
                line = Line(**value)
                lines[line.path] = line
        return Record(lines=lines, spent=spent)

    def _values(self, year: int, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return every line's value, in the order written; not of segments that a later one has taken up."""
        folder = f"{LEDGER}/{year}"
        segments = {name: list(_lines_of(self._landing.read(f"{folder}/{name}") or b"")) for name in names}
        taken_up = {
            name for values in segments.values() for value in values for name in value.get(TAKEN_UP, ())
        }
        return [value for name, values in segments.items() if name not in taken_up for value in values]

    def note(self, year: int, entry: Line | Spent) -> None:
        """Hold a line until the next flush."""
        self._held.setdefault(year, []).append(json.dumps(asdict(entry)))

    def flush(self) -> None:
        """Make what is held durable."""
        for year, held in self._held.items():
            if held:
                name = f"{self._writer}-{self._n_segments:06d}.jsonl"
                self._landing.put(f"{LEDGER}/{year}/{name}", "".join(f"{each}\n" for each in held).encode())
                self._n_segments += 1
        self._held = {}

    def tidy(self, year: int) -> None:
        """Join the segments of a year into one: a reader then opens one file."""
        self.flush()
        names = self._landing.names(f"{LEDGER}/{year}")
        if len(names) < 2:
            return
        known = self._record(year, names)  # not of what another run writes meanwhile
        for line in known.lines.values():
            self.note(year, line)
        self.note(year, known.spent)
        # Last, so that a segment that was cut short takes up nothing; a kill before they are gone counts nothing twice.
        self._held[year].append(json.dumps({TAKEN_UP: names}))
        self.flush()
        for name in names:
            self._landing.remove(f"{LEDGER}/{year}/{name}")


def now() -> str:
    """Return the time, for a line."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def origin_of(offer: Offer) -> str:
    """Return a digest of where an offer comes from: another one is another file."""
    return hashlib.sha256(offer.origin.encode()).hexdigest()[:16]


def _row(offer: Offer) -> tuple[Any, ...]:
    return (
        offer.path,
        offer.shard,
        offer.origin,
        offer.paper_id,
        offer.version,
        offer.size,
        offer.md5,
        json.dumps(asdict(offer.metadata), sort_keys=True) if offer.metadata else None,
        True,
    )


def _lines_of(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value
