"""A layout engine as a child process: bounded in time, memory and output, told to stay off the network.

Engines start processes of their own, so all that a child started counts, and goes with it.
"""

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import killpg
from pathlib import Path
from signal import SIGKILL

from s1mm_assets.extraction.pdf.layout import LayoutError
from s1mm_assets.resources.child_process import dying_with_parent
from s1mm_assets.resources.worker_caps import memory_bytes
from s1mm_assets.tables import Rejection

_WATCH_INTERVAL_S = 0.1
_MESSAGE_BYTES = 4096
_REASON_CHARS = 300
_CHANGING = re.compile(r"\x1b\[[\d;]*m|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,\d]*|\b0x[0-9a-fA-F]{4,}\b")

# What of the surroundings an engine needs: where its settings, models and libraries are.
_HANDED_ON = ("HOME", "LD_LIBRARY_PATH", "MINERU_", "CUDA_", "NVIDIA_")
_ALONE = {
    "MINERU_MODEL_SOURCE": "local",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "no_proxy": "127.0.0.1,localhost",  # everything else by a proxy that is not there
    **{f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "all")},
}
_ONE_THREAD = {  # since there is a worker per core
    "OMP_NUM_THREADS": "1",
    "MINERU_INTRA_OP_NUM_THREADS": "1",
    "MINERU_INTER_OP_NUM_THREADS": "1",
    "MINERU_PDF_RENDER_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What an engine may take for one paper."""

    wall_s: float
    memory_bytes: int  # resident, with all that it starts
    output_bytes: int  # of all files that it keeps, messages included


def run(name: str, command: Sequence[str], scratch: Path, limits: EngineLimits) -> None:
    """Run a command in a folder, which is all that it should write to.

    Raises:
        LayoutError: It took too much, or failed.
    """
    said = scratch / "messages"
    with said.open("wb") as messages:
        child = subprocess.Popen(  # noqa: S603 - the command is ours
            [*dying_with_parent(), *command],
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            cwd=scratch,
            env=_environment(scratch, os.environ),
            start_new_session=True,
        )
        try:
            code = _watch(name, child, scratch, limits)
        finally:
            with suppress(
                ProcessLookupError, PermissionError
            ):  # the latter: macOS, where only a zombie is left
                killpg(child.pid, SIGKILL)
            child.wait()
    if code != 0:
        ended = f"ended by signal {-code}" if code < 0 else f"failed with status {code}"
        raise LayoutError(Rejection.WORKER_CRASHED, f"{name} {ended}: {_last_words(said, scratch)}")


def _watch(name: str, child: subprocess.Popen[bytes], scratch: Path, limits: EngineLimits) -> int:
    """Wait for the end of a child and return its status; LayoutError as soon as it takes too much."""
    end_s = time.monotonic() + limits.wall_s
    while True:
        with suppress(subprocess.TimeoutExpired):
            return child.wait(_WATCH_INTERVAL_S)
        if time.monotonic() > end_s:
            raise LayoutError(Rejection.TIMED_OUT, f"{name} took more than {limits.wall_s:g} s")
        if memory_bytes(child.pid) > limits.memory_bytes:
            most = f"{limits.memory_bytes // 2**20} MiB"
            raise LayoutError(Rejection.OUT_OF_MEMORY, f"{name} took more than {most} of memory")
        if _size_of(scratch) > limits.output_bytes:
            most = f"{limits.output_bytes // 2**20} MiB"
            raise LayoutError(Rejection.UNDECODABLE, f"{name} wrote more than {most}")


def _environment(scratch: Path, outside: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a child; those of MinerU that are set outside hold."""
    handed_on = {variable: value for variable, value in outside.items() if variable.startswith(_HANDED_ON)}
    fixed = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TMPDIR": str(scratch)}
    return {**_ONE_THREAD, **handed_on, **_ALONE, **fixed}


def _size_of(folder: Path) -> int:
    """Return how many bytes the files below a folder take; those that go meanwhile take none."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(place) / name).lstat().st_size
    return total


def _last_words(said: Path, scratch: Path) -> str:
    """Return the end of what a child said, less what differs from run to run."""
    with said.open("rb") as messages:
        messages.seek(max(0, messages.seek(0, os.SEEK_END) - _MESSAGE_BYTES))
        text = messages.read().decode(errors="replace")
    text = _CHANGING.sub("", text).replace(str(scratch), "")
    return " ".join(text.split())[-_REASON_CHARS:] or "it said nothing"
