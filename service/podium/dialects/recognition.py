"""What tells APIs apart on a path that they share: keys and headers that are looked at, not read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from podium.dialects.base import Dialect, decode

_ABSENT = Raw(b"")


class Markers(msgspec.Struct, frozen=True):
    """The keys that tell APIs apart, unread: `_ABSENT`, or the bytes that the value is written in."""

    texts: Raw = _ABSENT
    input: Raw = _ABSENT
    passage: Raw = _ABSENT
    property: Raw = _ABSENT
    parameters: Raw = _ABSENT
    truncation: Raw = _ABSENT
    top_k: Raw = _ABSENT
    top_n: Raw = _ABSENT
    model: Raw = _ABSENT
    return_documents: Raw = _ABSENT
    rank_fields: Raw = _ABSENT
    documents: Raw = _ABSENT

    def has(self, *keys: str) -> bool:
        """Whether the body holds one of these keys, null or not."""
        return any(getattr(self, key) is not _ABSENT for key in keys)


Headers = Mapping[str, str]
"""Names in lower case."""
Match = Callable[[Markers, Headers], bool]


@dataclass(frozen=True)
class Rule:
    """`dialect` is spoken where `match` holds; `when` says the same to readers."""

    dialect: Dialect
    when: str
    match: Match


def always(markers: Markers, headers: Headers) -> bool:
    """Hold for anything: the last rule of a path."""
    return True


def has(*keys: str) -> Match:
    """Match a body that holds one of these keys."""
    return lambda markers, headers: markers.has(*keys)


def only(dialect: Dialect) -> tuple[Rule, ...]:
    """Return the rules of a path on which one dialect is spoken."""
    return (Rule(dialect, "the path", always),)


def _first_is(documents: Raw, mark: bytes) -> bool:
    """Whether `documents` is a list whose first item begins with `mark`."""
    found = re.match(rb"\s*\[\s*(.)", documents)
    return found is not None and found[1] == mark


def is_pinecone(markers: Markers, headers: Headers) -> bool:
    """Whether Pinecone's header is there, or an object `parameters`."""
    return "x-pinecone-api-version" in headers or bytes(markers.parameters).lstrip().startswith(b"{")


def is_voyage(markers: Markers, headers: Headers) -> bool:
    """Whether `truncation` is there, or `top_k` and a first document that is a string, and no `top_n`."""
    return not markers.has("top_n") and (
        markers.has("truncation") or (markers.has("top_k") and _first_is(markers.documents, b'"'))
    )


def is_rankings(markers: Markers, headers: Headers) -> bool:
    """Whether the first document is an object, with `top_k` or no key that tells `results`; no `top_n`."""
    return (
        _first_is(markers.documents, b"{")
        and not markers.has("top_n")
        and (markers.has("top_k") or not markers.has("model", "return_documents", "rank_fields"))
    )


def is_similarity(markers: Markers, headers: Headers) -> bool:
    """Whether the first document has an `id`."""
    if not _first_is(markers.documents, b"{"):
        return False
    first = decode(_First, bytes(markers.documents)).document
    return decode(_Identified, bytes(first)).id is not _ABSENT


class _First(msgspec.Struct, frozen=True, array_like=True):
    """The first of a list; the others are passed over unread."""

    document: Raw


class _Identified(msgspec.Struct, frozen=True):
    id: Raw = _ABSENT
