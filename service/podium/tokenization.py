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
from functools import partial
from time import monotonic

from podium.calls import Call, Pair, Read, too_long
from podium.engine import Engine
from podium.errors import ModelFailed, RequestError, is_failure
from podium.models.base import Model, Tokens
from podium.models.text.fitting import fit, join
from podium.models.text.reading import TEXT_CHARACTERS, parts, read_documents, read_queries
from podium.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

SLICE_TEXTS = 64
SLICE_CHARACTERS = 256 * 1024
"""A slice is full with so many pairs or characters, those of queries that it reads included: 0.1 s of
tokenization; a longer text takes more."""


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
            except RequestError as error:
                self._engine.fail(job.call, error)
            except BaseException as error:
                if not is_failure(error):
                    raise
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
            self._read_queries(job, new)
            if new and _comes_in_parts(job.call, new[0]):
                documents = iter([(yield from self._in_parts(job, new[0]))])
                started = monotonic()
            else:
                texts, queries = [pair.text for pair in new], [job.queries[pair.query] for pair in new]
                documents = iter(read_documents(self._model, texts, job.call.limits, queries))
            ready: list[tuple[Pair, Sequence[Read]]] = []
            for index, pair in chosen:
                # What another call has tokenized meanwhile is shared.
                reads = [] if pair.windows else self._reads(job, pair, next(documents))
                known = reads or [window.read for window in pair.windows]
                if not job.call.request.truncate and any(read.cut for read in known):
                    self._engine.fail(job.call, too_long(index, known[0].needed, job.call.limits))
                    return
                ready.append((pair, reads))
            self._account(job, started)
            self._engine.submit(job.call, ready, (lambda: self._push(job)) if job.left else None)
            yield

    def _in_parts(self, job: _Job, pair: Pair) -> Generator[None, None, Tokens]:
        """Tokenize a document that is too long for one slice, as far as it can be read; return its tokens."""
        call, text = job.call, pair.text[:TEXT_CHARACTERS]
        limits, found, count = call.limits, list[tuple[int, Tokens]](), 0
        for start, part in parts(text, SLICE_CHARACTERS):
            if found:
                self._push(job)
                yield
            started = monotonic()
            end = start + len(part)
            (tokens,) = self._model.documents(
                [part],
                max_characters=TEXT_CHARACTERS,
                offsets=call.request.spans,
                begins=start == 0,
                ends=end == pair.characters,
            )
            found.append((start, tokens))
            count += len(tokens.ids)
            self._account(job, started)
            if limits.most_tokens is not None and count >= limits.most_tokens:
                break
        wanted = limits.max_document_tokens is not None and count >= limits.max_document_tokens
        return join(found)._replace(cut=end < pair.characters and not wanted)

    def _account(self, job: _Job, started: float) -> None:
        ended = monotonic()
        job.call.tokenization = ((job.call.tokenization or (started, ended))[0], ended)
        job.call.tokenized_s += ended - started
        self._metrics.tokenization_seconds.observe(ended - started)

    def _read_queries(self, job: _Job, pairs: Sequence[Pair]) -> None:
        """Put the tokens of the pairs' queries into the job, each once."""
        call = job.call
        texts = list(dict.fromkeys(pair.query for pair in pairs if pair.query not in job.queries))
        found = read_queries(self._model, texts, call.limits, instruction=call.request.instruction)
        job.queries.update(zip(texts, found, strict=True))

    def _reads(self, job: _Job, pair: Pair, document: Tokens) -> Sequence[Read]:
        """Return what the model reads of a pair; of a long document a window each, the first one made."""
        limits = job.call.limits
        fitted = fit(job.queries[pair.query], document, limits)
        (first, *others), model = fitted, self._model
        encoding = model.pair(first.query, first.document)._replace(needed=first.needed)
        made = Read.of(encoding, _span(first.document) if limits.spans else None)
        return [
            made,
            *(
                Read(
                    tokens=each.tokens,
                    cut=each.cut,
                    needed=each.needed,
                    make=partial(model.pair, each.query, each.document),
                    shared=encoding.shared,
                    prefix=encoding.prefix,
                    span=_span(each.document) if limits.spans else None,
                )
                for each in others
            ),
        ]


def _comes_in_parts(call: Call, pair: Pair) -> bool:
    """Whether a document is tokenized in parts: it is longer than a slice, and much of it is read."""
    read_on = call.limits.windows is not None or call.limits.most_tokens is None
    return read_on and pair.characters > SLICE_CHARACTERS


def _span(document: Tokens) -> tuple[int, int] | None:
    """Return from where to where in its text a document's tokens go; None where that is not known."""
    if document.offsets is None:
        return None
    if not len(document.offsets):
        return 0, 0
    return int(document.offsets[0, 0]), int(document.offsets[-1, 1])


def _take_slice(job: _Job) -> list[tuple[int, Pair]]:
    """Take the next pairs of a job that nobody has scored or is scoring; a document of parts comes alone."""
    chosen: list[tuple[int, Pair]] = []
    queries: set[str] = set()
    instruction = len(job.call.request.instruction or "")  # read anew with each query
    characters = 0
    while job.left and len(chosen) < SLICE_TEXTS and characters < SLICE_CHARACTERS:
        index, pair = job.left[-1]
        if chosen and _comes_in_parts(job.call, pair):
            break
        job.left.pop()
        if pair.waiting:
            chosen.append((index, pair))
            characters += pair.characters
            if not pair.windows and pair.query not in job.queries and pair.query not in queries:
                queries.add(pair.query)
                characters += len(pair.query) + instruction
    return chosen
