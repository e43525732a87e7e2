"""Pinecone's inference API. Source: pinecone-io/pinecone-api, 2025-10/inference_2025-10.oas.yaml."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, sentence, status
from podium.ranking import Ranking, RankRequest


class PineconeParameters(msgspec.Struct):
    """What Pinecone hands to the model."""

    truncate: parts.Truncate = None


class PineconeBody(msgspec.Struct):
    """A query and its documents."""

    query: content.Query
    documents: content.Documents
    model: parts.Model = None
    top_n: parts.TopN = None
    return_documents: Annotated[
        parts.Flag, Meta(description="put each document into the answer; true unless it says otherwise")
    ] = None
    rank_fields: parts.RankFields = None
    parameters: PineconeParameters | None = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None


class PineconeResult(msgspec.Struct, frozen=True, gc=False):
    """One document, as it came, unless the request did not want it."""

    index: int
    score: float
    document: dict[str, Any] | UnsetType = UNSET


class PineconeUsage(msgspec.Struct, frozen=True):
    """Pinecone bills by request."""

    rerank_units: int = 1


class PineconeAnswer(msgspec.Struct, frozen=True):
    """Documents best first."""

    model: str
    data: list[PineconeResult]
    usage: PineconeUsage


class PineconeErrorDetail(msgspec.Struct, frozen=True):
    """`code` is one of gRPC's words."""

    code: str
    message: str


class PineconeError(msgspec.Struct, frozen=True):
    """Pinecone's failure."""

    error: PineconeErrorDetail
    status: int


def parse(body: PineconeBody) -> RankRequest:
    """Read what to rank."""
    parameters = body.parameters or PineconeParameters()
    parts.flag(body.return_documents, "return_documents")
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.documents, rank_fields=body.rank_fields),
        top_n=parts.top_n(body.top_n),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
        truncate=parts.truncates(parameters.truncate, "parameters.truncate"),
    )


def respond(body: PineconeBody, ranking: Ranking, context: Context) -> PineconeAnswer:
    """Write documents best first."""
    scores = ranking.scores
    if parts.flag(body.return_documents, "return_documents", default=True):
        data = [
            PineconeResult(index, scores[index], _as_object(body.documents[index])) for index in ranking.order
        ]
    else:
        data = [PineconeResult(index, scores[index]) for index in ranking.order]
    return PineconeAnswer(body.model or context.model, data, PineconeUsage())


def _as_object(document: content.Document) -> dict[str, Any]:
    return {"text": document} if isinstance(document, str) else document


_CODES: Mapping[int, str] = MappingProxyType(
    {
        401: "UNAUTHENTICATED",
        404: "NOT_FOUND",
        405: "UNIMPLEMENTED",
        408: "DEADLINE_EXCEEDED",
        429: "RESOURCE_EXHAUSTED",
        500: "UNKNOWN",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
    }
)


def fail(error: Exception) -> tuple[int, PineconeError]:
    """Write a failure."""
    code = status(error)
    return code, PineconeError(
        PineconeErrorDetail(_CODES.get(code, "INVALID_ARGUMENT"), sentence(error)), code
    )


DIALECT = Dialect(
    name="pinecone",
    title="Pinecone",
    body=PineconeBody,
    answer=PineconeAnswer,
    parse=parse,
    respond=respond,
    repeats_texts=lambda body, _: parts.flag(body.return_documents, "return_documents", default=True),
    fail=fail,
    failure=PineconeError,
    example={
        "model": "bge-reranker-v2-m3",
        "query": "What is the capital of France?",
        "documents": [
            {"id": "de", "text": "Berlin is the capital of Germany."},
            {"id": "fr", "text": "Paris is the capital of France."},
        ],
        "top_n": 1,
        "return_documents": True,
        "parameters": {"truncate": "END"},
    },
)
