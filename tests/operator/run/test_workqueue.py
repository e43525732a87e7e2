"""The work queue: one worker a key, every add is followed by a look, failures come later and later."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from podium_operator.run.cluster import ApiError
from podium_operator.run.workqueue import LONGEST_BACKOFF_S, WorkQueue


class Work:
    """Counts looks at each key; `gate` holds them up, `fail` makes them fail."""

    def __init__(self) -> None:
        self.looks: list[str] = []
        self.running: dict[str, int] = {}
        self.most_of_one_key = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.fail = False
        self.again_s: float | None = None
        self.delays: list[float] = []

    async def __call__(self, key: str) -> float | None:
        self.running[key] = self.running.get(key, 0) + 1
        self.most_of_one_key = max(self.most_of_one_key, self.running[key])
        self.looks.append(key)
        await self.gate.wait()
        self.running[key] -= 1
        if self.fail:
            raise ValueError("no")
        return self.again_s

    def failed(self, key: str, error: Exception, delay_s: float) -> None:
        self.delays.append(delay_s)


@asynccontextmanager
async def running(work: Work, workers: int = 3) -> AsyncIterator[WorkQueue[str]]:
    queue = WorkQueue[str](work, on_error=work.failed, jitter=lambda: 1.0)
    task = asyncio.create_task(queue.run(workers))
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not check():
            await asyncio.sleep(0.001)


async def test_a_key_is_worked_on_by_one_worker_at_a_time_and_once_more_after_any_adds() -> None:
    work = Work()
    work.gate.clear()
    async with running(work) as queue:
        queue.add("a")
        await until(lambda: work.looks == ["a"])
        for _ in range(5):
            queue.add("a")
        await asyncio.sleep(0.01)
        work.gate.set()
        await until(lambda: len(work.looks) == 2)
        await until(lambda: queue.longest_s() == 0)
        assert work.looks == ["a", "a"]
        assert work.most_of_one_key == 1


async def test_one_slow_key_does_not_hold_up_the_others() -> None:
    work = Work()
    work.gate.clear()
    async with running(work, workers=2) as queue:
        queue.add("slow")
        await until(lambda: work.looks == ["slow"])
        queue.add("slow")
        queue.add("b")
        await until(lambda: "b" in work.looks)
        work.gate.set()
        await until(lambda: work.looks.count("slow") == 2)


async def test_the_sooner_of_two_times_counts() -> None:
    work = Work()
    async with running(work) as queue:
        queue.add("a", 3600)
        queue.add("a", 0.01)
        queue.add("a", 3600)
        await until(lambda: work.looks == ["a"])
        assert queue.depth() == 0


async def test_what_a_look_returns_is_when_the_next_one_comes() -> None:
    work = Work()
    work.again_s = 0.005
    async with running(work) as queue:
        queue.add("a")
        await until(lambda: len(work.looks) >= 3)


async def test_failures_wait_twice_as_long_each_time_until_a_success() -> None:
    work = Work()
    work.fail = True
    async with running(work) as queue:
        for number in range(1, 5):
            queue.add("a")
            await until(lambda number=number: len(work.delays) == number)  # type: ignore[misc]
        assert work.delays == [1, 2, 4, 8]
        work.fail = False
        queue.add("a")
        await until(lambda: len(work.looks) == 5)
        await until(lambda: queue.longest_s() == 0)
        work.fail = True
        queue.add("a")
        await until(lambda: len(work.delays) == 5)
        assert work.delays[-1] == 1


async def test_a_forgotten_key_does_not_come() -> None:
    work = Work()
    async with running(work) as queue:
        queue.add("a", 0.02)
        queue.forget("a")
        queue.add("b", 0.03)
        await until(lambda: work.looks == ["b"])


async def test_the_slowest_worker_is_seen() -> None:
    work = Work()
    work.gate.clear()
    async with running(work) as queue:
        assert queue.longest_s() == 0
        queue.add("a")
        await until(lambda: work.looks == ["a"])
        await until(lambda: queue.longest_s() > 0)
        queue.add("b")
        await until(lambda: len(work.looks) == 2)
        work.gate.set()


async def test_a_worker_that_gets_on_is_not_slow_however_long_its_key_takes() -> None:
    steps = asyncio.Event()

    async def work(key: str) -> None:
        for _ in range(4):
            await asyncio.sleep(0.05)
            queue.progress()
        steps.set()
        await asyncio.sleep(0.1)

    queue = WorkQueue[str](work, on_error=lambda *_: None)
    task = asyncio.create_task(queue.run(1))
    queue.add("a")
    await asyncio.wait_for(steps.wait(), 5)
    queue.progress()
    assert queue.longest_s() < 0.05, "counted from the last step; who works on no key changes nothing"
    await asyncio.sleep(0.06)
    assert queue.longest_s() > 0.05
    task.cancel()


async def test_a_wish_to_be_asked_later_is_heeded_as_far_as_the_longest_wait() -> None:
    delays: list[float] = []

    async def refused(key: str) -> None:
        raise ApiError(429, "later", {"soon": 7.0, "never": 2.0**31}[key])

    queue = WorkQueue[str](refused, on_error=lambda *failure: delays.append(failure[2]), jitter=lambda: 1.0)
    task = asyncio.create_task(queue.run(1))
    for key in ("soon", "never"):
        queue.add(key)
    await until(lambda: len(delays) == 2)
    task.cancel()
    assert delays == [7.0, LONGEST_BACKOFF_S]
