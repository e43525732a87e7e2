"""Voyage. Source: https://docs.voyageai.com/reference/reranker-api and voyageai 0.5.

Its SDK reads `detail` as a string and nothing else of a failure, and every field of an answer.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from podium.dialects import parts
from podium.dialects.base import Context, Dialect, sentence, status
from podium.ranking import Ranking, RankRequest


class VoyageBody(msgspec.Struct):
    """A query and its documents."""

    query: parts.Query
    documents: Annotated[list[str], Meta(description="what is ranked: at least one")]
    model: parts.Model = None
    top_k: parts.TopN = None
    return_documents: parts.ReturnDocuments = None
    truncation: Annotated[
        parts.Flag, Meta(description="false: refuse pairs that do not fit instead of cutting them")
    ] = None


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
        queries=parts.queries(body.query),
        documents=parts.texts(body.documents),
        top_n=parts.top_n(body.top_k, "top_k"),
        truncate=parts.flag(body.truncation, "truncation", default=True),
    )


def respond(body: VoyageBody, ranking: Ranking, context: Context) -> VoyageAnswer:
    """Write documents best first."""
    scores, documents = ranking.scores, body.documents
    if parts.flag(body.return_documents, "return_documents"):
        data = [VoyageResult(index, scores[index], documents[index]) for index in ranking.order]
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
