"""What a dataset card says in numbers, counted partition by partition from the tables of every stage."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

FACTS_READ: dict[str, dict[str, tuple[str, ...]]] = {
    "raw_archives": {
        "archives": ("paper_id", "rejection"),
    },
    "figure_candidates": {
        "papers": ("paper_id", "rejection"),
        "figures": ("figure_id", "rejection"),
    },
    "filtered_figures": {"decisions": ("figure_id", "rejection")},
    "recaptions": {
        "recaptions": ("figure_id", "engine", "model", "model_revision", "prompt_version", "rejection")
    },
    "quality_metrics": {
        "metrics": (
            *("figure_id", "caption_length_chars", "recaption_length_chars"),
            *("n_claims", "n_grounded_claims"),
            *("caption_clip_score", "recaption_clip_score"),
            *("caption_whole_clip_score", "recaption_whole_clip_score"),
            *("caption_pseudo_perplexity", "recaption_pseudo_perplexity", "rejection", "subject"),
        )
    },
    "hf_release": {
        "records": ("figure_id", "paper_id", "rejection", "released_as", "licence"),
        "files": ("media", "n_bytes", "n_rows"),
    },
}
"""Asset → table → the columns that `partition_facts` reads."""

# The doors that a paper and a figure pass, in order. A row that one door turned away is met again at the next,
# with the same reason: it counts where it was turned away.
DOORS = {
    "paper_id": (("raw_archives", "archives"), ("figure_candidates", "papers")),
    "figure_id": (
        ("figure_candidates", "figures"),
        ("filtered_figures", "decisions"),
        ("recaptions", "recaptions"),
        ("quality_metrics", "metrics"),
        ("hf_release", "records"),
    ),
}
NOT_KNOWN = "not known"
MEASURES = (
    *("caption_length_chars", "recaption_length_chars"),
    *("caption_clip_score", "recaption_clip_score"),
    *("caption_whole_clip_score", "recaption_whole_clip_score"),
)
PERPLEXITIES = ("caption_pseudo_perplexity", "recaption_pseudo_perplexity")

ReadTable = Callable[[str, str], pl.DataFrame]
"""(asset, table) → a partition's whole table, with the columns of `FACTS_READ`; without rows where not made."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Number, sum and sum of squares of a measure: they add up over partitions."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """The mean; of nothing, 0."""
        return self.total / self.n if self.n else 0.0

    @property
    def standard_deviation(self) -> float:
        """The population's standard deviation."""
        return float(max(self.squares / self.n - self.mean**2, 0.0) ** 0.5) if self.n else 0.0

    @property
    def margin(self) -> float:
        """Half of the 95 % interval of the mean, by the normal approximation; of nothing, 0."""
        return 1.96 * self.standard_deviation / self.n**0.5 if self.n else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFacts:
    """One partition in numbers."""

    source: str
    year: int
    n_papers: int  # delivered
    n_figures: int  # found, usable or not
    n_records: int  # released with their image
    n_recipes: int  # released without it
    n_tombstones: int  # papers that must not be shown any more
    n_record_papers: int  # papers with a record of either kind
    n_bytes: Mapping[str, int]  # of each medium
    rejections: Mapping[tuple[str, str], int]  # (table, reason) → papers or figures
    licences: Mapping[tuple[str, str], int]  # (licence, image or recipe) → records
    engines: Mapping[tuple[str, str, str, str], int]  # (engine, model, revision, prompt version) → records
    subjects: Mapping[str, int]  # discipline → records
    measures: Mapping[str, Sums] = field(default_factory=dict)  # over the records where it is not null


NUMBERS = ("n_papers", "n_figures", "n_records", "n_recipes", "n_tombstones", "n_record_papers")
COUNTS = ("n_bytes", "rejections", "licences", "engines", "subjects")
"""The fields of `PartitionFacts` that add up."""


def partition_facts(source: str, year: int, read: ReadTable) -> PartitionFacts:
    """Count one partition."""
    records = read("hf_release", "records")
    released = records.filter(pl.col("rejection").is_null())
    recaptions = read("recaptions", "recaptions").join(released, on="figure_id", how="semi")
    metrics = read("quality_metrics", "metrics").join(released, on="figure_id", how="semi")
    files = read("hf_release", "files").group_by("media").agg(pl.sum("n_bytes"), pl.sum("n_rows"))
    n_rows = dict(files.select("media", "n_rows").iter_rows())
    return PartitionFacts(
        source=source,
        year=year,
        n_papers=len(read("raw_archives", "archives")),
        n_figures=len(read("figure_candidates", "figures")),
        n_records=n_rows.get("records", 0),
        n_recipes=n_rows.get("recipes", 0),
        n_tombstones=n_rows.get("tombstones", 0),
        n_record_papers=released["paper_id"].n_unique(),
        n_bytes=dict(sorted(files.select("media", "n_bytes").iter_rows())),
        rejections=count_rejections(read),
        licences=Counter(
            (licence or NOT_KNOWN, released_as)
            for licence, released_as in released.select("licence", "released_as").iter_rows()
        ),
        engines=Counter(
            (engine, model or "", revision or "", prompt)
            for engine, model, revision, prompt in recaptions.select(
                "engine", "model", "model_revision", "prompt_version"
            ).iter_rows()
        ),
        subjects=Counter(subject or NOT_KNOWN for subject in metrics["subject"].to_list()),
        measures=measured(metrics),
    )


def joined_facts(parts: Sequence[PartitionFacts]) -> PartitionFacts:
    """Return the numbers of a partition from those of its shards: a paper, with all its figures, is in one of them.

    Args:
        parts: At least one, all of one source and year.
    """
    added: dict[str, Any] = {name: sum(getattr(part, name) for part in parts) for name in NUMBERS}
    for name in COUNTS:
        counts: Counter[Any] = Counter()
        for part in parts:
            counts.update(getattr(part, name))
        added[name] = dict(sorted(counts.items())) if name in ("n_bytes", "rejections") else counts
    sums = {name: sum((part.measures[name] for part in parts), Sums()) for name in parts[0].measures}
    return PartitionFacts(source=parts[0].source, year=parts[0].year, measures=sums, **added)


def measured(metrics: pl.DataFrame) -> dict[str, Sums]:
    """Sum the measures: pseudo-perplexity by its logarithm, which spans decades; grounding claim by claim."""
    n, grounded = (int(metrics[name].sum()) for name in ("n_claims", "n_grounded_claims"))
    return {
        **{name: sums_of(metrics[name]) for name in MEASURES},
        **{f"log10_{name}": sums_of(metrics[name].log(10)) for name in PERPLEXITIES},
        "grounding": Sums(n, grounded, grounded),
    }


def count_rejections(read: ReadTable) -> dict[tuple[str, str], int]:
    """Return how many papers and figures each table turned away first, by reason."""
    counts: Counter[tuple[str, str]] = Counter()
    for key, doors in DOORS.items():
        before = pl.DataFrame(schema={key: pl.String})
        for asset, table in doors:
            rejected = read(asset, table).filter(pl.col("rejection").is_not_null())
            first = rejected.join(before, on=key, how="anti")
            counts.update((table, reason) for reason in first["rejection"].to_list())
            before = pl.concat([before, first.select(key)])
    return dict(sorted(counts.items()))


def sums_of(values: pl.Series) -> Sums:
    """Sum a measure where it was evaluated."""
    known = values.drop_nulls().cast(pl.Float64)
    return Sums(len(known), float(known.sum()), float((known**2).sum()))
