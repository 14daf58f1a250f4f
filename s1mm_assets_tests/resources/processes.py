"""What tests ask of processes that they do not wait for themselves."""

import time
from collections.abc import Callable

import psutil


def wait_until(is_so: Callable[[], bool]) -> bool:
    """Wait for what another process is about to do; the limit only keeps a broken test from hanging."""
    limit_s = time.monotonic() + 30
    while not is_so():
        if time.monotonic() > limit_s:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
