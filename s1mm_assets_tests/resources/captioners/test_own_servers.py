import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from s1mm_assets.resources.captioners import own_servers, server_keeper
from s1mm_assets.resources.captioners.own_servers import OwnServers, ServerPlan, ServerStartError, ServerState
from s1mm_assets_tests.conftest import ROOT
from s1mm_assets_tests.resources.processes import is_running, wait_until

STAND_IN = Path(__file__).with_name("stand_in_server.py")
LOG = logging.getLogger("own servers")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # failed starts leave their messages there
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(server_keeper, "POLL_S", 0.02)
    monkeypatch.setattr(own_servers, "POLL_S", 0.02)
    monkeypatch.setattr(server_keeper, "BACK_OFF_S", 0.02)
    monkeypatch.setattr(server_keeper, "STOP_GRACE_S", 0.3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")  # no nvidia-smi
    caplog.set_level(logging.INFO)


@pytest.fixture
def lives(tmp_path: Path) -> Path:
    return tmp_path / "lives.jsonl"


def plan_of(lives: Path, *misdeeds: str, **settings: Any) -> ServerPlan:
    """A plan whose servers are stand-ins."""
    command = (sys.executable, "-I", str(STAND_IN), "--lives", str(lives), *misdeeds)
    return ServerPlan(**{"command": command, "model": "Org/Model", "start_timeout_s": 30.0, **settings})


def lived(lives: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lives.read_text().splitlines()] if lives.exists() else []


def all_gone(lives: Path) -> bool:
    """Whether nothing of any life is left, nor of the process group that it was in."""
    pids = [life[which] for life in lived(lives) for which in ("pid", "child")]
    assert pids
    return wait_until(lambda: not any(map(is_running, pids)))


def status_of(url: str, path: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_servers_answer_after_start_and_nothing_is_left_after_close(lives: Path) -> None:
    """Neither the server nor the child that does not heed SIGTERM, nor the messages."""
    with OwnServers(plan_of(lives), log=LOG) as servers:
        (url,) = servers.urls
        assert status_of(url, "/health") == 200
        assert servers.states() == {url: ServerState.READY}
        assert servers.given_up() is None
        folder = servers.log_folder
        assert folder is not None
        assert folder.stat().st_mode & 0o077 == 0
    assert all_gone(lives)
    assert not folder.exists()


def test_server_that_ignores_sigterm_is_killed(lives: Path) -> None:
    """After its time of grace."""
    with OwnServers(plan_of(lives, "--ignores-sigterm"), log=LOG):
        pass
    assert all_gone(lives)


def test_slow_start_is_reported(
    lives: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each line says which model, where, and for how long."""
    monkeypatch.setattr(own_servers, "PROGRESS_INTERVAL_S", 0.1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    with OwnServers(plan_of(lives, "--start-delay-s", "0.5", tensor_parallel=2), log=LOG):
        pass
    assert "starting Org/Model on GPU 4,5: 0 s" in caplog.messages
    assert any(message.startswith("Org/Model is ready after") for message in caplog.messages)


def test_server_that_takes_too_long_is_stopped(lives: Path) -> None:
    """The message names the setting."""
    plan = plan_of(lives, "--start-delay-s", "60", start_timeout_s=0.5)
    with pytest.raises(
        ServerStartError, match=r"Org/Model on this machine is not ready after 0\.5 s \(start_time"
    ):
        OwnServers(plan, log=LOG).start()
    assert all_gone(lives)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("strange things", "ended before it was ready"),
        ("torch.OutOfMemoryError: CUDA out of memory", r"lower \[vllm\] max_model_len"),
        ("ValueError: No available memory for the cache blocks.", "gpu_memory_utilization"),
        (
            "huggingface_hub.errors.LocalEntryNotFoundError: Cannot",
            r"model Org/Model \(revision v1\) was not found",
        ),
        ("/bin/python: No module named vllm", "install the extra vllm"),
        ("vllm: error: unrecognized arguments: --so", r"check \[recaptioning\] server_arguments"),
    ],
)
def test_server_that_ends_before_it_is_ready_fails_the_start(lives: Path, says: str, told: str) -> None:
    """At once, with what can be done about it, the last lines and where the others are."""
    long_ago = f"{says}\n" + "…\n" * 100
    servers = OwnServers(plan_of(lives, "--fails-after", "0", "--says", long_ago, revision="v1"), log=LOG)
    with pytest.raises(ServerStartError, match=told) as failure:
        servers.start()
    assert "server ended: exit code 4" in str(failure.value)
    path = Path(str(failure.value).rsplit("all of its messages: ", maxsplit=1)[1])
    servers.close()
    assert path.read_text(encoding="utf-8").startswith(says)


def test_one_server_that_fails_stops_the_others(lives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that fails leaves nothing running."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(ServerStartError, match="Org/Model on GPU 1 ended before it was ready"):
        OwnServers(plan_of(lives, "--start-delay-s", "0.3", "--fails-on-gpu", "1"), log=LOG).start()
    assert len(lived(lives)) == 2
    assert all_gone(lives)


def test_missing_command_says_what_to_install() -> None:
    """Before anything is started."""
    with pytest.raises(ServerStartError, match=r"vllm: command not found; .* install the extra vllm"):
        OwnServers(ServerPlan(model="Org/Model"), log=LOG).start()


@pytest.mark.parametrize("how", ["killed", "ended by itself", "guard killed"])
def test_server_that_ends_is_started_again(lives: Path, how: str) -> None:
    """At the same address; what it left running is gone, so that its memory is free."""
    with OwnServers(plan_of(lives), log=LOG) as servers:
        (url,) = servers.urls
        (life,) = lived(lives)
        if how == "killed":
            os.kill(life["pid"], signal.SIGKILL)
        elif how == "ended by itself":
            with pytest.raises((http.client.HTTPException, ConnectionError)):
                status_of(url, "/die")
        else:
            os.kill(os.getpgid(life["pid"]), signal.SIGKILL)
        assert wait_until(lambda: len(lived(lives)) == 2)
        assert wait_until(lambda: servers.states() == {url: ServerState.READY})
        assert servers.given_up() is None
        assert status_of(url, "/health") == 200
        assert wait_until(lambda: not is_running(life["pid"]) and not is_running(life["child"]))
    assert all_gone(lives)


def test_server_that_ends_too_often_is_given_up(lives: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The reason can be read as soon as no server is left; until then there is hope."""
    plan = plan_of(lives, "--fails-after", "2", replicas=1, max_restarts=3)
    with OwnServers(plan, log=LOG) as servers:
        os.kill(lived(lives)[0]["pid"], signal.SIGKILL)
        assert wait_until(lambda: len(lived(lives)) == 2 and ServerState.READY in servers.states().values())
        assert servers.given_up() is None
        os.kill(lived(lives)[1]["pid"], signal.SIGKILL)
        assert wait_until(lambda: servers.given_up() is not None)
        why = servers.given_up()
    assert why is not None
    assert "not started again: that was done 3 times within an hour (max_restarts)" in why
    assert "exit code 4" in why
    assert sum("starting it again in" in message for message in caplog.messages) == 3


def test_restarts_of_long_ago_do_not_count(lives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ends once a day is started again for ever."""
    monkeypatch.setattr(server_keeper, "RESTART_WINDOW_S", 0.0)
    with OwnServers(plan_of(lives, max_restarts=1), log=LOG) as servers:
        for n_lives in (1, 2, 3):
            assert wait_until(lambda: len(lived(lives)) == n_lives)  # noqa: B023 - awaited in the loop
            assert wait_until(lambda: ServerState.READY in servers.states().values())
            os.kill(lived(lives)[-1]["pid"], signal.SIGKILL)
        assert wait_until(lambda: len(lived(lives)) == 4)


def test_key_is_secret(lives: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is in the server's environment; neither in arguments, which everybody can read, nor in messages."""
    with OwnServers(plan_of(lives), log=LOG) as servers:
        (life,) = lived(lives)
        assert life["key"] == servers.api_key
        assert len(servers.api_key) >= 32
        group = [
            process for process in psutil.process_iter() if _group_of(process) == os.getpgid(life["pid"])
        ]
        assert len(group) == 3
        assert not any(servers.api_key in part for process in group for part in process.cmdline())
    talkative = OwnServers(plan_of(lives, "--says-its-key", "--fails-after", "0"), log=LOG)
    with pytest.raises(ServerStartError, match="key: …") as failure:
        talkative.start()
    assert talkative.api_key not in str(failure.value) + caplog.text
    assert talkative.api_key != servers.api_key


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


PARENT = """
import logging, sys
from s1mm_assets.resources.captioners import server_keeper
from s1mm_assets.resources.captioners.own_servers import OwnServers
from s1mm_assets_tests.resources.captioners.test_own_servers import Path, plan_of

server_keeper.STOP_GRACE_S = 0.3
OwnServers(plan_of(Path(sys.argv[1]), "--ignores-sigterm"), log=logging.getLogger()).start()
print("ready", flush=True)
if sys.argv[2] == "stay":
    sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["killed", "ends without close"])
def test_servers_end_with_the_program_that_started_them(lives: Path, how: str) -> None:
    """However that ends."""
    what = "stay" if how == "killed" else "leave"
    arguments = [sys.executable, "-c", PARENT, str(lives), what]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        if how == "killed":
            parent.kill()
    assert all_gone(lives)


def test_each_server_has_gpus_of_its_own(lives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that this program may use, in groups of the size of tensor parallelism."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    with OwnServers(plan_of(lives, tensor_parallel=2), log=LOG) as servers:
        assert len(set(servers.urls)) == 2
        assert servers.n_gpus == 4
        assert sorted(life["gpus"] for life in lived(lives)) == ["0,1", "2,3"]
        first = lived(lives)[0]
        os.kill(first["pid"], signal.SIGKILL)
        assert wait_until(lambda: len(lived(lives)) == 3)
        assert lived(lives)[2]["gpus"] == first["gpus"]
        assert lived(lives)[2]["port"] == first["port"]
    assert all_gone(lives)


@pytest.mark.parametrize(
    ("visible", "settings", "groups"),
    [
        ("", {}, [()]),
        ("-1", {"replicas": 2}, [(), ()]),
        ("3, 1", {}, [("3",), ("1",)]),
        ("0,1,2", {"tensor_parallel": 2}, [("0", "1")]),
        ("GPU-a,GPU-b", {"replicas": 1}, [("GPU-a",)]),
    ],
)
def test_gpus_are_shared_out(
    monkeypatch: pytest.MonkeyPatch, visible: str, settings: dict[str, int], groups: list[tuple[str, ...]]
) -> None:
    """All of them, unless fewer servers are asked for."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert ServerPlan(model="m", **settings).gpu_groups() == groups  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings", [{"replicas": 3}, {"tensor_parallel": 4}, {"replicas": 2, "tensor_parallel": 2}]
)
def test_too_few_gpus_are_an_error(monkeypatch: pytest.MonkeyPatch, settings: dict[str, int]) -> None:
    """That says how many there are."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(ServerStartError, match="this machine shows 2: 0, 1"):
        ServerPlan(model="m", **settings).gpu_groups()  # type: ignore[arg-type]


def test_gpus_are_listed_by_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment does not name them; slices of a GPU are not counted."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n"
        "echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'\n"
        "echo '  MIG 1g.10gb Device 0: (UUID: MIG-1)'\n"
        "echo 'GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-2)'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ServerPlan(model="m").gpu_groups() == [("0",), ("1",)]
    program.write_text("#!/bin/sh\necho 'Failed to initialize NVML'\nexit 9\n")
    assert ServerPlan(model="m").gpu_groups() == [()]


@pytest.mark.skipif(sys.platform != "linux", reason="ports are held on Linux alone")
def test_port_is_held_for_the_server_alone() -> None:
    """Nobody else is given it, while the server is away; the server itself can listen there."""
    holder, port = server_keeper._held_port()
    with holder, socket.socket() as other, socket.socket() as server:
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            pass


def test_what_the_server_is_told() -> None:
    """Optional arguments appear where they are set; those of the operator come last and win."""
    plain = ServerPlan(model="Org/Model").command_line(8000)
    assert plain[:3] == ["vllm", "serve", "Org/Model"]
    assert "--revision" not in plain
    assert "--quantization" not in plain

    full = ServerPlan(
        model="Org/Model", revision="abc", quantization="fp8", extra_arguments=("--max-num-seqs", "64")
    ).command_line(8000)
    assert " ".join(full).endswith("--host 127.0.0.1 --port 8000 --max-num-seqs 64")
    for name, value in (("--revision", "abc"), ("--tokenizer-revision", "abc"), ("--quantization", "fp8")):
        assert full[full.index(name) + 1] == value
