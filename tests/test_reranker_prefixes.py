"""Prefixes that a batch computes once, and instructions."""

import asyncio
import logging
import threading

import pytest
from fakes import INFO, FakeModel
from msgspec.structs import replace
from reranking import ask, running, scores, until, untimed

from podium.errors import InvalidRequest
from podium.models.text.reading import INSTRUCTION_CHARACTERS
from podium.ranking import RankRequest
from podium.telemetry.metrics import Metrics

QUERY = "nine words that are the same for every document"
TAKES = replace(INFO, instruction_use="slot")


def value(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value(name)


async def test_a_prefix_counts_once_a_batch_and_in_usage_with_every_document():
    metrics = Metrics()
    async with running(FakeModel(shares=True), metrics=metrics) as reranker:
        ranking = await reranker.rank(ask(*"abcd", query=QUERY))
    assert ranking.usage.tokens == 4 * (9 + 1 + 1)
    assert value(metrics, "podium_tokens_total") == 9 + 1 + 4
    assert value(metrics, "podium_batch_tokens_sum") == 9 + 1 + 4
    assert value(metrics, "podium_padding_avoided_tokens_total") == 3 * (9 + 1)


async def test_the_queue_counts_a_prefix_once_while_any_of_its_documents_waits():
    model = FakeModel(shares=True, gate=(gate := threading.Semaphore(0)))
    async with running(model, max_batch_tokens=24) as reranker:
        waiting = lambda: (reranker._engine.backlog.pairs, reranker._engine.backlog.tokens)  # noqa: E731
        ahead = asyncio.create_task(reranker.rank(ask("ahead", query="other")))
        await until(lambda: model.batches != [] and waiting() == (0, 0))
        task = asyncio.create_task(reranker.rank(ask(*"abcdefghijklmnopqrst", query=QUERY)))
        await until(lambda: waiting() == (20, 9 + 1 + 20))
        gate.release()
        await until(lambda: waiting() == (6, 9 + 1 + 6))  # 14 documents beside the prefix fill a batch
        gate.release(10)
        await asyncio.gather(ahead, task)
        assert waiting() == (0, 0)
    assert [len(batch) for batch in model.batches] == [1, 14, 6]


async def test_a_batch_that_its_prefix_would_fill_holds_more_documents_than_its_budget():
    model = FakeModel(shares=True)
    async with running(model, tokens_per_s=40) as reranker:
        await reranker.rank(ask(*(f"w{n} x y" for n in range(60)), query=QUERY))
    assert len(model.batches[0]) == 36  # 10 tokens and 36 times 3 are no more than 10 ÷ PREFIX_SHARE


async def test_a_batch_of_a_very_slow_model_is_not_stretched_beyond_ten_seconds():
    model = FakeModel(shares=True)
    async with running(model, tokens_per_s=2, least_batch_tokens=256) as reranker:
        await reranker.rank(ask(*(f"w{n} x y" for n in range(60)), query=QUERY))
    assert len(model.batches[0]) == 3  # 10 tokens and 3 times 3 are no more than 20


@pytest.mark.parametrize("forward", ["packed", "padded"])
async def test_a_model_that_shares_nothing_counts_every_token(forward):
    metrics = Metrics()
    async with running(FakeModel(replace(INFO, forward=forward)), metrics=metrics) as reranker:
        await reranker.rank(ask("a", "b c", query="q"))
    assert value(metrics, "podium_tokens_total") == {"packed": 3 + 4, "padded": 2 * 4}[forward]


async def test_an_instruction_reaches_the_model_and_is_part_of_what_is_remembered():
    model = FakeModel(TAKES)
    async with running(model, cache_bytes=2**20) as reranker:
        plain = await reranker.rank(ask("a"))
        told = await reranker.rank(ask("a", instruction="three more words"))
        again = await reranker.rank(ask("a", instruction="three more words"))
        empty = await reranker.rank(ask("a", instruction=""))
    assert (plain.usage.tokens, told.usage.tokens, empty.usage.tokens) == (3, 6, 3)
    assert untimed(again) == untimed(told)
    assert len(model.batches) == 3


async def test_a_model_that_takes_no_instruction_ignores_them_and_says_so_once(caplog):
    model = FakeModel()
    async with running(model, cache_bytes=2**20) as reranker:
        with caplog.at_level(logging.WARNING):
            plain = await reranker.rank(ask("a"))
            told = await reranker.rank(ask("a", instruction="three more words"))
            await reranker.rank(ask("b", instruction="three more words"))
    assert untimed(plain) == untimed(told)
    assert [record.message for record in caplog.records] == [
        "the model takes no instructions: that of a request is ignored, and those of later ones"
    ]


async def test_an_instruction_that_leaves_no_room_fails_its_request_alone():
    class Short(FakeModel):
        def queries(self, texts, *, instruction=None, max_characters=None):
            if instruction:
                raise InvalidRequest("instruction: too long", "instruction")
            return super().queries(texts)

    async with running(Short(TAKES)) as reranker:
        with pytest.raises(InvalidRequest, match=r"^instruction: too long$"):
            await reranker.rank(ask("a", instruction="much"))
        assert scores(await reranker.rank(ask("score=1", raw_scores=True))) == [1]
        assert reranker.active == 0


async def test_an_instruction_that_is_too_long_is_refused_before_anything_is_read():
    model = FakeModel(TAKES)
    async with running(model) as reranker:
        refused = r"^instruction: it has 65537 characters, at most 65536 are read; shorten it$"
        with pytest.raises(InvalidRequest, match=refused):
            await reranker.rank(ask("a", instruction="i" * (INSTRUCTION_CHARACTERS + 1)))
    assert model.slices == []


async def test_queries_of_one_request_each_have_their_own_prefix():
    metrics = Metrics()
    request = RankRequest(queries=["a b", "c d"], documents=["x", "y"])
    async with running(FakeModel(shares=True), metrics=metrics) as reranker:
        ranking = await reranker.rank(request)
    assert ranking.usage.tokens == value(metrics, "podium_tokens_total") == 2 * 4
