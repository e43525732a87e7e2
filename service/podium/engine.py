"""The model thread: waiting pairs → batch → logits → callers, and every way in which that can fail.

One thread runs the model; everything else stays off it. Pairs wait in groups, one a request. A pair that two
requests ask for stands in both groups and is computed by whichever is due first; the other skips it.
"""

import asyncio
import enum
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from podium.batching import Waiting, learn_speed, next_budget, plan_batch
from podium.cache import Key, Scored
from podium.errors import ModelFailed, OutOfMemory, PairTooLong
from podium.models.base import Encoding, Model
from podium.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

FIRST_SPEED = 2_000.0
"""Tokens per second until the first batch was measured; the warm-up measures one before any request."""


class State(enum.Enum):
    """Where a pair is; it moves down this list and never up."""

    NEW = enum.auto()
    """Known, not tokenized."""
    READY = enum.auto()
    """Tokenized, waiting for a batch."""
    RUNNING = enum.auto()
    """In the batch that the model computes."""
    DONE = enum.auto()
    """Scored, failed, or wanted by nobody any more."""


class Pair:
    """A query and a document on their way through tokenizer and model, and who waits for them."""

    __slots__ = ("callers", "document", "encoding", "key", "query", "state", "tokens")

    def __init__(self, key: Key, query: str, document: str, tokens: int) -> None:
        self.key, self.query, self.document = key, query, document
        self.tokens = tokens
        """An estimate until the pair is tokenized."""
        self.state = State.NEW
        self.encoding: Encoding | None = None
        self.callers: list[tuple[Call, int]] = []
        """Each caller with the index of the pair in its request. Changed on the event loop only."""


class Batch(NamedTuple):
    """When a batch ran, in seconds on the monotonic clock."""

    started: float
    ended: float


class Call:
    """One request that waits for its pairs. Used on the event loop only."""

    def __init__(self, pairs: int, due: float, *, truncate: bool = True) -> None:
        self.due = due
        self.truncate = truncate
        self.scored: list[Scored | None] = [None] * pairs
        self.missing = pairs
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tokenization: tuple[float, float] | None = None
        """From when to when its texts were tokenized, seconds on the monotonic clock."""
        self.batches: tuple[float, float] | None = None
        """From the start of the first to the end of the last batch with one of its pairs, likewise."""

    def deliver(self, index: int, scored: Scored, batch: Batch | None = None) -> None:
        """Take the score of pair `index`; the last one completes the call."""
        if scored.cut and not self.truncate:
            self.fail(PairTooLong(index, scored.needed, scored.tokens))
        self.scored[index] = scored
        self.missing -= 1
        if batch is not None:
            self.batches = (self.batches[0] if self.batches else batch.started, batch.ended)
        if self.missing == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: BaseException) -> None:
        """End the call with an error; the first one counts."""
        if not self.done.done():
            self.done.set_exception(error)


class Engine:
    """Runs batches of waiting pairs until it is closed.

    `on_done(pair, scored)` is called on the event loop for every pair that was computed, with None for one
    that failed, before its callers are told.
    """

    def __init__(
        self,
        model: Model,
        *,
        loop: asyncio.AbstractEventLoop,
        max_batch_tokens: int,
        metrics: Metrics,
        on_done: Callable[[Pair, Scored | None], None],
        tokens_per_s: float | None = None,
    ) -> None:
        self._model, self._loop, self._metrics, self._on_done = model, loop, metrics, on_done
        self._padded = model.info.forward == "padded"
        self._max_batch_tokens = max_batch_tokens
        self._changed = threading.Condition()
        # Below: guarded by _changed.
        self._groups: dict[Call, list[Pair]] = {}
        self._closed = False
        self.waiting_pairs = 0
        self.waiting_tokens = 0
        self.running_since: float | None = None
        self.tokens_per_s = tokens_per_s or FIRST_SPEED
        self._thread = threading.Thread(target=self._run, name="podium-engine", daemon=True)

    def start(self) -> None:
        """Start the model thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the running batch; what still waits is never scored."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def join(self, timeout_s: float) -> None:
        """Wait for the model thread to end; a stuck device is left behind."""
        self._thread.join(timeout_s)

    @property
    def alive(self) -> bool:
        """Whether the model thread can take a batch."""
        return self._thread.is_alive()

    def stalled_s(self) -> float:
        """Return for how many seconds the running batch has been running, 0.0 where none is."""
        since = self.running_since
        return 0.0 if since is None else monotonic() - since

    def expect(self, pairs: Sequence[Pair]) -> None:
        """Count new pairs as waiting, before they are tokenized."""
        with self._changed:
            self.waiting_pairs += len(pairs)
            self.waiting_tokens += sum(pair.tokens for pair in pairs)

    def submit(self, call: Call, pairs: Iterable[tuple[Pair, Encoding]]) -> None:
        """Let tokenized pairs of a call wait for a batch; those that another call submitted stay shared."""
        with self._changed:
            group = self._groups.setdefault(call, [])
            for pair, encoding in pairs:
                if pair.state is State.NEW:
                    self.waiting_tokens += len(encoding.ids) - pair.tokens
                    pair.encoding, pair.tokens, pair.state = encoding, len(encoding.ids), State.READY
                    pair.query = pair.document = ""
                if pair.state is State.READY:
                    group.append(pair)
            # Longest first: padded batches waste least, and what does not fit the device shows at once.
            group.sort(key=lambda pair: -pair.tokens)
            self._changed.notify()

    def fail(self, call: Call, error: Exception) -> None:
        """End a call with an error, from any thread."""
        self._hand_over(lambda: call.fail(error))

    def abandon(self, call: Call, pairs: Sequence[Pair]) -> None:
        """Drop pairs that nobody waits for any more, and the group of a call that has ended."""
        with self._changed:
            self._groups.pop(call, None)
            for pair in pairs:
                self._leave_queue(pair, State.DONE)

    def _leave_queue(self, pair: Pair, state: State) -> bool:
        """Move a waiting pair on; False where it waits no longer."""
        if pair.state not in (State.NEW, State.READY):
            return False
        pair.state = state
        self.waiting_pairs -= 1
        self.waiting_tokens -= pair.tokens
        return True

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            self._score(batch)

    def _next(self) -> list[Pair] | None:
        """Wait for pairs and take a batch of them; None once closed."""
        with self._changed:
            while True:
                while not self._groups and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return None
                if batch := self._take():
                    self.running_since = monotonic()
                    return batch

    def _take(self) -> list[Pair]:
        calls = list(self._groups)
        waiting = [Waiting(call.due, [pair.tokens for pair in self._groups[call]]) for call in calls]
        counts = plan_batch(
            waiting, next_budget(self.tokens_per_s, self._max_batch_tokens), padded=self._padded
        )
        batch = []
        for call, count in zip(calls, counts, strict=True):
            group = self._groups[call]
            batch += [pair for pair in group[:count] if self._leave_queue(pair, State.RUNNING)]
            del group[:count]
            if not group:
                del self._groups[call]
        return batch

    def _score(self, pairs: list[Pair]) -> None:
        started = monotonic()
        try:
            logits = self._split_if_needed(pairs)
        except Exception as error:
            log.exception("a batch of %d pairs failed", len(pairs))
            failure = (
                error if isinstance(error, ModelFailed) else ModelFailed("the model failed on this request")
            )
            self._hand_over(lambda: self._fail(pairs, failure))
        else:
            batch = Batch(started, monotonic())
            self._measure(pairs, batch)
            self._hand_over(lambda: self._deliver(pairs, logits, batch))
        self.running_since = None

    def _measure(self, pairs: list[Pair], batch: Batch) -> None:
        lengths, seconds = [pair.tokens for pair in pairs], batch.ended - batch.started
        budget = next_budget(self.tokens_per_s, self._max_batch_tokens)
        self.tokens_per_s = learn_speed(self.tokens_per_s, sum(lengths), seconds, budget)
        self._metrics.batch(lengths, seconds, packed=not self._padded)

    def _split_if_needed(self, pairs: list[Pair]) -> NDArray[np.float32]:
        encodings = [pair.encoding for pair in pairs if pair.encoding is not None]
        try:
            return self._model.score(encodings)
        except OutOfMemory:
            if len(encodings) == 1:
                raise
            half = len(encodings) // 2
            self._max_batch_tokens = max(1, sum(pair.tokens for pair in pairs) // 2)
            log.warning("out of memory: batches hold %d tokens from now on", self._max_batch_tokens)
        return np.concatenate([self._model.score(encodings[:half]), self._model.score(encodings[half:])])

    def _deliver(self, pairs: Sequence[Pair], logits: NDArray[np.float32], batch: Batch) -> None:
        """On the event loop: give each pair's score to those who wait for it."""
        for pair, logit in zip(pairs, logits.tolist(), strict=True):
            encoding = pair.encoding
            assert encoding is not None
            if logit != logit or logit in (float("inf"), float("-inf")):
                self._fail([pair], ModelFailed("the model gave a score that is not a number"))
                continue
            pair.state = State.DONE
            scored = Scored(logit, len(encoding.ids), encoding.cut, encoding.needed)
            self._on_done(pair, scored)
            for call, index in pair.callers:
                call.deliver(index, scored, batch)

    def _fail(self, pairs: Sequence[Pair], error: Exception) -> None:
        for pair in pairs:
            pair.state = State.DONE
            self._on_done(pair, None)
            for call, _ in pair.callers:
                call.fail(error)

    def _hand_over(self, what: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            log.debug("the event loop has ended; nobody waits any more")
