"""The tokenizer thread: texts → encodings → engine, in slices, so that no request holds up a smaller one.

A call of the tokenizer cannot be interrupted: behind one with 10,000 documents, 10 documents would wait 1.4 s
instead of 2 ms (measured). So a request is tokenized a slice at a time, and between slices whoever is due
first goes first. The engine says when it wants the next one: a large request is tokenized as it is computed.
"""

import heapq
import itertools
import logging
import threading
from collections.abc import Sequence
from time import monotonic

from podium.calls import Call, Pair, Read
from podium.engine import Engine
from podium.errors import ModelFailed, PairTooLong
from podium.models.base import Model, Tokens
from podium.models.fitting import fit, max_characters
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
        self._jobs: list[tuple[tuple[int, float], int, _Job]] = []
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
            heapq.heappush(self._jobs, (job.call.order, next(self._order), job))
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

    def _next(self) -> _Job | None:
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            return None if self._closed else heapq.heappop(self._jobs)[2]

    def _tokenize_slice(self, job: _Job) -> None:
        started = monotonic()
        chosen = _take_slice(job)
        documents = iter(self._tokenize(job, [pair for _, pair in chosen if not pair.windows]))
        ready: list[tuple[Pair, Sequence[Read]]] = []
        for index, pair in chosen:
            # What another call has tokenized meanwhile is shared.
            reads = [] if pair.windows else self._read(job, pair, next(documents))
            first = reads[0].encoding if reads else pair.windows[0].encoding
            if first.cut and not job.call.request.truncate:
                error = PairTooLong(index, first.needed, self._model.info.max_length)
                self._engine.fail(job.call, error)
                return
            ready.append((pair, reads))
        ended = monotonic()
        job.call.tokenization = ((job.call.tokenization or (started, ended))[0], ended)
        self._metrics.tokenization_seconds.observe(ended - started)
        self._engine.submit(job.call, ready, (lambda: self._push(job)) if job.left else None)

    def _tokenize(self, job: _Job, pairs: Sequence[Pair]) -> Sequence[Tokens]:
        """Return the tokens of the pairs' documents; their queries go into the job, each once."""
        limit = max_characters(job.call.request, self._model.info.max_length)
        queries = list(dict.fromkeys(pair.query for pair in pairs if pair.query not in job.queries))
        texts = [*queries, *(pair.document for pair in pairs)]
        # The texts were clipped when the request was admitted, see `fitting.clip`.
        found = self._model.tokenize(texts, max_characters=limit + 1, offsets=job.call.request.spans)
        tokens = [each._replace(cut=len(text) > limit) for each, text in zip(found, texts, strict=True)]
        job.queries.update(zip(queries, tokens, strict=False))
        return tokens[len(queries) :]

    def _read(self, job: _Job, pair: Pair, document: Tokens) -> Sequence[Read]:
        """Return what the model reads of a pair, one encoding or a window each."""
        request, info = job.call.request, self._model.info
        fitted = fit(
            job.queries[pair.query],
            document,
            request,
            max_length=info.max_length,
            special_tokens=info.special_tokens,
        )
        return [
            Read(
                self._model.pair(each.query, each.document)._replace(needed=each.needed), _span(each.document)
            )
            for each in fitted
        ]


def _span(document: Tokens) -> tuple[int, int] | None:
    """Return from where to where in its text a document's tokens go; None where nobody asked."""
    if document.offsets is None:
        return None
    if not len(document.offsets):
        return 0, 0
    return int(document.offsets[0, 0]), int(document.offsets[-1, 1])


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
