"""A partition end to end in pods, undisturbed and disturbed: the same tables as in one process."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg
import pytest

from s1mm_assets_tests.k8s.cluster import Json, wait_for
from s1mm_assets_tests.k8s.cluster import running as running_program
from s1mm_assets_tests.k8s.installation import Installation
from s1mm_assets_tests.k8s.kubelet import GPU, requests

PARTITION, N_SHARDS = "arxiv|2012", 5  # as many papers, each in a chunk of its own
SHORT, WITH_SHORT_JOB = "to_figure_candidates", "s1mm_assets_tests.k8s.short"
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
WITH_VLLM = """
[recaptioning]
engine = "vllm"
model = "m"
model_revision = "r"
[steps.recaptions]
gpus = 8
"""
MONITORED = {"enabled": True, "poll_interval_seconds": 5, "free_slots_after_run_end_seconds": 5}
Install = Callable[..., Installation]


@pytest.fixture(scope="module")
def in_one_process(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the partition's records say where one process made them all."""
    from s1mm_assets_tests.test_pipeline import Home

    home = Home(tmp_path_factory.mktemp("one-process"), sources)
    home.build("--until", "hf_release", "--partition", PARTITION)
    return records(home.folder / "store")


def records(store: Path) -> dict[str, str]:
    """Each asset's record of the partition: shards, with the digests of tables and of what they were made from."""
    source, year = PARTITION.split("|")
    return {path.parts[-4]: path.read_text() for path in store.glob(f"*/{source}/{year}/partition.json")}


def steps_of(pods: list[Json]) -> list[Json]:
    """The pods that ran a step, without the run's own."""
    return [pod for pod in pods if component(pod) == "step_worker"]


def component(pod: Json) -> str:
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])


def name_of(pod: Json) -> str:
    return str(pod["metadata"]["name"])


def phase(pod: Json) -> str:
    return str(pod["status"]["phase"])


def op(pod: Json) -> str:
    """The step that a pod or job is for."""
    return str(pod["metadata"]["labels"].get("dagster/op", ""))


def running(here: Installation, step: str, *, but: Json | None = None) -> Json:
    """Wait until a step's pod runs, another one than `but`."""

    def found() -> Json | None:
        for pod in here.pods(op=step):
            if phase(pod) == "Running" and not (but and name_of(pod) == name_of(but)):
                return pod
        return None

    pod = wait_for(found, f"the pod of {step}", 300)
    assert pod is not None
    return pod


def launch_short(here: Installation) -> str:
    """Launch a run that ends with figure_candidates."""
    return here.launch(SHORT, PARTITION, module=WITH_SHORT_JOB)


def committed(here: Installation) -> dict[str, str]:
    """The commit records of figure_candidates."""
    return {
        path.parent.name: path.read_text() for path in here.store.glob("figure_candidates/*/*/*/commit.json")
    }


def assert_as_in_one_process(here: Installation, expected: dict[str, str]) -> None:
    """Every asset of the short job is there, with the records that one process makes."""
    found = records(here.store)
    assert {"raw_archives", "figure_candidates"} <= set(found)
    assert found == {asset: expected[asset] for asset in found}


def ended_pods(here: Installation) -> list[Json]:
    """All pods, once none runs: a run may have ended a moment before its last process does."""

    def ended() -> list[Json]:
        pods = here.pods()
        return [] if "Running" in map(phase, pods) else pods

    return wait_for(ended, "the end of every pod")


def test_a_partition_is_built_in_pods(install: Install, in_one_process: dict[str, str]) -> None:
    """Each step once, in a job and a pod of its own; every record as one process makes it."""
    here = install()
    here.limit()

    run_id = here.launch("one_partition", PARTITION)

    assert here.wait(run_id) == SUCCESS
    with here.instance() as instance:
        steps = {stats.step_key for stats in instance.get_run_step_stats(run_id)}
    pods = ended_pods(here)
    assert Counter(map(op, steps_of(pods))) == dict.fromkeys(steps, 1)
    assert Counter(map(component, pods))["run_worker"] == 1
    assert {phase(pod) for pod in pods} == {"Succeeded"}
    assert len(here.jobs()) == len(pods) == len(steps) + 1
    assert records(here.store) == in_one_process


def test_only_the_step_that_starts_servers_asks_for_gpus(install: Install) -> None:
    """Its pod lands on the node with GPUs, which no other pod tolerates."""
    here = install(WITH_VLLM, S1MM_VLLM=f"{sys.executable} -m s1mm_assets_tests.imitations.vllm_server")
    here.limit()

    run_id = here.launch("to_quality_metrics", PARTITION)

    assert here.wait(run_id) == SUCCESS
    places = {op(pod): pod["spec"]["nodeName"] for pod in steps_of(here.pods(run_id=run_id))}
    assert {step for step, node in places.items() if node == "h100-1"} == {"recaptions"}
    asked = {op(pod): requests(pod).get(GPU) for pod in steps_of(here.pods(run_id=run_id))}
    assert {step: gpus for step, gpus in asked.items() if gpus} == {"recaptions": 8}
    assert json.loads(records(here.store)["recaptions"])["shards"]


def test_a_step_whose_pod_is_lost_is_tried_again(install: Install, in_one_process: dict[str, str]) -> None:
    """First killed, then deleted: further pods of the same run go on from the shards that are committed.

    This old job controller replaces a deleted pod by itself; to newer ones it has failed, and Dagster starts another.
    """
    here = install()
    run_id = launch_short(here)
    killed = running(here, "figure_candidates")
    wait_for(lambda: committed(here), "a shard", 180)

    here.kubelet.kill(killed)
    before = committed(here)
    deleted = running(here, "figure_candidates", but=killed)
    here.cluster.admin.delete(here.path(f"pods/{name_of(deleted)}"))

    assert here.wait(run_id) == SUCCESS
    assert 0 < len(before) < N_SHARDS
    assert before.items() <= committed(here).items()
    pods = {name_of(pod): phase(pod) for pod in ended_pods(here) if op(pod) == "figure_candidates"}
    assert pods.pop(name_of(killed)) == "Failed"
    assert name_of(deleted) not in pods
    assert list(pods.values()) == ["Succeeded"]
    assert_as_in_one_process(here, in_one_process)


def test_a_run_whose_worker_is_lost_is_marked_as_failed(
    install: Install, in_one_process: dict[str, str]
) -> None:
    """Nobody waits for it for ever, and another run goes on.

    Resuming it (max_resume_run_attempts) is not for us: in Dagster 1.13 a second worker replays the steps that ended,
    waits in vain for the pool's slot that the first one left taken, and ends the run with a failed invariant.
    """
    here = install(
        instance={
            "run_monitoring": {**MONITORED, "max_resume_run_attempts": 0},
            "run_retries": {"enabled": True, "max_retries": 0},  # the second run is this test's own
        }
    )
    run_id = launch_short(here)
    running(here, "figure_candidates")
    [worker] = [pod for pod in here.pods(run_id=run_id) if component(pod) == "run_worker"]

    here.kubelet.kill(worker)

    with daemon(here):
        assert here.wait(run_id) == FAILURE
        assert here.wait(launch_short(here)) == SUCCESS
    assert_as_in_one_process(here, in_one_process)


def daemon(here: Installation) -> AbstractContextManager[object]:
    """Dagster's daemon, which looks after runs; it logs into DAGSTER_HOME."""
    program = Path(sys.executable).with_name("dagster-daemon")
    return running_program(program, ["run", "-m", WITH_SHORT_JOB], here.home, here.environment)


def test_a_partition_is_spread_over_pods(install: Install, in_one_process: dict[str, str]) -> None:
    """Five shards over four pods: the records of one process."""
    here = install("[steps.figure_candidates]\npods = 4\n")

    run_id = launch_short(here)

    assert here.wait(run_id) == SUCCESS
    shares = [each for each in map(op, steps_of(here.pods(run_id=run_id))) if "_share-" in each]
    assert len(set(shares)) == 4
    assert_as_in_one_process(here, in_one_process)
