"""vLLM's score API: pairs under four names, one query for all or one a document, scores in input order.

Source: vllm/entrypoints/pooling/scoring/protocol.py.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, ErrorBody, superset
from podium.errors import InvalidRequest
from podium.ranking import Ranking, RankRequest

Texts = content.Document | list[content.Document]
"""One, or several."""


class ScoreBody(msgspec.Struct):
    """`queries` with `documents` or `items`, or `data_1` with `data_2`, or `text_1` with `text_2`."""

    queries: Texts | None = None
    documents: Texts | None = None
    items: Texts | None = None
    data_1: Texts | None = None
    data_2: Texts | None = None
    text_1: Texts | None = None
    text_2: Texts | None = None
    model: parts.Model = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None
    max_tokens_per_doc: parts.MaxDocumentTokens = None
    max_tokens_per_query: parts.MaxQueryTokens = None
    truncate_prompt_tokens: parts.MaxPairTokens = None
    truncation_side: parts.Side = None
    instruction: parts.Instruction = None
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
    first, second = (getattr(body, name) for name in form)
    documents = _texts(second, form[1])
    return RankRequest(
        queries=_queries(first, form[0], len(documents)),
        documents=documents,
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
        truncate_side=body.truncation_side,
        max_query_tokens=parts.limit(body.max_tokens_per_query, "max_tokens_per_query"),
        max_document_tokens=parts.limit(body.max_tokens_per_doc, "max_tokens_per_doc"),
        max_pair_tokens=parts.pair_limit(body.truncate_prompt_tokens),
        instruction=body.instruction,
        priority=parts.priority(body.priority),
    )


def _texts(texts: Texts, field: str) -> Sequence[str]:
    return content.texts(texts, field) if isinstance(texts, list) else [content.text_of(texts, field)]


def _queries(texts: Texts, field: str, count: int) -> Sequence[str]:
    if not isinstance(texts, list):
        return content.queries(texts, field)
    queries = [content.text_of(text, field, index) for index, text in enumerate(texts)]
    content.check_queries(queries, count, field)
    return queries


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
