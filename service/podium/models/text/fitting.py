"""How a query and a document are brought to the length that a model reads: pure.

A pair that fits is never cut. Else it is cut as the model's reference does it, see `truncate`, or the
document is read in windows. It depends on this pair alone, so that a score never depends on neighbours.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from podium.errors import InvalidRequest
from podium.models.base import Tokens

OVERLAP = 8
"""A window shares one token in so many with the one before it: few sentences are only seen in halves."""

WINDOW_TOKENS = 32
"""Tokens of the document that a window has at least: a query or a limit that leaves fewer would make windows
without end of a long document, and each of them a sentence's fragment."""


WINDOW_SPARE = 4
"""Tokens that a window leaves free in a template: fixed text that melts into a document's first and last
token stands beside a window in tokens of its own."""


class Limits(NamedTuple):
    """What bounds the pairs of a request, by the model's nature and by its own wish."""

    max_length: int
    """Tokens of a pair."""
    longest_first: bool = True
    """How a pair is cut, see `truncate`."""
    side: Literal["left", "right"] = "right"
    """Which end is cut off."""
    max_query_tokens: int | None = None
    max_document_tokens: int | None = None
    """What the request wants to be read at most; it does not count as cutting."""
    windows: int | None = None
    """A document that does not fit is read in so many windows at most; None: it is cut."""
    spans: bool = False
    """Whether it is told where in a document its windows are: from its beginning, which must be there."""

    @property
    def keeps_query_end(self) -> bool:
        """Whether it is the end of a long query that is read."""
        return self.side == "left" and self.max_query_tokens is None

    @property
    def keeps_end(self) -> bool:
        """Whether it is the end of a long document that is read."""
        return self.side == "left" and self.windows is None and not self.spans

    @property
    def most_tokens(self) -> int | None:
        """How many tokens of a document are looked at; None where all may be."""
        if self.side == "left" and not self.keeps_end:
            return None
        limits = (self.max_length * (self.windows or 1), self.max_document_tokens)
        return min(limit for limit in limits if limit is not None)


class Fitted(NamedTuple):
    """What is left of a query and of a document, and how many tokens the pair had before it was cut."""

    query: Tokens
    document: Tokens
    needed: int

    @property
    def tokens(self) -> int:
        """Tokens of what is left, as the model reads it."""
        return len(self.query.ids) + len(self.document.ids) + self.query.fixed + self.document.fixed

    @property
    def cut(self) -> bool:
        """Whether anything of the pair was cut."""
        return self.query.cut or self.document.cut


def join(found: Sequence[tuple[int, Tokens]]) -> Tokens:
    """Return the tokens of a text from those of its parts, each with where it begins."""
    ids = np.concatenate([tokens.ids for _, tokens in found])
    offsets = [tokens.offsets + start for start, tokens in found if tokens.offsets is not None]
    (_, first), (_, last) = found[0], found[-1]
    return first._replace(
        ids=ids,
        cut=False,
        offsets=np.concatenate(offsets) if offsets else None,
        fixed=sum(tokens.fixed for _, tokens in found),
        ends=last.ends,
        context=first.context and first.context.joined([tokens.context for _, tokens in found[1:]]),
    )


def fit(query: Tokens, document: Tokens, limits: Limits) -> list[Fitted]:
    """Return what the model reads of a pair: one pair, or one for each window of a long document.

    Raises InvalidRequest where windows would have less than WINDOW_TOKENS of the document, and where there
    is no token at all: then no state could be read.
    """
    left = limits.side == "left"
    query = _keep(query, 0, limits.max_query_tokens)
    document = _keep_end(document, limits.max_document_tokens, left=left)
    fixed = query.fixed + document.fixed
    if fixed >= limits.max_length and not limits.longest_first:
        raise InvalidRequest(
            f"the prompt around query and document has {fixed} tokens, a pair may have {limits.max_length}; "
            "raise `truncate_prompt_tokens` or leave it out",
            "truncate_prompt_tokens",
        )
    room = max(2 if limits.longest_first else 1, limits.max_length - fixed)
    needed = len(query.ids) + len(document.ids) + fixed
    if needed == 0:
        raise InvalidRequest(
            "the model reads no token of this query and an empty document and adds none of its own: there is "
            "nothing to score; send a query with words"
        )
    kept_query, kept_document = truncate(
        len(query.ids), len(document.ids), room, longest_first=limits.longest_first
    )
    query = _told(query, _keep_end(query, kept_query, left=left))
    if limits.windows is None or kept_document == len(document.ids):
        return [Fitted(query, _told(document, _keep_end(document, kept_document, left=left)), needed)]
    size = room - kept_query - (0 if limits.longest_first else WINDOW_SPARE)
    if size < WINDOW_TOKENS:
        raise InvalidRequest(
            f"beside the query {size} tokens of {limits.max_length} are left for a window of a document, at "
            f"least {WINDOW_TOKENS} must be; shorten the query, raise the limit or cut documents instead"
        )
    before = _starts(len(document.ids), size)
    starts = [*before[: limits.windows], len(document.ids) - size][: limits.windows]
    windows = [_keep(document, start, size) for start in starts]
    if len(windows) <= len(before):
        windows[-1] = windows[-1]._replace(cut=True)
    return [Fitted(query, window, needed) for window in windows]


def truncate(query: int, document: int, room: int, *, longest_first: bool = True) -> tuple[int, int]:
    """Return how many tokens of a query and of a document are kept where `room` tokens fit.

    `longest_first`, as tokenizers have it: the shorter text stays whole where it has at most half of the
    room; else it keeps half, rounded down, and the longer one the rest; of equal ones the document is the
    longer. Otherwise, as templates want it: the document is cut, and the query only where it alone exceeds
    the room.
    """
    if query + document <= room:
        return query, document
    if not longest_first:
        kept = min(query, room)
        return kept, room - kept
    shorter = min(query, document, room // 2)
    return (shorter, room - shorter) if query <= document else (room - shorter, shorter)


def _starts(tokens: int, size: int) -> range:
    """Return where windows of a document begin, but for the last one, which ends with it and is as long."""
    return range(0, max(0, tokens - size), max(1, size - size // OVERLAP))


def most_windows(size: int, limits: Limits, *, beside: int) -> int:
    """Return how many windows a document of `size` bytes becomes at most, and 1 where it is cut.

    No tokenizer makes more tokens of a text than it has bytes, but for a few ligatures; `beside` are the
    bytes of the query and what else stands in the pair.
    """
    if limits.windows is None:
        return 1
    tokens = min(size, limits.max_document_tokens or size)
    room = limits.max_length - beside - WINDOW_SPARE
    window = max(WINDOW_TOKENS, room, limits.max_length // 3 if limits.longest_first else 0)
    return min(limits.windows, len(_starts(tokens, window)) + 1)


def _keep_end(tokens: Tokens, limit: int | None, *, left: bool) -> Tokens:
    """Return `limit` tokens, all for None: the first ones, or the last ones where `left` is cut off."""
    start = max(0, len(tokens.ids) - limit) if left and limit is not None else 0
    return _keep(tokens, start, limit)


def _keep(tokens: Tokens, start: int, limit: int | None) -> Tokens:
    """Return `limit` tokens from `start`, all of them for None."""
    end = len(tokens.ids) if limit is None else start + limit
    if start == 0 and end >= len(tokens.ids):
        return tokens
    offsets = tokens.offsets
    return tokens._replace(
        ids=tokens.ids[start:end],
        offsets=None if offsets is None else offsets[start:end],
        begins=tokens.begins and start == 0,
        ends=tokens.ends and end >= len(tokens.ids),
    )


def _told(tokens: Tokens, kept: Tokens) -> Tokens:
    """Return what is kept of tokens, and say that something was cut where something was."""
    return kept if len(kept.ids) == len(tokens.ids) else kept._replace(cut=True)
