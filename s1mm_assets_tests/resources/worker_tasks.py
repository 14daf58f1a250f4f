"""What workers are given to do in tests: good work, and every way to go wrong."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn


def double(number: int) -> int:
    """Do good work."""
    return 2 * number


def double_slowly(number: int) -> int:
    """Take longer for some numbers, so that later ones are ready before."""
    time.sleep(0.1 if number % 3 == 0 else 0)
    return 2 * number


@dataclass(frozen=True)
class Weighty:
    """An item that says how much memory it will take."""

    number: int
    length: int


def number_of(item: Weighty) -> int:
    """Do nothing with its weight."""
    return item.number


class DiesWhenPickled:
    """Ends the worker at the worst moment: while its result is on the way out."""

    def __reduce__(self) -> NoReturn:
        """End the process."""
        os._exit(9)


class BadToRead:
    """A result that can be pickled but not read."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a call that fails."""
        return int, ("no number",)


def recurse(depth: int) -> int:
    """Never come back."""
    return recurse(depth + 1)


def burn() -> None:
    """Use CPU time in Python."""
    while True:
        pass


def swell() -> None:
    """Take memory, a little at a time and for good."""
    held = []
    while True:
        held.append(bytearray(b"x") * 4_000_000)


def misbehave(how: str) -> Any:
    """Do what the item says; "well" is good work."""
    match how:
        case "raise":
            raise ValueError(f"no figure in {object()!r}")
        case "raise a temporary path":
            (Path(os.environ["TMPDIR"]) / "gone.png").read_bytes()
        case "raise half a character":
            raise ValueError("\ud800")
        case "raise a novel":
            raise ValueError("x" * 5000)
        case "leave Python":
            sys.exit("bye")
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(7)
        case "be killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "burn":
            burn()
        case "sleep":
            time.sleep(1000)
        case "ignore signals":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            re.match(r"(a+)+$", "a" * 64 + "b")  # in C, with the interpreter's lock
        case "swell":
            swell()
        case "let a child swell":
            code = "from s1mm_assets_tests.resources.worker_tasks import swell; swell()"
            subprocess.run([sys.executable, "-c", code], check=False)
        case "ask for all memory":
            bytearray(1 << 62)
        case "recurse":
            recurse(0)
        case "return a lock":
            return threading.Lock()
        case "die when pickled":
            return DiesWhenPickled()
        case "return what cannot be read":
            return BadToRead()
        case "print":
            print("noise" * 100_000)
            os.write(1, b"noise")
            os.write(2, b"noise")
    return how


def leave_a_child(pid_file: str) -> str:
    """Start a process that outlives the task, in a session of its own; note its id and this process's."""
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    Path(pid_file).write_text(f"{os.getpid()} {child.pid}")
    return pid_file


def leave_a_child_and_sleep(pid_file: str) -> None:
    """Be in the middle of a task, with a child; without a file to note it in, do nothing."""
    if not pid_file:
        return
    leave_a_child(pid_file + ".part")
    Path(pid_file + ".part").rename(pid_file)
    time.sleep(1000)


def keep_half_a_cap(_: int) -> int:
    """Keep memory from one task to the next; return which process did."""
    _KEPT.append(bytearray(b"x") * (170 << 20))
    return os.getpid()


_KEPT: list[bytearray] = []


def write_a_temporary_file(_: int) -> str:
    """Leave it where it is; return where that is."""
    with tempfile.NamedTemporaryFile(delete=False) as file:
        return file.name


def process_id(_: int) -> int:
    """Say which process works."""
    return os.getpid()


def frame_sum(number: int) -> int:
    """Compute with polars, threads and all."""
    import polars as pl

    frame = pl.DataFrame({"group": [i % 7 for i in range(1000)], "value": [number] * 1000})
    return int(frame.group_by("group").agg(pl.col("value").sum())["value"].sum())
