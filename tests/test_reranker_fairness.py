"""Who runs first, how much at a time, and who is let in."""

import asyncio
import threading

import msgspec
import pytest
from fakes import INFO, FakeModel
from reranking import ask, queued, running, scores, until, untokenized

from podium.errors import Overloaded
from podium.ranking import RankRequest


async def test_a_small_request_waits_for_one_batch_of_a_large_one():
    gate = threading.Semaphore(0)
    model = FakeModel(gate=gate)
    async with running(model, max_batch_tokens=40) as reranker:
        large = asyncio.create_task(reranker.rank(ask(*(f"large{n} x" for n in range(1_000)))))
        await until(lambda: len(model.batches) == 1)
        small = asyncio.create_task(reranker.rank(ask(*(f"small{n} x" for n in range(10)))))
        await until(lambda: any("small9 x" in texts for texts in model.slices))
        await until(lambda: 10 in queued(reranker))
        gate.release()
        await until(lambda: len(model.batches) == 2)
        assert model.batches[1] == [f"small{n} x" for n in range(10)]
        gate.release(2_000)
        await asyncio.gather(large, small)


async def test_a_large_request_is_tokenized_little_by_little_as_its_batches_run():
    """As a whole, its tokenization would take the cores from the batches that small requests wait for."""
    gate = threading.Semaphore(0)
    model = FakeModel(gate=gate)
    async with running(model, max_batch_tokens=40, tokens_per_s=1e5, allow_priority=True) as reranker:
        large = asyncio.create_task(reranker.rank(ask(*(f"large{n} x" for n in range(1_000)))))
        await until(lambda: len(model.batches) == 1)
        # What is due last comes when the tokenizer has nothing else to do.
        last = asyncio.create_task(reranker.rank(ask("last", priority=10)))
        await until(lambda: any("last" in texts for texts in model.slices))
        assert sum(map(len, model.slices)) < 200
        gate.release(2_000)
        rankings = await asyncio.gather(large, last)
    assert [len(ranking.scores) for ranking in rankings] == [1_000, 1]


def held_tokenizer(model: FakeModel) -> threading.Semaphore:
    """Let one slice be tokenized, and another one for each release of what is returned."""
    release = threading.Semaphore(1)
    documents = model.documents

    def slow_tokenize(texts, **options):
        release.acquire()
        return documents(texts, **options)

    model.documents = slow_tokenize
    return release


async def test_tokenization_goes_in_slices_and_a_small_request_comes_between_them():
    model = FakeModel()
    release = held_tokenizer(model)
    async with running(model) as reranker:
        large = asyncio.create_task(reranker.rank(ask(*(f"large{n}" for n in range(300)))))
        await until(lambda: len(model.slices) == 1)
        small = asyncio.create_task(reranker.rank(ask("small")))
        await until(lambda: 1 in untokenized(reranker))
        release.release(1_000)
        await asyncio.gather(large, small)
    sizes = [len(texts) for texts in model.slices]
    assert max(sizes) == sizes[0] == 64
    assert next(index for index, texts in enumerate(model.slices) if "small" in texts) <= 2


async def test_a_slice_of_long_documents_holds_few_of_them():
    model = FakeModel()
    async with running(model) as reranker:
        await reranker.rank(ask(*("w" * 200_000 + str(n) for n in range(8)), overflow="chunk"))
    assert max(len(texts) for texts in model.slices) <= 3


@pytest.mark.parametrize(
    ("query", "instruction", "sizes"), [("q" * 200_000, None, [2] * 4), ("q", "i" * 60_000, [5, 3])]
)
async def test_a_slice_that_reads_long_queries_or_a_long_instruction_reads_few_of_them(
    query, instruction, sizes
):
    model = FakeModel(msgspec.structs.replace(INFO, instruction_use="slot"))
    queries = [f"{query}{n}" for n in range(8)]
    async with running(model) as reranker:
        await reranker.rank(RankRequest(queries=queries, documents=["d"] * 8, instruction=instruction))
    assert [len(texts) for texts in model.slices] == sizes


async def test_a_document_of_several_slices_lets_a_small_request_go_first():
    model = FakeModel()
    release = held_tokenizer(model)
    document = "w" * 99 + (" " + "w" * 99) * 9_999 + " score=3"
    async with running(model, max_windows=1_000) as reranker:
        asked = ask(document, overflow="chunk", spans=True, raw_scores=True)
        large = asyncio.create_task(reranker.rank(asked))
        await until(lambda: len(model.slices) == 1)
        small = asyncio.create_task(reranker.rank(ask("small")))
        await until(lambda: reranker.active == 2)  # a slow tokenizer may hold it by now
        release.release(100)
        ranking, _ = await asyncio.gather(large, small)
    assert next(index for index, texts in enumerate(model.slices) if "small" in texts) <= 2
    assert len(model.slices) == 5
    assert max(len(text) for texts in model.slices for text in texts) <= 256 * 1024
    assert (scores(ranking), ranking.usage.truncated_documents) == ([3], 0)
    assert document[slice(*ranking.spans[0][-1][:2])].endswith(" score=3")


async def test_a_document_is_not_tokenized_beyond_what_can_be_read_of_it():
    model = FakeModel()
    document = "score=1 " + "w " * 400_000
    async with running(model) as reranker:
        ranking = await reranker.rank(ask(document, overflow="chunk", max_chunks=3, raw_scores=True))
    assert sum(len(text) for texts in model.slices for text in texts) < 300_000
    assert (scores(ranking), ranking.usage.truncated_documents) == ([1], 1)
    assert ranking.usage.tokens == 3 * 64


async def test_batches_shrink_for_a_slow_model():
    model = FakeModel(msgspec.structs.replace(INFO, max_length=64))
    async with running(model, max_batch_tokens=4_096) as reranker:
        model.seconds_per_token = 1e-4
        await reranker.rank(ask(*(f"{n} " * 20 for n in range(300))))
        fast = max(map(len, model.batches))
        model.seconds_per_token = 1e-3
        await reranker.rank(ask(*(f"{n} " * 20 for n in range(300))))
        model.batches.clear()
        await reranker.rank(ask(*(f"{n} " * 20 for n in range(60))))
    slow = max(map(len, model.batches))
    assert slow < fast / 4


@pytest.mark.parametrize(("allowed", "first_word"), [(True, "urgent"), (False, "small")])
async def test_priority_goes_before_size_where_callers_may_use_it(allowed, first_word):
    gate = threading.Semaphore(0)
    model = FakeModel(gate=gate)
    async with running(model, max_batch_tokens=40, allow_priority=allowed) as reranker:
        first = asyncio.create_task(reranker.rank(ask("first")))
        await until(lambda: len(model.batches) == 1)
        small = asyncio.create_task(reranker.rank(ask("small")))
        urgent = asyncio.create_task(reranker.rank(ask(*(f"urgent{n} x" for n in range(30)), priority=-1)))
        await until(lambda: any("urgent29 x" in texts for texts in model.slices))
        await until(lambda: queued(reranker) == [1, 30])
        gate.release(100)
        await asyncio.gather(first, small, urgent)
    assert model.batches[1][0].startswith(first_word)


async def test_a_request_is_admitted_whole_or_not_at_all():
    model = FakeModel()
    async with running(model, max_queue_pairs=10) as reranker:
        running_ = asyncio.create_task(reranker.rank(ask("block")))
        await until(lambda: model.batches != [])
        waiting = asyncio.create_task(reranker.rank(ask(*(f"a{n}" for n in range(6)))))
        await until(lambda: reranker._engine.backlog.pairs == 6)
        with pytest.raises(Overloaded, match="6 pairs are waiting and this request has 5, the limit is 10"):
            await reranker.rank(ask(*(f"b{n}" for n in range(5))))
        model.unblock()
        await asyncio.gather(running_, waiting)
    tokenized = {text for texts in model.slices for text in texts}
    assert not tokenized & {f"b{n}" for n in range(5)}


@pytest.mark.parametrize(("speed", "retry_after_s"), [(100.0, 6), (10.0, 60)])
async def test_retry_after_follows_the_speed_of_the_last_batches(speed, retry_after_s):
    model = FakeModel()
    async with running(model, max_queue_pairs=10, tokens_per_s=speed) as reranker:
        ahead = asyncio.create_task(reranker.rank(ask("block")))
        await until(lambda: model.batches != [])
        waiting = asyncio.create_task(reranker.rank(ask(*(f"a{n} " * 58 for n in range(10)))))
        await until(lambda: any("a9" in text for texts in model.slices for text in texts))
        await until(lambda: queued(reranker) == [10])
        with pytest.raises(Overloaded) as refused:
            await reranker.rank(ask("one more"))
        assert refused.value.retry_after_s == retry_after_s
        model.unblock()
        await asyncio.gather(ahead, waiting)


async def test_a_request_larger_than_the_queue_is_admitted_when_nothing_waits():
    async with running(FakeModel(), max_queue_pairs=3) as reranker:
        assert len((await reranker.rank(ask(*"abcdef"))).scores) == 6
