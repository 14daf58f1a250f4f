"""Programs that are given untrusted bytes: children of this process, each kept small.

A child gets its bytes on its standard input and answers on its standard output, both nameless temporary files,
so that nothing in a figure names a file and nothing is left behind. It is bounded in CPU time, wall time,
memory and output, and dies with its parent.
"""

import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from os import killpg
from typing import IO

from s1mm_assets.extraction.raster import Refused
from s1mm_assets.tables import Rejection

NOWHERE = "/nonexistent"
WALL_PER_CPU = 4  # a child on a busy machine gets this many seconds for one of CPU time
_PATH = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin"
_OUTPUT_EXCEEDED = "writes more than a figure may hold"
_MESSAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child process may take."""

    cpu_s: int
    memory_bytes: int
    output_bytes: int  # of each file that it writes

    @property
    def wall_s(self) -> float:
        """The time, in seconds, after which a child has hung."""
        return self.cpu_s * WALL_PER_CPU


@dataclass(frozen=True, slots=True)
class Finished:
    """What a child that ended by itself left behind."""

    output: bytes
    messages: bytes  # the end of what it wrote to standard error
    exit_code: int  # of a child that a signal ended, less than 0


@dataclass(frozen=True, slots=True)
class Streams:
    """What a child reads and writes: nameless temporary files."""

    given: IO[bytes]
    output: IO[bytes]
    messages: IO[bytes]

    @classmethod
    @contextmanager
    def opened(cls, data: bytes) -> Iterator["Streams"]:
        """Give streams with `data` to read."""
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as messages,
        ):
            given.write(data)
            given.seek(0)
            yield cls(given, output, messages)

    def finished(self, exit_code: int, limits: Limits) -> Finished:
        """Return what was written. The end of an endless complaint is worth more than its beginning."""
        self.output.seek(0)
        n_bytes = self.messages.seek(0, 2)
        self.messages.seek(max(0, n_bytes - _MESSAGE_BYTES))
        return Finished(self.output.read(limits.output_bytes), self.messages.read(), exit_code)


def run(
    name: str, command: Sequence[str], data: bytes, limits: Limits, scratch: str = NOWHERE
) -> Finished | Refused:
    """Run one child on `data`. Its exit code is not judged: some figures fail after they are drawn.

    Args:
        name: Of the renderer, for the evidence.
        command: Program and arguments.
        data: What it reads.
        limits: What it may take.
        scratch: Where it may put temporary files.
    """
    with Streams.opened(data) as streams:
        code = exit_code_of(command, streams, limits, scratch=scratch, wall_s=limits.wall_s)
        return timed_out(name, code, limits) or _overflown(name, code) or streams.finished(code, limits)


def timed_out(name: str, exit_code: int, limits: Limits) -> Refused | None:
    """Return the refusal of a child that a limit on its time ended."""
    if exit_code not in (-signal.SIGXCPU, -signal.SIGALRM):
        return None
    return Refused(Rejection.TIMED_OUT, f"{name}: took more than {limits.cpu_s} s of CPU time")


def _overflown(name: str, exit_code: int) -> Refused | None:
    is_over = exit_code == -signal.SIGXFSZ
    return Refused(Rejection.IMAGE_TOO_LARGE, f"{name}: {_OUTPUT_EXCEEDED}") if is_over else None


def exit_code_of(
    command: Sequence[str],
    streams: Streams,
    limits: Limits,
    *,
    wall_s: float,
    scratch: str = NOWHERE,
    pass_fds: Sequence[int] = (),
) -> int:
    """Run one child to its end, or to its limits, and return its exit code; SIGALRM's if it took too long."""
    child = subprocess.Popen(  # noqa: S603 - the command is ours
        [*dying_with_parent(), *command],
        stdin=streams.given,
        stdout=streams.output,
        stderr=streams.messages,
        cwd="/",
        env={"PATH": _PATH, "LC_ALL": "C", "TMPDIR": scratch},
        start_new_session=True,
        pass_fds=pass_fds,
    )
    _limit(child.pid, limits)
    try:
        return child.wait(wall_s)
    except subprocess.TimeoutExpired:
        return -signal.SIGALRM
    finally:
        _end(child)


def _limit(pid: int, limits: Limits) -> None:
    """Bound a running child. Done from outside, because code between fork and exec can deadlock.

    The few instructions it runs before count against the same limits. macOS cannot do this; there the wall
    time alone bounds it.
    """
    if sys.platform != "linux":
        return
    bounds = (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.output_bytes),
        (resource.RLIMIT_CORE, 0),
    )
    with suppress(ProcessLookupError):  # it may have ended already
        for what, most in bounds:
            resource.prlimit(pid, what, (most, most))
        # At the soft limit comes SIGXCPU, which says why; at the hard one SIGKILL, which does not.
        resource.prlimit(pid, resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and all that it started, if it is still there."""
    if child.poll() is None:
        killpg(child.pid, signal.SIGKILL)
        child.wait()


@cache
def dying_with_parent() -> tuple[str, ...]:
    """Return a command that has the kernel kill a child when this process dies, where there is one."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", "KILL")
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)  # noqa: S603
    return prefix if tried.returncode == 0 else ()
