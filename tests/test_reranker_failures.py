"""A model that misbehaves on command: its requests are told, and no other is touched."""

import asyncio
import sys

import pytest
from fakes import FakeModel
from reranking import ask, queued, running, scores, until

from podium.errors import DeadlineExceeded, ModelFailed, Unavailable
from podium.ranking import RankRequest
from podium.reranker import Reranker
from podium.telemetry.metrics import Metrics


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


async def behind_a_block(model: FakeModel, reranker: Reranker, *requests: RankRequest) -> list[asyncio.Task]:
    """Let requests wait until all of them are tokenized and fit into one batch."""
    ahead = asyncio.create_task(reranker.rank(ask("block")))
    await until(lambda: model.batches != [])
    tasks = [asyncio.create_task(reranker.rank(request)) for request in requests]
    documents = {document for request in requests for document in request.documents}
    await until(lambda: documents <= {text for texts in model.slices for text in texts})
    await until(lambda: sum(map(len, reranker._engine._groups.values())) == len(documents))
    model.unblock()
    await ahead
    return tasks


async def test_a_pair_that_the_model_cannot_take_fails_its_request_and_no_other_in_the_batch():
    model = FakeModel()
    async with running(model) as reranker:
        good, poison, other = await behind_a_block(
            model,
            reranker,
            ask("score=1", "score=2", raw_scores=True),
            ask("raise", "beside it"),
            ask("score=3", raw_scores=True),
        )
        with pytest.raises(ModelFailed, match=r"^the model failed on this request$"):
            await poison
        assert (scores(await good), scores(await other)) == ([1, 2], [3])
    together, *alone = model.batches[1:]
    assert sorted(together) == ["beside it", "raise", "score=1", "score=2", "score=3"]
    ranked = [sorted(batch) for batch in alone if not any("Deep learning" in text for text in batch)]
    assert sorted(ranked) == [["beside it", "raise"], ["score=1", "score=2"], ["score=3"]]


class AcceleratorError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize("work", ["a lost device", "three failures"])
async def test_a_device_that_fails_every_batch_is_told_to_those_who_wait_and_those_who_come(work, caplog):
    model = FakeModel()
    broken = False
    score = model.score

    def scored(encodings):
        found = score(encodings)
        if broken:
            raise AcceleratorError("device-side assert") if work == "a lost device" else RuntimeError("x")
        return found

    model.score = scored
    async with running(model, max_batch_tokens=4) as reranker:
        watch = asyncio.create_task(reranker.watch(0.01))
        ahead = asyncio.create_task(reranker.rank(ask("block")))
        await until(lambda: model.batches != [])
        waiting = [asyncio.create_task(reranker.rank(ask(f"{n} a b"))) for n in range(20)]
        await until(lambda: len(reranker._engine._groups) == 20)
        broken = True
        model.unblock()
        told = await asyncio.gather(ahead, *waiting, return_exceptions=True)
        failed = 1 if work == "a lost device" else 3
        assert sum(isinstance(each, ModelFailed) for each in told) == failed
        assert sum(isinstance(each, Unavailable) for each in told) == 21 - failed
        broken = False
        assert "must be started anew" in reranker.stuck
        with pytest.raises(Unavailable, match="must be started anew"):
            await reranker.rank(ask("new"))
        watch.cancel()
        assert not any("device-side assert" in f"{each}" for each in (*told, reranker.stuck))
    cause = "device-side assert" if work == "a lost device" else "RuntimeError"
    assert any(each.message.endswith(f"must be started anew: {cause}") for each in caplog.records)


async def test_callers_cannot_end_the_service_with_texts_that_make_the_model_fail():
    async with running(FakeModel()) as reranker:
        for n in range(10):
            with pytest.raises(ModelFailed):
                await reranker.rank(ask(f"raise {n}"))
        assert reranker.stuck is None
        assert scores(await reranker.rank(ask("score=1", raw_scores=True))) == [1]


async def test_a_moment_without_memory_does_not_make_batches_small_for_ever():
    model = FakeModel()
    model.oom_pairs = 1
    async with running(model, tokens_per_s=1e6) as reranker:
        await reranker.rank(ask("oom", "oom 2"))
        assert reranker._engine._room.tokens > 1_000
        model.batches.clear()
        await reranker.rank(ask(*(f"{n}" for n in range(60))))
        assert max(map(len, model.batches)) >= 50


async def test_a_tokenizer_exception_fails_its_request_and_no_more():
    metrics = Metrics()
    async with running(FakeModel(), metrics=metrics) as reranker:
        with pytest.raises(ModelFailed, match=r"^the tokenizer failed on this request$"):
            await reranker.rank(ask("untokenizable"))
        assert await reranker.rank(ask("fine"))
        assert metrics.registry.get_sample_value("podium_queue_pairs") == 0


@pytest.mark.parametrize(("late", "who"), [(False, "tokenizer"), (True, "model")])
async def test_a_panic_of_a_library_fails_its_request_and_ends_no_thread(late, who):
    model = FakeModel()
    model.panics_late = late
    async with running(model) as reranker:
        for _ in range(2):
            with pytest.raises(ModelFailed, match=rf"^the {who} failed on this request$"):
                await reranker.rank(ask("a panic"))
        assert reranker.stuck is None
        assert await reranker.rank(ask("fine"))


async def test_out_of_memory_splits_the_batch_and_goes_on():
    model = FakeModel()
    model.oom_pairs = 2
    async with running(model) as reranker:
        ranking = await reranker.rank(ask("oom score=1", "oom score=2", "score=3", "oom", raw_scores=True))
        assert scores(ranking) == [1, 2, 3, 0]
        assert [len(batch) for batch in model.batches] == [4, 2, 2]


async def test_out_of_memory_after_the_split_fails_the_request_and_no_more():
    async with running(FakeModel()) as reranker:
        with pytest.raises(ModelFailed, match=r"^the device ran out of memory on this request; send it "):
            await reranker.rank(ask("oom", "a", "b"))
        assert await reranker.rank(ask("fine"))


async def test_a_score_that_is_not_a_number_fails_its_request_and_no_other_in_the_batch():
    model = FakeModel()
    async with running(model) as reranker:
        ahead = asyncio.create_task(reranker.rank(ask("block")))
        await until(lambda: model.batches != [])
        bad = asyncio.create_task(reranker.rank(ask("nan", "fine")))
        good = asyncio.create_task(reranker.rank(ask("score=1", raw_scores=True)))
        await until(lambda: queued(reranker) == [1, 2])
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
    assert model.batches.count(["raise"]) == 2


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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("work", ["score", "documents"])
async def test_a_thread_that_ends_fails_those_who_wait_and_those_who_come(work):
    """An exit that a model's own code asks for is no Exception: it ends the thread in which it is raised."""
    model = FakeModel()
    setattr(model, work, lambda *_, **__: sys.exit())
    async with running(model) as reranker:
        watch = asyncio.create_task(reranker.watch(0.01))
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"^a thread of the model has ended$"):
                await reranker.rank(ask("a"))
        watch.cancel()
