"""A large request is entered and left in slices: between them the event loop does everything else."""

import asyncio
from collections import Counter

import pytest
from fakes import INFO, FakeModel
from msgspec.structs import replace
from reranking import ask, running, until

from podium import cache
from podium import reranker as module
from podium.errors import DeadlineExceeded, Overloaded
from podium.models.text.reading import INSTRUCTION_CHARACTERS
from podium.ranking import RankRequest
from podium.reranker import LEAVING_PAIRS, PAIR_CHARACTERS, SLICE_CHARACTERS


class Turns:
    """Counts the turns of the event loop, and what is done in each."""

    def __init__(self) -> None:
        self.now = 0
        self.done: Counter[int] = Counter()

    async def count(self) -> None:
        while True:
            self.now += 1
            await asyncio.sleep(0)

    def note(self, amount: int) -> None:
        self.done[self.now] += amount


@pytest.fixture
async def turns():
    counting = Turns()
    task = asyncio.create_task(counting.count())
    yield counting
    task.cancel()


@pytest.mark.parametrize("count", [3_000, 12_000])
@pytest.mark.parametrize("length", [1, 3_000])
async def test_no_turn_of_the_event_loop_hashes_more_than_a_slice(turns, monkeypatch, count, length):
    def noted(query: bytes, document: bytes) -> bytes:
        turns.note(PAIR_CHARACTERS + len(document))
        return original(query, document)

    original = module.pair_key
    monkeypatch.setattr(module, "pair_key", noted)
    async with running(FakeModel(), cache_bytes=2**20) as reranker:
        await reranker.rank(ask(*(f"{n}" + "x" * length for n in range(count))))
    longest = PAIR_CHARACTERS + length + len(str(count))
    assert max(turns.done.values()) < SLICE_CHARACTERS + longest
    assert sum(turns.done.values()) > count * (PAIR_CHARACTERS + length)


async def test_an_instruction_is_hashed_once_and_not_with_each_query(turns, monkeypatch):
    def noted(data: bytes, **options: object) -> object:
        turns.note(len(data))
        return original(data, **options)

    original = cache.blake2b
    monkeypatch.setattr(cache, "blake2b", noted)
    instruction, count = "i" * INSTRUCTION_CHARACTERS, 100
    request = RankRequest(
        queries=[f"{n}" for n in range(count)], documents=["d"] * count, instruction=instruction
    )
    async with running(FakeModel(replace(INFO, instruction_use="slot")), cache_bytes=2**20) as reranker:
        await reranker.rank(request)
    assert len(instruction) < sum(turns.done.values()) < 2 * len(instruction)


async def test_no_turn_of_the_event_loop_leaves_more_than_a_slice(turns):
    model = FakeModel()
    async with running(model, max_batch_tokens=16) as reranker:
        ahead = asyncio.create_task(reranker.rank(ask("block")))
        await until(lambda: model.batches != [])
        leaving = asyncio.create_task(reranker.rank(ask(*(f"{n}" for n in range(10_000)))))
        await until(lambda: any("1 " in f"{text} " for texts in model.slices for text in texts))
        abandon = reranker._engine.abandon

        def noted(call, pairs):
            turns.note(len(pairs))
            abandon(call, pairs)

        reranker._engine.abandon = noted
        leaving.cancel()
        await until(lambda: reranker._engine.backlog.pairs == 0)
        assert reranker._engine.backlog.tokens == 0
        model.unblock()
        await ahead
    assert max(turns.done.values()) <= LEAVING_PAIRS
    assert sum(turns.done.values()) == 10_000


async def test_a_request_counts_whole_while_it_is_entered():
    async with running(FakeModel(), max_queue_pairs=5_000, cache_bytes=2**20) as reranker:
        large = asyncio.create_task(reranker.rank(ask(*(f"{n}" for n in range(4_000)))))
        await asyncio.sleep(0)  # it has been admitted, and its first slice is in
        assert reranker._engine.backlog.pairs == 4_000
        with pytest.raises(Overloaded, match="4000 pairs are waiting and this request has 1001"):
            await reranker.rank(ask(*(f"b{n}" for n in range(1_001))))
        await large
        assert (reranker._engine.backlog.pairs, reranker._engine.backlog.tokens) == (0, 0)


@pytest.mark.parametrize("end", ["cancelled", "out of time"])
async def test_a_request_that_ends_while_it_is_entered_leaves_nothing_behind(end):
    timeout_s = 1e-6 if end == "out of time" else 300
    model = FakeModel()
    async with running(model, cache_bytes=2**20, request_timeout_s=timeout_s) as reranker:
        task = asyncio.create_task(reranker.rank(ask(*(f"{n}" for n in range(4_000)))))
        await asyncio.sleep(0)
        if end == "cancelled":
            task.cancel()
        with pytest.raises((asyncio.CancelledError, DeadlineExceeded)):
            await task
        await until(lambda: not reranker._in_flight)
        assert (reranker._engine.backlog.pairs, reranker._engine.backlog.tokens) == (0, 0)


async def test_documents_known_from_the_cache_or_from_others_are_counted_once():
    model = FakeModel()
    async with running(model, cache_bytes=2**20) as reranker:
        await reranker.rank(ask(*(f"{n}" for n in range(1_000))))
        first, second = (
            asyncio.create_task(reranker.rank(ask(*(f"{n}" for n in range(3_000))))) for _ in range(2)
        )
        rankings = await asyncio.gather(first, second)
        assert [len(each.scores) for each in rankings] == [3_000, 3_000]
        assert (reranker._engine.backlog.pairs, reranker._engine.backlog.tokens) == (0, 0)
    assert sum(map(len, model.batches)) == 3_000
