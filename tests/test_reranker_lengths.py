"""Documents that are too long: cut, read in windows, or limited by the request."""

import asyncio
import threading

import pytest
from fakes import FakeModel
from reranking import ask, running, scores, until, untimed

from podium.errors import InvalidRequest, PairTooLong


async def test_a_long_document_is_read_in_windows_and_its_best_one_counts():
    model = FakeModel()
    document = " ".join(["w"] * 100 + ["score=5"] + ["w"] * 100)
    async with running(model) as reranker:
        cut = await reranker.rank(ask(document, raw_scores=True))
        read = await reranker.rank(ask(document, raw_scores=True, overflow="chunk"))
    assert (scores(cut), cut.usage.truncated_documents) == ([0], 1)
    assert (scores(read), read.usage.truncated_documents) == ([5], 0)
    assert read.usage.tokens == 4 * 64


async def test_a_document_of_megabytes_is_clipped_before_anything_else_looks_at_it():
    model = FakeModel()
    async with running(model, cache_bytes=2**20) as reranker:
        ranking = await reranker.rank(ask("w" * 10_000_000))
    assert max(len(text) for texts in model.slices for text in texts) == 1024 * 1024
    assert ranking.usage.truncated_documents == 1


async def test_max_chunks_bounds_the_windows_and_says_that_the_rest_was_cut():
    document = " ".join(["w"] * 200 + ["score=5"])
    async with running(FakeModel()) as reranker:
        ranking = await reranker.rank(ask(document, raw_scores=True, overflow="chunk", max_chunks=2))
    assert scores(ranking) == [0]
    assert (ranking.usage.tokens, ranking.usage.truncated_documents) == (2 * 64, 1)


async def test_the_spans_of_the_windows_are_told_when_asked_for():
    document = " ".join(["abc"] * 61 + ["score=2"] + ["def"] * 8)
    async with running(FakeModel(), cache_bytes=2**20) as reranker:
        for _ in range(2):  # the second time from the cache
            ranking = await reranker.rank(ask(document, "short", overflow="chunk", spans=True))
            (first, last), (whole,) = ranking.spans
            assert (first[0], last[1]) == (0, len(document))
            assert document[first[0] : first[1]].endswith("score=2")
            assert first[2] == pytest.approx(0.8808, abs=1e-4)
            assert whole == (0, len("short"), 0.5)


async def test_the_end_of_a_document_is_kept_when_its_beginning_is_to_be_cut():
    document = " ".join(["score=1"] + ["w"] * 100 + ["score=2"])
    async with running(FakeModel()) as reranker:
        right = await reranker.rank(ask(document, raw_scores=True))
        left = await reranker.rank(ask(document, raw_scores=True, truncate_side="left"))
    assert (scores(right), scores(left)) == ([1], [2])
    assert (right.usage, left.usage) == (right.usage, right.usage)


async def test_a_limit_of_the_request_is_kept_and_does_not_count_as_cutting():
    async with running(FakeModel(), cache_bytes=2**20) as reranker:
        whole = await reranker.rank(ask("a b c d"))
        limited = await reranker.rank(ask("a b c d", max_document_tokens=2, truncate=False))
    assert (whole.usage.tokens, limited.usage.tokens) == (6, 4)
    assert limited.usage.truncated_documents == 0


async def test_windows_too_small_for_a_sentence_are_refused_and_hold_nobody_up():
    model = FakeModel()
    async with running(model) as reranker:
        small = ask("w " * 500_000, overflow="chunk", max_pair_tokens=5)
        with pytest.raises(InvalidRequest, match=r"^beside the query 3 tokens of 5 are left for a window"):
            await reranker.rank(small)
        assert scores(await reranker.rank(ask("score=1", raw_scores=True))) == [1]
    assert model.batches == [["score=1"]]


async def test_a_document_of_more_windows_than_the_setting_allows_is_cut_and_counted():
    document = " ".join(["w"] * 1_000 + ["score=5"])
    async with running(FakeModel(), max_windows=3) as reranker:
        some = await reranker.rank(ask(document, raw_scores=True, overflow="chunk"))
        more = await reranker.rank(ask(document, raw_scores=True, overflow="chunk", max_chunks=100))
    assert (scores(some), some.usage.tokens, some.usage.truncated_documents) == ([0], 3 * 64, 1)
    assert untimed(more) == untimed(some)


async def test_a_document_of_too_many_windows_that_may_not_be_cut_is_refused_before_one_runs():
    model = FakeModel()
    async with running(model, max_windows=3) as reranker:
        with pytest.raises(PairTooLong, match=r"^document 0 and the query need more than 3 windows of 64 t"):
            await reranker.rank(ask("w " * 1_000, overflow="chunk", truncate=False))
        assert len((await reranker.rank(ask("w " * 100, overflow="chunk", truncate=False))).scores) == 1
    assert sum(map(len, model.batches)) == 2


async def test_no_more_of_a_document_is_tokenized_than_its_windows_hold():
    model = FakeModel()
    async with running(model) as reranker:
        await reranker.rank(ask("w " * 500_000, overflow="chunk"))
    assert sum(len(text) for texts in model.slices for text in texts) <= 256 * 1024


async def test_a_request_that_may_become_too_many_windows_is_refused_though_nothing_waits():
    model = FakeModel()
    documents = ["w " * 5_000] * 20
    async with running(model, max_queue_pairs=1_000) as reranker:
        with pytest.raises(
            InvalidRequest, match=r"^20 documents may become 1280 windows, the limit is 1000 "
        ):
            await reranker.rank(ask(*documents, overflow="chunk"))
        with pytest.raises(InvalidRequest, match=r"lower `max_chunks_per_doc`$"):
            await reranker.rank(ask(*documents, overflow="chunk"))
        few = await reranker.rank(ask(*documents, overflow="chunk", max_chunks=2))
        whole = await reranker.rank(ask(*documents))
    assert few.usage.tokens == 20 * 2 * 64
    assert whole.usage.tokens == 20 * 64


async def test_windows_wait_as_such_and_are_put_together_when_they_run():
    class Counted(FakeModel):
        pairs = 0

        def pair(self, query, document):
            self.pairs += 1
            return super().pair(query, document)

    model = Counted(gate=(gate := threading.Semaphore(0)))
    async with running(model, max_batch_tokens=64) as reranker:
        ahead = asyncio.create_task(reranker.rank(ask("ahead")))
        await until(lambda: model.batches != [])
        task = asyncio.create_task(reranker.rank(ask("w " * 1_000, overflow="chunk", max_chunks=10)))
        await until(lambda: reranker._engine.backlog.tokens == 10 * 64)
        assert (reranker._engine.backlog.pairs, model.pairs) == (10, 1 + 1)
        gate.release(2)
        await until(lambda: len(model.batches) == 3)
        assert model.pairs <= 1 + 1 + 2
        gate.release(100)
        await asyncio.gather(ahead, task)
    assert model.pairs == 1 + 10
