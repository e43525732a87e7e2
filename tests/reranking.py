"""What the tests of the data path share: a reranker over the model that misbehaves, and requests for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from fakes import FakeModel
from msgspec.structs import replace

from podium.ranking import Ranking, RankRequest
from podium.reranker import Reranker
from podium.telemetry.metrics import Metrics


def ask(*documents: str, query: str = "query", **fields: object) -> RankRequest:
    return RankRequest(queries=[query], documents=documents, **fields)


@contextlib.asynccontextmanager
async def running(model: FakeModel, **settings: object) -> AsyncIterator[Reranker]:
    """Give a test so long that only a request that is never answered fails for it."""
    reranker = Reranker(model, **{"metrics": Metrics(), "max_batch_tokens": 4_096, **settings})
    try:
        async with asyncio.timeout(60):
            yield reranker
    finally:
        model.unblock()
        reranker.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not condition():
            await asyncio.sleep(0.001)


def queued(reranker: Reranker) -> list[int]:
    """Return how many windows of each request wait for a batch, in ascending order."""
    return sorted(map(len, reranker._engine._groups.values()))


def untokenized(reranker: Reranker) -> list[int]:
    """Return how many pairs of each request wait for the tokenizer, in ascending order."""
    return sorted(len(job.left) for _, _, job in reranker._tokenization._jobs)


def untimed(ranking: Ranking) -> Ranking:
    """Return a ranking without where its time went, to be compared with another one."""
    return replace(ranking, timing=None)


def scores(ranking: Ranking) -> list[float]:
    return list(ranking.scores)
