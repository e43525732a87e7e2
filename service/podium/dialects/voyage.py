"""Voyage. Source: https://docs.voyageai.com/reference/reranker-api and voyageai 0.5.

Its SDK reads `detail` as a string and nothing else of a failure, and every field of an answer.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, sentence, status
from podium.ranking import Ranking, RankRequest


class VoyageBody(msgspec.Struct):
    """A query and its documents."""

    query: content.Query
    documents: content.Documents
    model: parts.Model = None
    top_k: parts.TopN = None
    return_documents: parts.ReturnDocuments = None
    truncation: parts.Truncate = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None


class VoyageResult(msgspec.Struct, frozen=True, gc=False):
    """One document; its text only where it was asked for."""

    index: int
    relevance_score: float
    document: str | UnsetType = UNSET


class VoyageUsage(msgspec.Struct, frozen=True):
    """Voyage's usage."""

    total_tokens: int


class VoyageAnswer(msgspec.Struct, frozen=True):
    """Documents best first."""

    data: list[VoyageResult]
    model: str
    usage: VoyageUsage
    object: Literal["list"] = "list"


class VoyageError(msgspec.Struct, frozen=True):
    """Voyage's failure."""

    detail: str


def parse(body: VoyageBody) -> RankRequest:
    """Read what to rank."""
    parts.flag(body.return_documents, "return_documents")
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.documents),
        top_n=parts.top_n(body.top_k, "top_k"),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
        truncate=parts.truncates(body.truncation, "truncation"),
    )


def respond(body: VoyageBody, ranking: Ranking, context: Context) -> VoyageAnswer:
    """Write documents best first."""
    scores = ranking.scores
    if parts.flag(body.return_documents, "return_documents"):
        texts = content.texts(body.documents)
        data = [VoyageResult(index, scores[index], texts[index]) for index in ranking.order]
    else:
        data = [VoyageResult(index, scores[index]) for index in ranking.order]
    return VoyageAnswer(data, body.model or context.model, VoyageUsage(ranking.usage.tokens))


def fail(error: Exception) -> tuple[int, VoyageError]:
    """Write a failure."""
    return status(error), VoyageError(sentence(error))


DIALECT = Dialect(
    name="voyage",
    title="Voyage",
    body=VoyageBody,
    answer=VoyageAnswer,
    parse=parse,
    respond=respond,
    repeats_texts=lambda body, _: parts.flag(body.return_documents, "return_documents"),
    fail=fail,
    failure=VoyageError,
    example={
        "model": "rerank-2.5",
        "query": "What is the capital of France?",
        "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        "top_k": 1,
        "truncation": True,
    },
)
