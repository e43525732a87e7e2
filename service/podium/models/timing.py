"""Which of several ways is the fastest on this machine: measured where no property of it tells."""

from collections.abc import Callable
from time import perf_counter

_TURNS = 5


def fastest(*works: Callable[[], object]) -> list[float]:
    """Return the seconds of the fastest run of each, in turns; the first run of each does not count."""
    seconds = [float("inf")] * len(works)
    for turn in range(_TURNS + 1):
        for at, work in enumerate(works):
            start = perf_counter()
            work()
            if turn:
                seconds[at] = min(seconds[at], perf_counter() - start)
    return seconds
