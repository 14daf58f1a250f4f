"""Each check on a real store: sound tables pass, and each planted fault fails it, with examples and what to do."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import polars as pl
import pytest

from s1mm_assets import definitions
from s1mm_assets.checks import (
    duplicates,
    figure_candidates,
    filtered_figures,
    hf_publication,
    hf_release,
    quality_metrics,
    raw_archives,
)
from s1mm_assets.checks import recaptions as of_recaptions
from s1mm_assets.checks.guards import reported
from s1mm_assets.checks.page import CHECKED
from s1mm_assets.release import ReleaseSettings
from s1mm_assets.resources.dataset_loader import DatasetLoader
from s1mm_assets.resources.release_folder import ReleaseFolder
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets.steps import IF_KILLED
from s1mm_assets.tables import Duplicate
from s1mm_assets_tests.checks.stores import (
    KEY,
    PAPER,
    A,
    B,
    Rows,
    changed,
    decision,
    put,
    rewritten,
    sound,
    stored,
)
from s1mm_assets_tests.release.shards import candidate, example, metric, picture, recaption

ON = "[metrics]\nclip_score = true\npseudo_perplexity = true\n[checks]\nmin_rows_for_drift = 1\n"
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
TEXTS = ("&#60;b&#62;Caption", "Recaption 1.")  # as Markdown has them


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(uri=str(tmp_path / "store"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_with(tmp_path, "")


def settings_with(folder: Path, text: str) -> Settings:
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:8]}.toml"
    path.write_text(text)
    return Settings(path=str(path))


def found(module: ModuleType, store: ShardStore, settings: Settings) -> dict[str, dg.AssetCheckResult]:
    """What the checks of an asset say of the partition, by name."""
    sources = Sources(root=store.uri)  # no papers there
    arguments: dict[str, tuple[Any, ...]] = {
        "raw_archives": (sources, settings),
        "figure_candidates": (),
    }
    results = module.results(store, *arguments.get(module.ASSET, (settings,)), KEY)
    every = reported(module.GUARDS, results, settings=settings, partition=KEY)
    return {each.check_name or "": each for each in every}


def text(result: dg.AssetCheckResult, name: str) -> str:
    return str(result.metadata[name].value)


PARTITIONED = [module for module in CHECKED if module.ASSET not in {"duplicates", "hf_publication"}]


@pytest.mark.parametrize("module", PARTITIONED, ids=[module.ASSET for module in PARTITIONED])
def test_sound_tables_pass(module: ModuleType, store: ShardStore, settings: Settings) -> None:
    """Every check of every asset is made; what is not evaluated warns, and says what turns it on."""
    stored(store, sound())

    results = found(module, store, settings)

    assert set(results) == set(module.GUARDS)
    for result in results.values():
        assert result.passed or (result.severity == WARN and "not evaluated" in (result.description or ""))
        assert ("what_to_do" in result.metadata) != result.passed


@dataclass(frozen=True)
class Fault:
    """Something wrong in the tables, the check that must see it, and what it must show."""

    module: ModuleType
    check: str
    shows: tuple[str, ...]
    asset: str
    table: str
    change: Callable[[list[Any]], list[Any]]
    n_pictures: int = 0
    settings: str = ""


LOST = f"arxiv:{PAPER}#2.1"
SAME = picture(5)
REPEATED = replace(B, image=SAME), replace(A, image=SAME)
FAULTS = (
    Fault(
        raw_archives,
        "every_archive_has_one_record",
        ("| lost |", PAPER),
        "raw_archives",
        "metadata",
        lambda rows: [],
    ),
    Fault(
        raw_archives,
        "papers_are_of_their_year",
        (PAPER, "| 1999 |"),
        "raw_archives",
        "archives",
        lambda rows: changed(rows, year=1999),
    ),
    Fault(
        raw_archives,
        "rejection_rate_is_within_the_band",
        ("| corrupt | 1 |",),
        "raw_archives",
        "archives",
        lambda rows: changed(rows, rejection="corrupt"),
    ),
    Fault(
        figure_candidates,
        "every_archive_has_one_paper",
        ("| invented |", "2301.7"),
        "figure_candidates",
        "papers",
        lambda rows: [*rows, *changed(rows, paper_id="2301.7")],
    ),
    Fault(
        figure_candidates,
        "every_paper_gave_figures_or_a_reason",
        (PAPER, "| 3 |"),
        "figure_candidates",
        "papers",
        lambda rows: changed(rows, n_rows=3),
    ),
    Fault(
        figure_candidates,
        "figure_ids_are_unique",
        (LOST,),
        "figure_candidates",
        "figures",
        lambda rows: [*rows, rows[1]],
    ),
    Fault(
        figure_candidates,
        "every_figure_has_an_image_or_a_reason",
        (f"arxiv:{PAPER}#1.1",),
        "figure_candidates",
        "figures",
        lambda rows: [replace(rows[0], sha256=None), rows[1]],
    ),
    Fault(
        filtered_figures,
        "every_figure_has_one_decision",
        ("| lost |", LOST),
        "filtered_figures",
        "decisions",
        lambda rows: rows[:1],
    ),
    Fault(
        filtered_figures,
        "no_kept_image_is_smaller_than_the_limit",
        ("| 4999 |", TEXTS[0]),
        "filtered_figures",
        "decisions",
        lambda rows: changed(rows, image_size_bytes=4_999),
        n_pictures=2,
    ),
    Fault(
        filtered_figures,
        "kept_images_open",
        (LOST, "does not open", "UnidentifiedImageError"),
        "figure_candidates",
        "figures",
        lambda rows: [rows[0], replace(rows[1], image=b"\x89PNG <img src=x>")],
    ),
    Fault(
        filtered_figures,
        "no_exact_duplicates_are_kept",
        (f"arxiv:{PAPER}#1.1", LOST, TEXTS[0]),
        "filtered_figures",
        "decisions",
        lambda rows: [decision(each) for each in REPEATED],
        n_pictures=2,
    ),
    Fault(
        of_recaptions,
        "every_kept_figure_has_one_recaption",
        ("| repeated |",),
        "recaptions",
        "recaptions",
        lambda rows: [*rows, rows[0]],
    ),
    Fault(
        of_recaptions,
        "every_recaption_has_text_or_a_reason",
        (LOST, "| False |"),
        "recaptions",
        "recaptions",
        lambda rows: [rows[0], replace(rows[1], recaption="  ")],
    ),
    Fault(
        of_recaptions,
        "few_figures_lack_a_recaption",
        (LOST, "answer&#95;loop", "again, again"),
        "recaptions",
        "recaptions",
        lambda rows: [
            rows[0],
            replace(rows[1], recaption=None, rejection="answer_loop", evidence="again, again"),
        ],
    ),
    Fault(
        quality_metrics,
        "every_recaption_has_one_metric",
        ("| lost |", LOST),
        "quality_metrics",
        "metrics",
        lambda rows: rows[:1],
    ),
    Fault(
        quality_metrics,
        "recaptions_fit_their_images",
        ("| 0.125 |", *TEXTS),
        "quality_metrics",
        "metrics",
        lambda rows: changed(rows, recaption_clip_score=0.125),
        n_pictures=2,
        settings=ON,
    ),
    Fault(
        quality_metrics,
        "recaptions_raise_the_clip_score",
        ("| -0.25 |", *TEXTS),
        "quality_metrics",
        "metrics",
        lambda rows: changed(rows, recaption_clip_score=0.5, caption_clip_score=0.75),
        n_pictures=2,
        settings=ON,
    ),
    Fault(
        quality_metrics,
        "few_recaptions_are_degenerate",
        ("cut&#95;off, shared", *TEXTS),
        "quality_metrics",
        "metrics",
        lambda rows: changed(rows, flags=["cut_off", "shared"]),
        n_pictures=2,
    ),
    Fault(
        quality_metrics,
        "clip_score_tells_pairs_apart",
        ("| -0.5 |", *TEXTS),
        "quality_metrics",
        "metrics",
        lambda rows: changed(rows, recaption_clip_score=0.25, recaption_shuffled_clip_score=0.75),
        n_pictures=2,
        settings=ON,
    ),
    Fault(
        quality_metrics,
        "recaptions_are_fluent",
        ("| 1 |", *TEXTS),
        "quality_metrics",
        "metrics",
        lambda rows: changed(rows, caption_pseudo_perplexity=10.0, recaption_pseudo_perplexity=100.0),
        n_pictures=2,
        settings=ON,
    ),
    Fault(
        quality_metrics,
        "recaptions_are_grounded",
        ("| 0 | 2 |", "7 GeV", *TEXTS),
        "quality_metrics",
        "metrics",
        lambda rows: changed(rows, n_grounded_claims=0, ungrounded_claims=["7 GeV"]),
        n_pictures=2,
    ),
    Fault(
        quality_metrics,
        "numbers_are_like_the_papers",
        ("caption&#95;length&#95;chars", "| 267 |"),
        "quality_metrics",
        "metrics",
        lambda rows: changed(rows, caption_length_chars=9_999),
        settings=ON,
    ),
    Fault(
        hf_release,
        "every_metric_has_one_record",
        ("| lost |", "2301.7"),
        "quality_metrics",
        "metrics",
        lambda rows: [*rows, replace(rows[0], figure_id="2301.7")],
    ),
)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.check for fault in FAULTS])
def test_a_fault_is_shown(fault: Fault, store: ShardStore, tmp_path: Path) -> None:
    """The check fails, stops or warns as it says, shows culprits, what moves it, and what to do."""
    rows = sound()
    stored(store, rows)
    rows[fault.asset][fault.table] = fault.change(rows[fault.asset][fault.table])
    put(store, fault.asset, rows[fault.asset])
    settings = settings_with(tmp_path, fault.settings)

    result = found(fault.module, store, settings)[fault.check]

    guard = fault.module.GUARDS[fault.check]
    assert not result.passed
    assert result.severity == ERROR or not guard.stops or guard.unless  # of two figures it may be chance
    assert result.description
    assert text(result, "what_to_do") == guard.what_to_do.replace("PARTITION", KEY)
    assert (
        guard.thresholds(settings).items()
        <= {name: value.value for name, value in result.metadata.items()}.items()
    )
    examples = text(result, "examples")
    assert [each for each in fault.shows if each not in examples] == []
    assert examples.count("](data:image/jpeg;base64,") == fault.n_pictures
    assert "<" not in examples


def with_rows(store: ShardStore, **tables: dict[str, list[Any]]) -> Rows:
    rows = sound()
    for asset, of_asset in tables.items():
        rows[asset] |= of_asset
    stored(store, rows)
    return rows


def test_what_a_source_lists_and_has_not_landed_is_shown() -> None:
    """By name; it warns."""
    result = raw_archives.every_listed_chunk_is_here([f"chunk_{i}" for i in range(7)])

    assert (result.passed, result.severity, result.description) == (False, WARN, "7 wrong")
    assert text(result, "examples").count("chunk&#95;") == 5
    assert raw_archives.every_listed_chunk_is_here([]).passed


def test_a_year_beside_another_is_shown(store: ShardStore, tmp_path: Path) -> None:
    """Means of both, and by how much they differ."""
    rows = with_rows(store)
    other = changed(rows["quality_metrics"]["metrics"], caption_length_chars=100)
    put(store, "quality_metrics", {"metrics": other}, key="arxiv|2022")

    result = found(quality_metrics, store, settings_with(tmp_path, ON))["means_are_like_neighbouring_years"]

    assert (result.passed, result.severity) == (False, WARN)
    assert "caption&#95;length&#95;chars" in text(result, "examples")
    assert "| 100 |" in text(result, "examples")


@pytest.mark.parametrize(
    ("check", "change", "shows"),
    [
        ("records_and_archive_agree", {"image_sha256": "0" * 64}, ("| orphan |", "| not archived |")),
        ("image_paths_are_unique", {"image_path": "p/f1&p1.png"}, ("p/f1&#38;p1.png", LOST)),
    ],
)
def test_records_that_do_not_join_are_shown(
    store: ShardStore, settings: Settings, check: str, change: dict[str, str], shows: tuple[str, ...]
) -> None:
    """A digest that no member has, a name that two have."""
    stored(store, sound())
    pieces = store.pinned("hf_release", KEY)
    assert pieces is not None
    archived = hf_release.archived(store, pieces)
    records = store.read(pieces, "records", ["figure_id", "image_path", "image_sha256"])
    changes = [pl.lit(value).alias(name) for name, value in change.items()]
    if check == "records_and_archive_agree":
        result = hf_release.records_and_archive_agree(records.with_columns(changes), archived)
    else:
        rewritten(store, lambda rows: rows.with_columns(changes))
        result = found(hf_release, store, settings)[check]

    assert not result.passed
    assert [each for each in shows if each not in text(result, "examples")] == []


def test_what_leaks_is_shown_without_showing_it(store: ShardStore, tmp_path: Path) -> None:
    """By id and reason: the picture must not be public."""
    stored(store, sound(), ReleaseSettings(licence_policy="all"))

    stricter = settings_with(tmp_path, '[release]\nlicence_policy = "metadata-only"\n')
    result = found(hf_release, store, stricter)["nothing_leaks"]

    assert (result.passed, result.severity) == (False, ERROR)
    assert "its licence, " in text(result, "examples")
    assert "base64" not in text(result, "examples")
    assert result.metadata["[release] licence_policy"].value == "metadata-only"


def test_images_that_are_kept_twice_are_shown_side_by_side(store: ShardStore, settings: Settings) -> None:
    """Over partitions, with their pictures; and duplicates of what is not kept by their ids."""
    twin = replace(A, source="biorxiv", image=A.content)
    gone = Duplicate(figure_id="x", duplicate_of="<lost>", rejection="exact_duplicate", distance=0)
    for key, figure in ((KEY, A), ("biorxiv|2023", twin)):
        put(store, "figure_candidates", {"papers": [], "figures": [candidate(figure)]}, key)
        put(store, "filtered_figures", {"decisions": [decision(figure)], "texts": []}, key)
    put(store, "duplicates", {"duplicates": [gone]})

    results = {
        each.check_name: each
        for each in reported(duplicates.GUARDS, duplicates.results(store), settings=settings)
    }

    kept, orphan = results["each_image_is_kept_once"], results["every_duplicate_names_a_kept_figure"]
    assert not kept.passed
    assert text(kept, "examples").count("](data:image/jpeg;base64,") == 2
    assert twin.figure_id in text(kept, "examples")
    assert "&#60;lost&#62;" in text(orphan, "examples")
    outdated = results["every_slice_is_of_the_current_decisions"]
    assert (outdated.passed, outdated.severity) == (False, WARN)
    assert "biorxiv|2023" in text(outdated, "examples")
    assert "find_duplicates" in text(outdated, "what_to_do")


def test_a_release_that_was_damaged_is_shown(tmp_path: Path, store: ShardStore, settings: Settings) -> None:
    """Which file, and what is wrong with it."""
    release = ReleaseFolder(path=str(tmp_path / "release"))
    example().publish(tmp_path / "release")
    (tmp_path / "release" / "arxiv" / "jsonl" / "2023.jsonl").write_text("{}")

    found = hf_publication.results(release, store, settings, lambda line: None)
    once, verifies = (
        next(reported(hf_publication.GUARDS, [next(found)], settings=settings)) for _ in range(2)
    )

    assert once.passed
    assert (verifies.passed, verifies.severity) == (False, ERROR)
    assert "arxiv/jsonl/2023.jsonl" in text(verifies, "examples")
    assert "s1mm verify" in text(verifies, "what_to_do")


def test_an_image_that_is_released_twice_is_shown(store: ShardStore, settings: Settings) -> None:
    """By its digest and the figures."""
    stored(store, sound())
    rewritten(store, lambda rows: rows.with_columns(image_sha256=pl.lit("ab" * 32)))

    release = ReleaseFolder(path=str(Path(store.uri) / "none"))
    result = next(hf_publication.results(release, store, settings, lambda line: None))

    assert not result.passed
    assert f"| {LOST} | {'ab' * 32} |" in text(result, "examples")


def test_takedowns_without_effect_are_shown() -> None:
    """And figures that hold an image which is kept back elsewhere."""
    image = pl.Schema({"figure_id": pl.String, "image_sha256": pl.Binary})
    released = pl.DataFrame({"figure_id": ["a", "b"], "image_sha256": [b"1", b"2"]}, schema=image)
    banned = pl.DataFrame({"figure_id": ["c"], "image_sha256": [b"2"]}, schema=image)

    bad = hf_publication.takedowns_take_effect(released, banned, ["arxiv:1"] * 7)

    assert (bad.passed, bad.severity) == (False, WARN)
    assert bad.metadata["n_without_effect"].value == 7
    assert "| image shown elsewhere | b |" in text(bad, "examples")
    assert hf_publication.takedowns_take_effect(released, banned.clear(), []).passed


def test_a_release_in_a_bucket_is_not_read() -> None:
    """It warns, and says so."""
    unread = hf_publication.datasets_reads_the_release(None, lambda line: None)

    assert (unread.passed, unread.severity) == (False, WARN)
    assert "not evaluated: the release is in an object store" in (unread.description or "")


def test_rows_that_datasets_does_not_give_back_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each difference in a row."""
    monkeypatch.setattr(DatasetLoader, "differences", lambda self, folder, report: ["2 rows | not <3>"])

    bad = hf_publication.datasets_reads_the_release(Path("any"), lambda line: None)

    assert (bad.passed, bad.severity) == (False, ERROR)
    assert "2 rows &#124; not &#60;3&#62;" in text(bad, "examples")


@pytest.mark.parametrize("checks", definitions.CHECKS, ids=lambda checks: checks.node_def.name)
def test_a_step_of_checks_asks_for_its_machine_and_is_started_again_if_killed(
    checks: dg.AssetChecksDefinition,
) -> None:
    """Once for all checks of an asset."""
    op = checks.node_def

    assert isinstance(op, dg.OpDefinition)
    assert "dagster-k8s/config" in op.tags
    assert op.retry_policy == IF_KILLED


def test_the_largest_evaluation_is_bounded(store: ShardStore, tmp_path: Path) -> None:
    """Pictures and texts as large as they may be: below 200 KB in the event log, for each check."""
    import io

    from PIL import Image

    sink = io.BytesIO()
    Image.effect_noise((900, 900), 255).save(sink, "PNG")
    figures = [
        replace(A, number=i, image=sink.getvalue(), caption="|" * 50_000, recaption="*" * 50_000)
        for i in range(1, 10)
    ]
    scores: dict[str, Any] = {"recaption_clip_score": 0.1, "caption_clip_score": 0.9}
    worst = [
        replace(
            metric(each),
            n_grounded_claims=0,
            ungrounded_claims=["_" * 9_000] * 9,
            flags=["cut_off"],
            **scores,
        )
        for each in figures
    ]
    with_rows(
        store,
        figure_candidates={"figures": [candidate(each) for each in figures]},
        filtered_figures={"decisions": changed([decision(each) for each in figures], image_size_bytes=1)},
        recaptions={"recaptions": [recaption(each) for each in figures]},
        quality_metrics={"metrics": worst},
    )

    def sizes() -> Iterator[int]:
        for module in (filtered_figures, quality_metrics):
            for result in found(module, store, settings_with(tmp_path, ON)).values():
                evaluation = {name: value.value for name, value in result.metadata.items()}
                assert str(evaluation.get("examples", "")).count("](data:") <= 3
                yield len(repr(evaluation))

    assert 50_000 < max(sizes()) < 200_000
