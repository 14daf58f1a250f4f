"""Many figures by one Ghostscript: it is made ready once, and forked for each figure.

A program of its own, for `ghostscript.py` to start: Ghostscript comes as a library, and only a process without
threads may fork it. It imports nothing that takes time to load.

Most of the time of a small figure goes into starting Ghostscript. PostScript has ways to run one file after
another (`save`, `restore`), but a file can change what they do not bring back: fonts and resources in global
memory, glyphs in caches, the device. A forked copy forgets all, and if it crashes or is killed, it is alone.

Usage: ghostscript_forks.py LIBRARY            prints the library's revision
       ghostscript_forks.py LIBRARY JOBS       draws; prints an exit code for each figure that was tried
"""

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any, NoReturn

NOT_TRIED = 2  # exit code of a copy in which the figure's own program never ran
_PR_SET_PDEATHSIG = 1


class _Revision(ctypes.Structure):
    """gsapi_revision_t of Ghostscript's iapi.h."""

    _fields_ = (
        ("product", ctypes.c_char_p),
        ("copyright", ctypes.c_char_p),
        ("revision", ctypes.c_long),
        ("date", ctypes.c_long),
    )


class Ghostscript:
    """An interpreter within this process."""

    def __init__(self, library: ctypes.CDLL, arguments: list[str]) -> None:
        self.library, self.instance = library, ctypes.c_void_p()
        words = [argument.encode() for argument in arguments]
        if library.gsapi_new_instance(ctypes.byref(self.instance), None) < 0:
            raise RuntimeError("no instance")
        if (
            library.gsapi_init_with_args(self.instance, len(words), (ctypes.c_char_p * len(words))(*words))
            < 0
        ):
            raise RuntimeError("not ready")

    def run(self, program: str) -> int:
        """Run a piece of PostScript; less than 0 for an error, or where it ends the interpreter."""
        code: int = self.library.gsapi_run_string(
            self.instance, program.encode(), 0, ctypes.byref(ctypes.c_int())
        )
        return code


def draw(ghostscript: Ghostscript, job: dict[str, Any], others: list[int]) -> NoReturn:
    """Draw one figure, in a process made for it, and end that process."""
    for descriptor in others:
        os.close(descriptor)
    for number, descriptor in enumerate(job["streams"]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for number in (signal.SIGXFSZ, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and Ghostscript should die of them
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["output_bytes"], job["output_bytes"]))
    signal.setitimer(signal.ITIMER_REAL, job["wall_s"])
    if ghostscript.run(job["before"]) < 0:
        os._exit(NOT_TRIED)
    for program in job["programs"]:
        if ghostscript.run(program) < 0:
            break
    ctypes.CDLL(None).fflush(None)  # its files, which Python knows nothing of
    os._exit(0)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, where the kernel does that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(NOT_TRIED)


def main() -> None:
    """Print the revision, or do the jobs."""
    library = ctypes.CDLL(sys.argv[1])
    if len(sys.argv) == 2:
        revision = _Revision()
        library.gsapi_revision(ctypes.byref(revision), ctypes.sizeof(revision))
        print(revision.revision)
        return
    work = json.loads(sys.argv[2])
    ghostscript = Ghostscript(library, work["arguments"])
    ghostscript.run(work["warm_up"])
    everyone, parent = [each for job in work["jobs"] for each in job["streams"]], os.getpid()
    for job in work["jobs"]:
        pid = os.fork()
        if pid == 0:
            die_with_parent(parent)
            draw(ghostscript, job, [each for each in everyone if each not in job["streams"]])
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
