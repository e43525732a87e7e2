"""Every path that ranks, and which API is spoken there.

A path is shared where vendors chose the same one. Its rules are tried in order, the last holds always.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from podium.dialects import (
    cohere,
    dashscope,
    deepinfra,
    infinity,
    jina,
    llamacpp,
    mixedbread,
    nim,
    pairs,
    pinecone,
    rankings,
    results,
    score,
    similarity,
    tei,
    vllm,
    voyage,
    weaviate,
)
from podium.dialects.base import Dialect, decode
from podium.dialects.recognition import (
    Headers,
    Markers,
    Rule,
    always,
    has,
    is_pinecone,
    is_rankings,
    is_similarity,
    is_voyage,
    only,
)
from podium.errors import NotFound

TEXT_PATHS = frozenset({"/rerank", "/api/v1/rerank"})
"""Paths that the setting `document` governs."""

_TEI = Rule(tei.DIALECT, "`texts`", has("texts"))
_RANKINGS = Rule(
    rankings.DIALECT,
    "first document an object, no `top_n`, and `top_k` or none of `model`, `return_documents`, `rank_fields`",
    is_rankings,
)
_RERANK = (
    _TEI,
    Rule(pairs.PAIR, "`passage`", has("passage")),
    Rule(weaviate.DIALECT, "`property`", has("property")),
    Rule(pinecone.DIALECT, "header `X-Pinecone-Api-Version`, or an object `parameters`", is_pinecone),
    Rule(
        voyage.DIALECT,
        "no `top_n`, and `truncation`, or `top_k` with a first document that is a string",
        is_voyage,
    ),
    _RANKINGS,
    Rule(results.DIALECT, "anything else", always),
)
_V1_RERANK = tuple(rule for rule in _RERANK if rule is not _RANKINGS)
_RERANKING = (
    _TEI,
    Rule(mixedbread.DIALECT, "`input`", has("input")),
    Rule(llamacpp.DIALECT, "anything else", always),
)
_RERANKS = (
    Rule(dashscope.DIALECT, "`input`", has("input")),
    Rule(results.DIALECT, "anything else", always),
)
_TEXT_RERANK = "/api/v1/services/rerank/text-rerank/text-rerank"

_SHARED: Mapping[str, Sequence[Rule]] = {
    "/rerank": _RERANK,
    "/v1/rerank": _V1_RERANK,
    "/api/v1/rerank": (
        Rule(similarity.DIALECT, "an `id` in the first document", is_similarity),
        Rule(jina.DIALECT, "anything else", always),
    ),
    "/reranking": _RERANKING,
    "/v1/reranking": _RERANKING,
    "/reranks": _RERANKS,
    "/v1/reranks": _RERANKS,
    "/compatible-api/v1/reranks": _RERANKS,
    "/api/rerank": _V1_RERANK,
    "/openai/v1/rerank": _V1_RERANK,
    "/inference/v1/rerank": _V1_RERANK,
}
_OWN: Mapping[str, Dialect] = {
    "/": tei.DIALECT,
    "/invocations": tei.DIALECT,
    "/rerank/batch": pairs.PAIRS,
    "/v2/rerank": cohere.DIALECT,
    # The SDK puts its own version behind a base URL that ends in one.
    "/v1/v1/rerank": cohere.DIALECT,
    "/v1/v2/rerank": cohere.DIALECT,
    "/score": score.DIALECT,
    "/v1/score": score.DIALECT,
    "/v1/ranking": nim.DIALECT,
    "/v1/retrieval/{model}/reranking": nim.DIALECT,
    "/v1/retrieval/{organisation}/{model}/reranking": nim.DIALECT,
    _TEXT_RERANK: dashscope.DIALECT,
    "/inference/{model:path}": deepinfra.DIALECT,
    "/v1/inference/{model:path}": deepinfra.DIALECT,
}
_PREFIXED: Sequence[tuple[str, Sequence[Rule], Sequence[str]]] = (
    ("cohere", only(cohere.DIALECT), ("/v1/rerank", "/v2/rerank", "/v1/v1/rerank", "/v1/v2/rerank")),
    ("jina", only(jina.DIALECT), ("/v1/rerank",)),
    ("tei", only(tei.DIALECT), ("/rerank", "/", "/invocations")),
    ("voyage", only(voyage.DIALECT), ("/v1/rerank",)),
    ("infinity", only(infinity.DIALECT), ("/v1/rerank",)),
    ("vllm", only(vllm.DIALECT), ("/v1/rerank", "/v2/rerank")),
    ("vllm", only(score.DIALECT), ("/v1/score",)),
    (
        "nim",
        only(nim.DIALECT),
        (
            "/v1/ranking",
            "/v1/retrieval/{model}/reranking",
            "/v1/retrieval/{organisation}/{model}/reranking",
        ),
    ),
    (
        "llamacpp",
        (_TEI, Rule(llamacpp.DIALECT, "anything else", always)),
        ("/v1/rerank", "/v1/reranking"),
    ),
    ("weaviate", only(weaviate.DIALECT), ("/rerank",)),
    ("pinecone", only(pinecone.DIALECT), ("/rerank",)),
    ("mixedbread", only(mixedbread.DIALECT), ("/v1/reranking",)),
    ("dashscope", only(dashscope.DIALECT), (_TEXT_RERANK,)),
    ("dashscope", _RERANKS, ("/compatible-api/v1/reranks", "/v1/reranks")),
    ("deepinfra", only(deepinfra.DIALECT), ("/v1/inference/{model:path}",)),
)
"""A vendor's name, what is spoken below it, and the vendor's own paths."""
PREFIXES = frozenset(prefix for prefix, _, _ in _PREFIXED)
"""First segments under which one vendor's API is spoken, for clients that cannot be told apart."""
_VENDORS: Mapping[str, Dialect] = {prefix: rules[-1].dialect for prefix, rules, _ in reversed(_PREFIXED)}
_ASKED: Mapping[str, Sequence[str]] = {
    "infinity": ("/health", "/v1/models"),
    "llamacpp": ("/health", "/v1/models"),
    "nim": ("/v1/health/live", "/v1/health/ready", "/v1/models"),
    "tei": ("/health", "/info", "/ping"),
    "vllm": ("/health", "/ping", "/v1/models"),
    "weaviate": ("/.well-known/live", "/.well-known/ready", "/meta"),
}
"""What each vendor's clients ask of the service below its prefix before they rank."""


def _with_and_without_version(prefix: str, path: str) -> Sequence[str]:
    bare = re.sub("/v[0-9](?=/)", "", path, count=1)
    return (f"/{prefix}{path}".rstrip("/"), f"/{prefix}{bare}".rstrip("/"))


ROUTES: Mapping[str, Sequence[Rule]] = MappingProxyType(
    {
        **_SHARED,
        **{path: only(dialect) for path, dialect in _OWN.items()},
        **{
            spelled: rules
            for prefix, rules, paths in _PREFIXED
            for path in paths
            for spelled in _with_and_without_version(prefix, path)
        },
    }
)
"""Each path to its rules; `{name}` in a path stands for one segment, `{name:path}` for one or more."""


def asked(*paths: str) -> Sequence[str]:
    """Return the paths on which a question about the service is answered: these, and those below prefixes."""
    below = (
        spelled
        for prefix, known in _ASKED.items()
        for path in known
        if path in paths
        for spelled in _with_and_without_version(prefix, path)
    )
    return list(dict.fromkeys((*paths, *below)))


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
    """Return the dialect that a path alone tells, else None: one is spoken there, or it is below a prefix.

    Below a prefix this holds for unknown paths and for those that are asked, too: their failures are read by
    that vendor's client.
    """
    rules = rules_of(path)
    if not rules:
        return _VENDORS.get(path.strip("/").split("/")[0])
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
