"""The assembled graph: what the Dagster UI shows, and that a run without papers goes through it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from s1mm_assets import definitions
from s1mm_assets.partitions import SOURCE_BY_YEAR, SOURCES, YEARS
from s1mm_assets.resources.check_history import (
    DUPLICATES_GUARDS,
    GUARDS,
    PUBLICATION_GUARDS,
    RefusedByCheck,
    require_duplicates_passed,
    require_passed,
    require_publication_passed,
)
from s1mm_assets.resources.release_folder import ReleaseFolder
from s1mm_assets.resources.shard_io import ShardSetIOManager
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.sources.registry import Sources

STAGES = [
    "raw_archives",
    "figure_candidates",
    "filtered_figures",
    "recaptions",
    "quality_metrics",
    "hf_release",
]

LANDING = "landed_papers"
JOBS = [
    "land",
    "one_partition",
    "to_quality_metrics",
    "from_recaptions",
    "find_duplicates",
    "release_partition",
    "publication",
    "upload",
]


def test_the_graph_is_the_mission() -> None:
    """Landing, six partitioned assets in a row, duplicates before the last; publication and, without checks, upload."""
    graph = definitions.defs.resolve_asset_graph()

    joined = {"duplicates", "hf_publication"}
    unchecked = {LANDING, "hub_repository"}
    assert {key.path[-1] for key in graph.get_all_asset_keys()} == {*STAGES, *joined, *unchecked}
    for before, after in itertools.pairwise([LANDING, *STAGES]):
        assert dg.AssetKey(before) in graph.get(dg.AssetKey(after)).parent_keys
    assert {key.path[-1] for key in graph.get(dg.AssetKey("duplicates")).parent_keys} == {"filtered_figures"}
    assert dg.AssetKey("duplicates") in graph.get(dg.AssetKey("hf_release")).parent_keys
    assert {key.asset_key.path[-1] for key in graph.asset_check_keys} == {*STAGES, *joined}


def test_partitions_are_sources_by_years() -> None:
    """Years are static, from 1991 on, and keys are written source|year."""
    assert set(SOURCES) == {
        "arxiv",
        "biorxiv",
        "medrxiv",
        "chemrxiv",
        "nature_communications",
        "local",
    }
    assert YEARS[0] == 1991
    assert SOURCE_BY_YEAR.has_partition_key("arxiv|2019")
    assert len(SOURCE_BY_YEAR.get_partition_keys()) == len(SOURCES) * len(YEARS)


@pytest.mark.parametrize(
    "tags",
    [
        {"dagster/partition": "biorxiv|2020"},
        {
            "dagster/asset_partition_range_start": "biorxiv|2020",
            "dagster/asset_partition_range_end": "biorxiv|2020",
        },
    ],
    ids=["one partition", "a range of one"],
)
@pytest.mark.filterwarnings("ignore")  # Dagster warns of its own internals
def test_a_partition_without_papers_succeeds(tmp_path: Path, tags: dict[str, str]) -> None:
    """No shards, no rows, every blocking check passes; also in a run over a range of one partition."""
    store = ShardStore(uri=str(tmp_path / "store"))
    resources = {
        **(definitions.defs.resources or {}),
        "store": store,
        "shards": ShardSetIOManager(store=store),
        "sources": Sources(root=str(tmp_path)),
        "release_folder": ReleaseFolder(path=str(tmp_path / "release")),
    }
    partition = tags.get("dagster/partition")

    result = dg.materialize(
        [*definitions.PIPELINE, definitions.DUPLICATES, *definitions.CHECKS[:-1]],
        resources=resources,
        partition_key=partition,
        tags=None if partition else tags,
    )

    failed = [each for each in result.get_asset_check_evaluations() if not each.passed]
    assert result.success
    assert {each.severity for each in failed} <= {dg.AssetCheckSeverity.WARN}
    assert store.partitions("hf_release") == ["biorxiv|2020"]
    pinned = store.pinned("hf_release", "biorxiv|2020")
    assert pinned is not None
    assert pinned.shards == ()


def test_check_names_say_what_is_true() -> None:
    """Each check has a description for the UI, and those of partitioned assets are partitioned."""
    specs = [spec for checks in definitions.CHECKS for spec in checks.check_specs]

    assert all(spec.description for spec in specs)
    assert {spec.name for spec in specs if spec.partitions_def is None} == {
        "every_slice_is_of_the_current_decisions",
        "each_image_is_kept_once",
        "every_duplicate_names_a_kept_figure",
        "no_image_is_released_twice",
        "the_release_verifies",
        "datasets_reads_the_release",
        "takedowns_take_effect",
    }


def test_dagster_loads_them_all() -> None:
    """As the webserver and the daemon do: there jobs and assets share one space of names."""
    loaded = definitions.defs.get_repository_def().get_all_jobs()

    assert {*JOBS} < {job.name for job in loaded}


def test_a_partition_can_be_made_whole_or_step_by_step() -> None:
    """One job has all of a partition; others end where the partitions meet, and go on from there."""
    jobs = {job.name: job for job in map(definitions.defs.resolve_job_def, JOBS)}
    made = {name: {key.path[-1] for key in job.asset_layer.selected_asset_keys} for name, job in jobs.items()}

    assert made["land"] == {LANDING, STAGES[0]}
    assert made["one_partition"] == {LANDING, *STAGES, "duplicates"}
    assert made["to_quality_metrics"] == {LANDING, *STAGES[:-1]}
    assert made["from_recaptions"] == {*STAGES[3:], "duplicates"}
    assert made["find_duplicates"] == {"duplicates"}
    assert made["release_partition"] == {"hf_release"}
    assert made["publication"] == {"hf_publication"}
    assert made["upload"] == {"hub_repository"}
    assert {name for name, job in jobs.items() if job.partitions_def is None} == {
        *("find_duplicates", "publication", "upload")
    }


@pytest.mark.filterwarnings("ignore")  # partitioned check specs are a preview
def test_a_partition_that_a_check_refused_is_not_published() -> None:
    """Also when the publication is materialized alone, later; until the partition passes again."""
    is_sound = False

    @dg.asset(partitions_def=SOURCE_BY_YEAR)
    def hf_release() -> None:
        pass

    spec = dg.AssetCheckSpec(GUARDS["hf_release"][0], asset="hf_release", partitions_def=SOURCE_BY_YEAR)

    @dg.multi_asset_check(specs=[spec])
    def guard() -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(check_name=spec.name, passed=is_sound)

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([hf_release, guard], partition_key="arxiv|2019", instance=instance)
        with pytest.raises(RefusedByCheck, match=r"arxiv\|2019 was refused by every_metric_has_one_record"):
            require_passed(instance, ["arxiv|2018", "arxiv|2019"])

        is_sound = True
        dg.materialize([hf_release, guard], partition_key="arxiv|2019", instance=instance)
        require_passed(instance, ["arxiv|2018", "arxiv|2019"])


@pytest.mark.filterwarnings("ignore")
def test_a_check_that_crashed_is_no_check() -> None:
    """It came to no end: what it guards against may be there."""

    @dg.asset(partitions_def=SOURCE_BY_YEAR)
    def hf_release() -> None:
        pass

    spec = dg.AssetCheckSpec("nothing_leaks", asset="hf_release", partitions_def=SOURCE_BY_YEAR)

    @dg.multi_asset_check(specs=[spec])
    def guard() -> Iterator[dg.AssetCheckResult]:
        raise MemoryError

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize(
            [hf_release, guard], partition_key="arxiv|2019", instance=instance, raise_on_error=False
        )
        with pytest.raises(RefusedByCheck, match="nothing_leaks"):
            require_passed(instance, ["arxiv|2019"])


@pytest.mark.parametrize("ending", [None, DagsterRunStatus.CANCELED, DagsterRunStatus.FAILURE])
@pytest.mark.filterwarnings("ignore")
def test_a_refusal_outlives_a_run_that_never_came_to_the_check(ending: DagsterRunStatus | None) -> None:
    """One that is queued, was cancelled, or failed upstream: the last verdict is still what is known."""

    @dg.asset(partitions_def=SOURCE_BY_YEAR)
    def hf_release() -> None:
        pass

    spec = dg.AssetCheckSpec(GUARDS["hf_release"][0], asset="hf_release", partitions_def=SOURCE_BY_YEAR)

    @dg.multi_asset_check(specs=[spec])
    def guard() -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(check_name=spec.name, passed=False)

    defs = dg.Definitions([hf_release], asset_checks=[guard], jobs=[dg.define_asset_job("again")])
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([hf_release, guard], partition_key="arxiv|2019", instance=instance)
        run = instance.create_run_for_job(
            defs.resolve_job_def("again"),
            tags={"dagster/partition": "arxiv|2019"},
            status=DagsterRunStatus.NOT_STARTED,
            asset_selection=frozenset([hf_release.key]),
        )
        if ending is DagsterRunStatus.CANCELED:
            instance.report_run_canceled(run)
        elif ending is DagsterRunStatus.FAILURE:
            instance.report_run_failed(run)
        with pytest.raises(RefusedByCheck, match="every_metric_has_one_record"):
            require_passed(instance, ["arxiv|2019"])


@pytest.mark.filterwarnings("ignore")
def test_a_search_for_duplicates_that_was_refused_releases_nothing() -> None:
    """It is a job of its own, in which nothing comes after it."""

    @dg.asset
    def duplicates() -> None:
        pass

    @dg.asset_check(asset=duplicates, name=DUPLICATES_GUARDS[0], blocking=True)
    def guard() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    with dg.DagsterInstance.ephemeral() as instance:
        require_duplicates_passed(instance)
        dg.materialize([duplicates, guard], instance=instance, raise_on_error=False)
        with pytest.raises(RefusedByCheck, match="find_duplicates again"):
            require_duplicates_passed(instance)


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_only_a_checked_publication_is_uploaded(passes: bool) -> None:
    """Every check that guards it must have passed; what warns that it was not evaluated does not stop it."""

    @dg.asset
    def hf_publication() -> None:
        pass

    specs = [dg.AssetCheckSpec(name, asset="hf_publication") for name in PUBLICATION_GUARDS]

    @dg.multi_asset_check(specs=specs)
    def guard() -> Iterator[dg.AssetCheckResult]:
        for spec in specs[:-1]:
            yield dg.AssetCheckResult(check_name=spec.name, passed=passes)
        yield dg.AssetCheckResult(
            check_name=specs[-1].name, passed=False, severity=dg.AssetCheckSeverity.WARN
        )

    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(RefusedByCheck, match="or not checked: run the job publication"):
            require_publication_passed(instance)
        dg.materialize([hf_publication, guard], instance=instance)
        if passes:
            require_publication_passed(instance)
        else:
            with pytest.raises(RefusedByCheck, match="the_release_verifies"):
                require_publication_passed(instance)


@pytest.mark.filterwarnings("ignore")
def test_a_release_refuses_what_a_check_before_it_refused() -> None:
    """In a run of its own, in which no blocking check stands before it."""

    @dg.asset(partitions_def=SOURCE_BY_YEAR)
    def quality_metrics() -> None:
        pass

    spec = dg.AssetCheckSpec(
        "recaptions_fit_their_images", asset="quality_metrics", partitions_def=SOURCE_BY_YEAR
    )

    @dg.multi_asset_check(specs=[spec])
    def guard() -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(check_name=spec.name, passed=False)

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([quality_metrics, guard], partition_key="arxiv|2019", instance=instance)
        require_passed(instance, ["arxiv|2018"], before="hf_release")
        with pytest.raises(
            RefusedByCheck, match=r"quality_metrics for arxiv\|2019 was refused by recaptions_fit"
        ):
            require_passed(instance, ["arxiv|2019"], before="hf_release")
        require_passed(instance, ["arxiv|2019"], before="quality_metrics")


def test_the_guards_are_the_blocking_checks() -> None:
    """Releases and publication look for each of them by name."""
    specs = [spec for checks in definitions.CHECKS for spec in checks.check_specs]
    guards = {**GUARDS, "duplicates": DUPLICATES_GUARDS}
    blocking: dict[str, set[str]] = {asset: set() for asset in guards}
    for spec in specs:
        if spec.blocking and spec.asset_key.path[-1] in blocking:
            blocking[spec.asset_key.path[-1]].add(spec.name)

    assert {asset: set(names) for asset, names in guards.items()} == blocking


def test_a_backfill_gives_each_partition_a_run_of_its_own() -> None:
    """A backfill policy would give runs a range without a partition key, and checks no partition."""
    graph = definitions.defs.resolve_asset_graph()

    assert {graph.get(key).backfill_policy for key in graph.get_all_asset_keys()} == {None}
