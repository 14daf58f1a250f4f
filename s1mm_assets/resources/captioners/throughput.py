"""What recaptioning cost: figures and tokens per second, GPU time, failures, the servers' prefix cache.

For people and bills; none of it is part of the data.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from s1mm_assets.recaptioning.window import CaptionAnswer
from s1mm_assets.resources.captioners.chat_servers import Counts

PREFIX_QUERIES, PREFIX_HITS = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"


@dataclass(slots=True)
class Throughput:
    """Counts over all shards of one step."""

    n_figures: int = 0
    n_from_log: int = 0
    n_rejected: int = 0
    seconds: float = 0.0

    @contextmanager
    def of_shard(self) -> Iterator[None]:
        """Count the time in which figures are on their way."""
        since = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - since

    def note(self, answer: CaptionAnswer) -> None:
        """Count a figure that is done."""
        self.n_figures += 1
        self.n_rejected += answer.rejection is not None

    def report(
        self,
        counts: Counts,
        *,
        n_gpus: int | None,
        start_s: float,
        before: Mapping[str, float],
        after: Mapping[str, float],
    ) -> dict[str, Any]:
        """Return what a step came to, as asset metadata.

        Args:
            counts: What became of the requests.
            n_gpus: How many GPUs served; None where nobody said.
            start_s: Seconds in which servers of our own started; they are in the bill, not in the rates.
            before: The servers' counters when the step began.
            after: The same at its end.
        """
        n_asked = self.n_figures - self.n_from_log
        seconds = max(self.seconds - start_s, 1e-9)
        found: dict[str, Any] = {
            "asked": n_asked,
            "answered from the log": self.n_from_log,
            "failure rate": self.n_rejected / max(1, self.n_figures),
        }
        if not n_asked:
            return found
        found |= {
            "figures/s": n_asked / seconds,
            "prompt tokens/s": counts.n_prompt_tokens / seconds,
            "completion tokens/s": counts.n_completion_tokens / seconds,
            "service errors": counts.n_errors,
            "answers by server": dict(sorted(counts.by_server.items())),
        }
        if n_gpus:
            found["GPU s per 1,000 figures"] = 1_000 * n_gpus * (seconds + start_s) / n_asked
        queried = after.get(PREFIX_QUERIES, 0.0) - before.get(PREFIX_QUERIES, 0.0)
        if queried > 0:
            hits = after.get(PREFIX_HITS, 0.0) - before.get(PREFIX_HITS, 0.0)
            found["prefix cache hit rate"] = hits / queried
        return found
