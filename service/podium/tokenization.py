"""The tokenizer thread: texts → encodings → engine, in slices, so that no request holds up a smaller one.

A call of the tokenizer cannot be interrupted: behind one with 10,000 documents, 10 documents would wait 1.4 s
instead of 2 ms (measured). So a request is tokenized a slice at a time, and between slices whoever is due
first goes first.
"""

import heapq
import itertools
import logging
import threading
from collections.abc import Sequence
from time import monotonic

from podium.calls import Call, Pair
from podium.engine import Engine
from podium.errors import ModelFailed, PairTooLong
from podium.models.base import Encoding, Model, Tokens
from podium.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

SLICE_TEXTS = 64
SLICE_CHARACTERS = 256 * 1024
"""A slice is full with so many texts or characters, and holds at least one text: 0.1 s of tokenization."""


class _Job:
    """The pairs of one call that are not tokenized yet, last first, and its queries that are."""

    def __init__(self, call: Call, pairs: Sequence[tuple[int, Pair]]) -> None:
        self.call = call
        self.left = list(reversed(pairs))
        self.queries: dict[str, Tokens] = {}


class Tokenization:
    """Tokenizes the pairs of calls and hands them to the engine, until it is closed."""

    def __init__(self, model: Model, engine: Engine, metrics: Metrics) -> None:
        self._model, self._engine, self._metrics = model, engine, metrics
        self._changed = threading.Condition()
        self._jobs: list[tuple[float, int, _Job]] = []
        self._order = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="podium-tokenization", daemon=True)

    def start(self) -> None:
        """Start the tokenizer thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the running slice."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def alive(self) -> bool:
        """Whether the tokenizer thread can take a slice."""
        return self._thread.is_alive()

    def submit(self, call: Call, pairs: Sequence[tuple[int, Pair]]) -> None:
        """Tokenize pairs of a call, each with its index in the request."""
        self._push(_Job(call, pairs))

    def _push(self, job: _Job) -> None:
        with self._changed:
            heapq.heappush(self._jobs, (job.call.due, next(self._order), job))
            self._changed.notify()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            if job.call.done.done():
                continue
            try:
                self._tokenize_slice(job)
            except Exception:
                log.exception("tokenization failed")
                self._engine.fail(job.call, ModelFailed("the tokenizer failed on this request"))
                continue
            if job.left:
                self._push(job)

    def _next(self) -> _Job | None:
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            return None if self._closed else heapq.heappop(self._jobs)[2]

    def _tokenize_slice(self, job: _Job) -> None:
        started = monotonic()
        chosen = _take_slice(job)
        new = [pair for _, pair in chosen if not pair.windows]
        queries = list(dict.fromkeys(pair.query for pair in new if pair.query not in job.queries))
        tokens = self._model.tokenize([*queries, *(pair.document for pair in new)])
        job.queries.update(zip(queries, tokens, strict=False))
        documents = iter(tokens[len(queries) :])
        ready: list[tuple[Pair, Sequence[Encoding]]] = []
        for index, pair in chosen:
            encodings: Sequence[Encoding] = [window.encoding for window in pair.windows]
            if not encodings:
                encodings = [self._model.pair(job.queries[pair.query], next(documents))]
            if encodings[0].cut and not job.call.truncate:
                error = PairTooLong(index, encodings[0].needed, self._model.info.max_length)
                self._engine.fail(job.call, error)
                return
            ready.append((pair, encodings))
        ended = monotonic()
        job.call.tokenization = ((job.call.tokenization or (started, ended))[0], ended)
        self._metrics.tokenization_seconds.observe(ended - started)
        self._engine.submit(job.call, ready)


def _take_slice(job: _Job) -> list[tuple[int, Pair]]:
    """Take the next pairs of a job that nobody has scored or is scoring."""
    chosen: list[tuple[int, Pair]] = []
    characters = 0
    while job.left and len(chosen) < SLICE_TEXTS and characters < SLICE_CHARACTERS:
        index, pair = job.left.pop()
        if pair.waiting:
            chosen.append((index, pair))
            characters += len(pair.document)
    return chosen
