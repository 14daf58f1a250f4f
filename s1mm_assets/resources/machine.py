"""How much of this machine the process may use: cores by affinity and cgroup quota, memory by cgroup limit.

A container sees the host's cores and memory in most places that one looks; what it may use stands in its
cgroup (versions 1 and 2), in the one it is in and in every one above.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def usable_cores(root: Path = _ROOT) -> int:
    """Return how many workers can compute at once: at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min([cores, *_cpu_quotas(root)])))


def usable_memory_bytes(root: Path = _ROOT) -> int:
    """Return the memory that this process and its children may hold together."""
    import psutil

    return min([psutil.virtual_memory().total, *_memory_limits(root)])


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Yield each quota in force, in cores; a part of a core counts as that part."""
    for group in _groups("cpu", root):
        quota, _, period = _text(group / "cpu.max").partition(
            " "
        )  # version 2: "150000 100000" or "max 100000"
        if not quota:
            quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period) > 0:  # "-1" and "max" are no quota
            yield int(quota) / int(period)


def _memory_limits(root: Path) -> Iterator[int]:
    """Yield each limit in force, in bytes."""
    for group in _groups("memory", root):
        limit = _text(group / "memory.max") or _text(group / "memory.limit_in_bytes")
        if limit.isdigit():
            yield int(limit)


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of those above it.

    Inside a container the path may be the host's, which is not mounted: then only the mount's root is left.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        group = mount / path.lstrip("/")
        yield from (each for each in (group, *group.parents) if each.is_relative_to(mount))


def _text(path: Path) -> str:
    """Return a file's text without the newline; empty where there is no such file."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
