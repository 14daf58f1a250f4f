"""What one task of the worker pool may take, and what a process takes with all that it started."""

import contextlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Caps:
    """What one task may take."""

    cpu_s: int
    wall_s: float
    memory_bytes: int


def children_of(pid: int) -> list[int]:
    """Return the process ids of a process's own children."""
    import psutil

    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for each in threads for child in (each / "children").read_text().split()]
    except OSError:  # it ended, or this system keeps no such lists
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children()]
        return []


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process and of all that it started."""
    import psutil

    try:
        own = int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:  # ended since
        own = 0
    return own + sum(memory_bytes(child) for child in children_of(pid))
