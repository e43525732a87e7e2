"""How a query and a document are brought to the length that a model reads: pure.

A pair that fits is never cut. Else the document is cut, after a query longer than half of the room has been
cut to that half; or the document is read in windows. It depends on this pair alone, so that a score never
depends on neighbours.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from podium.models.base import Tokens
from podium.ranking import RankRequest

CHARACTERS_PER_TOKEN = 128
"""A text is cut to this many characters per token of the limit before it is tokenized: 10 MB of text take
seconds in the tokenizer and cannot be interrupted, and no language needs more characters a token."""

CHUNKED_CHARACTERS = 1024 * 1024
"""The same for a document that is read in windows: 1 MiB is what the longest models may read of one."""

OVERLAP = 8
"""A window shares one token in so many with the one before it: few sentences are only seen in halves."""


class Fitted(NamedTuple):
    """What is left of a query and of a document, and how many tokens the pair had before it was cut."""

    query: Tokens
    document: Tokens
    needed: int


def max_characters(request: RankRequest, max_length: int) -> int:
    """Return how many characters of a text are tokenized."""
    return CHUNKED_CHARACTERS if request.overflow == "chunk" else CHARACTERS_PER_TOKEN * max_length


def clip(text: str, limit: int, *, keep_end: bool = False) -> str:
    """Return what of a text may be tokenized, and one character more, by which it is seen to be cut."""
    if len(text) <= limit:
        return text
    return text[-limit - 1 :] if keep_end else text[: limit + 1]


def parts(text: str, size: int) -> Iterator[tuple[int, str]]:
    """Yield a text in parts of `size` characters at most, each with where it begins.

    A part begins with a space: tokenizers read words apart, so that the tokens are those of the whole. Where
    no space is found the part is longer.
    """
    start = 0
    while start < len(text):
        end = start + size
        if end < len(text):
            end = text.rfind(" ", start + 1, end + 1)
            if end < 0:
                end = text.find(" ", start + size)
            if end < 0:
                end = len(text)
        yield start, text[start:end]
        start = end


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
    )


def most_tokens(request: RankRequest, max_length: int) -> int | None:
    """Return how many tokens of a document are looked at, from its start; None where all may be."""
    if request.truncate_side == "left":
        return None
    limits = [request.max_document_tokens]
    if request.overflow == "cut":
        limits.append(max_length)
    elif request.max_chunks is not None:
        limits.append(request.max_chunks * max_length)
    return min((limit for limit in limits if limit is not None), default=None)


def keeps_end(request: RankRequest) -> bool:
    """Whether the beginning of a long document is cut off. Spans count from it, so they need it."""
    return request.truncate_side == "left" and request.overflow == "cut" and not request.spans


def fit(query: Tokens, document: Tokens, request: RankRequest, *, max_length: int) -> list[Fitted]:
    """Return what the model reads of a pair: one pair, or one for each window of a long document.

    Limits that the request itself sets are applied first and do not count as cutting.
    """
    query = _keep(query, 0, request.max_query_tokens)
    left = request.truncate_side == "left"
    limit = request.max_document_tokens
    document = _keep(document, _from(document, limit, left=left), limit)
    fixed = query.fixed + document.fixed
    needed = len(query.ids) + len(document.ids) + fixed
    room = max(2, min(max_length, request.max_pair_tokens or max_length) - fixed)
    kept_query, kept_document = truncate(len(query.ids), len(document.ids), room)
    query = _cut(query, 0, kept_query)
    if request.overflow == "cut" or kept_document == len(document.ids):
        start = _from(document, kept_document, left=left)
        return [Fitted(query, _cut(document, start, kept_document), needed)]
    size = room - kept_query
    starts = list(_starts(len(document.ids), size))
    windows = [_keep(document, start, size) for start in starts[: request.max_chunks]]
    if len(windows) < len(starts):
        windows[-1] = windows[-1]._replace(cut=True)
    return [Fitted(query, window, needed) for window in windows]


def truncate(query: int, document: int, room: int) -> tuple[int, int]:
    """Return how many tokens of a query and of a document are kept where `room` tokens fit."""
    if query + document <= room:
        return query, document
    kept_query = min(query, room // 2)
    return kept_query, min(document, room - kept_query)


def _starts(tokens: int, size: int) -> Iterator[int]:
    """Yield where the windows of a document begin; the last one ends with it and is as long as the others."""
    step = max(1, size - size // OVERLAP)
    start = 0
    while start + size < tokens:
        yield start
        start += step
    yield tokens - size


def _from(tokens: Tokens, limit: int | None, *, left: bool) -> int:
    """Return the first token that is kept where `limit` are kept, of the end where `left` is cut off."""
    return max(0, len(tokens.ids) - limit) if left and limit is not None else 0


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


def _cut(tokens: Tokens, start: int, limit: int) -> Tokens:
    """Like `_keep`, and say that something was cut where something was."""
    kept = _keep(tokens, start, limit)
    return kept if len(kept.ids) == len(tokens.ids) else kept._replace(cut=True)
