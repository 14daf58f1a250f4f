import os
from pathlib import Path

import psutil
import pytest

from s1mm_assets.resources import machine


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


V1 = {
    "proc/self/cgroup": "4:memory:/box\n1:cpu,cpuacct:/box\n0::/",
    "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "100000",
    "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
    "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "1073741824",
}
V2_ABOVE = {
    "proc/self/cgroup": "0::/pod/container",
    "sys/fs/cgroup/pod/cpu.max": "150000 100000",
    "sys/fs/cgroup/pod/memory.max": "1073741824",
    "sys/fs/cgroup/pod/container/cpu.max": "max 100000",
    "sys/fs/cgroup/pod/container/memory.max": "max",
}
V2_HOST_PATH = {
    "proc/self/cgroup": "0::/kubepods/pod1/c1",
    "sys/fs/cgroup/cpu.max": "10000 100000",
    "sys/fs/cgroup/memory.max": "1073741824",
}


@pytest.mark.parametrize("files", [V1, V2_ABOVE, V2_HOST_PATH], ids=["v1", "v2 above", "v2 host path"])
def test_a_cgroup_limits_cores_and_memory(tmp_path: Path, files: dict[str, str]) -> None:
    """The lowest limit of the group and those above it counts, rounded down to at least one core."""
    root = tree(tmp_path, files)

    assert machine.usable_cores(root) == 1
    assert machine.usable_memory_bytes(root) == 1 << 30


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "1:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"},
        {"proc/self/cgroup": "2:memory:/", "sys/fs/cgroup/memory/memory.limit_in_bytes": str(1 << 62)},
    ],
    ids=["no cgroups", "no quota", "no limit"],
)
def test_without_a_limit_the_machine_is_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    """Affinity gives the cores, and the machine the memory."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    root = tree(tmp_path, files)

    assert machine.usable_cores(root) == 3
    assert machine.usable_memory_bytes(root) == psutil.virtual_memory().total
