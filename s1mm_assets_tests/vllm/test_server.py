"""A real vLLM behind `OwnServers`: what it answers, what it refuses and how, and that it comes back."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from PIL import Image, ImageDraw

from s1mm_assets.resources.captioners.own_servers import OwnServers, ServerPlan
from s1mm_assets_tests.vllm.conftest import MAX_MODEL_LEN, output_of, processes_of_server, wait_until_ready

MAX_TOKENS = 24


def png(width_px: int = 320, height_px: int = 192) -> bytes:
    """A picture with a line and a box."""
    image = Image.new("RGB", (width_px, height_px), "white")
    draw = ImageDraw.Draw(image)
    draw.line((0, 0, width_px, height_px), fill="navy", width=5)
    draw.rectangle((width_px // 2, 0, width_px * 3 // 4, height_px // 3), fill="orange")
    written = BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def messages(
    image: bytes | None, text: str = "Describe the figure.", paper: str = "About rates."
) -> list[Any]:
    """Paper first, then the image, then the question."""
    url = f"data:image/png;base64,{base64.b64encode(image or b'').decode()}"
    picture = [{"type": "image_url", "image_url": {"url": url}}] if image is not None else []
    return [
        {"role": "system", "content": f"You describe figures. {paper}"},
        {"role": "user", "content": [*picture, {"type": "text", "text": text}]},
    ]


def post(server: OwnServers, *, key: str | None = None, **body: Any) -> tuple[int, dict[str, Any]]:
    """Ask for a chat completion; return the status and the JSON of the answer."""
    asked = {"model": server.plan.model, "temperature": 0, "max_tokens": MAX_TOKENS, **body}
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {server.api_key if key is None else key}",
    }
    with closing(HTTPConnection(urlsplit(server.urls[0]).netloc, timeout=120)) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(asked), headers)
        response = connection.getresponse()
        return response.status, json.load(response)


def metrics(server: OwnServers) -> Mapping[str, float]:
    """The sums over all labels of the server's counters."""
    with closing(HTTPConnection(urlsplit(server.urls[0]).netloc, timeout=30)) as connection:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    sums: dict[str, float] = {}
    for name, value in re.findall(r"^(vllm:\w+)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
        sums[name] = sums.get(name, 0.0) + float(value)
    return sums


@pytest.fixture(scope="session")
def offline_answers(tiny_model: Path) -> list[str]:
    """What vLLM answers without a server to CONVERSATIONS; asked before there is one, to spare memory."""
    arguments = (str(tiny_model), str(MAX_MODEL_LEN), str(MAX_TOKENS))
    answers: list[str] = json.loads(output_of("offline", *arguments, given=json.dumps(CONVERSATIONS)))
    return answers


CONVERSATIONS = [
    messages(png()),
    messages(png(640, 480), text="What does the blue line show?"),
    messages(None, text="The upper panel shows time in seconds."),
]


def test_server_answers_as_offline_inference_does(offline_answers: list[str], server: OwnServers) -> None:
    """Greedy text, with images and without: what comes between does not change a token."""
    for conversation, expected in zip(CONVERSATIONS, offline_answers, strict=True):
        status, answer = post(server, messages=conversation)
        assert status == 200
        (choice,) = answer["choices"]
        assert choice["message"]["content"] == expected
        assert expected.strip()
    assert len(set(offline_answers)) == len(CONVERSATIONS)


def test_image_counts_in_tokens(server: OwnServers) -> None:
    """One per 32 x 32 pixels."""
    usage = [post(server, messages=messages(image))[1]["usage"] for image in (None, png(320, 192))]
    n_image_tokens = 320 * 192 // 1024
    assert usage[1]["prompt_tokens"] - usage[0]["prompt_tokens"] == n_image_tokens + 2  # and their brackets
    assert usage[1]["prompt_tokens_details"]["multimodal_tokens"] == {"image": n_image_tokens}


@pytest.mark.parametrize("key", ["", "wrong"])
def test_server_needs_its_key(server: OwnServers, key: str) -> None:
    """Other users of the machine are refused."""
    assert post(server, key=key, messages=messages(None)) == (401, {"error": "Unauthorized"})


def test_prefix_of_a_paper_is_cached(server: OwnServers) -> None:
    """What the paper says is computed for its first figure only; the answer and the metrics say so."""
    paper = "The model agrees with the measured rate at each temperature in kelvin. " * 20
    before = metrics(server)
    first, second = (
        post(server, messages=messages(png(width, 96), paper=paper))[1]["usage"] for width in (96, 128)
    )
    after = metrics(server)
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert (
        second["prompt_tokens_details"]["cached_tokens"] > first["prompt_tokens"] // 2
    )  # whole blocks of 128

    cached = sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in (first, second))
    asked = first["prompt_tokens"] + second["prompt_tokens"]
    name = "vllm:prefix_cache_{}_total"
    assert after[name.format("hits")] - before[name.format("hits")] == cached
    assert after[name.format("queries")] - before[name.format("queries")] == asked
    assert after["vllm:prompt_tokens_total"] - before["vllm:prompt_tokens_total"] == asked


FAULTS: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "far too long": (
        {"messages": messages(None, text="The baseline rises. " * 4_000)},
        400,
        "BadRequestError",
        r"maximum context length is 2048 tokens\. However, your prompt contains 8\d+ characters",
    ),
    "too long": (
        {"messages": messages(None, text="The baseline rises. " * 800)},
        400,
        "BadRequestError",
        r"maximum context length is 2048 tokens\. However, .* 2049 input tokens",
    ),
    "answer too long": (
        {"messages": messages(None), "max_tokens": 5_000},
        400,
        "BadRequestError",
        r"max_tokens=5000 cannot be greater than max_model_len=2048",
    ),
    "image truncated": (
        {"messages": messages(png()[:300])},
        400,
        "BadRequestError",
        r"Failed to load image: ",
    ),
    "no image": (
        {"messages": messages(b"no image")},
        400,
        "BadRequestError",
        r"Failed to load image: cannot identify image file",
    ),
    "image too thin": (
        {"messages": messages(png(4_000, 10))},
        400,
        "BadRequestError",
        r"Failed to apply Qwen3VLProcessor",
    ),
    "unknown model": (
        {"messages": messages(None), "model": "other"},
        404,
        "NotFoundError",
        r"The model `other` does not exist",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_a_request_is_named(server: OwnServers, fault: str) -> None:
    """With a 4xx and a message; the server goes on."""
    body, expected_status, kind, message = FAULTS[fault]
    status, answer = post(server, **body)
    error = answer["error"]
    assert (status, error["code"], error["type"]) == (expected_status, expected_status, kind)
    assert re.search(message, error["message"])
    assert post(server, messages=messages(None))[0] == 200


def test_answer_that_does_not_fit_is_cut(server: OwnServers) -> None:
    """No error where the prompt fits and the answer does not: it ends early, with `length` as its reason."""
    status, answer = post(
        server, messages=messages(None, text="rises " * 600), max_tokens=2_000, ignore_eos=True
    )
    assert status == 200
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] == MAX_MODEL_LEN


PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(sys.argv[1:])
print(json.dumps({name: getattr(arguments, name) for name in (
    "model_tag", "revision", "tokenizer_revision", "quantization", "tensor_parallel_size", "dtype"
)}))
"""


def test_arguments_for_gpus_are_known(vllm_environment: None) -> None:
    """Those that the tiny model is not started with: vLLM's own parser reads them."""
    plan = ServerPlan(
        model="Org/Model", revision="abc", quantization="fp8", tensor_parallel=2, dtype="bfloat16"
    )
    command = [sys.executable, "-c", PARSE, *plan.command_line(8000)[len(plan.command) :]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "model_tag": "Org/Model",
        "revision": "abc",
        "tokenizer_revision": "abc",
        "quantization": "fp8",
        "tensor_parallel_size": 2,
        "dtype": "bfloat16",
    }


def test_killed_server_comes_back(server: OwnServers) -> None:
    """At the same address, with the same answers; nothing of the old one is left, so that its memory is free."""
    _, before = post(server, messages=CONVERSATIONS[0])
    old = processes_of_server()
    assert "EngineCore" in " ".join(part for each in old for part in each.cmdline())
    old[1].kill()
    _, alive = psutil.wait_procs(old, timeout=30)
    assert not alive
    wait_until_ready(server)
    status, after = post(server, messages=CONVERSATIONS[0])
    assert status == 200
    assert after["choices"][0]["message"] == before["choices"][0]["message"]
