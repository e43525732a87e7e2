"""A queue of keys: each is worked on by one worker at a time, failures come back later and later."""

import asyncio
import heapq
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 300.0


class WorkQueue(Generic[K]):
    """Keys that are due now or later.

    `work` does one key and returns the seconds until the key is due again, or None. A key that is added while
    it is worked on is done once more afterwards, however often it was added. `depth` and `longest_s` may be
    asked for in another thread.
    """

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        *,
        on_error: Callable[[K, Exception, float], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._work, self._on_error, self._jitter = work, on_error, jitter
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._running: dict[K, float] = {}
        self._tasks: dict[asyncio.Task[Any] | None, K] = {}
        self._failures: dict[K, int] = {}
        self._changed = asyncio.Event()

    def add(self, key: K, delay_s: float = 0.0) -> None:
        """Make a key due in `delay_s`; what is due sooner stays so."""
        due = self._now() + delay_s
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._heap, (due, next(self._order), key))
            self._changed.set()

    def forget(self, key: K) -> None:
        """Drop a key that will not come again."""
        self._due.pop(key, None)
        self._failures.pop(key, None)

    def depth(self) -> int:
        """Return the keys that are due and wait for a worker."""
        now = self._now()
        return sum(1 for key, due in self._due.copy().items() if due <= now and key not in self._running)

    def progress(self) -> None:
        """Take note that the worker which calls this gets on with its key; anyone else may call it too."""
        key = self._tasks.get(asyncio.current_task())
        if key in self._running:
            self._running[key] = self._now()

    def longest_s(self) -> float:
        """Return the seconds since the slowest worker began with its key or got on with it."""
        now = self._now()
        return max((now - since for since in self._running.copy().values()), default=0.0)

    async def run(self, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            key = await self._next()
            self._running[key] = self._now()
            self._tasks[asyncio.current_task()] = key
            try:
                again_s = await self._work(key)
            except Exception as error:  # noqa: BLE001  the border: whatever failed, this key comes back later
                self._failures[key] = failures = self._failures.get(key, 0) + 1
                delay_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(failures - 1, 20))
                wished_s = min(LONGEST_BACKOFF_S, getattr(error, "retry_after_s", 0.0))
                delay_s = max(delay_s * (0.5 + self._jitter() / 2), wished_s)
                self._on_error(key, error, delay_s)
                self.add(key, delay_s)
            else:
                self._failures.pop(key, None)
                if again_s is not None:
                    self.add(key, again_s)
            finally:
                del self._running[key]
                # What was added meanwhile may be due by now.
                self._changed.set()

    async def _next(self) -> K:
        """Wait for a key that is due and not being worked on, and take it."""
        while True:
            key, wait_s = self._take()
            if key is not None:
                return key
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _take(self) -> tuple[K | None, float | None]:
        """Return the first key that is due; without one, the seconds until the next."""
        now = self._now()
        busy: list[tuple[float, int, K]] = []
        try:
            while self._heap:
                due, _, key = entry = self._heap[0]
                if self._due.get(key) != due:
                    heapq.heappop(self._heap)  # was moved to an earlier time, or forgotten
                elif due > now:
                    return None, due - now
                elif key in self._running:
                    busy.append(heapq.heappop(self._heap))
                else:
                    heapq.heappop(self._heap)
                    del self._due[key]
                    return key, 0.0
            return None, None
        finally:
            for entry in busy:
                heapq.heappush(self._heap, entry)

    def _now(self) -> float:
        return time.monotonic()
