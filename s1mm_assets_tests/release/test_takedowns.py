"""Tests of s1mm_assets.release.takedowns, and of what takedowns, withdrawals and licences do to a shard."""

import hashlib
import json
from typing import Any

import polars as pl
import pytest

from s1mm_assets.release import ReleaseSettings, stage
from s1mm_assets.release.records import RECORD
from s1mm_assets.release.takedowns import Takedown, TakedownError, by_shard, read_takedowns, without_effect
from s1mm_assets_tests.release.shards import Figure, MemoryShard, archived_names, make, tables_of

SOURCES = ("arxiv", "biorxiv", "local")
IMAGES = pl.DataFrame(schema={"shard": pl.String, "sha256": pl.String})
ARXIV = "http://arxiv.org/licenses/nonexclusive-distrib/1.0/"


def rows(shard: MemoryShard, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shard.files.get(name, b"").splitlines()]


# --- the list ----------------------------------------------------------------------------------------------


def test_a_list_names_papers_figures_and_dois() -> None:
    """A reason may be missing; a DOI may stand as an address, in whatever case."""
    text = "\ufeffid,reason\narxiv:2301.01234,by court order\n\narxiv:1#3.1,\nhttps://doi.org/10.1101/ABC.1,own wish\n"

    assert read_takedowns(text, SOURCES) == [
        Takedown("arxiv:2301.01234", "by court order"),
        Takedown("arxiv:1#3.1", ""),
        Takedown("10.1101/abc.1", "own wish"),
    ]
    assert read_takedowns("id\n", SOURCES) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("arxiv:2301.01234v2", "arxiv:2301.01234"),
        ("10.48550/arXiv.2301.01234", "arxiv:2301.01234"),
        ("arxiv:math.GT/0309136", "arxiv:math/0309136"),
        ("https://doi.org/10.1101/2020.01.01.123456v2.", "10.1101/2020.01.01.123456"),
        ("doi:10.26434/chemrxiv-2021-abc-v2", "10.26434/chemrxiv-2021-abc"),
        ("sha256:" + "AB" * 32, "sha256:" + "ab" * 32),
        ("local:a#b", "local:a#b"),
    ],
)
def test_an_entry_may_be_written_otherwise(written: str, meant: str) -> None:
    """Versions, subject classes, addresses and full stops name the same paper."""
    assert read_takedowns(f"id\n{written}\n", SOURCES) == [Takedown(meant, "")]


def test_entries_that_name_nothing_are_told() -> None:
    """A paper that there is not, a DOI of nobody, an image of no figure."""
    entries = [
        Takedown(name, "") for name in ("arxiv:1", "arxiv:1#3.1", "arxiv:2", "10.1/x", "sha256:" + "a" * 64)
    ]

    assert without_effect(entries, {"arxiv:1"}, set()) == ["arxiv:2", "10.1/x", "sha256:" + "a" * 64]
    assert without_effect(entries, {"arxiv:1", "arxiv:2", "10.1/x"}, {"a" * 64}) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *(("", "no column id"), ("name,reason\n", "no column id")),
        *(
            (f"id\n{name}\n", f"line 2.*{name}")
            for name in ("2301.01234", "bioarxiv:1", "arxiv:1#3", "arxiv:1#03.1")
        ),
    ],
)
def test_a_list_that_is_none_is_refused(text: str, message: str) -> None:
    """An entry that names nothing would let through what must not be shown."""
    with pytest.raises(TakedownError, match=message):
        read_takedowns(text, SOURCES)


def test_entries_find_their_shard() -> None:
    """By paper, by figure, by DOI; a paper of another source of the same id is left alone."""
    metadata = pl.DataFrame(
        {"shard": ["a", "a", "b"], "paper_id": ["1", "x#2.1", "3"], "doi": [None, None, "10.1101/ABC"]}
    )
    entries = [
        Takedown("arxiv:1#3.1", "figure"),
        Takedown("arxiv:x#2.1", "paper with a hash"),
        Takedown("arxiv:x#2.1#1.1", "its figure"),
        Takedown("10.1101/abc", "doi"),
        Takedown("local:1", "elsewhere"),
    ]

    found = by_shard(entries, "arxiv", metadata, IMAGES)

    assert found == {
        "a": {"arxiv:1#3.1": "figure", "arxiv:x#2.1": "paper with a hash", "arxiv:x#2.1#1.1": "its figure"},
        "b": {"arxiv:3": "doi"},
    }
    assert by_shard([], "arxiv", metadata, IMAGES) == {}


# --- what it does ------------------------------------------------------------------------------------------


def made_without(figures: list[Figure], left_out: dict[str, str]) -> MemoryShard:
    of_release = stage(ReleaseSettings(), {"chunk_001": left_out})
    shard = MemoryShard(of_release, "arxiv|2023", "chunk_001", tables_of(figures))
    of_release.make(shard, shard)
    return shard


def test_a_paper_taken_down_is_a_tombstone() -> None:
    """Its figures are nowhere, and the tombstone says which images to remove and why."""
    figures = [Figure(number=1), Figure(number=2), Figure(paper_id="2301.00002")]

    shard = made_without(figures, {"arxiv:2301.01234": "by court order"})

    assert archived_names(shard) == ["2301_00002/f1_p1.png"]
    [tombstone] = rows(shard, "tombstones.jsonl")
    assert (tombstone["paper_id"], tombstone["reason"], tombstone["note"]) == (
        "2301.01234",
        "taken_down",
        "by court order",
    )
    assert tombstone["figure_ids"] == [figure.figure_id for figure in figures[:2]]
    records = shard.table("records")
    assert records["rejection"].to_list() == ["taken_down", "taken_down", None]
    assert (
        tombstone["image_sha256"]
        == tables_of(figures)["figure_candidates", "figures"]["sha256"][:2].to_list()
    )


def test_one_figure_may_be_taken_down() -> None:
    """The paper's others stay."""
    shard = made_without([Figure(number=1), Figure(number=2)], {"arxiv:2301.01234#2.1": ""})

    assert archived_names(shard) == ["2301_01234/f1_p1.png"]
    assert [row["figure_ids"] for row in rows(shard, "tombstones.jsonl")] == [["arxiv:2301.01234#2.1"]]


@pytest.mark.parametrize(
    ("figure", "reason"),
    [(Figure(is_withdrawn=True), "withdrawn"), (Figure(is_retracted=True), "retracted")],
)
def test_withdrawn_and_retracted_papers_are_tombstones(figure: Figure, reason: str) -> None:
    """Whatever their licence, and where nothing of them had been found too."""
    shard = make([figure])

    assert set(shard.files) == {"tombstones.jsonl"}
    assert [(row["reason"], row["figure_ids"]) for row in rows(shard, "tombstones.jsonl")] == [
        (reason, [figure.figure_id])
    ]
    assert [
        row["figure_ids"]
        for row in rows(make([Figure(is_withdrawn=True, is_filtered=True)]), "tombstones.jsonl")
    ] == [[]]


def test_an_image_may_be_taken_down() -> None:
    """However its figure is counted; the record says which image it was."""
    figure = Figure(number=4)
    sha256 = hashlib.sha256(figure.content or b"").hexdigest()
    images = pl.DataFrame({"shard": ["chunk_001", "chunk_002"], "sha256": [sha256, "0" * 64]})
    metadata = pl.DataFrame(schema={"shard": pl.String, "paper_id": pl.String, "doi": pl.String})
    left_out = by_shard([Takedown(f"sha256:{sha256}", "private")], "arxiv", metadata, images)

    assert left_out == {"chunk_001": {f"sha256:{sha256}": "private"}}
    shard = made_without([figure, Figure(number=5)], left_out["chunk_001"])
    assert archived_names(shard) == ["2301_01234/f5_p1.png"]
    [tombstone] = rows(shard, "tombstones.jsonl")
    assert (tombstone["reason"], tombstone["note"], tombstone["image_sha256"]) == (
        "taken_down",
        "private",
        [sha256],
    )
    assert shard.table("records").select("rejection", "image_sha256").row(0) == ("taken_down", sha256)


def test_only_its_shards_are_made_again() -> None:
    """A new entry is among the inputs of the shard that it touches, and of no other."""
    of_release = stage(ReleaseSettings(), {"a": {"arxiv:1": "x"}})

    assert of_release.shard_inputs("a") == {"arxiv:1": "x"}
    assert of_release.shard_inputs("b") == stage(ReleaseSettings()).shard_inputs("b") == {}


# --- licences ----------------------------------------------------------------------------------------------


def test_a_licence_keeps_image_and_words_back() -> None:
    """The recipe has ids, title, scores and how the image is made, and not one of the authors' words."""
    theirs = "Their own words."
    kept_back = Figure(licence=ARXIV, caption=theirs, recaption=theirs + " Again.", mentions=[theirs])

    shard = make([kept_back, Figure(paper_id="2301.00002")])

    assert archived_names(shard) == ["2301_00002/f1_p1.png"]
    assert not any(theirs.encode() in content for content in shard.files.values())
    [record] = rows(shard, "recipes.jsonl")
    assert list(record) == [*RECORD.names, "recipe"]
    assert (record["caption"], record["recaption"], record["mentions"]) == (None, None, [])
    assert (record["licence"], record["title"]) == ("LicenseRef-arXiv-nonexclusive-distrib-1.0", "A title")
    assert record["image_path"] == "2301_01234/f1_p1.png"
    assert record["recipe"]["image_member"] == "a.png"
    assert (record["recipe"]["uri"], record["recipe"]["offset"]) == ("src/arXiv_src_2301_001.tar", 512)
    assert shard.table("records")["released_as"].to_list() == ["recipe", "image"]
    assert shard.table("records")["licence"].to_list()[1] == "CC-BY-4.0"


@pytest.mark.parametrize(
    ("recaption", "is_kept"),
    [
        (
            "The authors' own paragraph, of which a model may take over every single word as it stands there.",
            False,
        ),
        (
            "As said: the authors' own paragraph, of which a model may take over every single word as it stands.",
            False,
        ),
        ("The authors' own paragraph.", False),
        ("A model may take over words.", True),
    ],
)
def test_what_a_model_takes_over_is_kept_back(recaption: str, is_kept: bool) -> None:
    """Fifteen words in a row, or all it says."""
    paragraph = (
        "The authors' own paragraph, of which a model may take over every single word as it stands there."
    )
    figure = Figure(licence=None, engine="vllm", mentions=[paragraph], recaption=recaption)

    [record] = rows(make([figure]), "recipes.jsonl")

    assert (record["recaption"] is not None) == is_kept


@pytest.mark.parametrize(
    ("rights", "is_shown"),
    [
        (None, True),
        ("http://creativecommons.org/licenses/by/4.0/", True),
        ("http://creativecommons.org/licenses/by-nc-nd/4.0/", False),
        ("© 2007 a publisher. All rights reserved.", False),
        ("permissions that say nothing", False),
    ],
)
def test_a_figure_may_have_rights_of_its_own(rights: str | None, is_shown: bool) -> None:
    """Reprinted from elsewhere: the paper's licence does not cover it."""
    inputs = tables_of([Figure()])
    figures = inputs["figure_candidates", "figures"]
    inputs["figure_candidates", "figures"] = figures.with_columns(rights=pl.lit(rights, pl.String))

    shard = make([Figure()], inputs=inputs)

    assert ("images.tar.gz" in shard.files) == is_shown
    assert ("recipes.jsonl" in shard.files) != is_shown


def test_what_a_model_wrote_stays() -> None:
    """Its words are not the authors'."""
    [record] = rows(make([Figure(licence=None, engine="vllm", recaption="A model's.")]), "recipes.jsonl")

    assert (record["recaption"], record["caption"]) == ("A model's.", None)


@pytest.mark.parametrize(
    ("policy", "n_images", "n_recipes"), [("all", 2, 0), ("redistributable", 1, 1), ("metadata-only", 0, 2)]
)
def test_policies(policy: str, n_images: int, n_recipes: int) -> None:
    """Every record is released in one of two ways."""
    figures = [Figure(licence=ARXIV), Figure(paper_id="2301.00002")]

    shard = make(figures, settings=ReleaseSettings(licence_policy=policy))

    assert len(rows(shard, "records.jsonl")) == n_images
    assert len(rows(shard, "recipes.jsonl")) == n_recipes
    assert ("images.tar.gz" in shard.files) == bool(n_images)


def test_every_paper_with_an_image_is_attributed() -> None:
    """Authors, title, link and licence; papers whose images are kept back need none."""
    figures = [
        Figure(number=1, arxiv_id="2301.01234"),
        Figure(number=2, arxiv_id="2301.01234"),
        Figure(paper_id="2301.00002", doi="10.1101/2020 .x<y>"),
        Figure(paper_id="2301.00003", licence=ARXIV),
    ]

    attributed = rows(make(figures), "attribution.jsonl")

    assert [(row["paper_id"], row["link"], row["n_figures"]) for row in attributed] == [
        ("2301.01234", "https://arxiv.org/abs/2301.01234", 2),
        ("2301.00002", "https://doi.org/10.1101/2020.xy", 1),
    ]
    assert attributed[0]["licence_url"] == "https://creativecommons.org/licenses/by/4.0/"
