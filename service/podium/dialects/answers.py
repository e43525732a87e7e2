"""The answer that every client of a `results` API reads, whichever vendor it was written for.

What its clients need, so that nobody takes it away: langchain4j dereferences
`meta.billed_units.search_units` and `usage.*`; Haystack's Jina ranker `model` and `usage`; litellm counts by
`meta.tokens`; infinity_client accepts `object` "rerank" only; Elasticsearch throws on any key of an item
beyond the first three, and on a `document` of null.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from podium.dialects.base import Context
from podium.dialects.content import Document, text_of
from podium.dialects.parts import Flag, TokenUsage, flag, token_usage
from podium.ranking import Ranking

Form = Literal["object", "string"] | None
"""How an answer holds each document's text; None: not at all."""
DOCUMENTS_PER_SEARCH_UNIT = 100
"""Cohere bills one search unit a query with up to 100 documents."""


class Span(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a document, in code points, `end` exclusive."""

    start: int
    end: int
    score: float


class Result(msgspec.Struct, gc=False):
    """One document; its text, its spans and its details only where they were asked for."""

    index: int
    relevance_score: float
    document: str | dict[str, Any] | UnsetType = UNSET
    relevant_spans: list[Span] | UnsetType = UNSET
    tokens: int | UnsetType = UNSET
    """Of the pair, as the model reads it."""
    truncated: bool | UnsetType = UNSET
    """Whether something of the pair was cut."""


class ApiVersion(msgspec.Struct, frozen=True):
    """Cohere's; the fields are those of its second."""

    version: str = "2"


class BilledUnits(msgspec.Struct, frozen=True):
    """Cohere's; nobody is billed."""

    search_units: int
    input_tokens: int


class Tokens(msgspec.Struct, frozen=True):
    """Cohere's usage."""

    input_tokens: int
    output_tokens: int = 0


class CohereMeta(msgspec.Struct, frozen=True):
    """Cohere's."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens


class ResultsAnswer(msgspec.Struct, frozen=True):
    """Documents best first, with every vendor's accounts beside them."""

    id: str
    model: str
    created: int
    results: list[Result]
    usage: TokenUsage
    meta: CohereMeta
    object: Literal["rerank"] = "rerank"


def document_form(context: Context, asked: Flag) -> Form:
    """Return how an answer holds each document's text.

    The setting `document` stands above the request. Without it the text comes when it was asked for, as
    an object, which is what all clients but Infinity's read.
    """
    if context.document != "request":
        return context.document
    return "object" if flag(asked, "return_documents") else None


def results(
    ranking: Ranking,
    documents: Sequence[Document],
    context: Context,
    *,
    model: str | None,
    form: Form,
    rank_fields: Sequence[str] | None = None,
) -> ResultsAnswer:
    """Write the answer: the best first, each with its document in the given form.

    An object document keeps its keys, and has its text in `text` where it had no string there.
    """
    scores = ranking.scores
    if form is None:
        items = [Result(index, scores[index]) for index in ranking.order]
    else:
        items = []
        for index in ranking.order:
            document = documents[index]
            text = text_of(document, "documents", index, rank_fields)
            shown = text if form == "string" else _as_object(document, text)
            items.append(Result(index, scores[index], shown))
    tokens = ranking.usage.tokens
    units = -(-len(scores) // DOCUMENTS_PER_SEARCH_UNIT)
    return ResultsAnswer(
        id=f"rerank-{context.request_id}",
        model=model or context.model,
        created=context.created,
        results=items,
        usage=token_usage(ranking.usage),
        meta=CohereMeta(ApiVersion(), BilledUnits(units, tokens), Tokens(tokens)),
    )


def _as_object(document: Document, text: str) -> dict[str, Any]:
    if isinstance(document, str):
        return {"text": text}
    return document if isinstance(document.get("text"), str) else {**document, "text": text}
