"""A model by Podium and by Sentence Transformers, each in a process of its own, turn by turn: the host sways
from minute to minute, and both see the same of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from transformers import AutoConfig

from podium.bench.bare import encode
from podium.bench.limit import Limit
from podium.bench.operations import computed
from podium.bench.results import Beside
from podium.bench.texts import Pair
from podium.models import devices
from podium.models.load import load
from podium.pace import as_served

TURNS = 3

LEAST_PAIRS = 6
"""Pairs that Sentence Transformers is given at least."""


class Count(NamedTuple):
    """What was done so far."""

    pairs: int = 0
    seconds: float = 0.0
    operations: float = 0.0
    read: int = 0
    computed: int = 0
    limit: float = 0.0
    """The machine's operations per second."""


class Podium:
    """A loaded model that scores the same pairs over and over, in batches as the engine cuts them."""

    def __init__(self, folder: Path, name: str, dtype: str, pairs: Sequence[Pair]) -> None:
        self._model = load(folder, uri=name, dtype=dtype)
        self._config = AutoConfig.from_pretrained(folder, local_files_only=True)
        self.take(pairs)

    def take(self, pairs: Sequence[Pair]) -> None:
        """Score these pairs from now on, and count from 0."""
        self._limit = Limit(self._model.info.dtype)
        self._pairs = pairs
        self._batches = as_served(self._model, encode(self._model, pairs))
        self._count = Count()
        self._work = self._score_for_ever()

    def turn(self, seconds: float) -> Count:
        """Work on for so many seconds, the limit's product included, one batch at least; return what was done
        in all turns.
        """
        end = perf_counter() + seconds
        next(self._work)
        while perf_counter() < end:
            next(self._work)
        return self._count

    def _score_for_ever(self) -> Iterator[None]:
        """Tokenize the pairs, as the reference does each time, too, and score them batch by batch."""
        while True:
            start = perf_counter()
            encode(self._model, self._pairs)
            took = perf_counter() - start
            for batch in self._batches:
                tokens = self._model.computed(batch)
                start = perf_counter()
                self._model.score(batch)
                took += perf_counter() - start
                self._limit.time_product()
                done = self._count
                self._count = Count(
                    pairs=done.pairs + len(batch),
                    seconds=done.seconds + took,
                    operations=done.operations + computed(self._config, self._model.recipe, batch, tokens),
                    read=done.read + sum(len(encoding.ids) for encoding in batch),
                    computed=done.computed + tokens,
                    limit=self._limit.operations_per_s,
                )
                took = 0.0
                yield


class Reference:
    """Sentence Transformers' CrossEncoder on the same folder, its defaults, in a dtype that is said."""

    def __init__(self, folder: Path, dtype: str, pairs: Sequence[Pair]) -> None:
        from sentence_transformers import CrossEncoder

        self._encoder = CrossEncoder(str(folder), model_kwargs={"dtype": dtype})
        self._pairs = list(pairs)
        self._count = Count()
        self._fit = 0

    def turn(self, seconds: float) -> Count:
        """Score as many pairs as fit into about so many seconds, later the same ones again; return what was
        done in all turns.
        """
        if not self._fit:
            self._predict(LEAST_PAIRS)
            rate = LEAST_PAIRS / self._predict(LEAST_PAIRS)
            # lengths go round in threes
            self._fit = max(LEAST_PAIRS, min(int(rate * seconds), len(self._pairs)) // 3 * 3)
        took = self._predict(self._fit)
        self._count = Count(self._count.pairs + len(self._pairs[: self._fit]), self._count.seconds + took)
        return self._count

    def _predict(self, pairs: int) -> float:
        start = perf_counter()
        self._encoder.predict(self._pairs[:pairs], show_progress_bar=False)
        return perf_counter() - start


def measure(
    name: str,
    folder: Path,
    dtype: str,
    pairs: Sequence[Pair],
    texts: str,
    seconds: float,
    *,
    reference: bool,
    alike: bool = False,
    turns: int = TURNS,
) -> Beside:
    """Measure a model, and Sentence Transformers if it is the `reference`, for about so many seconds in all.

    Both score the same pairs, as many as Sentence Transformers has time for; Podium all of them if they are
    `alike`, in that each costs the reference the same.
    """
    turn_s = seconds / turns / (2 if reference else 1)
    with ExitStack() as stack:
        theirs = Count()
        if reference:
            other = stack.enter_context(_apart(Reference, folder, dtype, pairs))
            theirs = other.submit(_turn, turn_s).result()
        own_pairs = pairs if alike or not reference else pairs[: theirs.pairs]
        own = stack.enter_context(_apart(Podium, folder, name, dtype, own_pairs))
        count = own.submit(_turn, turn_s).result()
        for _ in range(turns - 1):
            if reference:
                theirs = other.submit(_turn, turn_s).result()
            count = own.submit(_turn, turn_s).result()
    return _row(name, dtype, texts, count, theirs if reference else None)


def curve(
    name: str, folder: Path, dtype: str, points: Iterable[tuple[Sequence[Pair], str]], seconds: float
) -> Iterator[Beside]:
    """Measure one model on several lists of pairs, each told of by its texts, for so many seconds each."""
    with _apart(Podium, folder, name, dtype, _SOME) as own:
        for pairs, texts in points:
            own.submit(_take, pairs).result()
            yield _row(name, dtype, texts, own.submit(_turn, seconds).result(), None)


_SOME = [("what is a panda?", "a bear of China")]


def _row(name: str, dtype: str, texts: str, count: Count, theirs: Count | None) -> Beside:
    on_cpu = devices.choose_device("auto").type == "cpu"
    return Beside(
        model=name,
        dtype=dtype,
        texts=texts,
        read_tokens=count.read / count.pairs,
        computed_tokens=count.computed / count.pairs,
        pairs=count.pairs,
        pairs_per_s=count.pairs / count.seconds,
        reference_pairs_per_s=theirs.pairs / theirs.seconds if theirs else None,
        share=count.operations / count.seconds / count.limit if on_cpu else None,
        limit_gflops=count.limit / 1e9,
    )


_worker: Any
"""What the process that `_apart` made holds."""


def _apart(kind: type, *arguments: Any) -> ProcessPoolExecutor:
    """Return a process that holds one object, made when it is first asked for a turn."""
    return ProcessPoolExecutor(1, get_context("spawn"), _hold, (kind, *arguments))


def _hold(kind: type, *arguments: Any) -> None:
    global _worker
    _worker = kind(*arguments)


def _take(pairs: Sequence[Pair]) -> None:
    _worker.take(pairs)


def _turn(*arguments: float) -> Count:
    count: Count = _worker.turn(*arguments)
    return count
