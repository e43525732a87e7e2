"""NVIDIA NIM's ranking API: raw logits. Source: docs.nvidia.com/nim/nemo-retriever/text-reranking.

The vendor rejects `top_n` and `top_k`; RAGFlow sends the one, litellm the other, so both are honoured.
"""

from types import MappingProxyType
from typing import Annotated

import msgspec
from msgspec import Meta

from podium import errors
from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, ErrorBody, Statuses, superset
from podium.ranking import Ranking, RankRequest


class NimBody(msgspec.Struct):
    """A query and its passages."""

    query: content.Document
    passages: Annotated[list[content.Document], Meta(description="what is ranked: at least one")]
    truncate: parts.Truncate = None
    top_n: parts.TopN = None
    top_k: parts.TopN = None


class NimRanking(msgspec.Struct, frozen=True, gc=False):
    """One passage."""

    index: int
    logit: float


class NimAnswer(msgspec.Struct, frozen=True):
    """Passages best first."""

    rankings: list[NimRanking]
    usage: parts.TokenUsage


def parse(body: NimBody) -> RankRequest:
    """Read what to rank."""
    content.refuse_media(body.query, "query")
    content.refuse_media(body.passages, "passages")
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.passages, "passages"),
        top_n=parts.first_of(parts.top_n, top_n=body.top_n, top_k=body.top_k),
        raw_scores=True,
        truncate=parts.truncates(body.truncate, "truncate"),
    )


def respond(body: NimBody, ranking: Ranking, context: Context) -> NimAnswer:
    """Write passages best first."""
    scores = ranking.scores
    rankings = [NimRanking(index, scores[index]) for index in ranking.order]
    return NimAnswer(rankings, parts.token_usage(ranking.usage))


_STATUS: Statuses = MappingProxyType({errors.InvalidRequest: 422})


def fail(error: Exception) -> tuple[int, ErrorBody]:
    """Write a failure; NIM's clients read `detail`, newer ones `error.message`."""
    return superset(error, _STATUS)


DIALECT = Dialect(
    name="nim",
    title="NVIDIA NIM",
    body=NimBody,
    answer=NimAnswer,
    parse=parse,
    respond=respond,
    fail=fail,
    failure=ErrorBody,
    example={
        "model": "nvidia/llama-3.2-nv-rerankqa-1b-v2",
        "query": {"text": "What is the capital of France?"},
        "passages": [
            {"text": "Berlin is the capital of Germany."},
            {"text": "Paris is the capital of France."},
        ],
        "truncate": "END",
    },
    ignored=("model",),
)
