"""The cache, and pairs that several requests wait for."""

import asyncio

import pytest
from fakes import FakeModel
from reranking import ask, running, scores, until, untimed

from podium.errors import DeadlineExceeded, PairTooLong
from podium.telemetry.metrics import Metrics


async def test_a_known_pair_is_not_scored_again_and_costs_the_same():
    model = FakeModel()
    async with running(model, cache_bytes=2**20) as reranker:
        first = await reranker.rank(ask("score=1 a", "w " * 100))
        second = await reranker.rank(ask("score=1 a", "w " * 100))
    assert untimed(first) == untimed(second)
    assert len(model.batches) == 1


@pytest.mark.parametrize("limit", [None, 10])
async def test_a_pair_that_may_not_be_cut_is_told_its_limit_whether_it_is_known_or_not(limit):
    async with running(FakeModel(), cache_bytes=2**20) as reranker:
        long = "w " * 100
        told = []
        for first in (True, False):
            if not first:
                await reranker.rank(ask(long, max_pair_tokens=limit))
            with pytest.raises(PairTooLong) as refused:
                await reranker.rank(ask(long, max_pair_tokens=limit, truncate=False))
            told.append(refused.value.message)
    assert told[0] == told[1]
    assert f"102 tokens, the limit is {limit or 64};" in told[0]


async def test_equal_documents_of_a_request_are_scored_once():
    model = FakeModel()
    async with running(model, cache_bytes=2**20) as reranker:
        ranking = await reranker.rank(ask("score=1", "score=2", "score=1", raw_scores=True))
    assert scores(ranking) == [1, 2, 1]
    assert sorted(model.batches[0]) == ["score=1", "score=2"]


async def test_without_a_cache_every_pair_is_scored():
    model = FakeModel()
    async with running(model, cache_bytes=0) as reranker:
        await reranker.rank(ask("a", "a"))
        await reranker.rank(ask("a"))
    assert sum(map(len, model.batches)) == 3


async def test_a_pair_in_flight_is_shared_by_later_requests():
    model = FakeModel()
    async with running(model, cache_bytes=2**20) as reranker:
        first = asyncio.create_task(reranker.rank(ask("block score=1", raw_scores=True)))
        await until(lambda: model.batches != [])
        second = asyncio.create_task(reranker.rank(ask("block score=1", "score=2", raw_scores=True)))
        await until(lambda: reranker.active == 2)
        model.unblock()
        assert (scores(await first), scores(await second)) == ([1], [1, 2])
    assert sum(map(len, model.batches)) == 2


async def test_a_waiter_that_leaves_does_not_take_the_pair_from_another():
    model = FakeModel()
    async with running(model, cache_bytes=2**20, max_batch_tokens=16) as reranker:
        ahead = asyncio.create_task(reranker.rank(ask("block")))
        await until(lambda: model.batches != [])
        first = asyncio.create_task(reranker.rank(ask("score=1", raw_scores=True)))
        await until(lambda: reranker.active == 2)
        second = asyncio.create_task(reranker.rank(ask("score=1", raw_scores=True)))
        await until(lambda: reranker.active == 3)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        model.unblock()
        assert scores(await second) == [1]
        await ahead


async def test_a_pair_is_dropped_when_its_last_waiter_has_left():
    model = FakeModel()
    metrics = Metrics()
    async with running(model, cache_bytes=2**20, metrics=metrics) as reranker:
        ahead = asyncio.create_task(reranker.rank(ask("block")))
        await until(lambda: model.batches != [])
        waiters = [asyncio.create_task(reranker.rank(ask("unwanted", "too"))) for _ in range(2)]
        await until(lambda: metrics.registry.get_sample_value("podium_queue_pairs") == 2)
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        assert metrics.registry.get_sample_value("podium_queue_pairs") == 0
        assert metrics.registry.get_sample_value("podium_queue_tokens") == 0
        model.unblock()
        await ahead
        await reranker.rank(ask("last"))
    assert model.batches == [["block"], ["last"]]


async def test_one_waiters_deadline_does_not_fail_another():
    model = FakeModel()
    async with running(model, cache_bytes=2**20, request_timeout_s=0.3) as reranker:
        first = asyncio.create_task(reranker.rank(ask("block score=1", raw_scores=True)))
        await asyncio.sleep(0.2)
        second = asyncio.create_task(reranker.rank(ask("block score=1", raw_scores=True)))
        with pytest.raises(DeadlineExceeded):
            await first
        model.unblock()
        assert scores(await second) == [1]
