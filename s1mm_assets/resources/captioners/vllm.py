"""The engine `vllm`: figures as chat requests to servers that hold a model, answers through the answer log.

Images are made ready in the worker pool, requests are sent from one event loop, answers come back in the order of
the figures. An answer that is in the log is not asked for; servers are only needed for those that are not.
"""

import asyncio
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import Any, cast

from s1mm_assets.recaptioning.answer import read_answer
from s1mm_assets.recaptioning.budget import fitted
from s1mm_assets.recaptioning.prompt import Prompt, PromptText
from s1mm_assets.recaptioning.request import (
    IMAGE_VERSION,
    ModelImage,
    Sampling,
    body_bytes,
    model_image_url,
    request_key,
)
from s1mm_assets.recaptioning.settings import RecaptionSettings
from s1mm_assets.recaptioning.window import CaptionAnswer, CaptionJob, CaptionRequest, SemanticWindow
from s1mm_assets.resources.captioners.answer_log import AnswerLog, LoggedAnswer
from s1mm_assets.resources.captioners.chat_servers import RequestFailed, RequestRefused
from s1mm_assets.resources.captioners.service import Service
from s1mm_assets.resources.captioners.throughput import Throughput
from s1mm_assets.resources.progress import Progress
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.stages import Failed, MapItems
from s1mm_assets.tables import Rejection

BLOCK_FIGURES = 500  # are made ready in one go; what is answered is handed on between them
MAX_WAITING_BYTES = 512 * 2**20  # of images that are ready, until they are answered
MAX_UNCLAIMED = 2_048  # answers behind one that takes long
WAIT_S = 0.5  # between looks at how far it is

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Asked:
    """One figure on its way: what is asked, and what became of it."""

    figure_id: str
    paper_id: str
    window: SemanticWindow
    text: PromptText
    image_sha256: str
    flags: tuple[str, ...]
    keys: list[str] = field(default_factory=list)  # of each attempt
    answer: CaptionAnswer | None = None
    future: "Future[CaptionAnswer] | None" = None


class VllmCaptioner:
    """Writes recaptions with a vision-language model."""

    engine = "vllm"
    needs_image = True

    def __init__(
        self,
        settings: RecaptionSettings,
        *,
        store: ShardStore,
        service: Service,
        map_items: MapItems,
        log: logging.Logger = _log,
    ) -> None:
        """Start nothing yet.

        Args:
            settings: What shapes the answers.
            store: Where the answer log lies.
            service: The servers; they start when the first request needs them.
            map_items: Makes images ready apart from this process.
            log: Where progress goes.
        """
        self.settings, self.store, self.service, self.map_items = settings, store, service, map_items
        self.prompt = Prompt.load(settings.prompt)
        self.model: str | None = settings.model
        self.model_revision: str | None = settings.model_revision
        self.prompt_version, self.prompt_sha256 = self.prompt.version, self.prompt.sha256
        named = ("window_tokens", "min_image_tokens", "max_image_tokens", "n_attempts", "seed")
        self.parameters: Mapping[str, Any] = {
            "sampling": settings.sampling.as_json(),
            "variant": dict(settings.variant),
            "image_version": IMAGE_VERSION,
            **{name: getattr(settings, name) for name in named},
        }
        self.throughput = Throughput()
        self._progress_log = log

    def cost(self) -> dict[str, Any]:
        """Return rates, tokens, failures and the servers' prefix-cache hit rate over all shards so far."""
        service = self.service
        after = service.metrics()
        return self.throughput.report(
            service.counts,
            n_gpus=service.n_gpus,
            start_s=service.start_s,
            before=service.before,
            after=after,
        )

    # --- one shard -----------------------------------------------------------------------------------------

    def caption(self, requests: Iterable[CaptionRequest], job: CaptionJob) -> Iterator[CaptionAnswer]:
        """Yield one answer per request, in order.

        Raises:
            Outage: The service is down. What was answered is in the log; the next run goes on from there.
            StoreError: Answers cannot be kept.
        """
        with AnswerLog.open(self.store, job.partition, job.shard) as log:
            yield from _Shard(self, log, job).answers(iter(requests))

    def asked(self, request: CaptionRequest) -> Asked:
        """Return what a request comes to: its window within the budget, its texts."""
        window, flags = fitted(request.window, self.settings.window_tokens)
        return Asked(
            figure_id=request.figure_id,
            paper_id=request.paper_id,
            window=window,
            text=self.prompt.fill(window),
            image_sha256=request.image_sha256 or "",
            flags=flags,
        )

    def key(self, asked: Asked, attempt: int) -> str:
        """Return the key of one attempt in the answer log."""
        while len(asked.keys) <= attempt:
            key = request_key(
                self.settings.model,
                asked.text,
                self.sampling(len(asked.keys)),
                revision=self.settings.model_revision,
                variant=self.settings.variant,
                image_sha256=asked.image_sha256,
                image=self.settings.image,
            )
            asked.keys.append(key)
        return asked.keys[attempt]

    def next_attempt(self, asked: Asked, log: AnswerLog) -> int | CaptionAnswer:
        """Return what the log says of a figure: its answer, or the attempt that is still to be asked."""
        attempts = self.attempts(asked, log)
        for attempt in attempts:
            logged = log.get(self.key(asked, attempt))
            if logged is None:
                return attempt
            answer = self._read(asked, attempt, logged)
            if answer.rejection is None or attempt == attempts[-1]:
                return answer
        raise AssertionError("there is at least one attempt")

    def attempts(self, asked: Asked, log: AnswerLog) -> range:
        """Return the attempts that a figure has: with other seeds than those whose answers were forgotten."""
        first = log.n_forgotten(asked.figure_id) * self.settings.n_attempts
        return range(first, first + self.settings.n_attempts)

    def sampling(self, attempt: int) -> Sampling:
        """What an attempt is asked with: each has its own seed, and those of one round are ever warmer."""
        warmer = self.settings.sampling.at_attempt(attempt % self.settings.n_attempts)
        return replace(warmer, seed=self.settings.seed + attempt)

    def _read(self, asked: Asked, attempt: int, logged: LoggedAnswer) -> CaptionAnswer:
        verdict = read_answer(logged.text, logged.finish_reason, asked.window, str(asked.text))
        sampling = self.sampling(attempt)
        return CaptionAnswer(
            recaption=verdict.recaption,
            n_prompt_tokens=logged.n_prompt_tokens,
            n_completion_tokens=logged.n_completion_tokens,
            finish_reason=logged.finish_reason,
            flags=(*asked.flags, *verdict.flags),
            rejection=verdict.rejection,
            evidence=verdict.evidence,
            sampling=json.dumps({**json.loads(sampling.as_json()), **self.settings.variant}),
            seed=sampling.seed,
            request_sha256=logged.key,
        )

    async def ask(self, asked: Asked, attempt: int, image_url: bytes, log: AnswerLog) -> None:
        """Ask a server once more about a figure, and put the answer into the log."""
        sampling = self.sampling(attempt)
        body = body_bytes(self.settings.model, asked.text, sampling, image_url)
        reply = await self.service.servers.ask(body, group=asked.paper_id)
        entry = LoggedAnswer(
            key=self.key(asked, attempt),
            figure_id=asked.figure_id,
            text=reply.text,
            finish_reason=reply.finish_reason,
            n_prompt_tokens=reply.n_prompt_tokens,
            n_completion_tokens=reply.n_completion_tokens,
            latency_s=round(reply.latency_s, 3),
            n_tries=reply.n_tries,
            server=reply.server,
        )
        await asyncio.wrap_future(log.append(entry))


class _Shard:
    """The figures of one shard on their way, oldest first."""

    def __init__(self, engine: VllmCaptioner, log: AnswerLog, job: CaptionJob) -> None:
        self.engine, self.log, self.job = engine, log, job
        self.on_their_way: deque[Asked] = deque()
        self.unfinished = self.unfinished_bytes = 0
        self.error: BaseException | None = None
        self.change = threading.Condition()
        self.progress = Progress("recaptions", job.n_figures, engine._progress_log)

    def answers(self, requests: Iterator[CaptionRequest]) -> Iterator[CaptionAnswer]:
        """Yield one answer per request, in order."""
        try:
            with self.engine.throughput.of_shard():
                while (first := next(requests, None)) is not None:
                    yield from self._block(chain((first,), islice(requests, BLOCK_FIGURES - 1)))
                while self.on_their_way:
                    self.log.hurry()  # nothing comes that their answers could wait for
                    self._wait(self._is_head_done)
                    yield from self._done()
        finally:
            for asked in self.on_their_way:
                if asked.future is not None:
                    asked.future.cancel()

    def _block(self, requests: Iterator[CaptionRequest]) -> Iterator[CaptionAnswer]:
        """Send some figures on their way, and yield what is done meanwhile."""
        self.log.refresh()  # what a run beside this one has paid for meanwhile
        made_ready: deque[Asked] = deque()
        ready = partial(model_image_url_or_failed, self.engine.settings.image)
        images = self._images(requests, made_ready)
        for image_url in self.engine.map_items(ready, images, what="images made ready"):
            self._send(made_ready.popleft(), image_url)
            self._wait(self._has_room)
            yield from self._done()
        yield from self._done()

    def _images(self, requests: Iterator[CaptionRequest], made_ready: deque[Asked]) -> Iterator[bytes]:
        """Yield the images that must be sent; the figures of the others have their answers in the log."""
        for request in requests:
            asked = self.engine.asked(request)
            found = self.engine.next_attempt(asked, self.log)
            self.on_their_way.append(asked)
            if isinstance(found, CaptionAnswer):
                asked.answer = found
                self.engine.throughput.n_from_log += 1
            else:
                made_ready.append(asked)
                yield request.image or b""

    def _send(self, asked: Asked, image_url: bytes | Failed) -> None:
        if isinstance(image_url, Failed):
            asked.answer = CaptionAnswer(
                recaption=None, rejection=image_url.rejection, evidence=image_url.evidence, flags=asked.flags
            )
            return
        with self.change:
            self.unfinished += 1
            self.unfinished_bytes += len(image_url)
        asked.future = self.engine.service.submit(self._answer(asked, image_url))
        asked.future.add_done_callback(partial(self._finished, len(image_url)))

    async def _answer(self, asked: Asked, image_url: bytes) -> CaptionAnswer:
        """Ask until an answer can be used, or all attempts are spent."""
        while True:
            found = self.engine.next_attempt(asked, self.log)
            if isinstance(found, CaptionAnswer):
                return found
            try:
                await self.engine.ask(asked, found, image_url, self.log)
            except RequestRefused as error:
                return self._rejected(asked, Rejection.REQUEST_REFUSED, error)
            except RequestFailed as error:
                return self._rejected(asked, Rejection.REQUEST_FAILED, error)

    def _rejected(self, asked: Asked, rejection: Rejection, error: Exception) -> CaptionAnswer:
        return CaptionAnswer(recaption=None, rejection=rejection, evidence=str(error), flags=asked.flags)

    def _finished(self, n_bytes: int, future: "Future[CaptionAnswer]") -> None:
        with self.change:
            self.unfinished -= 1
            self.unfinished_bytes -= n_bytes
            if not future.cancelled() and future.exception() is not None:
                self.error = self.error or future.exception()
            self.change.notify()

    # --- waiting -------------------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        head = self.on_their_way[0] if self.on_their_way else None
        is_stuck = head is not None and head.future is not None and not head.future.done()
        return (
            self.unfinished < 2 * self.engine.service.in_flight
            and self.unfinished_bytes < MAX_WAITING_BYTES
            and (len(self.on_their_way) < MAX_UNCLAIMED or not is_stuck)
        )

    def _is_head_done(self) -> bool:
        head = self.on_their_way[0]
        return head.answer is not None or (head.future is not None and head.future.done())

    def _wait(self, is_enough: Callable[[], bool]) -> None:
        """Wait until there is room, saying how far it is; raise as soon as the service is down."""
        while True:
            with self.change:
                if self.error is not None:
                    raise self.error
                if is_enough():
                    return
                self.change.wait(WAIT_S)
            if self.progress.next_line_in_s() <= 0:
                self.progress.line(self._remarks())

    def _remarks(self) -> str:
        counts = self.engine.service.counts
        errors = f", {counts.n_errors} service errors" if counts.n_errors else ""
        busy = f", {counts.n_busy} times told to wait" if counts.n_busy else ""
        return f", {counts.n_prompt_tokens + counts.n_completion_tokens:,} tokens{errors}{busy}"

    def _done(self) -> Iterator[CaptionAnswer]:
        """Yield the oldest figures that are answered."""
        while self.on_their_way and self._is_head_done():
            asked = self.on_their_way.popleft()
            answer = asked.answer or cast("Future[CaptionAnswer]", asked.future).result()
            self.engine.throughput.note(answer)
            self.progress.step()
            yield answer


def model_image_url_or_failed(window: ModelImage, image: bytes) -> bytes | Failed:
    """Return an image as it is sent, or why it cannot be: of the image, not of the worker."""
    try:
        return model_image_url(image, window)
    except ValueError as error:
        return Failed(Rejection.IMAGE_UNREADABLE, str(error))
