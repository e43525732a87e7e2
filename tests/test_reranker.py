"""The data path from a request to its ranking, and its end when the server leaves."""

import asyncio

import pytest
from fakes import FakeModel
from reranking import ask, running, scores, until

from podium.errors import PairTooLong, Unavailable
from podium.ranking import Ranking, RankRequest
from podium.telemetry.metrics import Metrics


async def test_documents_are_scored_and_ordered():
    async with running(FakeModel()) as reranker:
        ranking = await reranker.rank(ask("score=1", "score=3", "score=2", raw_scores=True))
    assert scores(ranking) == [1, 3, 2]
    assert ranking.order == [1, 2, 0]


async def test_usage_counts_tokens_and_cut_documents():
    async with running(FakeModel()) as reranker:
        ranking = await reranker.rank(ask("a b", "w " * 100))
    assert (ranking.usage.tokens, ranking.usage.truncated_documents) == (4 + 64, 1)


async def test_each_document_may_have_a_query_of_its_own():
    async with running(FakeModel(), cache_bytes=2**20) as reranker:
        request = RankRequest(queries=["one", "one two"], documents=["a", "a"])
        ranking = await reranker.rank(request)
    assert ranking.usage.tokens == 3 + 4


async def test_a_pair_that_does_not_fit_is_refused_by_name_when_cutting_is_forbidden():
    async with running(FakeModel()) as reranker:
        with pytest.raises(
            PairTooLong, match=r"^document 1 and the query need at least 102 tokens, the limit"
        ):
            await reranker.rank(ask("fits", "w " * 100, truncate=False))


async def test_a_pair_from_the_cache_is_refused_too_when_cutting_is_forbidden():
    async with running(FakeModel(), cache_bytes=2**20) as reranker:
        await reranker.rank(ask("w " * 100))
        with pytest.raises(
            PairTooLong, match=r"^document 0 and the query need at least 102 tokens, the limit"
        ):
            await reranker.rank(ask("w " * 100, truncate=False))


async def test_draining_answers_what_was_admitted_and_admits_nothing_more():
    model = FakeModel()
    async with running(model) as reranker:
        admitted = asyncio.create_task(reranker.rank(ask("block score=1", raw_scores=True)))
        await until(lambda: model.batches != [])
        draining = asyncio.create_task(reranker.drain(10))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="shutting down"):
            await reranker.rank(ask("new"))
        model.unblock()
        assert scores(await admitted) == [1]
        await draining


async def test_what_is_not_scored_when_the_drain_is_over_is_failed():
    model = FakeModel()
    async with running(model) as reranker:
        admitted = asyncio.create_task(reranker.rank(ask("block")))
        await until(lambda: model.batches != [])
        await reranker.drain(0.05)
        with pytest.raises(Unavailable, match="shut down before"):
            await admitted


async def test_nothing_is_lost_or_left_over_under_a_random_load():
    """Many callers, shared pairs, failures and cancellations: every call ends, and the queue is empty."""
    model = FakeModel()
    metrics = Metrics()
    async with running(model, cache_bytes=2**20, max_batch_tokens=64, metrics=metrics) as reranker:

        async def call(number: int) -> str:
            documents = [f"score={(number * n) % 7} d{(number * n) % 50}" for n in range(1, 20)]
            if number % 50 == 3:
                documents.append(f"raise {number}")
            task = asyncio.create_task(reranker.rank(ask(*documents, raw_scores=True)))
            if number % 5 == 1:
                await asyncio.sleep(number % 3 / 1_000)
                task.cancel()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            if isinstance(result, Ranking):
                assert scores(result) == [(number * n) % 7 for n in range(1, 20)]
            return type(result).__name__

        outcomes = await asyncio.gather(*map(call, range(200)))
        assert set(outcomes) <= {"Ranking", "ModelFailed", "CancelledError"}
        assert "Ranking" in outcomes
        assert metrics.registry.get_sample_value("podium_queue_pairs") == 0
        assert metrics.registry.get_sample_value("podium_queue_tokens") == 0
        assert reranker.active == 0
