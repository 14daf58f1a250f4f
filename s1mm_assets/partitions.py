"""One partition per source and year: `arxiv|2019` holds the papers first posted on arXiv in 2019."""

import warnings

import dagster as dg

# Dagster 1.13 calls partitioned check specs a preview; without them a check would load every partition. Assets have no
# backfill policy: only then does a backfill's run have a partition key, under which its checks are stored.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

SOURCES = ("arxiv", "biorxiv", "medrxiv", "chemrxiv", "nature_communications", "local")
YEARS = tuple(range(1991, 2031))  # static, so that a backfill means the same on every day

SOURCE_BY_YEAR = dg.MultiPartitionsDefinition(
    {
        "source": dg.StaticPartitionsDefinition(list(SOURCES)),
        "year": dg.StaticPartitionsDefinition([str(year) for year in YEARS]),
    }
)


def partition_key(source: str, year: int) -> str:
    """Return the partition key of one source and year, as Dagster writes it."""
    return f"{source}|{year}"


def source_and_year(key: str) -> tuple[str, int]:
    """Return the source and year of a partition key."""
    source, year = key.split("|")
    return source, int(year)
