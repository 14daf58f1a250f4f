"""Which servers an installation has: addresses as people write them, and what is started where there are none."""

import logging

import pytest

from s1mm_assets.recaptioning import RecaptionSettings
from s1mm_assets.resources.captioners.registry import VllmServers, server_addresses
from s1mm_assets.resources.settings import SettingsError, VllmSettings

LOG = logging.getLogger(__name__)
SETTINGS = RecaptionSettings(
    engine="vllm",
    model="Org/Model",
    model_revision="abc",
    dtype="bfloat16",
    quantization="fp8",
    server_arguments=("--chat-template", "t.jinja"),
)
VLLM = VllmSettings(
    in_flight_per_server=3,
    request_timeout_s=4.0,
    outage_after_s=5.0,
    tensor_parallel=2,
    max_model_len=6_000,
    gpu_memory_utilization=0.5,
    start_timeout_s=7.0,
    max_restarts=8,
)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", []),
        (" ,\n", []),
        ("http://a:8000", ["http://a:8000"]),
        ("http://a:8000/", ["http://a:8000"]),
        ("http://a:8000/v1", ["http://a:8000"]),
        ("http://a:8000/v1/", ["http://a:8000"]),
        ("https://host/llm/v1", ["https://host/llm"]),
        ("http://a:8000,http://b:8000", ["http://a:8000", "http://b:8000"]),
        ("http://a:8000,  http://b:8000\n", ["http://a:8000", "http://b:8000"]),
        ("http://a:8000 http://a:8000/v1", ["http://a:8000"]),
        ("http://[::1]:8000 http://10.0.0.1:1", ["http://[::1]:8000", "http://10.0.0.1:1"]),
        ("http://vllm-0.vllm.my_space.svc:8000", ["http://vllm-0.vllm.my_space.svc:8000"]),
    ],
)
def test_addresses(text: str, addresses: list[str]) -> None:
    """Between blanks or commas, with or without /v1 and a slash at the end; each once."""
    assert server_addresses(text) == addresses


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("localhost:8000", "holds localhost:8000, which is no address: write http://10.0.0.1:8000"),
        ("a", "holds a, which is no address"),
        ("http://", "which is no address"),
        ("http:/a:8000", "which is no address"),
        ("ftp://a:8000", "which is no address"),
        ("http://a:80000", "which is no address"),
        ("http://a:0", "which is no address"),
        ("http://a:eight", "which is no address"),
        ("http://{host}:8000", "which is no address"),
        ("http://[::1", "which is no address"),
        ("http://a:8000;http://b:8000", "which is no address"),
        ("http://good:8000 bad", "holds bad, which"),
        (
            "http://user:secret@a:8000",
            "holds http://…@a:8000 with a name, password or query.*S1MM_VLLM_API_KEY",
        ),
        ("user:secret@a:8000", "holds …@a:8000 with a name"),
        ("http://a:8000?key=secret", "holds http://a:8000 with a name, password or query"),
        ("http://a:8000#secret@x", "with a name, password or query"),
        ("http://user:secret@a:eight/secret@b", "with a name, password or query"),
    ],
)
def test_what_is_no_address_is_refused(text: str, says: str) -> None:
    """At once, by name, with what to write, and without the password."""
    with pytest.raises(
        SettingsError, match=f"S1MM_VLLM_URLS {says}" if says.startswith("holds") else says
    ) as raised:
        server_addresses(text)

    assert "secret" not in str(raised.value)


def test_servers_of_our_own_are_as_the_settings_say() -> None:
    """What shapes answers comes from [recaptioning], how they are run from [vllm]."""
    with VllmServers(command=["my-vllm", "serve"]).service(SETTINGS, VLLM, LOG) as service:
        plan = service.plan
        assert plan is not None
        line = " ".join(plan.command_line(8000))

    for part in (
        "my-vllm serve Org/Model --served-model-name Org/Model --revision abc",
        "--dtype bfloat16 --quantization fp8 --tensor-parallel-size 2 --max-model-len 6000",
        "--gpu-memory-utilization 0.5",
        "--chat-template t.jinja",
    ):
        assert part in line
    assert (plan.start_timeout_s, plan.max_restarts) == (7.0, 8)
    assert service.in_flight_per_server == 3
    assert (service.patience.request_timeout_s, service.patience.outage_after_s) == (4.0, 5.0)


def test_running_servers_are_used_where_they_are_named() -> None:
    """Then nothing is started."""
    servers = VllmServers(urls=["http://a:1"], gpus=8)

    with servers.service(SETTINGS, VLLM, LOG) as service:
        assert (service.urls, service.plan, service.n_gpus) == (["http://a:1"], None, 8)


def test_a_command_that_is_not_there_is_said() -> None:
    """Unless servers are named, or the command is there."""
    [said] = VllmServers(command=["no-such-vllm", "serve"]).missing()

    assert said.startswith("no-such-vllm is not there, and S1MM_VLLM_URLS names no servers")
    assert VllmServers(command=["sh"]).missing() == []
    assert VllmServers(command=["no-such-vllm"], urls=["http://a:1"]).missing() == []
