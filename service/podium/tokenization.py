"""The tokenizer thread: texts → encodings → engine, in slices, so that no request holds up a smaller one.

A call of the tokenizer cannot be interrupted: behind one with 10,000 documents, 10 documents would wait 1.4 s
instead of 2 ms (measured). So a request is tokenized a slice at a time, and between slices whoever is due
first goes first. The engine says when it wants the next one: a large request is tokenized as it is computed.
"""

import heapq
import itertools
import logging
import threading
from collections.abc import Generator, Iterator, Sequence
from time import monotonic

from podium.calls import Call, Pair, Read
from podium.engine import Engine
from podium.errors import ModelFailed, PairTooLong
from podium.models.base import Model, Tokens
from podium.models.fitting import fit, join, max_characters, most_tokens, parts
from podium.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

SLICE_TEXTS = 64
SLICE_CHARACTERS = 256 * 1024
"""A slice is full with so many texts or characters, 0.1 s of tokenization; a longer document takes more."""


class _Job:
    """The pairs of one call that are not tokenized yet, last first, and its queries that are."""

    def __init__(self, call: Call, pairs: Sequence[tuple[int, Pair]]) -> None:
        self.call = call
        self.left = list(reversed(pairs))
        self.queries: dict[str, Tokens] = {}
        self.slices: Iterator[None]
        """The work on it, a slice a step."""


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
        job = _Job(call, pairs)
        job.slices = self._slices(job)
        self._push(job)

    def _push(self, job: _Job) -> None:
        with self._changed:
            heapq.heappush(self._jobs, (job.call.order, next(self._order), job))
            self._changed.notify()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            if job.call.done.done():
                continue
            try:
                next(job.slices, None)
            except Exception:
                log.exception("tokenization failed")
                self._engine.fail(job.call, ModelFailed("the tokenizer failed on this request"))
                continue

    def _next(self) -> _Job | None:
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            return None if self._closed else heapq.heappop(self._jobs)[2]

    def _slices(self, job: _Job) -> Iterator[None]:
        """Tokenize a job and hand it on, a slice a step; between steps whoever is due sooner goes first."""
        while job.left:
            started = monotonic()
            chosen = _take_slice(job)
            new = [pair for _, pair in chosen if not pair.windows]
            if new and new[0].characters > SLICE_CHARACTERS:
                documents = iter([(yield from self._in_parts(job, new[0]))])
                started = monotonic()
            else:
                documents = iter(self._tokenize(job, new, [pair.text for pair in new]))
            ready: list[tuple[Pair, Sequence[Read]]] = []
            for index, pair in chosen:
                # What another call has tokenized meanwhile is shared.
                reads = [] if pair.windows else self._read(job, pair, next(documents))
                first = reads[0].encoding if reads else pair.windows[0].encoding
                if first.cut and not job.call.request.truncate:
                    error = PairTooLong(index, first.needed, job.call.limit)
                    self._engine.fail(job.call, error)
                    return
                ready.append((pair, reads))
            self._account(job, started)
            self._engine.submit(job.call, ready, (lambda: self._push(job)) if job.left else None)
            yield

    def _in_parts(self, job: _Job, pair: Pair) -> Generator[None, None, Tokens]:
        """Tokenize a document that is too long for one slice, as far as it can be read; return its tokens."""
        request, limit = job.call.request, max_characters(job.call.request, self._model.info.max_length)
        most = most_tokens(request, self._model.info.max_length)
        found: list[tuple[int, Tokens]] = []
        count = 0
        for start, part in parts(pair.text, SLICE_CHARACTERS):
            if found:
                self._push(job)
                yield
            started = monotonic()
            (tokens,) = self._tokenize(job, [pair], [part])
            found.append((start, tokens))
            count += len(tokens.ids)
            self._account(job, started)
            if most is not None and count >= most:
                break
        left = start + len(part) < pair.characters and most != request.max_document_tokens
        return join(found)._replace(cut=left or pair.characters > limit)

    def _account(self, job: _Job, started: float) -> None:
        ended = monotonic()
        job.call.tokenization = ((job.call.tokenization or (started, ended))[0], ended)
        self._metrics.tokenization_seconds.observe(ended - started)

    def _tokenize(self, job: _Job, pairs: Sequence[Pair], documents: Sequence[str]) -> Sequence[Tokens]:
        """Return the tokens of documents; the queries of their pairs go into the job, each once."""
        limit = max_characters(job.call.request, self._model.info.max_length)
        queries = list(dict.fromkeys(pair.query for pair in pairs if pair.query not in job.queries))
        texts = [*queries, *documents]
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
    """Take the next pairs of a job that nobody has scored or is scoring; a document of parts comes alone."""
    chosen: list[tuple[int, Pair]] = []
    characters = 0
    while job.left and len(chosen) < SLICE_TEXTS and characters < SLICE_CHARACTERS:
        index, pair = job.left[-1]
        if chosen and pair.characters > SLICE_CHARACTERS:
            break
        job.left.pop()
        if pair.waiting:
            chosen.append((index, pair))
            characters += pair.characters
    return chosen
