"""The data path: a RankRequest in, a Ranking out. Read this page to know what happens to a request."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from time import monotonic

import numpy as np
from msgspec.structs import replace

from podium.admission import admit
from podium.batching import due_at
from podium.cache import Key, PairCache, Scored, pair_key, query_key
from podium.calls import Call, Pair, limits_of
from podium.engine import Engine
from podium.errors import DeadlineExceeded, PodiumError, Unavailable
from podium.models.base import Model
from podium.models.text.fitting import Limits, most_windows
from podium.models.text.reading import keep_readable
from podium.ranking import Ranking, RankRequest, Usage, rank
from podium.telemetry.metrics import Metrics
from podium.telemetry.tracing import stage_spans
from podium.tokenization import Tokenization

log = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 4
"""Guess for texts that are not tokenized yet; English has 4 to 5, and the guess only orders and estimates."""


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
        cache_bytes: int = 0,
        cache_ttl_s: float = 300,
        max_windows: int = 64,
        tokens_per_s: float | None = None,
    ) -> None:
        self.model = model
        self._max_windows = max_windows
        self._metrics = metrics
        self._max_queue_pairs = max_queue_pairs
        self._request_timeout_s = request_timeout_s
        self._stall_timeout_s = stall_timeout_s
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
        )
        self._tokenization = Tokenization(model, self._engine, metrics)
        metrics.follow_queue(lambda: self._engine.waiting_pairs, lambda: self._engine.waiting_tokens)
        self._engine.start()
        self._tokenization.start()

    async def rank(self, request: RankRequest) -> Ranking:
        """Score every document and order them.

        Raises Unavailable while shutting down, Overloaded, PairTooLong, DeadlineExceeded or ModelFailed.
        Cancelling it withdraws the pairs that nobody else waits for.
        """
        call, pairs = self._admit(self._understood(request))
        self._calls.add(call)
        try:
            async with asyncio.timeout(self._request_timeout_s):
                if pairs:
                    self._tokenization.submit(call, pairs)
                await call.done
        except TimeoutError:
            raise DeadlineExceeded(self._request_timeout_s) from None
        finally:
            self._calls.discard(call)
            self._leave(call, pairs)
        stage_spans(call.tokenization, call.batches)
        return self._ranking(call, request)

    def _understood(self, request: RankRequest) -> RankRequest:
        """Return the request without an instruction that the model does not take, and say so once."""
        if not request.instruction or self.model.info.instruction_use != "none":
            return request
        if not self._told:
            self._told = True
            log.warning(
                "the model takes no instructions: that of a request is ignored, and those of later ones"
            )
        return replace(request, instruction=None)

    def _admit(self, request: RankRequest) -> tuple[Call, list[tuple[int, Pair]]]:
        """Let the request in whole; return its call and the pairs that are neither cached nor known twice."""
        if self._closing:
            raise Unavailable("the server is shutting down; send the request again, to another replica", 1)
        engine, info = self._engine, self.model.info
        if self.stuck is not None:
            raise Unavailable(self.stuck, int(self._stall_timeout_s) + 1)
        limits = limits_of(request, info, self._max_windows)
        # Before anything else looks at them: a 10 MB document is neither hashed nor kept whole.
        queries = [keep_readable(query, keep_end=limits.keeps_query_end) for query in request.queries]
        documents = [keep_readable(document, keep_end=limits.keeps_end) for document in request.documents]
        windows = [1] * len(documents)
        if limits.windows is not None:
            beside = info.special_tokens + _bytes(request.instruction or "") + max(map(_bytes, queries))
            windows = [most_windows(_bytes(document), limits, beside=beside) for document in documents]
        admit(
            len(documents),
            windows=sum(windows),
            waiting_pairs=engine.waiting_pairs,
            waiting_tokens=engine.waiting_tokens,
            tokens_per_s=engine.tokens_per_s,
            max_queue_pairs=self._max_queue_pairs,
        )
        guesses = self._guess(queries, documents, limits)
        call = Call(request, limits, due_at(monotonic(), sum(guesses), engine.tokens_per_s))
        every = queries if len(queries) > 1 else queries * len(documents)
        if self._cache.on:
            return call, self._share(call, every, documents, guesses, windows)
        pairs = [Pair(b"", *each) for each in zip(every, documents, guesses, windows, strict=True)]
        for index, pair in enumerate(pairs):
            pair.callers.append((call, index))
        engine.expect(pairs)
        return call, list(enumerate(pairs))

    def _guess(self, queries: Sequence[str], documents: Sequence[str], limits: Limits) -> list[int]:
        """Return a guess at the tokens of each pair, a prefix that all share only with the first one."""
        info = self.model.info
        query = info.special_tokens + sum(map(len, queries)) // len(queries) // CHARACTERS_PER_TOKEN
        most = limits.max_length * (limits.windows or 1)
        guesses = [min(most, query + len(text) // CHARACTERS_PER_TOKEN) for text in documents]
        if self.model.shares and len(queries) == 1:
            guesses[1:] = [max(1, guess - query) for guess in guesses[1:]]
        return guesses

    def _share(
        self,
        call: Call,
        queries: Sequence[str],
        documents: Sequence[str],
        guesses: Sequence[int],
        windows: Sequence[int],
    ) -> list[tuple[int, Pair]]:
        """Answer from the cache, join pairs in flight, and return those that still need work."""
        how = repr((call.limits, call.request.instruction))
        digests = {query: query_key(query, how) for query in set(queries)}
        pairs: list[tuple[int, Pair]] = []
        new: list[Pair] = []
        hits = 0
        every = zip(queries, documents, guesses, windows, strict=True)
        for index, (query, document, guess, most) in enumerate(every):
            key = pair_key(digests[query], document)
            if (scored := self._cache.get(key)) is not None:
                call.deliver(index, scored)
                hits += 1
                continue
            pair = self._in_flight.get(key)
            if pair is None:
                pair = self._in_flight[key] = Pair(key, query, document, guess, most)
                new.append(pair)
            else:
                hits += 1
            if not (pair.callers and pair.callers[-1][0] is call):
                pairs.append((index, pair))
            pair.callers.append((call, index))
        self._metrics.cache_hits.inc(hits)
        self._engine.expect(new)
        return pairs

    def _on_done(self, pair: Pair, scored: Scored | None) -> None:
        if self._in_flight.get(pair.key) is pair:
            del self._in_flight[pair.key]
        if scored is not None:
            self._cache.put(pair.key, scored)

    def _leave(self, call: Call, pairs: Iterable[tuple[int, Pair]]) -> None:
        """Take a call that has ended out of its pairs, and drop those that nobody waits for now."""
        if call.missing == 0:
            return
        alone = []
        for _, pair in pairs:
            if pair.done:
                continue
            pair.callers = [caller for caller in pair.callers if caller[0] is not call]
            if not pair.callers and pair.waiting:
                alone.append(pair)
                self._on_done(pair, None)
        self._engine.abandon(call, alone)

    def _ranking(self, call: Call, request: RankRequest) -> Ranking:
        scored = [each for each in call.scored if each is not None]
        logits = np.fromiter((each.logit for each in scored), np.float32, len(scored))
        usage = Usage(sum(each.tokens for each in scored), sum(each.cut for each in scored))
        self._metrics.documents_truncated.inc(usage.truncated_documents)
        spans = [each.spans for each in scored] if request.spans else None
        return rank(logits, usage, top_n=request.top_n, raw_scores=request.raw_scores, spans=spans)

    @property
    def active(self) -> int:
        """Requests admitted and not yet answered."""
        return len(self._calls)

    @property
    def stuck(self) -> str | None:
        """What is wrong with the model's threads, None where nothing is."""
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
                self._fail_all(Unavailable(stuck, int(self._stall_timeout_s) + 1))

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


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
