"""Weaviate's reranker-transformers container: scores in input order.

Source: weaviate/modules/reranker-transformers/clients/ranker.go. It always sends `property` and no key, and
reads the body as JSON before it looks at the status.
"""

import msgspec

from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, sentence, status
from podium.ranking import Ranking, RankRequest


class WeaviateBody(msgspec.Struct):
    """A query and its documents."""

    query: content.Query
    documents: content.Documents
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None


class WeaviateScore(msgspec.Struct, frozen=True, gc=False):
    """One document."""

    document: str
    score: float


class WeaviateAnswer(msgspec.Struct, frozen=True):
    """`scores[i]` belongs to `documents[i]`."""

    query: str
    scores: list[WeaviateScore]


class WeaviateError(msgspec.Struct, frozen=True):
    """Weaviate's failure."""

    error: str


def parse(body: WeaviateBody) -> RankRequest:
    """Read what to score."""
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.documents),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
    )


def respond(body: WeaviateBody, ranking: Ranking, context: Context) -> WeaviateAnswer:
    """Write every score, in input order."""
    texts = content.texts(body.documents)
    return WeaviateAnswer(
        body.query, [WeaviateScore(*pair) for pair in zip(texts, ranking.scores, strict=True)]
    )


def fail(error: Exception) -> tuple[int, WeaviateError]:
    """Write a failure."""
    return status(error), WeaviateError(sentence(error))


DIALECT = Dialect(
    name="weaviate",
    title="Weaviate reranker-transformers",
    body=WeaviateBody,
    answer=WeaviateAnswer,
    parse=parse,
    respond=respond,
    repeats_texts=lambda body, _: True,
    fail=fail,
    failure=WeaviateError,
    example={
        "query": "What is the capital of France?",
        "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        "property": "",
    },
    ignored=("property",),
)
