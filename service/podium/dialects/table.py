"""Every path that ranks, and which API is spoken there.

A path is shared where vendors chose the same one. Its rules are tried in order, the last holds always.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from podium.dialects import cohere, results, tei
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


_SHARED = (
    Rule(tei.DIALECT, "`texts`", lambda markers, _: markers.has("texts")),
    Rule(results.DIALECT, "anything else", _always),
)

ROUTES: Mapping[str, Sequence[Rule]] = {
    "/rerank": _SHARED,
    "/v1/rerank": _SHARED,
    "/v2/rerank": _only(cohere.DIALECT),
    "/v1/v1/rerank": _only(cohere.DIALECT),
    "/v1/v2/rerank": _only(cohere.DIALECT),
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
