"""Papers that a publisher's client landed, as raw_archives finds them."""

from dataclasses import replace
from pathlib import Path

import pytest

from s1mm_assets.archives.arxiv import bare_metadata
from s1mm_assets.resources.publishers import Offer
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.ledger import Ledger, Line
from s1mm_assets.resources.sources.landed import LandedSource
from s1mm_assets.resources.sources.reading import SourceError
from s1mm_assets.resources.sources.registry import Sources

YEAR = 2023


def offer(paper_id: str, version: str, shard: str = "2023-05-09", title: str = "T") -> Offer:
    return Offer(
        path=f"papers/{shard}/{paper_id}.{version}.pdf",
        shard=shard,
        origin="{}",
        paper_id=paper_id,
        version=version,
        size=4,
        metadata=replace(bare_metadata(paper_id), title=title, version=version),
    )


def landed(
    folder: Path, listed: list[Offer], there: list[Offer], refused: dict[str, str] | None = None
) -> None:
    """Put on record what is listed, and land some of it in the order given."""
    landing = Landing(str(folder))
    ledger = Ledger(landing)
    ledger.put_listing(YEAR, listed)
    for n, each in enumerate(there):
        landing.put(each.path, b"%PDF")
        ledger.note(
            YEAR,
            Line(
                path=each.path,
                at=f"2026-01-01T00:00:0{n}+00:00",
                size=4,
                md5="0" * 32,
                paper_id=each.paper_id,
                version=each.version,
                shard=each.shard,
            ),
        )
    for path, evidence in (refused or {}).items():
        ledger.note(YEAR, Line(path=path, at="2026-01-01T00:00:00+00:00", refused=evidence))
    ledger.flush()


def source(folder: Path) -> LandedSource:
    return LandedSource(source="biorxiv", root=str(folder))


def test_papers_of_a_day_are_a_shard(tmp_path: Path) -> None:
    offers = [offer("a", "v1"), offer("b", "v1"), offer("c", "v1", shard="2023-05-10")]
    landed(tmp_path, offers, offers)

    assert source(tmp_path).years() == [YEAR]
    assert [chunk.name for chunk in source(tmp_path).chunks(YEAR)] == ["2023-05-09", "2023-05-10"]
    found = list(source(tmp_path).deliveries("2023-05-09", YEAR))
    assert [(each.paper_id, each.uri, each.offset, each.length) for each in found] == [
        ("a", "papers/2023-05-09/a.v1.pdf", 0, 4),
        ("b", "papers/2023-05-09/b.v1.pdf", 0, 4),
    ]
    assert source(tmp_path).reader()(found[0].uri, 0, 4) == b"%PDF"
    assert source(tmp_path).metadata(YEAR, ["a", "x"])["a"].title == "T"


def test_the_newest_version_counts_once_it_is_there(tmp_path: Path) -> None:
    """Until then the older one stays, with its own metadata: the newer may have another licence."""
    first, second = offer("a", "v1", title="old"), offer("a", "v2", title="new")
    landed(tmp_path, [first], [first])
    landed(tmp_path, [second], [])

    assert [each.uri for each in source(tmp_path).deliveries("2023-05-09", YEAR)] == [first.path]
    known = source(tmp_path).metadata(YEAR, ["a"])["a"]
    assert (known.version, known.title) == ("v1", "old")
    assert source(tmp_path).absent(YEAR) == [second.path]

    landed(tmp_path, [second], [first, second])

    assert [each.uri for each in source(tmp_path).deliveries("2023-05-09", YEAR)] == [second.path]
    assert source(tmp_path).metadata(YEAR, ["a"])["a"].version == "v2"
    assert source(tmp_path).absent(YEAR) == []


def test_a_paper_that_is_offered_no_more_stays(tmp_path: Path) -> None:
    paper = offer("a", "v1")
    landed(tmp_path, [paper], [paper])
    Ledger(Landing(str(tmp_path))).put_listing(YEAR, [])

    assert [each.paper_id for each in source(tmp_path).deliveries("2023-05-09", YEAR)] == ["a"]
    assert source(tmp_path).metadata(YEAR, ["a"])["a"].title == "T"
    assert source(tmp_path).absent(YEAR) == []


def test_a_paper_that_moves_to_another_year_is_in_one(tmp_path: Path) -> None:
    """Its publisher has corrected the day of first posting: the other year does not give it any more."""
    paper, other = offer("a", "v1"), offer("b", "v1")
    landed(tmp_path, [paper, other], [paper, other])

    Ledger(Landing(str(tmp_path))).put_listing(YEAR - 1, [paper])

    assert [each.paper_id for each in source(tmp_path).deliveries("2023-05-09", YEAR)] == ["b"]
    assert source(tmp_path).absent(YEAR - 1) == [paper.path]


def test_news_touch_the_shard_of_their_day_alone(tmp_path: Path) -> None:
    """Another title changes the metadata's digest of that day; the files' digests, and other days, stay."""
    papers = [offer("a", "v1"), offer("c", "v1", shard="2023-05-10")]
    landed(tmp_path, papers, papers)
    reading = source(tmp_path)
    before = {chunk.name: dict(chunk.inputs) for chunk in reading.chunks(YEAR)}

    Ledger(Landing(str(tmp_path))).put_listing(YEAR, [offer("a", "v1", title="corrected"), papers[1]])

    after = {chunk.name: dict(chunk.inputs) for chunk in reading.chunks(YEAR)}
    assert after["2023-05-10"] == before["2023-05-10"]
    assert after["2023-05-09"]["papers"] == before["2023-05-09"]["papers"]
    assert after["2023-05-09"]["metadata"] != before["2023-05-09"]["metadata"]


def test_what_is_absent_says_why(tmp_path: Path) -> None:
    papers = [offer("a", "v1"), offer("b", "v1")]
    landed(tmp_path, papers, [papers[0]], refused={papers[1].path: "answers 404"})

    assert source(tmp_path).absent(YEAR) == [f"{papers[1].path} (answers 404)"]


def test_the_registry_reads_what_was_landed(tmp_path: Path) -> None:
    """A folder with a ledger is read by it; papers beside it would be lost, and are refused."""
    papers = [offer("a", "v1")]
    landed(tmp_path / "biorxiv", papers, papers)
    sources = Sources(root=str(tmp_path))

    assert isinstance(sources.of("biorxiv"), LandedSource)
    assert sources.partitions() == [f"biorxiv|{YEAR}"]
    (tmp_path / "biorxiv" / "mine.pdf").write_bytes(b"%PDF")
    with pytest.raises(SourceError, match=r"mine\.pdf beside them.*source local"):
        Sources(root=str(tmp_path)).of("biorxiv")
