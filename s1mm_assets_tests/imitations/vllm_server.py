"""An OpenAI-compatible server in the place of vLLM: it answers at once, or misbehaves as it is told to.

    python -m s1mm_assets_tests.imitations.vllm_server --port 8000 --faults error=0.1,cut=0.05 --log requests.jsonl

Which request meets which fault follows from its body and from how often it has come, so that tests repeat. It
speaks HTTP by hand: a library would not send half an answer.
"""

import argparse
import asyncio
import gzip
import hashlib
import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

FAULTS = (
    *(
        "busy",
        "error",
        "unavailable",
        "denied",
        "refused",
        "stall",
        "truncated",
        "not_json",
        "no_choices",
        "endless",
        "cut",
        "compressed",
    ),
    *("empty", "loop", "length", "refusal"),
)
POISONS = {  # in the text of a request → what becomes of each try
    "POISON ERROR": "error",
    "POISON STALL": "stall",
    "POISON REFUSED": "refused",
    "POISON DENIED": "denied",
    "POISON KILL": "kill",
    "POISON EMPTY": "empty",
}
STALL_S = 3_600.0
WORDS = (
    "The plot compares measured curves across conditions, with the horizontal axis giving the control parameter and "
    "the vertical axis the response. The signal rises steeply at first, bends over near the middle of the range and "
    "settles at a plateau, while the dashed reference stays flat. Together the panels support the view that the effect "
    "follows from the mechanism studied here rather than from noise in the instrument, as variant {} makes plain."
)


class Imitation:
    """One server: what it answers, and what it has been asked."""

    def __init__(
        self,
        *,
        faults: dict[str, float] | None = None,
        seed: int = 0,
        latency_s: float = 0.0,
        most_at_once: int = 0,
        api_key: str | None = None,
        log: IO[str] | None = None,
        model: str | None = None,
        max_model_len: int = 8_192,
        hangs_after: int = 0,
    ) -> None:
        unknown = set(faults or {}) - set(FAULTS)
        if unknown:
            raise ValueError(f"no such faults: {sorted(unknown)}; there are {', '.join(FAULTS)}")
        self.faults, self.seed, self.latency_s = faults or {}, seed, latency_s
        self.most_at_once, self.api_key, self.log = most_at_once, api_key, log
        self.model, self.max_model_len, self.hangs_after = model, max_model_len, hangs_after
        self.is_well = True
        self.n_canaries = 0  # small requests, which are counted apart
        self.asked: Counter[str] = Counter()  # digest of a body → how often it came
        self.answered: Counter[str] = Counter()  # → how often it was answered with a text
        self.order: list[str] = []  # the first line of each request's paper, as they came
        self.at_once = self.most_seen_at_once = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line = await reader.readline()
        if not line:
            return False
        method, path, _ = line.decode().split(" ")
        headers = {}
        while (line := await reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if path == "/health":
            return await _send(writer, 200 if self.is_well else 503, b"")
        if path == "/metrics":
            return await _send(writer, 200, self._metrics().encode())
        if self.api_key and headers.get("authorization") != f"Bearer {self.api_key}":
            return await _send_json(writer, 401, {"error": {"message": "Unauthorized"}})
        if path == "/v1/models" and self.model is not None:
            listed = [{"id": self.model, "max_model_len": self.max_model_len}]
            return await _send_json(writer, 200, {"object": "list", "data": listed})
        if path != "/v1/chat/completions" or method != "POST":
            return await _send_json(writer, 404, {"error": {"message": f"no {path}"}})
        self.at_once += 1
        self.most_seen_at_once = max(self.most_seen_at_once, self.at_once)
        try:
            return await self._chat(body, writer)
        finally:
            self.at_once -= 1

    async def _chat(self, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if self.hangs_after and self.answered.total() >= self.hangs_after:
            return await _stall(writer)
        digest = hashlib.sha256(body).hexdigest()
        asked = json.loads(body)
        if asked.get("max_tokens") == 1:
            return await self._canary(asked, digest, writer)
        self.asked[digest] += 1
        texts = _texts(asked)
        self.order.append(texts[1] if len(texts) > 1 else "")
        fault = self._fault(digest, "\n".join(texts))
        if self.most_at_once and self.at_once > self.most_at_once:
            fault = "busy"
        await asyncio.sleep(self.latency_s)
        if fault in _BREAKS:
            return await _BREAKS[fault](writer)
        answer = completion(asked, digest, fault)
        goes_on = await _send_json(writer, 200, answer)
        self.answered[digest] += 1
        if self.log is not None:
            self.log.write(json.dumps({"digest": digest, "fault": fault}) + "\n")
            self.log.flush()
        return goes_on

    async def _canary(self, asked: dict[str, Any], digest: str, writer: asyncio.StreamWriter) -> bool:
        """A small request meets the faults that all requests meet."""
        self.n_canaries += 1
        for fault, share in self.faults.items():
            if share >= 1 and fault in _BREAKS:
                return await _BREAKS[fault](writer)
        return await _send_json(writer, 200, completion(asked, digest))

    def _fault(self, digest: str, text: str) -> str | None:
        for mark, fault in POISONS.items():
            if mark in text:
                return fault
        draw = random.Random(f"{self.seed}:{digest}:{self.asked[digest]}").random()
        for fault, share in self.faults.items():
            draw -= share
            if draw < 0:
                return fault
        return None

    def _metrics(self) -> str:
        n_answers = sum(self.answered.values())
        return (
            "# TYPE vllm:prefix_cache_queries counter\n"
            f'vllm:prefix_cache_queries_total{{engine="0"}} {n_answers * 100}.0\n'
            f'vllm:prefix_cache_hits_total{{engine="0"}} {n_answers * 40}.0\n'
        )


def _texts(asked: dict[str, Any]) -> list[str]:
    """The texts of a chat, in order."""
    found = []
    for message in asked["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found += [part["text"] for part in parts if part["type"] == "text"]
    return found


def completion(asked: dict[str, Any], digest: str, fault: str | None = None) -> dict[str, Any]:
    """Return the JSON of an answer: the same text to the same request."""
    variant = "".join(chr(ord("a") + int(digit, 16)) for digit in digest[:8])
    text = WORDS.format(variant)
    text = {
        "empty": "",
        "loop": "The line goes up. " * 40,
        "refusal": "I'm sorry, I cannot help with that.",
    }.get(fault or "", text)
    return {
        "id": f"chatcmpl-{digest[:12]}",
        "object": "chat.completion",
        "model": asked["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text[:80] if fault == "length" else text},
                "finish_reason": "length" if fault == "length" else "stop",
            }
        ],
        "usage": {"prompt_tokens": 1_500, "completion_tokens": 120, "total_tokens": 1_620},
    }


async def _send(writer: asyncio.StreamWriter, status: int, body: bytes, *headers: str) -> bool:
    head = [
        f"HTTP/1.1 {status} -",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json",
        *headers,
    ]
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    await writer.drain()
    return True


async def _send_json(writer: asyncio.StreamWriter, status: int, body: dict[str, Any], *headers: str) -> bool:
    return await _send(writer, status, json.dumps(body).encode(), *headers)


async def _busy(writer: asyncio.StreamWriter) -> bool:
    return await _send_json(writer, 429, {"error": {"message": "too many requests"}}, "Retry-After: 0.05")


async def _error(writer: asyncio.StreamWriter) -> bool:
    return await _send_json(writer, 500, {"error": {"message": "EngineCore encountered an issue"}})


async def _unavailable(writer: asyncio.StreamWriter) -> bool:
    return await _send_json(writer, 503, {"error": {"message": "no backend"}})


async def _denied(writer: asyncio.StreamWriter) -> bool:
    return await _send_json(writer, 403, {"error": {"message": "blocked by a rule"}})


async def _refused(writer: asyncio.StreamWriter) -> bool:
    return await _send_json(writer, 400, {"error": {"message": "the prompt is too long"}})


async def _stall(writer: asyncio.StreamWriter) -> bool:
    await asyncio.sleep(STALL_S)
    return False


async def _truncated(writer: asyncio.StreamWriter) -> bool:
    return await _send(writer, 200, b'{"id": "x", "choices": [{"index": 0, "mess')


async def _not_json(writer: asyncio.StreamWriter) -> bool:
    return await _send(writer, 200, b"<html><body>502 Bad Gateway</body></html>")


async def _no_choices(writer: asyncio.StreamWriter) -> bool:
    return await _send_json(writer, 200, {"object": "chat.completion", "choices": []})


async def _endless(writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:  # until the client has had enough
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


async def _cut(writer: asyncio.StreamWriter) -> bool:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{"id": "x", "choices": [')
    await writer.drain()
    writer.transport.abort()
    return False


async def _compressed(writer: asyncio.StreamWriter) -> bool:
    answer = completion({"model": "imitation"}, "0" * 64)  # a sound one, once unpacked
    return await _send(writer, 200, gzip.compress(json.dumps(answer).encode()), "Content-Encoding: gzip")


async def _kill(writer: asyncio.StreamWriter) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return False


_BREAKS = {
    "busy": _busy,
    "error": _error,
    "unavailable": _unavailable,
    "denied": _denied,
    "refused": _refused,
    "stall": _stall,
    "truncated": _truncated,
    "not_json": _not_json,
    "no_choices": _no_choices,
    "endless": _endless,
    "cut": _cut,
    "compressed": _compressed,
    "kill": _kill,
}


async def run(imitation: Imitation, port: int) -> None:
    """Serve until the process ends; the first line of the output is the port."""
    server = await asyncio.start_server(imitation.serve, "127.0.0.1", port, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def serving(imitation: Imitation) -> Iterator[str]:
    """Serve from a thread of this process; gives the address."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(imitation.serve, "127.0.0.1", 0, limit=2**20))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(_end, loop, server)
        thread.join()
        loop.close()


def _end(loop: asyncio.AbstractEventLoop, server: asyncio.Server) -> None:
    """Stop the loop once everything in it has been told to stop."""
    server.close()
    connections = asyncio.all_tasks(loop)
    for connection in connections:
        connection.cancel()
    gathered = asyncio.gather(*connections, return_exceptions=True)
    gathered.add_done_callback(lambda _: loop.stop())


def main() -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1", help="as vLLM's; not heeded")
    parser.add_argument("--faults", default="", help=f"name=share,…; names: {', '.join(FAULTS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--most-at-once", type=int, default=0, help="more are told to wait")
    parser.add_argument("--hangs-after", type=int, default=0, help="answers; then none, while it seems well")
    parser.add_argument("--log", type=Path, help="a line for each answer")
    options, _ = parser.parse_known_args()  # also vLLM's own flags, where it is started in its place
    shares = (each.split("=") for each in options.faults.split(",") if each)
    imitation = Imitation(
        faults={name: float(share) for name, share in shares},
        seed=options.seed,
        latency_s=options.latency_s,
        most_at_once=options.most_at_once,
        hangs_after=options.hangs_after,
        api_key=os.environ.get("VLLM_API_KEY"),
        log=options.log.open("a") if options.log else None,
    )
    asyncio.run(run(imitation, options.port))


if __name__ == "__main__":
    main()
