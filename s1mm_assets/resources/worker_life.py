"""What a worker does: one task after another, each within its caps, and what it says of those that fail."""

import math
import os
import pickle
import re
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from s1mm_assets.resources.worker_caps import Caps, children_of, memory_bytes
from s1mm_assets.stages import Failed
from s1mm_assets.tables import Rejection

# What a worker says: the first when it holds a task, then one of the others, followed by the pickled answer.
RECEIVED, ANSWER, LAST_ANSWER, FUNCTION_UNUSABLE = b"r", b"a", b"l", b"u"

MAX_EVIDENCE_CHARS = 500

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,}\b")


def live(pool: Connection, caps: Caps) -> NoReturn:
    """Do one task after another, until the pool closes the socket or this process is no longer fit."""
    pickled, function = b"", None
    while True:
        try:
            wanted, item = pool.recv_bytes(), pool.recv_bytes()
            pool.send_bytes(RECEIVED)
        except (EOFError, OSError):
            os._exit(0)
        try:
            if wanted != pickled:
                pickled, function = wanted, pickle.loads(wanted)  # noqa: S301 - from the pool
        except Exception as error:
            kind, answer = FUNCTION_UNUSABLE, describe(error).encode()
        else:
            answer = _attempt(function, item, caps.cpu_s)  # type: ignore[arg-type]
            kind = ANSWER if _is_fit(caps) else LAST_ANSWER
        pool.send_bytes(kind)
        pool.send_bytes(answer)
        if kind == LAST_ANSWER:
            os._exit(0)


def _attempt(function: Callable[[Any], Any], item: bytes, cpu_s: int) -> bytes:
    """Return the pickled result for one item, or the pickled `Failed` that says what it raised."""
    _limit_cpu(math.ceil(time.process_time()) + cpu_s)
    try:
        return pickle.dumps(function(pickle.loads(item)), protocol=5)  # noqa: S301 - from the pool
    except MemoryError as error:
        failed = Failed(Rejection.OUT_OF_MEMORY, describe(error))
    except BaseException as error:
        failed = Failed(Rejection.WORKER_CRASHED, describe(error))
    finally:
        _limit_cpu(None)
    return pickle.dumps(failed)


def _limit_cpu(total_s: int | None) -> None:
    """Set the CPU time after which the kernel kills this process; each child may use as much again."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = hard if total_s is None else total_s if hard == resource.RLIM_INFINITY else min(total_s, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _is_fit(caps: Caps) -> bool:
    """Whether the next task would start fairly: no memory kept from this one, nothing left running."""
    return not children_of(os.getpid()) and 2 * memory_bytes(os.getpid()) < caps.memory_bytes


def describe(error: BaseException) -> str:
    """Say what was raised and where, the same for the same item on every run and machine."""
    try:
        message = _ADDRESS.sub("0x…", str(error))
        message = re.sub(re.escape(tempfile.gettempdir()) + r"[\w./-]*", "(temporary file)", message)
    except Exception:
        message = "(no message)"
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    where = "".join(f" at {_in_package(frame.filename)}:{frame.lineno}" for frame in frames)
    text = f"{type(error).__name__}: {message}"[: MAX_EVIDENCE_CHARS - len(where)] + where
    return text.encode(errors="backslashreplace").decode()[:MAX_EVIDENCE_CHARS]  # a lone surrogate is no text


def _in_package(path: str) -> str:
    """Return a source file's path below the folder that it was imported from."""
    for folder in sorted(sys.path, key=len, reverse=True):
        if folder and path.startswith(folder + os.sep):
            return path[len(folder) + 1 :]
    return path
