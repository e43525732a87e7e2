"""DeepInfra: scores in input order. Source: https://deepinfra.com/Qwen/Qwen3-Reranker-8B/api."""

from typing import Annotated

import msgspec
from msgspec import Meta

from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, sentence, status
from podium.ranking import Ranking, RankRequest


class DeepInfraBody(msgspec.Struct):
    """Queries and documents: one query for all, or one a document."""

    queries: Annotated[list[str], Meta(description="one for all documents, or one a document")]
    documents: content.Documents
    instruction: parts.Instruction = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None


class DeepInfraAnswer(msgspec.Struct, frozen=True):
    """`scores[i]` belongs to `documents[i]`."""

    scores: list[float]
    input_tokens: int
    request_id: str


class DeepInfraDetail(msgspec.Struct, frozen=True):
    """Its sentence."""

    error: str


class DeepInfraError(msgspec.Struct, frozen=True):
    """DeepInfra's failure."""

    detail: DeepInfraDetail


def parse(body: DeepInfraBody) -> RankRequest:
    """Read what to score."""
    documents = content.texts(body.documents)
    content.check_queries(body.queries, len(documents), "queries")
    return RankRequest(
        queries=body.queries,
        documents=documents,
        instruction=body.instruction,
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
    )


def respond(body: DeepInfraBody, ranking: Ranking, context: Context) -> DeepInfraAnswer:
    """Write every score, in input order."""
    return DeepInfraAnswer(list(ranking.scores), ranking.usage.tokens, context.request_id)


def fail(error: Exception) -> tuple[int, DeepInfraError]:
    """Write a failure."""
    return status(error), DeepInfraError(DeepInfraDetail(sentence(error)))


DIALECT = Dialect(
    name="deepinfra",
    title="DeepInfra",
    body=DeepInfraBody,
    answer=DeepInfraAnswer,
    parse=parse,
    respond=respond,
    fail=fail,
    failure=DeepInfraError,
    example={
        "queries": ["What is the capital of France?"],
        "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
    },
    ignored=("service_tier", "webhook"),
)
