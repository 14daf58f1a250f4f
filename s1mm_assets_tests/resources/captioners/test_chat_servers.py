"""Servers that misbehave: what is survived, what is blamed on a request, what is an outage."""

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import sys
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from s1mm_assets.recaptioning.prompt import PromptText
from s1mm_assets.recaptioning.request import Sampling, body_bytes
from s1mm_assets.resources.captioners import chat_servers
from s1mm_assets.resources.captioners.chat_servers import ChatServers, Patience, Reply
from s1mm_assets.resources.captioners.http_answers import (
    MAX_ANSWER_BYTES,
    Outage,
    RequestFailed,
    RequestRefused,
    ServiceError,
    counters,
    pause_of,
)
from s1mm_assets_tests.conftest import ROOT
from s1mm_assets_tests.imitations.vllm_server import FAULTS, Imitation, completion

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

KEY = "sk-very-secret"
SAMPLING = Sampling(temperature=0.2, top_p=0.9, repetition_penalty=1.05, max_tokens=640, seed=0)
QUICK: dict[str, Any] = {
    "request_timeout_s": 30.0,
    "first_pause_s": 0.01,
    "most_pause_s": 0.02,
    "outage_after_s": 30.0,
}
STUBBORN: dict[str, Any] = {**QUICK, "n_tries": 20, "n_slow_tries": 20, "n_gone_tries": 20}
ANSWER = completion({"model": "m"}, "0" * 64)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_servers, "PROBE_INTERVAL_S", 0.05)


def body_of(text: str, paper: str = "paper") -> bytes:
    return body_bytes("m", PromptText("system", paper, text), SAMPLING, b"data:image/png;base64,AAAA")


@contextlib.asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[str]:
    """A server in this loop; yields its address."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@contextlib.asynccontextmanager
async def client(
    *urls: str, in_flight: int = 8, patience: Patience | None = None, **settings: Any
) -> AsyncIterator[ChatServers]:
    """A client of these servers, closed at the end."""
    settings = {"model": "m", "api_key": KEY, **settings}
    servers = ChatServers(
        urls, in_flight_per_server=in_flight, patience=patience or Patience(**QUICK), **settings
    )
    try:
        yield servers
    finally:
        await servers.close()


def canned(*answers: tuple[int, str, bytes], heard: list[float] | None = None) -> Serve:
    """A server that gives these answers in turn, the last for ever: status, a header, body."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r")[0] or 0))
        if heard is not None:
            heard.append(asyncio.get_running_loop().time())
        status, header, body = left.pop(0) if len(left) > 1 else left[0]
        writer.write(
            f"HTTP/1.1 {status} -\r\n{header}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        writer.close()

    return serve


def unused_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


class Process:
    """An imitation in a process of its own, which may die and come back at the same address."""

    def __init__(self, log: Path, *options: str) -> None:
        self.log, self.options, self.port = log, options, 0
        self.process: subprocess.Popen[str] | None = None
        self.n_starts = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        module = "s1mm_assets_tests.imitations.vllm_server"
        options = ["--port", str(self.port), "--log", str(self.log), *self.options]
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(await asyncio.to_thread(self.process.stdout.readline))
        self.n_starts += 1

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    async def keep_alive(self) -> None:
        """Start it again whenever it is dead."""
        while True:
            if self.process is None or self.process.poll() is not None:
                self.kill()
                await self.start()
            await asyncio.sleep(0.02)

    def answered(self) -> list[str]:
        return [json.loads(line)["digest"] for line in self.log.read_text().splitlines()]


@contextlib.asynccontextmanager
async def process(log: Path, *options: str) -> AsyncIterator[Process]:
    """A started imitation, gone at the end."""
    server = Process(log, *options)
    await server.start()
    try:
        yield server
    finally:
        server.kill()


async def ask_all(servers: ChatServers, texts: list[str], group: str = "paper") -> list[Reply]:
    return await asyncio.gather(*(servers.ask(body_of(text), group) for text in texts))


async def outcomes(servers: ChatServers, texts: list[str]) -> list[Reply | BaseException]:
    asked = (servers.ask(body_of(text), text) for text in texts)
    return await asyncio.gather(*asked, return_exceptions=True)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine; one that hangs fails."""
    asyncio.run(asyncio.wait_for(work, 60))


TEXTS = [f"figure {n}" for n in range(40)]


# --- what is survived ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [each for each in FAULTS if each not in ("denied", "refused")])
def test_every_fault_is_survived(fault: str) -> None:
    """A third of the tries meets it: every request is answered, and answered once."""

    async def work() -> None:
        imitation = Imitation(faults={fault: 0.3}, seed=3)
        patience = Patience(**{**STUBBORN, "request_timeout_s": 1.0 if fault == "stall" else 30.0})
        async with served(imitation.serve) as url, client(url, in_flight=20, patience=patience) as servers:
            replies = await ask_all(servers, TEXTS)

            assert [reply.server for reply in replies] == [url] * 40
            assert len(imitation.answered) == 40
            assert fault == "stall" or imitation.answered.total() == 40
            n_faults = imitation.asked.total() - 40
            is_answer = fault in ("empty", "loop", "length", "refusal")
            assert (n_faults == 0) == is_answer
            assert servers.counts.n_answers == 40
            assert servers.counts.n_busy + servers.counts.n_errors == n_faults
            assert imitation.most_seen_at_once <= 20

    run(work())


def test_an_answer() -> None:
    """Text, why it ended, tokens, tries, and who gave it."""

    async def work() -> None:
        imitation = Imitation()
        async with served(imitation.serve) as url, client(f"{url}/") as servers:
            reply = await servers.ask(body_of("figure"), "paper")

            assert (reply.text or "").startswith("The plot compares")
            assert (reply.finish_reason, reply.n_tries, reply.server) == ("stop", 1, url)
            assert (reply.n_prompt_tokens, reply.n_completion_tokens) == (1_500, 120)
            assert servers.counts.by_server == {url: 1}
            assert (servers.counts.n_prompt_tokens, servers.counts.n_completion_tokens) == (1_500, 120)

    run(work())


def test_a_server_is_not_given_more_than_it_takes() -> None:
    """It says 429 above three at once: all are answered, and never more are sent than was set."""

    async def work() -> None:
        imitation = Imitation(most_at_once=3, latency_s=0.02)
        async with served(imitation.serve) as url, client(url, in_flight=5) as servers:
            await ask_all(servers, TEXTS)

            assert servers.counts.n_busy > 0
            assert 3 < imitation.most_seen_at_once <= 5

    run(work())


def test_a_pause_that_is_asked_for_is_kept() -> None:
    """Retry-After holds for every request to that server."""

    async def work() -> None:
        heard: list[float] = []
        good = (200, "X: y", json.dumps(ANSWER).encode())
        answers = ((429, "Retry-After: 0.6", b"{}"), good)
        async with served(canned(*answers, heard=heard)) as url, client(url, in_flight=1) as servers:
            await ask_all(servers, ["one", "two"])

        assert len(heard) == 3
        assert heard[1] - heard[0] >= 0.6

    run(work())


@pytest.mark.parametrize(
    ("header", "pause_s"),
    [
        *((None, 1.0), ("2", 2.0), ("0.5", 0.5), ("0", 0.05), ("-3", 0.05), ("1e9", 60.0), ("inf", 60.0)),
        *(("nan", 0.05), ("", 1.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0)),
    ],
)
def test_pauses(header: str | None, pause_s: float) -> None:
    """Never none, so that no server is asked in a tight loop; never for long."""
    assert pause_of(header) == pause_s


def test_a_server_that_is_killed_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    """It dies in the middle and is started at the same address: every request is answered."""

    async def work() -> None:
        async with process(tmp_path / "log", "--latency-s", "0.05") as server:
            async with client(server.url, in_flight=5) as servers:
                asked = asyncio.gather(*(servers.ask(body_of(text), "paper") for text in TEXTS))
                while servers.counts.n_answers < 10:
                    await asyncio.sleep(0.01)
                server.kill()
                await asyncio.sleep(0.1)
                await server.start()
                replies = await asked

            assert len(replies) == 40
            assert len(set(server.answered())) == 40
            assert len(server.answered()) <= 45  # at most those in flight were answered in vain

    run(work())


# --- what is blamed on a request -----------------------------------------------------------------------------


def test_a_refused_request_is_asked_once() -> None:
    """400 says that the request is wrong, whenever it is sent."""

    async def work() -> None:
        imitation = Imitation()
        async with served(imitation.serve) as url, client(url) as servers:
            with pytest.raises(RequestRefused, match="400: the prompt is too long"):
                await servers.ask(body_of("POISON REFUSED"), "paper")

            assert imitation.asked.total() == 1

    run(work())


@pytest.mark.parametrize(
    ("poison", "limits", "says"),
    [
        ("POISON ERROR", {"n_tries": 3}, "500: EngineCore encountered an issue"),
        ("POISON STALL", {"n_slow_tries": 2, "request_timeout_s": 1.0}, "no answer within 1 s"),
    ],
)
def test_a_request_that_always_fails_fails_alone(poison: str, limits: dict[str, Any], says: str) -> None:
    """After as many tries as are set, while the others are answered."""

    async def work() -> None:
        imitation = Imitation()
        patience = Patience(**{**QUICK, **limits})
        async with served(imitation.serve) as url, client(url, patience=patience) as servers:
            *others, poisoned = await outcomes(servers, [*TEXTS[:10], poison])

        assert isinstance(poisoned, RequestFailed)
        assert str(poisoned) == says
        assert all(isinstance(other, Reply) for other in others)
        assert max(imitation.asked.values()) == limits.get("n_tries", limits.get("n_slow_tries"))

    run(work())


@pytest.mark.parametrize("n_poisons", [1, 2])
def test_a_request_that_kills_servers_is_found_out(n_poisons: int, tmp_path: Path) -> None:
    """It is blamed, not those that were there when the server died; nor is it an outage."""

    async def work() -> None:
        async with process(tmp_path / "log", "--latency-s", "0.02") as server:
            keeper = asyncio.create_task(server.keep_alive())
            poisons = [f"POISON KILL {n}" for n in range(n_poisons)]
            async with client(server.url, in_flight=6) as servers:
                found = await outcomes(servers, [*TEXTS[:3], *poisons, *TEXTS[3:20]])
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        blamed = [place for place, each in enumerate(found) if isinstance(each, RequestFailed)]
        assert blamed == list(range(3, 3 + n_poisons))
        assert sum(isinstance(each, Reply) for each in found) == 20
        assert 2 <= server.n_starts - 1 <= 4 * n_poisons

    run(work())


# --- what is an outage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["error", "not_json", "no_choices", "truncated", "stall", "compressed"])
def test_a_service_that_answers_nobody_is_an_outage(fault: str) -> None:
    """No request is blamed where none succeeds."""

    async def work() -> None:
        imitation = Imitation(faults={fault: 1.0})
        patience = Patience(**{**QUICK, "request_timeout_s": 0.3, "n_tries": 2, "outage_after_s": 0.3})
        async with served(imitation.serve) as url, client(url, patience=patience) as servers:
            found = await outcomes(servers, TEXTS[:5])

        assert [type(each) for each in found] == [Outage] * 5
        assert "no server " in str(found[0])

    run(work())


def test_a_server_that_only_fails_is_left_alone() -> None:
    """Before every request has spent all its tries on it."""

    async def work() -> None:
        imitation = Imitation(faults={"error": 1.0})
        patience = Patience(**{**QUICK, "outage_after_s": 0.3}, n_tries=1_000)
        async with served(imitation.serve) as url, client(url, patience=patience) as servers:
            with pytest.raises(Outage, match=r"no server is healthy.*EngineCore encountered"):
                await servers.ask(body_of("figure"), "paper")

            assert imitation.asked.total() == chat_servers.SICK_AFTER
            assert imitation.n_canaries >= 2

    run(work())


def test_nobody_there_is_an_outage() -> None:
    """After a while, with the address; at once where nobody will start the servers again."""

    async def work() -> None:
        url = unused_url()
        async with client(url, patience=Patience(**{**QUICK, "outage_after_s": 0.2})) as servers:
            with pytest.raises(Outage, match=f"no server is healthy: for 0.2 s .{url}"):
                await servers.ask(body_of("figure"), "paper")
        async with client(url, is_given_up=lambda: "it died thrice") as servers:
            with pytest.raises(Outage, match="no server is healthy: it died thrice"):
                await servers.ask(body_of("figure"), "paper")

    run(work())


def test_servers_that_serve_somebody_else_are_an_outage() -> None:
    """Nothing but 429, for longer than is waited."""

    async def work() -> None:
        imitation = Imitation(faults={"busy": 1.0})
        patience = Patience(**QUICK, most_busy_s=0.2)
        async with served(imitation.serve) as url, client(url, patience=patience) as servers:
            with pytest.raises(Outage, match=r"busy for 0\.2 s"):
                await servers.ask(body_of("figure"), "paper")

    run(work())


@pytest.mark.parametrize(("path", "key", "status"), [("", "wrong", 401), ("/nowhere", KEY, 404)])
def test_a_wrong_key_or_address_is_an_outage(path: str, key: str, status: int) -> None:
    """It would be the same for every request; the status is named, and nothing is tried twice."""

    async def work() -> None:
        imitation = Imitation(api_key=KEY)
        async with served(imitation.serve) as url, client(f"{url}{path}", api_key=key) as servers:
            with pytest.raises(Outage, match=f"no server answers a small request either .*{status}: "):
                await servers.ask(body_of("figure"), "paper")

    run(work())


def test_a_redirect_is_not_followed() -> None:
    """The key and the image go to the servers that are named, and nowhere else."""

    async def work() -> None:
        elsewhere: list[float] = []
        async with served(canned((200, "X: y", b"{}"), heard=elsewhere)) as other:
            redirect = canned((307, f"Location: {other}/v1/chat/completions", b""))
            async with served(redirect) as url, client(url) as servers:
                with pytest.raises(Outage, match="307: it redirects to elsewhere"):
                    await servers.ask(body_of("figure"), "paper")

        assert elsewhere == []

    run(work())


# --- answers that attack -------------------------------------------------------------------------------------


def test_an_endless_answer_is_cut_off() -> None:
    """At the limit, in bounded memory."""

    async def work() -> None:
        imitation = Imitation(faults={"endless": 1.0})
        patience = Patience(**{**QUICK, "n_tries": 1, "outage_after_s": 0.3})
        async with served(imitation.serve) as url, client(url, patience=patience) as servers:
            with pytest.raises(Outage, match="the answer has more than # bytes"):
                await servers.ask(body_of("figure"), "paper")

    tracemalloc.start()
    try:
        run(work())
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_ANSWER_BYTES
    finally:
        tracemalloc.stop()


def answer_with(**changes: Any) -> bytes:
    return json.dumps({**ANSWER, **changes}).encode()


def choice_with(**changes: Any) -> bytes:
    return answer_with(choices=[{**ANSWER["choices"][0], **changes}])


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"[" * 200_000,
        b'{"choices":' + b"9" * 10_000 + b"}",
        b"\xff\xfe\x00",
        answer_with(choices={}),
        answer_with(choices=[None]),
        choice_with(message=None),
        choice_with(message={"content": ["a", "b"]}),
        choice_with(finish_reason=3),
        answer_with(usage="much"),
        answer_with(usage={"prompt_tokens": "7"}),
        answer_with(usage={"completion_tokens": -1}),
        answer_with(usage={"prompt_tokens": 2**40}),
        answer_with(usage={"prompt_tokens": 1.5}),
    ],
)
def test_answers_that_are_none(answer: bytes) -> None:
    """A service error like others: nothing but the errors of this module is raised, and nothing is counted."""

    async def work() -> None:
        patience = Patience(**{**QUICK, "n_tries": 2, "outage_after_s": 0.1})
        async with (
            served(canned((200, "Content-Type: application/json", answer))) as url,
            client(url, patience=patience) as servers,
        ):
            with pytest.raises(Outage, match="the answer cannot be read"):
                await servers.ask(body_of("figure"), "paper")

            assert servers.counts.n_answers == 0

    run(work())


@pytest.mark.parametrize(
    "answer", [answer_with(usage=None), choice_with(message={"content": None}, finish_reason=None)]
)
def test_answers_that_leave_things_out(answer: bytes) -> None:
    """No bill and no text are answers too; what they are worth is judged elsewhere."""

    async def work() -> None:
        async with served(canned((200, "X: y", answer))) as url, client(url) as servers:
            assert (await servers.ask(body_of("figure"), "paper")).server == url

    run(work())


# --- several servers -----------------------------------------------------------------------------------------


def test_the_least_loaded_server_is_asked() -> None:
    """Papers are shared out evenly."""

    async def work() -> None:
        imitations = [Imitation(latency_s=0.2), Imitation(latency_s=0.2)]
        async with (
            served(imitations[0].serve) as first,
            served(imitations[1].serve) as second,
            client(first, second, in_flight=20) as servers,
        ):
            await asyncio.gather(*(servers.ask(body_of(text), text) for text in TEXTS[:12]))

        assert [each.asked.total() for each in imitations] == [6, 6]

    run(work())


def test_a_paper_stays_with_its_server() -> None:
    """Its figures find their prefix in that server's cache; another paper goes where there is less to do."""

    async def work() -> None:
        imitations = [Imitation(latency_s=0.1), Imitation(latency_s=0.1)]
        async with (
            served(imitations[0].serve) as first,
            served(imitations[1].serve) as second,
            client(first, second) as servers,
        ):
            one, other = await asyncio.gather(
                ask_all(servers, TEXTS[:3], "one"), ask_all(servers, TEXTS[3:6], "other")
            )
            later = await ask_all(servers, TEXTS[6:9], "other")

            assert {reply.server for reply in one} == {first}
            assert {reply.server for reply in (*other, *later)} == {second}

    run(work())


def test_a_paper_leaves_a_server_that_is_much_busier() -> None:
    """A large paper is shared out."""

    async def work() -> None:
        imitations = [Imitation(latency_s=0.1), Imitation(latency_s=0.1)]
        async with (
            served(imitations[0].serve) as first,
            served(imitations[1].serve) as second,
            client(first, second, in_flight=10) as servers,
        ):
            await ask_all(servers, TEXTS[:12], "one")

        assert min(each.asked.total() for each in imitations) >= 4

    run(work())


def test_a_server_takes_over_from_one_that_died(tmp_path: Path) -> None:
    """Without more at once than is set; the dead one is asked again when it is back."""

    async def work() -> None:
        alive = Imitation(latency_s=0.01)
        async with (
            process(tmp_path / "log", "--latency-s", "0.01") as mortal,
            served(alive.serve) as other,
            client(mortal.url, other, in_flight=3) as servers,
        ):
            await outcomes(servers, TEXTS[:10])
            mortal.kill()
            n_before = alive.answered.total()
            replies = await outcomes(servers, TEXTS[10:30])

            assert [getattr(reply, "server", reply) for reply in replies] == [other] * 20
            assert alive.answered.total() == n_before + 20
            assert alive.most_seen_at_once <= 3
            await mortal.start()
            for n in range(200):
                reply = await servers.ask(body_of(f"later {n}"), f"later {n}")
                if reply.server == mortal.url:
                    break
                await asyncio.sleep(0.02)
            assert reply.server == mortal.url

    run(work())


def test_counters_of_all_servers() -> None:
    """Summed by name; a server without them adds nothing."""

    async def work() -> None:
        imitations = [Imitation(), Imitation()]
        async with (
            served(imitations[0].serve) as first,
            served(imitations[1].serve) as second,
            client(first, second, unused_url()) as servers,
        ):
            await asyncio.gather(*(servers.ask(body_of(text), text) for text in TEXTS[:10]))
            metrics = await servers.metrics()

        assert metrics["vllm:prefix_cache_queries_total"] == 1_000
        assert metrics["vllm:prefix_cache_hits_total"] == 400

    run(work())


def test_counters_of_a_page() -> None:
    """Labels left out; what is no number is no counter."""
    page = '# HELP a b\n# TYPE a counter\na{x="1 2"} 3.0\na{x="2"} 4\nb 1e3\nc\nd x\n\n'

    assert list(counters(page)) == [("a", 3.0), ("a", 4.0), ("b", 1_000.0)]


# --- what is left behind -------------------------------------------------------------------------------------


def test_the_key_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Neither logs nor errors hold it, even where a server repeats it."""
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    echo = json.dumps({"error": {"message": f"Incorrect API key: {KEY}"}}).encode()

    async def work() -> None:
        imitation = Imitation(faults={"error": 0.5, "cut": 0.3}, api_key=KEY)
        async with served(imitation.serve) as url, client(url) as servers:
            await outcomes(servers, [*TEXTS[:10], "POISON ERROR", "POISON REFUSED"])
        for status in (400, 401, 429, 500):
            patience = Patience(**{**QUICK, "n_tries": 2, "outage_after_s": 0.3}, most_busy_s=0.1)
            async with (
                served(canned((status, "Retry-After: 0.05", echo))) as url,
                client(url, patience=patience) as servers,
            ):
                with pytest.raises((Outage, RequestRefused)) as error:
                    await servers.ask(body_of("figure"), "paper")
                said.append("".join(traceback.format_exception(error.value)) + repr(error.value))

    run(work())
    assert "chat/completions" in caplog.text
    assert len(said) == 4
    assert KEY not in caplog.text
    assert KEY not in "".join(said)


def left_behind() -> list[str]:
    """What of the client still runs in this loop."""
    names = (str(getattr(task.get_coro(), "__qualname__", "")) for task in asyncio.all_tasks())
    return [name for name in names if name.startswith("ChatServers.")]


def test_cancelled_requests_leave_nothing_behind() -> None:
    """Their places are free again, and nothing of them runs on."""

    async def work() -> None:
        imitation = Imitation()
        async with served(imitation.serve) as url, client(url, in_flight=5) as servers:
            asked = [
                asyncio.create_task(servers.ask(body_of(f"POISON STALL {n}"), "paper")) for n in range(12)
            ]
            while imitation.at_once < 5:
                await asyncio.sleep(0.01)
            for each in asked:
                each.cancel()
            found = await asyncio.gather(*asked, return_exceptions=True)

            assert all(isinstance(each, asyncio.CancelledError) for each in found)
            assert len(await ask_all(servers, TEXTS[:5])) == 5
        assert left_behind() == []

    run(work())


def test_closing_ends_looks_at_lost_servers() -> None:
    """Also at one whose machine does not even take the connection."""

    async def work() -> None:
        imitation = Imitation()
        with socket.socket() as full, contextlib.ExitStack() as stack:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            lost = f"http://127.0.0.1:{full.getsockname()[1]}"
            async with served(imitation.serve) as url:
                async with client(lost, url) as servers:
                    servers._note_error(servers._servers[0], ServiceError("lost", is_down=True))
                    assert (await servers.ask(body_of("figure"), "paper")).server == url
                    assert left_behind() == ["ChatServers._recover"]
                assert left_behind() == []

    run(work())


def test_no_server_is_no_service() -> None:
    """It is said at once."""
    with pytest.raises(ValueError, match="no server is named"):
        ChatServers([], model="m", api_key=KEY, in_flight_per_server=1)
