"""A program that starts, answers /health and ends as a vLLM server does, and misbehaves as told.

Each life appends one line of JSON to `--lives`: what it was given, its process id and that of the child that
it leaves behind when it is killed. GET /die ends it with exit code 3.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


class Handler(BaseHTTPRequestHandler):
    """Healthy from the first moment that it listens."""

    def do_GET(self) -> None:
        if self.path == "/die":
            os._exit(3)
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--lives", type=Path, required=True)
    parser.add_argument("--start-delay-s", type=float, default=0)
    parser.add_argument(
        "--fails-after", type=int, default=10**6, help="lives that go well before all others fail"
    )
    parser.add_argument("--fails-on-gpu", default="")
    parser.add_argument("--says", default="", help="what it writes first")
    parser.add_argument("--says-its-key", action="store_true")
    parser.add_argument("--ignores-sigterm", action="store_true")
    parser.add_argument("--port", type=int, required=True)
    options, _ = parser.parse_known_args()
    print(options.says, flush=True)
    key = os.environ["VLLM_API_KEY"]
    if options.says_its_key:
        print("key:", key, flush=True)
    n_lives = len(options.lives.read_text().splitlines()) if options.lives.exists() else 0
    if n_lives >= options.fails_after:
        sys.exit(4)
    if options.ignores_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", CHILD])
    life = {
        "pid": os.getpid(),
        "child": child.pid,
        "arguments": sys.argv[1:],
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "key": key,
        "port": options.port,
    }
    with options.lives.open("a") as lives:
        lives.write(json.dumps(life) + "\n")
    time.sleep(options.start_delay_s)
    if options.fails_on_gpu and life["gpus"] == options.fails_on_gpu:
        sys.exit(4)
    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
