"""The plan of a backfill: what is counted, what is estimated and from what, what is not known."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s1mm_assets import planning, recaptioning
from s1mm_assets.archives.arxiv import ChunkFile, manifest_xml
from s1mm_assets.planning import Amount, Machines, plan, planned_years
from s1mm_assets.recaptioning import RecaptionSettings
from s1mm_assets.resources.captioners.answer_log import AnswerLog, LoggedAnswer
from s1mm_assets.resources.captioners.vllm import VllmCaptioner
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Archive, Metadata, frame_of
from s1mm_assets_tests.fakes import map_here
from s1mm_assets_tests.imitations.vllm_server import Imitation, serving
from s1mm_assets_tests.resources.captioners import figures
from s1mm_assets_tests.resources.captioners.figures import PARTITION, SETTINGS, SHARDS, describe, service

PAPERS_PER_SHARD = 2
N_PAPERS = PAPERS_PER_SHARD * len(SHARDS)
N_FIGURES = N_PAPERS * figures.FIGURES_PER_PAPER
CHUNK_BYTES = 5_000
MACHINES = Machines(
    rate=Amount(20, "assumed"),
    gpus=Amount(8, "given"),
    usd_per_gb=Amount(0.09, "assumed"),
    fetch_usd_per_gb=Amount(0.09, "given"),
)
Plan = dict[str, Any]


def chunk(yymm: str, name: str, n_papers: int = PAPERS_PER_SHARD) -> ChunkFile:
    return ChunkFile(
        filename=f"src/{name}.tar",
        yymm=yymm,
        seq_num=1,
        size=CHUNK_BYTES,
        md5sum="0" * 32,
        content_md5sum="",
        first_item="",
        last_item="",
        num_items=n_papers,
        timestamp="",
    )


def listing(folder: Path, chunks: Sequence[ChunkFile], landed: Sequence[str] = SHARDS) -> Sources:
    """A folder of sources in which arXiv's manifest lists chunks, of which some are there."""
    (folder / "arxiv" / "src").mkdir(parents=True)
    (folder / "arxiv" / "src" / "arXiv_src_manifest.xml").write_bytes(manifest_xml(chunks))
    for name in landed:
        (folder / "arxiv" / "src" / f"{name}.tar").write_bytes(b"")
    return Sources(root=str(folder))


def archives() -> Stage:
    """A stage that lands two papers per shard."""

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        nothing: dict[str, Any] = dict.fromkeys(Archive.__dataclass_fields__)
        values = {"source": "arxiv", "year": 2019, "kind": "tar", "uri": "a", "offset": 0, "length": 7}
        rows = [
            Archive(**{**nothing, **values, "sha256": "", "paper_id": f"{reader.shard}-{i}"})
            for i in range(PAPERS_PER_SHARD)
        ]
        writer.write("archives", frame_of(Archive, rows))

    tables = {"archives": Archive, "metadata": Metadata}
    return Stage(asset="raw_archives", version="1", tables=tables, make=make)


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    """A store with papers and kept figures of 2019."""
    store = ShardStore(uri=str(tmp_path / "store"))
    store.pin(store.derive(archives(), PARTITION, shards=SHARDS))
    figures.kept_figures(store, N_FIGURES // len(SHARDS))
    return store


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Two chunks of 2019, which are there, and two of 2020, of which none is."""
    chunks = [chunk("1901", name) for name in SHARDS] + [chunk("2001", f"late_{i}", 50) for i in range(2)]
    return listing(tmp_path / "sources", chunks)


def planned(
    store: ShardStore,
    sources: Sources,
    year: int = 2019,
    *,
    settings: RecaptionSettings = SETTINGS,
    stage: Stage | None = None,
) -> Plan:
    """The plan of one year: value and basis by quantity."""
    found = plan(store, sources, "arxiv", [year], settings=settings, stage=stage, machines=MACHINES)
    rows = found.filter(partition=f"arxiv|{year}").iter_rows()
    return {quantity: (value, basis) for _, quantity, value, _, basis in rows}


def answer(figure_id: str, n_tokens: int = 120) -> LoggedAnswer:
    return LoggedAnswer(
        key=figure_id.encode().hex(),
        figure_id=figure_id,
        text="It rises.",
        finish_reason="stop",
        n_prompt_tokens=9,
        n_completion_tokens=n_tokens,
        latency_s=0.0,
        n_tries=1,
        server="",
    )


def test_what_is_made_is_counted(store: ShardStore, sources: Sources) -> None:
    """Papers, figures, kept ones; time follows from the rate, tokens from real windows and image sizes."""
    found = planned(store, sources)

    assert found["papers"] == (N_PAPERS, "counted")
    assert found["figures"] == found["kept figures"] == found["to recaption"] == (N_FIGURES, "counted")
    assert found["answered already"] == (0, "counted")
    gpu_hours, basis = found["GPU time"]
    assert gpu_hours == pytest.approx(N_FIGURES / 20 / 3_600)
    assert basis == "20 figures/s/GPU assumed; figures: counted"
    assert found["wall time"][0] == pytest.approx(N_FIGURES / 20 / 3_600 / 8)
    tokens, basis = found["prompt tokens"]
    image_tokens = 800 * 600 // 1_024  # that the figures' rows say
    assert image_tokens < tokens / N_FIGURES < image_tokens + SETTINGS.window_tokens + 1_000
    assert f"estimated on {N_FIGURES} figures of arxiv|2019" in basis
    assert found["completion tokens"] == (
        N_FIGURES * 200,
        "200 each, assumed: no answer is logged; figures: counted",
    )
    assert found["images when done"] == (pytest.approx(N_FIGURES * 20_000 / 1e9), "counted")
    assert found["tables when done"][0] is None
    assert found["to fetch"][0] == found["to read from the bucket"][0] == found["egress cost"][0] == 0
    assert planned(store, sources) == found


def test_other_years_of_the_store_tell_what_a_listed_one_will_give(
    store: ShardStore, sources: Sources
) -> None:
    """Per paper and per figure; what has not been landed is to be fetched, at a price."""
    found = planned(store, sources, 2020)

    assert found["papers"] == (100, "listed by the source")
    assert found["figures"] == found["kept figures"] == (300, "from this store's other years")
    assert found["images when done"][0] == pytest.approx(300 * 20_000 / 1e9)
    assert f"estimated on {N_FIGURES} figures of arxiv|2019" in found["prompt tokens"][1]
    assert found["to fetch"][0] == pytest.approx(2 * CHUNK_BYTES / 1e9)
    assert found["cost of fetching"] == (pytest.approx(2 * CHUNK_BYTES / 1e9 * 0.09), "given")
    assert found["papers when landed"][0] == pytest.approx(2 * CHUNK_BYTES / 1e9)
    assert found["egress cost"][0] == 0


def test_an_empty_store_plans_by_the_paper(tmp_path: Path, sources: Sources) -> None:
    """Its pairs per paper; what it does not say has no number, in the total neither."""
    store = ShardStore(uri=str(tmp_path / "empty"))

    found = planned(store, sources, 2020)

    assert found["figures"] == (None, planning.UNKNOWN)
    assert found["kept figures"] == (pytest.approx(620), "from the paper: 15.5 M pairs of 2.5 M papers")
    most = SETTINGS.window_tokens + SETTINGS.max_image_tokens
    assert found["prompt tokens"][0] == pytest.approx(620 * most)
    assert found["images when done"][0] is None
    both = plan(
        store, sources, "arxiv", [2019, 2020], settings=SETTINGS, stage=None, machines=MACHINES
    ).filter(partition="total")
    totals = {row["quantity"]: (row["value"], row["basis"]) for row in both.to_dicts()}
    assert totals["papers"] == (104, "the sum of the above")
    assert totals["figures"] == (None, "not known of arxiv|2019, arxiv|2020")
    assert totals["kept figures"][0] == pytest.approx(104 * 6.2)


def test_before_the_filters_images_are_the_most_there_can_be(tmp_path: Path, sources: Sources) -> None:
    """Where no other year says which share is kept."""
    store = ShardStore(uri=str(tmp_path / "store"))
    store.pin(store.derive(figures.candidates(6, {}), PARTITION, shards=SHARDS))

    found = planned(store, sources)

    assert found["kept figures"] == (12, "counted images, at most: the filters have not decided")
    assert "estimated on 12 figures" in found["prompt tokens"][1]


def test_a_year_that_goes_on_is_extended_by_its_own_share(store: ShardStore, tmp_path: Path) -> None:
    """A chunk that the manifest lists beside those that were read adds as many figures per paper."""
    chunks = [chunk("1901", name) for name in SHARDS] + [chunk("1912", "late", 10)]

    found = planned(store, listing(tmp_path / "more", chunks))

    assert found["papers"] == (N_PAPERS + 10, "counted, and listed by the source")
    assert found["figures"] == (N_FIGURES + 30, "from what is counted of this year")
    assert found["to fetch"][0] == pytest.approx(CHUNK_BYTES / 1e9)


def test_what_was_paid_for_is_not_counted_again(store: ShardStore, sources: Sources) -> None:
    """Kept figures with an answer in the log; the mean of answers tells the tokens, here and for other years."""
    with AnswerLog.open(store, PARTITION, SHARDS[0]) as log:
        log.append(answer("arxiv:chunk_001-0#1.1", 100))
        log.append(answer("arxiv:chunk_001-0#2.1", 300))
        log.append(answer("arxiv:elsewhere#1.1", 500))

    found = planned(store, sources)

    assert found["answered already"] == (2, "counted in the answer log, to whatever prompt")
    assert found["to recaption"] == (N_FIGURES - 2, "counted, less those answered")
    assert found["completion tokens"][0] == pytest.approx((N_FIGURES - 2) * 300)
    assert (
        "the mean of 3 logged answers of arxiv|2019" in planned(store, sources, 2020)["completion tokens"][1]
    )


def test_current_recaptions_are_not_made_again(store: ShardStore, sources: Sources) -> None:
    """Under the settings that they were made with; under others, those that the log has answered count."""
    with serving(Imitation()) as url, service(url) as opened:
        store.pin(describe(store, opened))

    def stage(settings: RecaptionSettings) -> Stage:
        return recaptioning.stage(
            VllmCaptioner(settings, store=store, service=service("http://x"), map_items=map_here)
        )

    same = planned(store, sources, stage=stage(SETTINGS))
    changed = planned(store, sources, stage=stage(replace(SETTINGS, temperature=0.9)))

    assert same["answered already"] == (N_FIGURES, "counted in recaptions that are current")
    assert same["to recaption"][0] == same["GPU time"][0] == same["prompt tokens"][0] == 0
    assert changed["answered already"] == (N_FIGURES, "counted in the answer log, to whatever prompt")


def test_what_lies_in_a_bucket_is_read_more_than_once(store: ShardStore) -> None:
    """A new chunk for its digest, for its papers' kinds and for extraction; a landed one that was read, no more."""
    chunks = [
        planning.ListedChunk(name=name, n_papers=1, n_bytes=10**9, is_there=True)
        for name in ("chunk_001", "chunk_009")
    ]
    one = planning._Partition(store, PARTITION, planning.counted(store, PARTITION), [], [], chunks)

    found = one.egress(MACHINES, is_remote=True)

    assert found["to read from the bucket"][0].value == 3
    assert found["egress cost"][0].value == pytest.approx(0.27)


def test_years_are_those_listed_landed_or_made(store: ShardStore, sources: Sources, tmp_path: Path) -> None:
    """Also chunks that are not there yet, and partitions whose source has gone."""
    assert planned_years(store, sources, "arxiv") == [2019, 2020]
    assert planned_years(store, sources, "local") == []
    (tmp_path / "none").mkdir()
    assert planned_years(store, Sources(root=str(tmp_path / "none")), "arxiv") == [2019]


def test_the_sample_is_spread_over_shards_and_bounded(
    store: ShardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it from either of two shards; the same at each call."""
    monkeypatch.setattr(planning, "SAMPLE", 4)

    tokens = planning.sampled_tokens(store, PARTITION, SETTINGS)

    assert len(tokens) == 4
    assert planning.sampled_tokens(store, PARTITION, SETTINGS) == tokens
