"""Documents with ids in, ids with similarities out: raw logits, best first."""

from typing import Annotated

import msgspec
from msgspec import Meta

from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, ErrorBody, superset
from podium.ranking import Ranking, RankRequest

Id = Annotated[str | int | float | bool | None, Meta(description="echoed as it came")]


class IdentifiedDocument(msgspec.Struct, frozen=True, gc=False):
    """A document and its caller's name for it."""

    id: Id
    text: str


class SimilarityBody(msgspec.Struct):
    """A query and its documents."""

    query: content.Query
    documents: Annotated[list[IdentifiedDocument], Meta(description="what is ranked: at least one")]
    top_n: parts.TopN = None


class Similarity(msgspec.Struct, frozen=True, gc=False):
    """One document; `similarity` is its logit."""

    id: Id
    similarity: float


class SimilarityAnswer(msgspec.Struct, frozen=True):
    """Documents best first."""

    data: list[Similarity]


def parse(body: SimilarityBody) -> RankRequest:
    """Read what to rank."""
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts([document.text for document in body.documents]),
        top_n=parts.top_n(body.top_n),
        raw_scores=True,
    )


def respond(body: SimilarityBody, ranking: Ranking, context: Context) -> SimilarityAnswer:
    """Write documents best first."""
    return SimilarityAnswer(
        [Similarity(body.documents[index].id, ranking.scores[index]) for index in ranking.order]
    )


DIALECT = Dialect(
    name="similarity",
    title="Similarity by id",
    body=SimilarityBody,
    answer=SimilarityAnswer,
    parse=parse,
    respond=respond,
    repeats_texts=lambda body, _: True,
    fail=superset,
    failure=ErrorBody,
    example={
        "query": "What is the capital of France?",
        "documents": [
            {"id": "de", "text": "Berlin is the capital of Germany."},
            {"id": "fr", "text": "Paris is the capital of France."},
        ],
    },
)
