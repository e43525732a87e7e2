"""The model thread: waiting pairs → batch → logits → callers, and every way in which that can fail.

One thread runs the model; everything else stays off it. Pairs wait in groups, one a request. A pair that two
requests ask for stands in both groups and is computed by whichever is due first; the other skips it.
"""

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from podium import batching
from podium.batching import BATCH_S, Waiting, cost
from podium.cache import Scored
from podium.calls import Backlog, Batch, Call, Pair, Read, Window
from podium.device import Health, Room, is_lost
from podium.errors import ModelFailed, OutOfMemory, is_failure
from podium.models.base import Encoding, Model
from podium.models.readiness import self_test
from podium.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

FIRST_SPEED = 2_000.0
"""Tokens per second until the first batch was measured; the warm-up measures one before any request."""

AHEAD = 2
"""Batches of a request that are tokenized before they run. Tokenizing a large one whole, beside the model,
made the first batches after its arrival twice as long on two cores, and the small requests in them."""

_FAILED = "the model failed on this request"
_FULL = "the device ran out of memory on this request; send it again, with fewer or shorter documents"
"""What callers are told; the log has the error, which names devices and settings."""


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
        batch_s: float = BATCH_S,
        least_batch_tokens: int = 1,
    ) -> None:
        self._model, self._loop, self._metrics, self._on_done = model, loop, metrics, on_done
        self._room, self._batch_s, self._least = Room(max_batch_tokens), batch_s, least_batch_tokens
        self.health = Health()
        self._changed = threading.Condition()
        # Below: guarded by _changed.
        self._groups: dict[Call, list[Window]] = {}
        self._more: dict[Call, Callable[[], object]] = {}
        self.backlog = Backlog()
        self._closed = False
        self.running_since: float | None = None
        self.tokens_per_s = tokens_per_s or FIRST_SPEED
        self.best_tokens_per_s = 0.0
        self._thread = threading.Thread(target=self._run, name="podium-engine", daemon=True)

    def start(self) -> None:
        """Start the model thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the running batch; what still waits is never scored."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def alive(self) -> bool:
        """Whether the model thread can take a batch."""
        return self._thread.is_alive()

    def stalled_s(self) -> float:
        """Return for how many seconds the running batch has been running, 0.0 where none is."""
        since = self.running_since
        return 0.0 if since is None else monotonic() - since

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch that takes as long as one should, on what the device holds."""
        return batching.next_budget(self.tokens_per_s, self._most_tokens, self._batch_s, self._least)

    @property
    def _most_tokens(self) -> int:
        return batching.most_tokens(self.tokens_per_s, self._room.tokens)

    def expect(self, windows: int, tokens: int) -> None:
        """Count what will be tokenized as waiting, or no longer where the numbers are negative."""
        with self._changed:
            self.backlog.expect(windows, tokens)

    def submit(
        self,
        call: Call,
        pairs: Iterable[tuple[Pair, Sequence[Read]]],
        more: Callable[[], object] | None = None,
    ) -> None:
        """Let tokenized pairs of a call wait for a batch; those that another call submitted stay shared.

        `more` is called once, on any thread, as soon as what waits of the call does not fill AHEAD batches.
        """
        with self._changed:
            ready: list[Window] = []
            for pair, reads in pairs:
                if not (pair.windows or pair.done):
                    pair.windows = [Window(pair, read) for read in reads]
                    self.backlog.expect(-pair.most_windows, -pair.tokens)
                    for window in pair.windows:
                        self.backlog.enter(window)
                    pair.query, pair.document = "", b""
                ready += [window for window in pair.windows if window.waiting]
            # Those of one prefix together, see `batching`. Longest first within a slice: neighbours of like
            # length are what a padded batch wants.
            ready.sort(key=lambda window: (window.prefix, -window.tokens))
            self._groups.setdefault(call, []).extend(ready)
            if more is not None:
                self._more[call] = more
                self._ask_for_more(call)
            self._changed.notify()

    def fail(self, call: Call, error: Exception) -> None:
        """End a call with an error, from any thread."""
        self._hand_over(lambda: call.fail(error))

    def abandon(self, call: Call, pairs: Sequence[Pair]) -> None:
        """Drop pairs that nobody waits for any more, and the group of a call that has ended."""
        with self._changed:
            self._groups.pop(call, None)
            self._more.pop(call, None)
            for pair in pairs:
                if not (pair.windows or pair.done):
                    self.backlog.expect(-pair.most_windows, -pair.tokens)
                pair.done = True
                for window in pair.windows:
                    self.backlog.leave(window)

    def _run(self) -> None:
        while (groups := self._next()) is not None:
            self._score_or_fail(groups)
            self.running_since = None

    def _next(self) -> list[list[Window]] | None:
        """Wait for windows and take a batch of them, by request; None once closed or the device is lost."""
        with self._changed:
            while True:
                while not self._groups and not self._closed:
                    self._changed.wait()
                if self._closed or self.health.lost:
                    return None
                if batch := self._take():
                    self.running_since = monotonic()
                    return batch

    def _take(self) -> list[list[Window]]:
        calls = list(self._groups)
        taken = batching.plan_batch(
            [Waiting(call.order, self._groups[call]) for call in calls],
            budget := self.batch_tokens,
            most=self._most_tokens,
            padded=self._model.pads,
        )
        batch = []
        for call, positions in zip(calls, taken, strict=True):
            group = self._groups[call]
            if group and not positions:
                continue
            batch.append([group[position] for position in positions if self.backlog.leave(group[position])])
            for position in reversed(positions):
                del group[position]
            self._ask_for_more(call)
            if not group:
                del self._groups[call]
        batch = [windows for windows in batch if windows]
        if batch:
            reason = batching.ended_by(budget, self._room.tokens, left=bool(self._groups))
            self._metrics.batches.labels(reason).inc()
        return batch

    def _ask_for_more(self, call: Call) -> None:
        if call in self._more:
            group, padded = self._groups[call], self._model.pads
            if not group or cost(group, padded=padded) < AHEAD * batching.first_budget(
                group[0], self.batch_tokens, self._most_tokens, padded=padded
            ):
                self._more.pop(call)()

    def _score_or_fail(self, groups: Sequence[list[Window]]) -> None:
        """Score a batch; one that fails is scored again request by request, and fails those that fail."""
        error = self._score([window for windows in groups for window in windows])
        if error is not None and (len(groups) == 1 or is_lost(error)):
            self._give_up(groups, error)
        elif error is not None:
            for windows in groups:
                self._score_or_fail([windows])

    def _score(self, windows: list[Window]) -> BaseException | None:
        """Score windows and hand their logits over; return what went wrong."""
        started = self.running_since = monotonic()
        try:
            encodings = [window.make() for window in windows]
            tokens, logits = self._model.computed(encodings), self._logits(encodings)
        except BaseException as error:
            if not is_failure(error):
                raise
            log.exception("a batch of %d pairs failed", len(windows))
            self._metrics.failed_batches.inc()
            return error
        batch = Batch(started, monotonic(), len(windows), tokens)
        self.health.worked()
        self._measure(encodings, batch)
        self._hand_over(lambda: self._deliver(windows, logits, batch))
        return None

    def _give_up(self, groups: Sequence[list[Window]], error: BaseException) -> None:
        failure = _FULL if isinstance(error, OutOfMemory) else _FAILED
        pairs = [window.pair for windows in groups for window in windows]
        self._hand_over(lambda: self._fail(pairs, ModelFailed(failure)))
        self.running_since = monotonic()
        if self.health.failed(error, lambda: self_test(self._model)):
            self._metrics.device_failures.inc()
        if self.health.lost:
            log.critical("%s: %s", self.health.lost, self.health.cause)

    def _measure(self, encodings: Sequence[Encoding], batch: Batch) -> None:
        seconds = batch.ended - batch.started
        budget = self.batch_tokens
        self.tokens_per_s = batching.learn_speed(
            self.tokens_per_s, batch.tokens, seconds, budget, self._batch_s
        )
        self._room.held(batch.tokens)
        if batch.tokens >= budget / 2:
            self.best_tokens_per_s = max(self.best_tokens_per_s, batch.tokens / max(seconds, 1e-6))
        self._metrics.batch([len(encoding.ids) for encoding in encodings], batch.tokens, seconds)

    def _logits(self, encodings: Sequence[Encoding]) -> list[float]:
        logits: list[float] = self._split_if_needed(encodings).tolist()
        if len(logits) != len(encodings):
            raise ModelFailed(f"the model gave {len(logits)} logits for {len(encodings)} pairs: a bug.")
        return logits

    def _split_if_needed(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        try:
            return self._model.score(encodings)
        except OutOfMemory:
            if len(encodings) == 1:
                raise
            half = len(encodings) // 2
            self._room.exceeded(self._model.computed(encodings), self.batch_tokens)
            self._metrics.split_batches.inc()
            log.warning("out of memory: batches hold %d tokens from now on", self._room.tokens)
        return np.concatenate([self._model.score(encodings[:half]), self._model.score(encodings[half:])])

    def _deliver(self, windows: Sequence[Window], logits: Sequence[float], batch: Batch) -> None:
        """On the event loop: give each pair whose last window this was to those who wait for it."""
        for window, logit in zip(windows, logits, strict=True):
            pair = window.pair
            for call, _ in pair.callers:
                call.ran(batch)
            if not math.isfinite(logit):
                self._fail([pair], ModelFailed("the model gave a score that is not a number"))
            pair.logits[window] = logit
            if pair.done or len(pair.logits) < len(pair.windows):
                continue
            pair.done = True
            scored = pair.scored()
            self._on_done(pair, scored)
            for call, index in pair.callers:
                call.deliver(index, scored)

    def _fail(self, pairs: Sequence[Pair], error: Exception) -> None:
        for pair in pairs:
            with self._changed:
                pair.done = True
                for window in pair.windows:
                    self.backlog.leave(window)
            self._on_done(pair, None)
            for call, _ in pair.callers:
                call.fail(error)

    def _hand_over(self, what: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            log.debug("the event loop has ended; nobody waits any more")
