"""How long do the definitions take to import, against Dagster alone? One line of JSON last.

Fresh processes in turn, each importing one of the two, with bytecode that was compiled before, as an image has it.
What follows is said beside it: the asset graph of 6 sources × 40 years, the repository that workers and webserver
load, and how long the webserver takes to answer for the status of every partition of every asset, all
materialized.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
DAGSTER, OURS = "dagster", "s1mm_assets.definitions"
CLOCK = "import time; start = time.perf_counter(); cpu = time.process_time()"
SAY = "print(time.perf_counter() - start, time.process_time() - cpu)"
STATUS = """{ assetNodes { assetKey { path } assetPartitionStatuses {
  ... on MultiPartitionStatuses { ranges { primaryDimStartKey secondaryDim {
    ... on DefaultPartitionStatuses { materializedPartitions failedPartitions unmaterializedPartitions } } } } } } }"""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="fresh processes of each kind")
    parser.add_argument("--after", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.after:
        print(json.dumps(after_import()))
        return
    with tempfile.TemporaryDirectory(prefix="s1mm-bench-") as folder:
        env = environment(Path(folder))
        seconds = alternated(options.pairs, env)
        command = [sys.executable, __file__, "--after"]
        done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        later = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    wall, cpu = (
        {name: statistics.median(each[i] for each in seconds[name]) for name in seconds} for i in (0, 1)
    )
    pairs = zip(seconds[OURS], seconds[DAGSTER], strict=True)
    print(
        json.dumps(
            {
                "name": "startup",
                "headline": round(wall[OURS] / wall[DAGSTER], 3),
                "goal": 1.5,
                "better": "lower",
                "unit": f"× import dagster, median of {options.pairs} fresh processes each",
                "dagster_s": round(wall[DAGSTER], 3),
                "definitions_s": round(wall[OURS], 3),
                "cpu": round(cpu[OURS] / cpu[DAGSTER], 3),
                "median_of_pairs": round(statistics.median(ours[0] / alone[0] for ours, alone in pairs), 3),
                **later,
                "measured_on": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; bytecode compiled before",
            }
        )
    )


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which bytecode is kept, and nothing of this machine's own instance is met."""
    home = folder / "dagster"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    places = {"S1MM_STORE": str(folder / "store"), "S1MM_SOURCES": str(folder / "sources")}
    settings = {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "DAGSTER_HOME": str(home)}
    return {**kept, **places, **settings, "DAGSTER_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT)}


def alternated(pairs: int, env: dict[str, str]) -> dict[str, list[tuple[float, float]]]:
    """Import one, then the other, in fresh processes; return the seconds and CPU seconds of each time but the first."""
    seconds: dict[str, list[tuple[float, float]]] = {DAGSTER: [], OURS: []}
    for _ in range(pairs + 1):
        for name, found in seconds.items():
            command = [sys.executable, "-c", f"{CLOCK}; import {name}; {SAY}"]
            done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            wall, cpu = map(float, done.stdout.split())
            found.append((wall, cpu))
    return {name: found[1:] for name, found in seconds.items()}  # the first compiled the bytecode


def after_import() -> dict[str, float]:
    """Return the seconds that graph, repository and the webserver's answer take, once all is imported."""
    import dagster as dg
    from dagster_graphql.test.utils import define_out_of_process_context, execute_dagster_graphql

    from s1mm_assets.definitions import defs
    from s1mm_assets.partitions import SOURCE_BY_YEAR

    start = time.perf_counter()
    graph = defs.resolve_asset_graph()
    graph_s = time.perf_counter() - start
    start = time.perf_counter()
    defs.get_repository_def()
    repository_s = time.perf_counter() - start
    with (
        dg.DagsterInstance.get() as instance,
        define_out_of_process_context(
            str(ROOT / "s1mm_assets" / "definitions.py"), None, instance
        ) as context,
    ):
        for key in graph.materializable_asset_keys - graph.unpartitioned_asset_keys:
            for partition in SOURCE_BY_YEAR.get_partition_keys():
                instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            answer = execute_dagster_graphql(context, STATUS)
            seconds.append(time.perf_counter() - start)
    return {
        "graph_s": round(graph_s, 3),
        "repository_s": round(repository_s, 3),
        "partitions": len(SOURCE_BY_YEAR.get_partition_keys()),
        "assets": len(answer.data["assetNodes"]),
        "status_of_all_partitions_s": round(statistics.median(seconds), 3),
        "first_status_s": round(seconds[0], 3),
    }


if __name__ == "__main__":
    main()
