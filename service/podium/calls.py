"""The work on its way: a request's call, its pairs, and the windows that the model reads."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from opentelemetry.trace import SpanContext

from podium.cache import Key, Scored
from podium.errors import PairTooLong, TextTooLong, TooManyWindows
from podium.models.base import Encoding, ModelInfo
from podium.models.text.fitting import Limits, most_windows
from podium.models.text.reading import TEXT_CHARACTERS
from podium.ranking import RankRequest, Timing
from podium.telemetry.tracing import sampled

CHARACTERS_PER_TOKEN = 4
"""Guess for texts that are not tokenized yet; English has 4 to 5, and the guess only orders and estimates."""


def limits_of(request: RankRequest, info: ModelInfo, max_windows: int = 64) -> Limits:
    """Return what bounds the pairs of a request."""
    return Limits(
        max_length=min(info.max_length, request.max_pair_tokens or info.max_length),
        longest_first=info.longest_first,
        side=request.truncate_side or info.truncation_side,
        max_query_tokens=request.max_query_tokens,
        max_document_tokens=request.max_document_tokens,
        windows=min(request.max_chunks or max_windows, max_windows) if request.overflow == "chunk" else None,
        spans=request.spans,
    )


def sizes_of(request: RankRequest, limits: Limits, info: ModelInfo, *, shares: bool) -> "Sequence[Size]":
    """Return a guess at the tokens of each pair, a prefix that all share only with the first one, and how
    many windows it becomes at most.
    """
    queries, documents = request.queries, request.documents
    windows = [1] * len(documents)
    if limits.windows is not None:
        beside = info.special_tokens + _bytes(request.instruction or "") + max(map(_bytes, queries))
        windows = [most_windows(_bytes(document), limits, beside=beside) for document in documents]
    characters = sum(min(len(query), TEXT_CHARACTERS) for query in queries) // len(queries)
    query = info.special_tokens + characters // CHARACTERS_PER_TOKEN
    most = limits.max_length * (limits.windows or 1)
    guesses = [min(most, query + len(text) // CHARACTERS_PER_TOKEN) for text in documents]
    if shares and len(queries) == 1:
        guesses[1:] = [max(1, guess - query) for guess in guesses[1:]]
    return list(map(Size, guesses, windows))


def too_long(index: int, needed: int, limits: Limits) -> PairTooLong:
    """Return what is wrong with a pair of which something would have to be cut."""
    if needed > limits.max_length and limits.windows is not None:
        return TooManyWindows(index, needed, limits.max_length, limits.windows, TEXT_CHARACTERS)
    if needed > limits.max_length:
        return PairTooLong(index, needed, limits.max_length)
    return TextTooLong(index, TEXT_CHARACTERS)


class Read(NamedTuple):
    """What the model reads of a pair at a time: all of it, or a window of its document."""

    tokens: int
    """Special tokens and prefix included."""
    cut: bool
    needed: int
    """Tokens of the pair before it was cut."""
    make: Callable[[], Encoding]
    """Puts the encoding together; that of a window is made when it is run."""
    shared: int = 0
    """As `Encoding.shared`."""
    prefix: bytes = b""
    span: tuple[int, int] | None = None
    """From where to where in the document it goes, where that was asked for."""

    @classmethod
    def of(cls, encoding: Encoding, span: tuple[int, int] | None = None) -> "Read":
        """Return one whose encoding is at hand."""
        return cls(
            len(encoding.ids),
            encoding.cut,
            encoding.needed,
            lambda: encoding,
            encoding.shared,
            encoding.prefix,
            span,
        )


class Window:
    """A read of a pair on its way: `batching.Work`."""

    __slots__ = ("pair", "prefix", "read", "shared", "tokens", "waiting")

    def __init__(self, pair: "Pair", read: "Read") -> None:
        self.pair, self.read = pair, read
        self.tokens, self.shared, self.prefix = read.tokens, read.shared, read.prefix
        self.waiting = True
        """False once a batch has taken it, or nobody wants it any more."""

    def make(self) -> Encoding:
        """Return its encoding; a prompt may leave a token or two less room than was known before."""
        encoding = self.read.make()
        if encoding.tokens != self.read.tokens:
            self.read = self.read._replace(tokens=encoding.tokens)
        return encoding


class Size(NamedTuple):
    """What a pair may come to, judged by its texts."""

    tokens: int
    """A guess."""
    windows: int
    """An upper bound."""


class Pair:
    """A query and a document on their way through tokenizer and model, and who waits for them."""

    __slots__ = (
        "callers",
        "characters",
        "document",
        "done",
        "key",
        "logits",
        "most_windows",
        "query",
        "tokens",
        "windows",
    )

    def __init__(
        self, key: Key, query: str, document: bytes, characters: int, tokens: int, most_windows: int = 1
    ) -> None:
        self.key, self.query, self.characters = key, query, characters
        self.document = document
        """In UTF-8: one emoji makes Python store four bytes for each character of a text."""
        self.tokens, self.most_windows = tokens, most_windows
        """A guess and an upper bound, until the pair is tokenized."""
        self.windows: Sequence[Window] = ()
        """At least one once the pair is tokenized."""
        self.logits: dict[Window, float] = {}
        self.done = False
        """Whether it was scored, has failed, or is wanted by nobody any more."""
        self.callers: list[tuple[Call, int]] = []
        """Each caller with the index of the pair in its request. Changed on the event loop only."""

    @property
    def text(self) -> str:
        """The document."""
        return self.document.decode("utf-8", "surrogatepass")

    @property
    def waiting(self) -> bool:
        """Whether work that nobody has begun is left to be done for it."""
        return not self.done and (not self.windows or any(window.waiting for window in self.windows))

    def scored(self) -> Scored:
        """Return what is known of the pair when all of its windows have logits; the best one counts."""
        reads = [window.read for window in self.windows]
        tokens = sum(read.tokens for read in reads)
        cut = any(read.cut for read in reads)
        spans = [(*window.read.span, self.logits[window]) for window in self.windows if window.read.span]
        return Scored(max(self.logits.values()), tokens, cut, reads[0].needed, tuple(spans))


class Backlog:
    """How much waits for a batch; what is not tokenized yet by its guess. Guarded by the engine's lock."""

    def __init__(self) -> None:
        self.pairs = self.tokens = 0
        self._prefixes: Counter[bytes] = Counter()
        """Waiting windows by their prefix: a prefix counts once among the waiting tokens."""

    def expect(self, windows: int, tokens: int) -> None:
        """Count what will be tokenized, or no longer where the numbers are negative."""
        self.pairs += windows
        self.tokens += tokens

    def enter(self, window: Window) -> None:
        """Count a window that begins to wait."""
        self.expect(1, window.tokens)
        if window.shared:
            self.tokens -= window.shared if self._prefixes[window.prefix] else 0
            self._prefixes[window.prefix] += 1

    def leave(self, window: Window) -> bool:
        """Let a window wait no longer; False where it did not."""
        was_waiting, window.waiting = window.waiting, False
        if was_waiting:
            self.expect(-1, -window.tokens)
            if window.shared:
                self._prefixes[window.prefix] -= 1
                if self._prefixes[window.prefix]:
                    self.tokens += window.shared
                else:
                    del self._prefixes[window.prefix]
        return was_waiting


class Batch:
    """A batch that was scored: when, in seconds on the monotonic clock, how much, and for whom."""

    __slots__ = ("ended", "pairs", "requests", "started", "tokens")

    def __init__(self, started: float, ended: float, pairs: int, tokens: int) -> None:
        self.started, self.ended, self.pairs, self.tokens = started, ended, pairs, tokens
        self.requests: list[SpanContext] = []
        """The spans of its requests that are traced. Used on the event loop only."""


class Call:
    """One request that waits for its pairs. Used on the event loop only."""

    def __init__(self, request: RankRequest, limits: Limits, due: float, admitted: float) -> None:
        self.request = msgspec.structs.replace(request, queries=(), documents=())
        """How its pairs are read; their texts are in the pairs."""
        self.limits = limits
        self._admitted = admitted
        self._span = sampled()
        self.order = due
        """Whoever has the least runs first."""
        self.scored: list[Scored | None] = [None] * len(request.documents)
        self.missing = len(request.documents)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tokenization: tuple[float, float] | None = None
        """From when to when its texts were tokenized, seconds on the monotonic clock."""
        self.tokenized_s = 0.0
        """Seconds of the tokenizer for them."""
        self.batches: list[Batch] = []
        """Those that have ended, with a window of its pairs each."""

    def waited_s(self, now: float) -> float:
        """Return the seconds from its admission to its first batch, to `now` where none has ended."""
        return (self.batches[0].started if self.batches else now) - self._admitted

    def ran(self, batch: Batch) -> None:
        """Take note of a batch with a window of one of its pairs."""
        if not self.batches or self.batches[-1] is not batch:
            self.batches.append(batch)
            if self._span is not None:
                batch.requests.append(self._span)

    def deliver(self, index: int, scored: Scored) -> None:
        """Take the score of pair `index`; the last one completes the call."""
        if scored.cut and not self.request.truncate:
            self.fail(too_long(index, scored.needed, self.limits))
        self.scored[index] = scored
        self.missing -= 1
        if self.missing == 0 and not self.done.done():
            self.done.set_result(None)

    def timing(self, now: float) -> Timing:
        """Return where its time went until `now`, when it is done."""
        if not self.batches:
            return Timing(0, 0, 0)
        # A batch may have begun before it with a pair that it shares.
        inference_s = sum(batch.ended - max(batch.started, self._admitted) for batch in self.batches)
        queue_s = now - self._admitted - self.tokenized_s - inference_s
        return Timing(max(0, queue_s), self.tokenized_s, inference_s)

    def fail(self, error: BaseException) -> None:
        """End the call with an error; the first one counts."""
        if not self.done.done():
            self.done.set_exception(error)


def _bytes(text: str) -> int:
    text = text[: TEXT_CHARACTERS + 1]
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
