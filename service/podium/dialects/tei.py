"""Hugging Face text-embeddings-inference, 1.9. Source: its router/src/http/types.rs and server.rs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from podium import errors
from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, Statuses, sentence, status
from podium.ranking import Ranking, RankRequest


class TeiBody(msgspec.Struct):
    """A query and its texts; `top_n` and `use_activation` are no fields of TEI's, but clients send them."""

    query: content.Query
    texts: Annotated[list[str], Meta(description="what is ranked: at least one")]
    raw_scores: parts.RawScores = None
    return_text: Annotated[parts.Flag, Meta(description="put each text into the answer")] = None
    truncate: parts.Truncate = None
    truncation_direction: Annotated[
        Literal["Left", "left", "Right", "right"] | None, Meta(description="the end at which texts are cut")
    ] = None
    top_n: parts.TopN = None
    use_activation: parts.UseActivation = None


class TeiRank(msgspec.Struct, frozen=True, gc=False):
    """One text; `text` only where it was asked for."""

    index: int
    score: float
    text: str | UnsetType = UNSET


class TeiError(msgspec.Struct, frozen=True):
    """TEI's failure; `error_type` is one of its words."""

    error: str
    error_type: str


_SIDES: Mapping[str | None, Literal["left", "right"]] = MappingProxyType(
    {"Left": "left", "left": "left", "Right": "right", "right": "right"}
)


def parse(body: TeiBody) -> RankRequest:
    """Read what to rank."""
    parts.flag(body.return_text, "return_text")
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.texts, "texts"),
        top_n=parts.top_n(body.top_n),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
        truncate=parts.truncates(body.truncate, "truncate"),
        truncate_side=_SIDES.get(body.truncation_direction),
    )


def respond(body: TeiBody, ranking: Ranking, context: Context) -> list[TeiRank]:
    """Write a bare list, best first."""
    scores, texts = ranking.scores, body.texts
    if parts.flag(body.return_text, "return_text"):
        return [TeiRank(index, scores[index], texts[index]) for index in ranking.order]
    return [TeiRank(index, scores[index]) for index in ranking.order]


_STATUS: Statuses = MappingProxyType(
    {
        errors.InvalidRequest: 422,
        errors.EmptyDocuments: 400,
        errors.PairTooLong: 422,
        errors.ModelFailed: 424,
    }
)
_TYPES: Mapping[int, str] = MappingProxyType(
    {401: "Unauthorized", 424: "Backend", 429: "Overloaded", 500: "Backend", 503: "Unhealthy", 504: "Backend"}
)


def fail(error: Exception) -> tuple[int, TeiError]:
    """Write a failure in TEI's words."""
    code = status(error, _STATUS)
    kind = "Empty" if isinstance(error, errors.EmptyDocuments) else _TYPES.get(code, "Validation")
    return code, TeiError(sentence(error), kind)


DIALECT = Dialect(
    name="tei",
    title="text-embeddings-inference",
    body=TeiBody,
    answer=list[TeiRank],
    parse=parse,
    respond=respond,
    repeats_texts=lambda body, _: parts.flag(body.return_text, "return_text"),
    fail=fail,
    failure=TeiError,
    example={
        "query": "What is the capital of France?",
        "texts": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        "return_text": True,
    },
)
