"""llama.cpp's server. Source: tools/server/README.md and tools/server/tests/unit/test_rerank.py.

Its scores are raw logits for cross-encoders and probabilities for decoders, without a switch
(ggml-org/llama.cpp#8555 asks for one). Here they are in [0, 1], as everywhere, unless `raw_scores`.
"""

from typing import Literal

import msgspec

from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, ErrorBody, superset
from podium.ranking import Ranking, RankRequest


class LlamaCppBody(msgspec.Struct):
    """A query and its documents."""

    query: content.Query
    documents: content.Documents
    model: parts.Model = None
    top_n: parts.TopN = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None


class LlamaCppResult(msgspec.Struct, frozen=True, gc=False):
    """One document."""

    index: int
    relevance_score: float


class LlamaCppAnswer(msgspec.Struct, frozen=True):
    """Documents best first."""

    model: str
    usage: parts.TokenUsage
    results: list[LlamaCppResult]
    object: Literal["list"] = "list"


def parse(body: LlamaCppBody) -> RankRequest:
    """Read what to rank."""
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.documents),
        top_n=parts.top_n(body.top_n),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
    )


def respond(body: LlamaCppBody, ranking: Ranking, context: Context) -> LlamaCppAnswer:
    """Write documents best first."""
    scores = ranking.scores
    results = [LlamaCppResult(index, scores[index]) for index in ranking.order]
    return LlamaCppAnswer(body.model or context.model, parts.token_usage(ranking.usage), results)


DIALECT = Dialect(
    name="llamacpp",
    title="llama.cpp",
    body=LlamaCppBody,
    answer=LlamaCppAnswer,
    parse=parse,
    respond=respond,
    fail=superset,
    failure=ErrorBody,
    example={
        "model": "some-model",
        "query": "What is panda?",
        "documents": ["hi", "it is a bear", "The giant panda is a bear species endemic to China."],
        "top_n": 3,
    },
)
