"""vLLM's score API: pairs under four names, one query for all or one a document, scores in input order.

Source: vllm/entrypoints/pooling/scoring/protocol.py.
"""

from typing import Literal

import msgspec

from podium.dialects import parts
from podium.dialects.base import Context, Dialect, ErrorBody, superset
from podium.errors import EmptyDocuments, InvalidRequest
from podium.ranking import Ranking, RankRequest

Side = parts.Document | list[parts.Document]


class ScoreBody(msgspec.Struct):
    """`queries` with `documents` or `items`, or `data_1` with `data_2`, or `text_1` with `text_2`."""

    queries: Side | None = None
    documents: Side | None = None
    items: Side | None = None
    data_1: Side | None = None
    data_2: Side | None = None
    text_1: Side | None = None
    text_2: Side | None = None
    model: parts.Model = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None
    max_tokens_per_doc: parts.MaxDocumentTokens = None
    max_tokens_per_query: parts.MaxQueryTokens = None
    truncate_prompt_tokens: parts.MaxPairTokens = None
    truncation_side: parts.Side = None
    priority: parts.Priority = None


class Score(msgspec.Struct, frozen=True, gc=False):
    """One pair."""

    index: int
    score: float
    object: Literal["score"] = "score"


class ScoreAnswer(msgspec.Struct, frozen=True):
    """Pairs in input order."""

    id: str
    created: int
    model: str
    data: list[Score]
    usage: parts.TokenUsage
    object: Literal["list"] = "list"


_FORMS = (("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2"))


def parse(body: ScoreBody) -> RankRequest:
    """Read the pairs: 1 query and n documents, or n and n."""
    form = next((form for form in _FORMS if all(getattr(body, name) is not None for name in form)), None)
    if form is None:
        wanted = ", or ".join(f"`{first}` and `{second}`" for first, second in _FORMS)
        raise InvalidRequest(f"the pairs are missing; send {wanted}", "queries")
    queries, documents = (_texts(getattr(body, name), name) for name in form)
    parts.check_queries(queries, len(documents), form[0])
    return RankRequest(
        queries=queries,
        documents=documents,
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
        truncate_side=body.truncation_side or "right",
        max_query_tokens=parts.limit(body.max_tokens_per_query, "max_tokens_per_query"),
        max_document_tokens=parts.limit(body.max_tokens_per_doc, "max_tokens_per_doc"),
        max_pair_tokens=parts.pair_limit(body.truncate_prompt_tokens),
        priority=body.priority or 0,
    )


def _texts(side: Side, field: str) -> list[str]:
    if side == []:
        raise EmptyDocuments(f"`{field}` is empty; send at least one text", field)
    return parts.texts(side if isinstance(side, list) else [side], field)


def respond(body: ScoreBody, ranking: Ranking, context: Context) -> ScoreAnswer:
    """Write every score, in input order."""
    return ScoreAnswer(
        id=f"score-{context.request_id}",
        created=context.created,
        model=body.model or context.model,
        data=[Score(index, score) for index, score in enumerate(ranking.scores)],
        usage=parts.token_usage(ranking.usage),
    )


DIALECT = Dialect(
    name="score",
    title="vLLM score",
    body=ScoreBody,
    answer=ScoreAnswer,
    parse=parse,
    respond=respond,
    fail=superset,
    failure=ErrorBody,
    example={
        "model": "BAAI/bge-reranker-v2-m3",
        "text_1": "What is the capital of France?",
        "text_2": ["The capital of Brazil is Brasilia.", "The capital of France is Paris."],
    },
    ignored=("request_id", "user", "mm_processor_kwargs", "cache_salt"),
)
