"""A process that logs answers until it is killed or its store fails; it prints each key once it is durable."""

import asyncio
import resource
import sys
from itertools import count

from s1mm_assets.resources.captioners.answer_log import AnswerLog, LoggedAnswer
from s1mm_assets.resources.shard_store import ShardStore

PARTITION = "arxiv|2019"
SHARD = "chunk_001"


def answer(i: int, text: str | None = "Growth rises.", *, figure: int | None = None) -> LoggedAnswer:
    """The answer number i, to a figure of its own where none is given."""
    return LoggedAnswer(
        key=f"{i:064x}",
        figure_id=f"arxiv:2001.00001#{i if figure is None else figure}.1",
        text=text,
        finish_reason="stop",
        n_prompt_tokens=812,
        n_completion_tokens=201,
        latency_s=1.25,
        n_tries=1,
        server="http://127.0.0.1:8000",
    )


async def write(log: AnswerLog) -> None:
    """Log answers from sixteen tasks of one event loop, without end."""
    numbers = count()

    async def task() -> None:
        for i in numbers:
            await asyncio.wrap_future(log.append(answer(i)))
            print(i, flush=True)

    await asyncio.gather(*(task() for _ in range(16)))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    with AnswerLog.open(ShardStore(uri=sys.argv[1]), PARTITION, SHARD) as open_log:
        asyncio.run(write(open_log))
