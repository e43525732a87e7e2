"""The data path with a model that misbehaves on command: what happens to requests, whatever happens to it."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
from fakes import INFO, FakeModel

from podium.errors import (
    DeadlineExceeded,
    ModelFailed,
    Overloaded,
    PairTooLong,
    Unavailable,
)
from podium.ranking import Ranking, RankRequest
from podium.reranker import Reranker
from podium.telemetry.metrics import Metrics


def ask(*documents: str, query: str = "query", **fields: object) -> RankRequest:
    return RankRequest(queries=[query], documents=documents, **fields)


@contextlib.asynccontextmanager
async def running(model: FakeModel, **settings: object) -> AsyncIterator[Reranker]:
    reranker = Reranker(model, **{"metrics": Metrics(), "max_batch_tokens": 4_096, **settings})
    try:
        yield reranker
    finally:
        model.unblock()
        reranker.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def scores(ranking: Ranking) -> list[float]:
    return list(ranking.scores)


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
        with pytest.raises(PairTooLong, match="document 1 and the query need 102 tokens, the model takes 64"):
            await reranker.rank(ask("fits", "w " * 100, truncate=False))


async def test_a_pair_from_the_cache_is_refused_too_when_cutting_is_forbidden():
    async with running(FakeModel(), cache_bytes=2**20) as reranker:
        await reranker.rank(ask("w " * 100))
        with pytest.raises(PairTooLong, match="document 0 and the query need 102 tokens, the model takes 64"):
            await reranker.rank(ask("w " * 100, truncate=False))


# Long documents.


async def test_a_long_document_is_read_in_windows_and_its_best_one_counts():
    model = FakeModel()
    document = " ".join(["w"] * 100 + ["score=5"] + ["w"] * 100)
    async with running(model) as reranker:
        cut = await reranker.rank(ask(document, raw_scores=True))
        read = await reranker.rank(ask(document, raw_scores=True, overflow="chunk"))
    assert (scores(cut), cut.usage.truncated_documents) == ([0], 1)
    assert (scores(read), read.usage.truncated_documents) == ([5], 0)
    assert read.usage.tokens == 4 * 64


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


async def test_priority_goes_before_size():
    gate = threading.Semaphore(0)
    model = FakeModel(gate=gate)
    async with running(model, max_batch_tokens=40) as reranker:
        first = asyncio.create_task(reranker.rank(ask("first")))
        await until(lambda: len(model.batches) == 1)
        small = asyncio.create_task(reranker.rank(ask("small")))
        urgent = asyncio.create_task(reranker.rank(ask(*(f"urgent{n} x" for n in range(30)), priority=-1)))
        await until(lambda: any("urgent29 x" in texts for texts in model.slices))
        await asyncio.sleep(0.01)
        gate.release(100)
        await asyncio.gather(first, small, urgent)
    assert all(text.startswith("urgent") for text in model.batches[1])


# The cache, and pairs that several requests wait for.


async def test_a_known_pair_is_not_scored_again_and_costs_the_same():
    model = FakeModel()
    async with running(model, cache_bytes=2**20) as reranker:
        first = await reranker.rank(ask("score=1 a", "w " * 100))
        second = await reranker.rank(ask("score=1 a", "w " * 100))
    assert first == second
    assert len(model.batches) == 1


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
        await asyncio.sleep(0.01)
        model.unblock()
        assert (scores(await first), scores(await second)) == ([1], [1, 2])
    assert sum(map(len, model.batches)) == 2


async def test_a_waiter_that_leaves_does_not_take_the_pair_from_another():
    model = FakeModel()
    async with running(model, cache_bytes=2**20, max_batch_tokens=16) as reranker:
        ahead = asyncio.create_task(reranker.rank(ask("block")))
        await until(lambda: model.batches != [])
        first = asyncio.create_task(reranker.rank(ask("score=1", raw_scores=True)))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(reranker.rank(ask("score=1", raw_scores=True)))
        await asyncio.sleep(0.01)
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


# Fairness.


async def test_a_small_request_waits_for_one_batch_of_a_large_one():
    gate = threading.Semaphore(0)
    model = FakeModel(gate=gate)
    async with running(model, max_batch_tokens=40) as reranker:
        large = asyncio.create_task(reranker.rank(ask(*(f"large{n} x" for n in range(1_000)))))
        await until(lambda: len(model.batches) == 1)
        small = asyncio.create_task(reranker.rank(ask(*(f"small{n} x" for n in range(10)))))
        await until(lambda: any("small9 x" in texts for texts in model.slices))
        await asyncio.sleep(0.01)
        gate.release()
        await until(lambda: len(model.batches) == 2)
        assert model.batches[1] == [f"small{n} x" for n in range(10)]
        gate.release(2_000)
        await asyncio.gather(large, small)


async def test_tokenization_goes_in_slices_and_a_small_request_comes_between_them():
    model = FakeModel()
    release = threading.Semaphore(1)
    tokenize = model.tokenize

    def slow_tokenize(texts, **options):
        release.acquire()
        return tokenize(texts, **options)

    model.tokenize = slow_tokenize
    async with running(model) as reranker:
        large = asyncio.create_task(reranker.rank(ask(*(f"large{n}" for n in range(300)))))
        await until(lambda: len(model.slices) == 1)
        small = asyncio.create_task(reranker.rank(ask("small")))
        await asyncio.sleep(0.01)
        release.release(1_000)
        await asyncio.gather(large, small)
    sizes = [len(texts) for texts in model.slices]
    assert sizes[0] == 65  # 64 documents and the query
    assert max(sizes[1:]) <= 64 + 1
    assert next(index for index, texts in enumerate(model.slices) if "small" in texts) <= 2


async def test_a_slice_of_long_documents_holds_few_of_them():
    model = FakeModel()
    async with running(model) as reranker:
        await reranker.rank(ask(*("w" * 200_000 + str(n) for n in range(8)), overflow="chunk"))
    assert max(len(texts) for texts in model.slices) <= 3


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


# Admission.


async def test_a_request_is_admitted_whole_or_not_at_all():
    model = FakeModel()
    async with running(model, max_queue_pairs=10) as reranker:
        running_ = asyncio.create_task(reranker.rank(ask("block")))
        await until(lambda: model.batches != [])
        waiting = asyncio.create_task(reranker.rank(ask(*(f"a{n}" for n in range(6)))))
        await asyncio.sleep(0.01)
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
        await asyncio.sleep(0.01)
        with pytest.raises(Overloaded) as refused:
            await reranker.rank(ask("one more"))
        assert refused.value.retry_after_s == retry_after_s
        model.unblock()
        await asyncio.gather(ahead, waiting)


async def test_a_request_larger_than_the_queue_is_admitted_when_nothing_waits():
    async with running(FakeModel(), max_queue_pairs=3) as reranker:
        assert len((await reranker.rank(ask(*"abcdef"))).scores) == 6


# Failures.


async def test_a_model_exception_fails_its_batch_and_no_more():
    async with running(FakeModel()) as reranker:
        with pytest.raises(ModelFailed) as failed:
            await reranker.rank(ask("raise"))
        assert failed.value.message == "the model failed on this request"
        assert scores(await reranker.rank(ask("score=1", raw_scores=True))) == [1]


async def test_a_failed_batch_takes_the_rest_of_its_request_out_of_the_queue():
    model = FakeModel()
    metrics = Metrics()
    async with running(model, max_batch_tokens=6, metrics=metrics) as reranker:
        with pytest.raises(ModelFailed):
            await reranker.rank(ask("raise now please", *("b" for _ in range(50))))
        assert metrics.registry.get_sample_value("podium_queue_pairs") == 0
        assert await reranker.rank(ask("c"))
    assert sum(map(len, model.batches)) < 20


async def test_a_tokenizer_exception_fails_its_request_and_no_more():
    metrics = Metrics()
    async with running(FakeModel(), metrics=metrics) as reranker:
        with pytest.raises(ModelFailed, match=r"^the tokenizer failed on this request$"):
            await reranker.rank(ask("untokenizable"))
        assert await reranker.rank(ask("fine"))
        assert metrics.registry.get_sample_value("podium_queue_pairs") == 0


async def test_out_of_memory_splits_the_batch_and_goes_on():
    model = FakeModel()
    model.oom_pairs = 2
    async with running(model) as reranker:
        ranking = await reranker.rank(ask("oom score=1", "oom score=2", "score=3", "oom", raw_scores=True))
        assert scores(ranking) == [1, 2, 3, 0]
        assert [len(batch) for batch in model.batches] == [4, 2, 2]


async def test_out_of_memory_after_the_split_fails_the_request_and_no_more():
    async with running(FakeModel()) as reranker:
        with pytest.raises(ModelFailed):
            await reranker.rank(ask("oom", "a", "b"))
        assert await reranker.rank(ask("fine"))


async def test_a_score_that_is_not_a_number_fails_its_request_and_no_other_in_the_batch():
    model = FakeModel()
    async with running(model) as reranker:
        ahead = asyncio.create_task(reranker.rank(ask("block")))
        await until(lambda: model.batches != [])
        bad = asyncio.create_task(reranker.rank(ask("nan", "fine")))
        good = asyncio.create_task(reranker.rank(ask("score=1", raw_scores=True)))
        await asyncio.sleep(0.01)
        model.unblock()
        with pytest.raises(ModelFailed, match="a score that is not a number"):
            await bad
        assert scores(await good) == [1]
        await ahead
    assert sorted(model.batches[1]) == ["fine", "nan", "score=1"]


async def test_a_failed_pair_is_not_remembered():
    model = FakeModel()
    async with running(model, cache_bytes=2**20) as reranker:
        for _ in range(2):
            with pytest.raises(ModelFailed):
                await reranker.rank(ask("raise"))
    assert len(model.batches) == 2


async def test_a_request_that_runs_out_of_time_is_told_so():
    async with running(FakeModel(), request_timeout_s=0.05) as reranker:
        with pytest.raises(DeadlineExceeded, match=r"request_timeout_s \(0.05 s\)"):
            await reranker.rank(ask("block"))


async def test_a_stuck_device_fails_those_who_wait_and_those_who_come():
    model = FakeModel()
    async with running(model, stall_timeout_s=0.1) as reranker:
        watch = asyncio.create_task(reranker.watch(0.01))
        assert reranker.stuck is None
        waiting = [asyncio.create_task(reranker.rank(ask(text))) for text in ("block", "behind it")]
        for task in waiting:
            with pytest.raises(Unavailable, match="busy with one batch"):
                await task
        assert reranker.stuck is not None
        with pytest.raises(Unavailable, match="busy with one batch"):
            await reranker.rank(ask("new"))
        model.unblock()
        await until(lambda: reranker.stuck is None)
        assert await reranker.rank(ask("after it"))
        watch.cancel()


# Leaving.


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
