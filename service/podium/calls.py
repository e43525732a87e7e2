"""The work on its way: a request's call, its pairs, and the windows that the model reads."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from podium.cache import Key, Scored
from podium.errors import PairTooLong
from podium.models.base import Encoding
from podium.ranking import RankRequest


class Read(NamedTuple):
    """One encoding of a pair, and the span of its document that it holds where that was asked for."""

    encoding: Encoding
    span: tuple[int, int] | None = None


class Window:
    """What the model reads at a time: a query with a document, or with one window of a long one."""

    __slots__ = ("encoding", "pair", "span", "waiting")

    def __init__(self, pair: "Pair", read: "Read") -> None:
        self.pair, self.encoding, self.span = pair, read.encoding, read.span
        self.waiting = True
        """False once a batch has taken it, or nobody wants it any more."""


class Pair:
    """A query and a document on their way through tokenizer and model, and who waits for them."""

    __slots__ = (
        "callers",
        "characters",
        "document",
        "done",
        "key",
        "logits",
        "query",
        "tokens",
        "windows",
    )

    def __init__(self, key: Key, query: str, document: bytes, characters: int, tokens: int) -> None:
        self.key, self.query, self.characters = key, query, characters
        self.document = document
        """In UTF-8: one emoji makes Python store four bytes for each character of a text."""
        self.tokens = tokens
        """A guess, until the pair is tokenized."""
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
        if len(self.windows) == 1:  # nearly always: worth its three lines
            (window,) = self.windows
            encoding = window.encoding
            tokens, cut, needed = len(encoding.ids), encoding.cut, encoding.needed
        else:
            encodings = [window.encoding for window in self.windows]
            tokens = sum(len(encoding.ids) for encoding in encodings)
            cut = any(encoding.cut for encoding in encodings)
            needed = encodings[0].needed
        spans = [(*window.span, self.logits[window]) for window in self.windows if window.span]
        return Scored(max(self.logits.values()), tokens, cut, needed, tuple(spans))


class Batch(NamedTuple):
    """When a batch ran, in seconds on the monotonic clock."""

    started: float
    ended: float


class Call:
    """One request that waits for its pairs. Used on the event loop only."""

    def __init__(self, request: RankRequest, due: float, limit: int) -> None:
        self.request = msgspec.structs.replace(request, queries=(), documents=())
        """How its pairs are read; their texts are in the pairs."""
        self.limit = limit
        """Tokens that a pair of it may have, the model's limit or the request's own."""
        self.order = due
        """Whoever has the least runs first."""
        self.scored: list[Scored | None] = [None] * len(request.documents)
        self.missing = len(request.documents)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tokenization: tuple[float, float] | None = None
        """From when to when its texts were tokenized, seconds on the monotonic clock."""
        self.batches: tuple[float, float] | None = None
        """From the start of the first to the end of the last batch with one of its pairs, likewise."""

    def deliver(self, index: int, scored: Scored, batch: Batch | None = None) -> None:
        """Take the score of pair `index`; the last one completes the call."""
        if scored.cut and not self.request.truncate:
            self.fail(PairTooLong(index, scored.needed, self.limit))
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
