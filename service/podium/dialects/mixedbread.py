"""Mixedbread. Source: PyPI mixedbread 0.54, types/client_rerank_params.py and types/rerank_response.py."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, ErrorBody, superset
from podium.ranking import Ranking, RankRequest


class MixedbreadBody(msgspec.Struct):
    """A query and its input."""

    query: content.Query
    input: content.Documents
    model: parts.Model = None
    top_k: Annotated[parts.TopN, Meta(description="how many of the best to return; null and 0: all")] = None
    return_input: Annotated[parts.Flag, Meta(description="put each input into the answer, as it came")] = None
    rank_fields: parts.RankFields = None
    instruction: parts.Instruction = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None


class MixedbreadResult(msgspec.Struct, frozen=True, gc=False):
    """One input; `input` only where it was asked for."""

    index: int
    score: float
    input: str | dict[str, Any] | UnsetType = UNSET
    object: Literal["rank_result"] = "rank_result"


class MixedbreadAnswer(msgspec.Struct, frozen=True):
    """Inputs best first."""

    model: str
    usage: parts.TokenUsage
    data: list[MixedbreadResult]
    top_k: int
    return_input: bool
    object: Literal["list"] = "list"


def parse(body: MixedbreadBody) -> RankRequest:
    """Read what to rank."""
    parts.flag(body.return_input, "return_input")
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.input, "input", body.rank_fields),
        instruction=body.instruction,
        top_n=parts.top_n(body.top_k, "top_k"),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
    )


def respond(body: MixedbreadBody, ranking: Ranking, context: Context) -> MixedbreadAnswer:
    """Write inputs best first."""
    scores, returned = ranking.scores, parts.flag(body.return_input, "return_input")
    return MixedbreadAnswer(
        model=body.model or context.model,
        usage=parts.token_usage(ranking.usage),
        data=[
            MixedbreadResult(index, scores[index], body.input[index] if returned else UNSET)
            for index in ranking.order
        ],
        top_k=len(ranking.order),
        return_input=returned,
    )


DIALECT = Dialect(
    name="mixedbread",
    title="Mixedbread",
    body=MixedbreadBody,
    answer=MixedbreadAnswer,
    parse=parse,
    respond=respond,
    repeats_texts=lambda body, _: parts.flag(body.return_input, "return_input"),
    fail=superset,
    failure=ErrorBody,
    example={
        "model": "mixedbread-ai/mxbai-rerank-large-v2",
        "query": "What is the capital of France?",
        "input": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        "top_k": 1,
        "return_input": True,
    },
    ignored=("rewrite_query",),
)
