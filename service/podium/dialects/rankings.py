"""Documents as objects in, `rankings` out."""

from typing import Annotated

import msgspec
from msgspec import Meta

from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, ErrorBody, superset
from podium.ranking import Ranking, RankRequest


class RankingsBody(msgspec.Struct):
    """A query and its documents."""

    query: content.Query
    documents: content.Documents
    top_k: Annotated[parts.TopN, Meta(description="how many of the best to return; null and 0: all")] = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None


class RankedDocument(msgspec.Struct, frozen=True, gc=False):
    """One document."""

    index: int
    score: float


class RankingsAnswer(msgspec.Struct, frozen=True):
    """Documents best first; `top_k_applied`: whether the request held a number as `top_k`."""

    rankings: list[RankedDocument]
    top_k_applied: bool


def parse(body: RankingsBody) -> RankRequest:
    """Read what to rank."""
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.documents),
        top_n=parts.top_n(body.top_k, "top_k"),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
    )


def respond(body: RankingsBody, ranking: Ranking, context: Context) -> RankingsAnswer:
    """Write documents best first."""
    scores = ranking.scores
    return RankingsAnswer(
        [RankedDocument(index, scores[index]) for index in ranking.order], body.top_k is not None
    )


DIALECT = Dialect(
    name="rankings",
    title="Rankings",
    body=RankingsBody,
    answer=RankingsAnswer,
    parse=parse,
    respond=respond,
    fail=superset,
    failure=ErrorBody,
    example={
        "query": "What is the capital of France?",
        "documents": [
            {"text": "Berlin is the capital of Germany."},
            {"text": "Paris is the capital of France."},
        ],
        "top_k": 1,
    },
)
