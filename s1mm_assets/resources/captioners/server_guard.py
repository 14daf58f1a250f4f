"""Stands between this program and one server, so that no process of the server outlives either of them.

A vLLM server is several processes, and those that hold the GPU's memory stay when the one that was started
is killed. The guard leads their process group. It ends the whole group when the server ends, and when its
standard input closes, because the program that holds the other end wants that or is itself gone, however it
went.

Run by path in a fresh interpreter; imports the standard library alone: `python server_guard.py GRACE_S
COMMAND…`.
"""

import os
import select
import signal
import subprocess
import sys
import time

_POLL_S = 0.1


def main(grace_s: float, command: list[str]) -> None:
    """Run `command` until it ends or nobody wants it, then kill the process group, this process included."""
    for number in (signal.SIGINT, signal.SIGTERM):  # handled, not ignored: the server would inherit that
        signal.signal(number, lambda *_: None)
    try:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the command is ours
        while server.poll() is None and not select.select([sys.stdin], [], [], _POLL_S)[0]:
            pass
        if server.poll() is None:
            os.killpg(0, signal.SIGTERM)
            _wait(server, grace_s)
        print(f"server ended: exit code {server.poll()}", file=sys.stderr, flush=True)
    finally:
        os.killpg(0, signal.SIGKILL)


def _wait(server: "subprocess.Popen[bytes]", grace_s: float) -> None:
    until = time.monotonic() + grace_s
    while server.poll() is None and time.monotonic() < until:
        time.sleep(_POLL_S)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
