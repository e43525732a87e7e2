"""The model alone: tokenization and forward, no server, no queue."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from podium.bench.limit import Limit, operations
from podium.bench.results import Way
from podium.bench.texts import Pair
from podium.models.base import Encoding, Model
from podium.models.load import load
from podium.pace import as_served


class Measured(NamedTuple):
    """What is known of the model alone after some windows."""

    way: Way
    tokens_per_s: float
    """In the last window alone."""
    limit_gflops: float
    """The machine's limit meanwhile."""
    mean_tokens: float
    """Of a pair."""
    gflop_per_pair: float


class Bare:
    """A loaded model that scores the same pairs over and over, a window of time after another.

    The limit is measured after each batch, so that both see the same neighbours.
    """

    def __init__(self, folder: Path, name: str, dtype: str, pairs: Sequence[Pair]) -> None:
        self._folder, self._name, self._pairs = folder, name, pairs
        self._model = load(folder, uri=name, dtype=dtype)
        self._batches = as_served(self._model, encode(self._model, pairs))
        self._limit = Limit(self._model.info.dtype)
        self._work = self._score_for_ever()
        self._lengths: list[int] = []
        self._seconds = 0.0

    def window(self, seconds: float) -> Measured:
        """Work on for so many seconds, the limit's product included, one batch at least."""
        before, tokens_before, end = self._seconds, sum(self._lengths), perf_counter() + seconds
        while perf_counter() < end or sum(self._lengths) == tokens_before:
            next(self._work)
        info, pairs, tokens = self._model.info, len(self._lengths), sum(self._lengths)
        work = operations(self._folder, self._lengths)
        return Measured(
            way=Way(
                model=self._name,
                way=f"bare {info.dtype}",
                pairs=pairs,
                pairs_per_s=pairs / self._seconds,
                share=work / self._seconds / self._limit.operations_per_s if info.device == "cpu" else None,
            ),
            tokens_per_s=(tokens - tokens_before) / (self._seconds - before),
            limit_gflops=self._limit.operations_per_s / 1e9,
            mean_tokens=tokens / pairs,
            gflop_per_pair=work / pairs / 1e9,
        )

    def _score_for_ever(self) -> Iterator[None]:
        """Tokenize the pairs and score them batch by batch, round after round."""
        while True:
            start = perf_counter()
            encode(self._model, self._pairs)
            self._seconds += perf_counter() - start
            for batch in self._batches:
                start = perf_counter()
                self._model.score(batch)
                self._seconds += perf_counter() - start
                self._lengths += [len(encoding.ids) for encoding in batch]
                self._limit.time_product()
                yield


_bare: Bare
"""The model of a process that `apart` made."""


@contextmanager
def apart(
    folder: Path, name: str, dtype: str, pairs: Sequence[Pair]
) -> Iterator[Callable[[float], Measured]]:
    """Yield the `window` of a `Bare` in a process of its own, which sleeps between windows.

    A result of the limit's product in float32 (50 MB) is new memory each time, 15 % of its time, unless
    earlier work left a free block of that size.
    """
    arguments = (folder, name, dtype, pairs)
    with ProcessPoolExecutor(1, get_context("spawn"), _load, arguments) as pool:
        yield lambda seconds: pool.submit(_window, seconds).result()


def _load(folder: Path, name: str, dtype: str, pairs: Sequence[Pair]) -> None:
    global _bare
    _bare = Bare(folder, name, dtype, pairs)


def _window(seconds: float) -> Measured:
    return _bare.window(seconds)


def encode(model: Model, pairs: Sequence[Pair]) -> list[Encoding]:
    """Tokenize and join pairs."""
    queries = model.queries([query for query, _ in pairs])
    documents = model.documents([document for _, document in pairs])
    return [model.pair(query, document) for query, document in zip(queries, documents, strict=True)]
