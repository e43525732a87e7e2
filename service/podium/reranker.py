"""The data path: a RankRequest in, a Ranking out. Read this page to know what happens to a request."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from time import monotonic

import numpy as np
from msgspec.structs import replace

from podium.admission import admit
from podium.batching import BATCH_S, due_at
from podium.cache import Digests, Key, PairCache, Scored, pair_key
from podium.calls import Call, Pair, Size, limits_of, sizes_of
from podium.engine import Engine
from podium.errors import DeadlineExceeded, PodiumError, Unavailable
from podium.models.base import Model
from podium.models.text.pairs import check_characters
from podium.models.text.reading import keep_readable
from podium.ranking import Ranking, RankRequest, Usage, rank
from podium.telemetry.metrics import Metrics
from podium.telemetry.tracing import exemplar, stage_spans
from podium.tokenization import Tokenization

log = logging.getLogger(__name__)

SLICE_CHARACTERS = 256 * 1024
"""What is clipped, hashed and looked up of a request before the event loop gets its turn: milliseconds."""
PAIR_CHARACTERS = 1024
"""What a pair costs by itself, in characters to be hashed."""
LEAVING_PAIRS = 1024
"""The same for pairs that a request leaves behind."""


class Reranker:
    """Ranks documents with one model. Made and used on the event loop; owns the model's two threads."""

    def __init__(
        self,
        model: Model,
        *,
        metrics: Metrics,
        max_batch_tokens: int,
        max_queue_pairs: int = 20_000,
        request_timeout_s: float = 300,
        stall_timeout_s: float = 120,
        allow_priority: bool = False,
        cache_bytes: int = 0,
        cache_ttl_s: float = 300,
        max_windows: int = 64,
        tokens_per_s: float | None = None,
        batch_s: float = BATCH_S,
        least_batch_tokens: int = 1,
    ) -> None:
        self.model = model
        self._max_windows = max_windows
        self._metrics = metrics
        self._max_queue_pairs = max_queue_pairs
        self._request_timeout_s = request_timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._allow_priority = allow_priority
        self._cache = PairCache(cache_bytes, cache_ttl_s)
        self._in_flight: dict[Key, Pair] = {}
        self._calls: set[Call] = set()
        self._closing = self._told = False
        self._engine = Engine(
            model,
            loop=asyncio.get_running_loop(),
            max_batch_tokens=max_batch_tokens,
            metrics=metrics,
            on_done=self._on_done,
            tokens_per_s=tokens_per_s,
            batch_s=batch_s,
            least_batch_tokens=least_batch_tokens,
        )
        self._tokenization = Tokenization(model, self._engine, metrics)
        engine = self._engine
        metrics.follow(
            queue_pairs=lambda: engine.backlog.pairs,
            queue_tokens=lambda: engine.backlog.tokens,
            queue_oldest_seconds=lambda: self.oldest_s,
            cache_bytes=lambda: self._cache.bytes,
            threads=lambda: model.threads,
            tokens_per_second=lambda: engine.tokens_per_s,
            best_tokens_per_second=lambda: engine.best_tokens_per_s,
            batch_limit_tokens=lambda: engine.batch_tokens,
            request_timeout_seconds=lambda: request_timeout_s,
        )
        self._engine.start()
        self._tokenization.start()

    async def rank(self, request: RankRequest, *, counted: bool = True) -> Ranking:
        """Score every document and order them; where it is `counted`, its wait is a request's in the metrics.

        Raises Unavailable while shutting down, Overloaded, PairTooLong, DeadlineExceeded or ModelFailed.
        Cancelling it withdraws the pairs that nobody else waits for.
        """
        request = self._understood(request)
        call, sizes = self._admit(request)
        self._calls.add(call)
        pairs: list[tuple[int, Pair]] = []
        try:
            async with asyncio.timeout(self._request_timeout_s):
                await self._enter(call, request, sizes, pairs)
                request = call.request  # lets the texts go
                if pairs:
                    self._tokenization.submit(call, pairs)
                await call.done
        except TimeoutError:
            raise DeadlineExceeded(self._request_timeout_s) from None
        finally:
            self._calls.discard(call)
            if pairs and counted:
                waited_s = max(0.0, call.waited_s(monotonic()))
                self._metrics.request_queue_seconds.observe(waited_s, exemplar())
            self._leave(call, iter(pairs))
        stage_spans(call.tokenization, call.batches)
        return self._ranking(call, request)

    def _understood(self, request: RankRequest) -> RankRequest:
        """Refuse an instruction that is too long; leave out one that the model ignores, and say so once."""
        if not request.instruction or self.model.info.instruction_use != "none":
            check_characters(request.instruction or "")
            return request
        if not self._told:
            self._told = True
            log.warning(
                "the model takes no instructions: that of a request is ignored, and those of later ones"
            )
        return replace(request, instruction=None)

    def _admit(self, request: RankRequest) -> tuple[Call, Sequence[Size]]:
        """Let the request in whole, before any work, and count its pairs as waiting; return their sizes."""
        if self._closing:
            raise Unavailable("the server is shutting down; send the request again, to another replica", 1)
        engine = self._engine
        if (stuck := self.stuck) is not None:
            raise Unavailable(stuck, self._stall_timeout_s)
        limits = limits_of(request, self.model.info, self._max_windows)
        sizes = sizes_of(request, limits, self.model.info, shares=self.model.shares)
        windows = sum(size.windows for size in sizes)
        admit(
            len(sizes),
            windows=windows,
            waiting_pairs=engine.backlog.pairs,
            waiting_tokens=engine.backlog.tokens,
            tokens_per_s=engine.tokens_per_s,
            max_queue_pairs=self._max_queue_pairs,
        )
        tokens = sum(size.tokens for size in sizes)
        priority = request.priority if self._allow_priority else 0
        now = monotonic()
        call = Call(request, limits, due_at(now, tokens, engine.tokens_per_s, priority), now)
        engine.expect(windows, tokens)
        return call, sizes

    async def _enter(
        self, call: Call, request: RankRequest, sizes: Sequence[Size], pairs: list[tuple[int, Pair]]
    ) -> None:
        """Make the pairs of a call, answered from the cache or shared where they are known, in slices.

        `pairs` gets those that still need work, each with its first index in the request.
        """
        limits = call.limits
        # Before anything else looks at them: a 10 MB document is neither hashed nor kept whole.
        queries = [keep_readable(query, keep_end=limits.keeps_query_end) for query in request.queries]
        if len(queries) == 1:
            queries *= len(sizes)
        digests = Digests(repr((limits, request.instruction)))
        hits = work = known_windows = known_tokens = 0
        left, left_tokens = sum(size.windows for size in sizes), sum(size.tokens for size in sizes)
        try:
            every = zip(queries, request.documents, sizes, strict=True)
            for index, (query, whole, size) in enumerate(every):
                if call.done.done():
                    return
                text = keep_readable(whole, keep_end=limits.keeps_end)
                if query not in digests:
                    work += len(query)
                known, pair = self._pair(call, index, query, text, size, digests)
                left, left_tokens = left - size.windows, left_tokens - size.tokens
                if known:
                    hits += 1
                    known_windows, known_tokens = known_windows + size.windows, known_tokens + size.tokens
                if pair is not None:
                    pairs.append((index, pair))
                work += PAIR_CHARACTERS + len(text)
                if work >= SLICE_CHARACTERS:
                    self._engine.expect(-known_windows, -known_tokens)
                    work = known_windows = known_tokens = 0
                    await asyncio.sleep(0)
        finally:
            self._engine.expect(-left - known_windows, -left_tokens - known_tokens)
            self._metrics.cache_hits.inc(hits)

    def _pair(
        self, call: Call, index: int, query: str, text: str, size: Size, digests: Digests
    ) -> tuple[bool, Pair | None]:
        """Answer document `index` of a call from the cache, join its pair in flight, or make one.

        Return whether it was known, and the pair that the call now waits for, but for one that it waits for
        already.
        """
        document = text.encode("utf-8", "surrogatepass")
        key, pair = b"", None
        if self._cache.on:
            key = pair_key(digests[query], document)
            if (scored := self._cache.get(key)) is not None:
                call.deliver(index, scored)
                return True, None
            pair = self._in_flight.get(key)
        known = pair is not None
        if pair is None:
            pair = Pair(key, query, document, len(text), *size)
            if self._cache.on:
                self._in_flight[key] = pair
        mine = any(caller is call for caller, _ in pair.callers[-1:])
        pair.callers.append((call, index))
        return known, None if mine else pair

    def _on_done(self, pair: Pair, scored: Scored | None) -> None:
        if self._in_flight.get(pair.key) is pair:
            del self._in_flight[pair.key]
        if scored is not None:
            self._cache.put(pair.key, scored)

    def _leave(self, call: Call, pairs: Iterator[tuple[int, Pair]]) -> None:
        """Take a call that has ended out of its pairs, in slices; drop those that nobody waits for now."""
        if call.missing == 0:
            return
        alone = []
        count = 0
        for _, pair in islice(pairs, LEAVING_PAIRS):
            count += 1
            if pair.done:
                continue
            pair.callers = [caller for caller in pair.callers if caller[0] is not call]
            if not pair.callers and pair.waiting:
                alone.append(pair)
                self._on_done(pair, None)
        self._engine.abandon(call, alone)
        if count == LEAVING_PAIRS:
            asyncio.get_running_loop().call_soon(self._leave, call, pairs)

    def _ranking(self, call: Call, request: RankRequest) -> Ranking:
        scored = [each for each in call.scored if each is not None]
        logits = np.fromiter((each.logit for each in scored), np.float32, len(scored))
        usage = Usage(sum(each.tokens for each in scored), sum(each.cut for each in scored))
        self._metrics.documents_truncated.inc(usage.truncated_documents)
        spans = [each.spans for each in scored] if request.spans else None
        ranking = rank(logits, usage, top_n=request.top_n, raw_scores=request.raw_scores, spans=spans)
        details = [(each.tokens, each.cut) for each in scored] if request.details else None
        return replace(ranking, details=details, timing=call.timing(monotonic()))

    @property
    def active(self) -> int:
        """Requests admitted and not yet answered."""
        return len(self._calls)

    @property
    def oldest_s(self) -> float:
        """Seconds since the admission of the oldest request of which no batch has ended yet, else 0."""
        now = monotonic()
        return max((call.waited_s(now) for call in list(self._calls) if not call.batches), default=0.0)

    @property
    def stuck(self) -> str | None:
        """What is wrong with the device or the model's threads, None where nothing is."""
        if self._engine.health.lost:
            return self._engine.health.lost
        if (seconds := self._engine.stalled_s()) > self._stall_timeout_s:
            return f"the device has been busy with one batch for {seconds:.0f} s (stall_timeout_s)"
        if not (self._engine.alive and self._tokenization.alive):
            return "a thread of the model has ended"
        return None

    async def watch(self, interval_s: float = 1.0) -> None:
        """Fail whoever waits for a device that is stuck. Runs until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            if self._calls and (stuck := self.stuck) is not None:
                self._fail_all(Unavailable(stuck, self._stall_timeout_s))

    async def drain(self, timeout_s: float) -> None:
        """Admit nothing more and wait until every admitted request is answered, or fail what is left."""
        self._closing = True
        if waiting := [call.done for call in self._calls]:
            await asyncio.wait(waiting, timeout=timeout_s)
        self._fail_all(Unavailable("the server shut down before the request was scored", 1))

    def close(self) -> None:
        """Stop the model's threads after what they are doing."""
        self._closing = True
        self._tokenization.close()
        self._engine.close()

    def _fail_all(self, error: PodiumError) -> None:
        for call in list(self._calls):
            call.fail(error)
