"""A query and a passage in, one score out; and many pairs in one request, each with its own query.

Scores are raw logits unless `normalize` asks for their sigmoid, and come in input order.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, ErrorBody, superset
from podium.ranking import Ranking, RankRequest

Normalize = Annotated[parts.Flag, Meta(description="the sigmoid instead of the logit")]


class PairBody(msgspec.Struct):
    """One pair."""

    query: content.Query
    passage: Annotated[str, Meta(description="what is scored")]
    normalize: Normalize = None


class PairAnswer(msgspec.Struct, frozen=True):
    """Its score; the lengths are in characters."""

    score: float
    normalized: bool
    query_length: int
    passage_length: int


def parse_pair(body: PairBody) -> RankRequest:
    """Read the pair."""
    return RankRequest(
        queries=content.queries(body.query),
        documents=(body.passage,),
        raw_scores=not parts.flag(body.normalize, "normalize"),
    )


def respond_pair(body: PairBody, ranking: Ranking, context: Context) -> PairAnswer:
    """Write its score."""
    normalized = parts.flag(body.normalize, "normalize")
    return PairAnswer(ranking.scores[0], normalized, len(body.query), len(body.passage))


PAIR = Dialect(
    name="pair",
    title="Pair",
    body=PairBody,
    answer=PairAnswer,
    parse=parse_pair,
    respond=respond_pair,
    repeats_texts=lambda body, _: True,
    fail=superset,
    failure=ErrorBody,
    example={
        "query": "What is the capital of France?",
        "passage": "Paris is the capital of France.",
        "normalize": True,
    },
)


class Pair(msgspec.Struct, frozen=True, gc=False):
    """One of many."""

    query: str
    passage: str


class PairsBody(msgspec.Struct):
    """Many pairs."""

    pairs: Annotated[list[Pair], Meta(description="what is scored: at least one")]
    normalize: Normalize = None


class PairsAnswer(msgspec.Struct, frozen=True):
    """Their scores, in input order."""

    scores: list[float]
    normalized: bool
    pairs_count: int


def parse_pairs(body: PairsBody) -> RankRequest:
    """Read the pairs, each with its own query."""
    documents = content.texts([pair.passage for pair in body.pairs], "pairs")
    queries = [pair.query for pair in body.pairs]
    content.check_queries(queries, len(documents), "pairs", ".query")
    return RankRequest(
        queries=queries,
        documents=documents,
        raw_scores=not parts.flag(body.normalize, "normalize"),
    )


def respond_pairs(body: PairsBody, ranking: Ranking, context: Context) -> PairsAnswer:
    """Write their scores."""
    normalized = parts.flag(body.normalize, "normalize")
    return PairsAnswer(list(ranking.scores), normalized, len(ranking.scores))


PAIRS = Dialect(
    name="pairs",
    title="Pairs",
    body=PairsBody,
    answer=PairsAnswer,
    parse=parse_pairs,
    respond=respond_pairs,
    fail=superset,
    failure=ErrorBody,
    example={
        "pairs": [
            {"query": "What is the capital of France?", "passage": "Paris is the capital of France."},
            {"query": "What is the capital of France?", "passage": "Berlin is the capital of Germany."},
        ]
    },
)
