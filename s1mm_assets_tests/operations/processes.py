"""Processes that tests start: their logs, their ports, their end."""

import signal
import socket
import subprocess
from pathlib import Path
from typing import IO

PATIENCE_S = 20


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def log_of(path: Path) -> IO[bytes]:
    """Open a log to append to, as a service that is started again does."""
    return path.open("ab")


def stop(process: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    """End a process, by force where it does not go."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
