"""Every path that ranks, and which API is spoken there.

A path is shared where vendors chose the same one. Its rules are tried in order, the last holds always.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from podium.dialects import (
    cohere,
    jina,
    pairs,
    pinecone,
    rankings,
    results,
    similarity,
    tei,
    voyage,
    weaviate,
)
from podium.dialects.base import Dialect, decode
from podium.errors import NotFound

TEXT_PATHS = frozenset({"/rerank", "/api/v1/rerank"})
"""Paths that the setting `document` governs."""

_ABSENT = Raw(b"")


class Markers(msgspec.Struct, frozen=True):
    """The keys that tell APIs apart, unread: `_ABSENT`, or the bytes that the value is written in."""

    texts: Raw = _ABSENT
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


def _always(markers: Markers, headers: Headers) -> bool:
    return True


def _only(dialect: Dialect) -> tuple[Rule, ...]:
    return (Rule(dialect, "the path", _always),)


def _first_is(documents: Raw, mark: bytes) -> bool:
    """Whether `documents` is a list whose first item begins with `mark`."""
    found = re.match(rb"\s*\[\s*(.)", documents)
    return found is not None and found[1] == mark


def _is_pinecone(markers: Markers, headers: Headers) -> bool:
    return "x-pinecone-api-version" in headers or bytes(markers.parameters).lstrip().startswith(b"{")


def _is_voyage(markers: Markers, headers: Headers) -> bool:
    return not markers.has("top_n") and (
        markers.has("truncation") or (markers.has("top_k") and _first_is(markers.documents, b'"'))
    )


def _is_rankings(markers: Markers, headers: Headers) -> bool:
    return (
        _first_is(markers.documents, b"{")
        and not markers.has("top_n")
        and (markers.has("top_k") or not markers.has("model", "return_documents", "rank_fields"))
    )


def _is_similarity(markers: Markers, headers: Headers) -> bool:
    if not _first_is(markers.documents, b"{"):
        return False
    first = decode(list[Raw], bytes(markers.documents))[0]
    return decode(_Identified, bytes(first)).id is not _ABSENT


class _Identified(msgspec.Struct, frozen=True):
    id: Raw = _ABSENT


_RANKINGS = Rule(
    rankings.DIALECT,
    "first document an object, no `top_n`, and `top_k` or none of `model`, `return_documents`, `rank_fields`",
    _is_rankings,
)
_RERANK = (
    Rule(tei.DIALECT, "`texts`", lambda markers, _: markers.has("texts")),
    Rule(pairs.PAIR, "`passage`", lambda markers, _: markers.has("passage")),
    Rule(weaviate.DIALECT, "`property`", lambda markers, _: markers.has("property")),
    Rule(pinecone.DIALECT, "header `X-Pinecone-Api-Version`, or an object `parameters`", _is_pinecone),
    Rule(
        voyage.DIALECT,
        "no `top_n`, and `truncation`, or `top_k` with a first document that is a string",
        _is_voyage,
    ),
    _RANKINGS,
    Rule(results.DIALECT, "anything else", _always),
)

ROUTES: Mapping[str, Sequence[Rule]] = {
    "/rerank": _RERANK,
    "/v1/rerank": tuple(rule for rule in _RERANK if rule is not _RANKINGS),
    "/rerank/batch": _only(pairs.PAIRS),
    "/v2/rerank": _only(cohere.DIALECT),
    "/v1/v1/rerank": _only(cohere.DIALECT),
    "/v1/v2/rerank": _only(cohere.DIALECT),
    "/api/v1/rerank": (
        Rule(similarity.DIALECT, "an `id` in the first document", _is_similarity),
        Rule(jina.DIALECT, "anything else", _always),
    ),
}
"""Each path to its rules; `{name}` in a path stands for one segment, `{name:path}` for one or more."""


def recognise(path: str, headers: Headers, raw: bytes) -> Dialect:
    """Return the dialect of a request; the body is looked at only where the path is shared.

    Raises NotFound for a path that is none of ROUTES, MalformedBody and InvalidRequest where the body had
    to be looked at and is no JSON object.
    """
    rules = rules_of(path)
    if not rules:
        raise NotFound(f"no API on {path}; GET /docs lists all")
    if len(rules) == 1:
        return rules[0].dialect
    markers = decode(Markers, raw)
    return next(rule.dialect for rule in rules if rule.match(markers, headers))


def dialect_of(path: str) -> Dialect | None:
    """Return the dialect of a path that is not shared, else None."""
    rules = rules_of(path)
    return rules[0].dialect if len(rules) == 1 else None


def spoken_on(path: str) -> Sequence[Dialect]:
    """Return the dialects of a path in the order in which they are recognised."""
    return [rule.dialect for rule in rules_of(path)]


def rules_of(path: str) -> Sequence[Rule]:
    """Return the rules of a path, or of the template that it matches; none where it is not ours."""
    if path in ROUTES:
        return ROUTES[path]
    return next((rules for pattern, rules in _patterns() if pattern.fullmatch(path)), ())


@functools.cache
def _patterns() -> Sequence[tuple[re.Pattern[str], Sequence[Rule]]]:
    return [
        (re.compile(re.sub(r"\{\w+(:path)?\}", lambda m: ".+" if m[1] else "[^/]+", path)), rules)
        for path, rules in ROUTES.items()
        if "{" in path
    ]
