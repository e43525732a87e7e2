"""Scores of pairs that were asked for lately, bounded in bytes and in time."""

from collections.abc import Callable
from hashlib import blake2b
from time import monotonic
from typing import NamedTuple

from cachetools import LRUCache

ENTRY_BYTES = 640
"""What one entry takes, key and bookkeeping included: measured with tracemalloc, 520 to 580."""
SPAN_BYTES = 192
"""What each of its spans takes: a tuple of three and its numbers."""

Key = bytes


class Scored(NamedTuple):
    """What is known of a pair once it has been scored; enough for a hit to be told from no computation."""

    logit: float
    tokens: int
    """As the model read the pair, special tokens included."""
    cut: bool
    needed: int
    """Tokens that the pair has before it is cut."""
    spans: tuple[tuple[int, int, float], ...] = ()
    """Begin, end and logit of each window, in code points of the document, where they were asked for."""


def query_key(query: str, how: Key = b"") -> Key:
    """Return a digest of a query and of how its pairs are read, under which `pair_key` hashes documents."""
    return blake2b(query.encode("utf-8", "surrogatepass"), digest_size=16, key=how).digest()


def pair_key(query: Key, document: bytes) -> Key:
    """Return a digest of a pair, its document in UTF-8; no text is kept."""
    return blake2b(document, digest_size=16, key=query).digest()


class Digests(dict[str, Key]):
    """The digests of queries whose pairs are read in one way, each made once, and so is that of the way."""

    def __init__(self, how: str) -> None:
        self._how = query_key(how)  # an instruction of 64 KiB is not hashed anew with each of 10,000 queries

    def __missing__(self, query: str) -> Key:
        self[query] = key = query_key(query, self._how)
        return key


def _bytes(scored: Scored) -> int:
    return ENTRY_BYTES + SPAN_BYTES * len(scored.spans)


class _Entry(NamedTuple):
    scored: Scored
    ends: float


class PairCache:
    """Scores by pair, used from one thread. `max_bytes` 0 turns it off.

    What is too old is not answered, and goes when it is asked for or when its place is needed: to drop
    100,000 entries that grew old at once took 0.2 s of the event loop.
    """

    def __init__(self, max_bytes: int, ttl_s: float, timer: Callable[[], float] = monotonic) -> None:
        self._entries: LRUCache[Key, _Entry] = LRUCache(max_bytes, lambda entry: _bytes(entry.scored))
        self._ttl_s, self._timer = ttl_s, timer
        self.on = max_bytes >= ENTRY_BYTES

    @property
    def bytes(self) -> float:
        """What the entries take, those that are too old and not dropped yet included."""
        return self._entries.currsize

    def get(self, key: Key) -> Scored | None:
        """Return what is remembered of a pair."""
        if not self.on:
            return None
        try:
            entry = self._entries[key]  # looks once, where `get` looks twice
        except KeyError:
            return None
        if self._timer() < entry.ends:
            return entry.scored
        del self._entries[key]
        return None

    def put(self, key: Key, scored: Scored) -> None:
        """Remember a pair; the least recently used go where it is full. One larger than all is not kept."""
        if _bytes(scored) <= self._entries.maxsize:
            self._entries[key] = _Entry(scored, self._timer() + self._ttl_s)
