"""DashScope. Source: PyPI dashscope 2.0, rerank/text_rerank.py; help.aliyun.com, text-rerank-api."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from podium.dialects import content, parts
from podium.dialects.base import Context, Dialect, sentence, status
from podium.ranking import Ranking, RankRequest


class DashScopeInput(msgspec.Struct):
    """What is ranked."""

    query: content.Document
    documents: content.Documents


class DashScopeParameters(msgspec.Struct):
    """How it is answered."""

    top_n: parts.TopN = None
    return_documents: parts.ReturnDocuments = None
    instruct: parts.Instruction = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None


class DashScopeBody(msgspec.Struct):
    """A query and its documents."""

    input: DashScopeInput
    parameters: DashScopeParameters | None = None


class DashScopeResult(msgspec.Struct, frozen=True, gc=False):
    """One document; `document` only where the text was asked for."""

    index: int
    relevance_score: float
    document: dict[str, Any] | UnsetType = UNSET


class DashScopeOutput(msgspec.Struct, frozen=True):
    """Documents best first."""

    results: list[DashScopeResult]


class DashScopeUsage(msgspec.Struct, frozen=True):
    """DashScope's usage."""

    total_tokens: int


class DashScopeAnswer(msgspec.Struct, frozen=True):
    """The results and their account."""

    output: DashScopeOutput
    usage: DashScopeUsage
    request_id: str


class DashScopeError(msgspec.Struct, frozen=True):
    """DashScope's failure; `code` is one of its words."""

    code: str
    message: str


def parse(body: DashScopeBody) -> RankRequest:
    """Read what to rank."""
    parameters = body.parameters or DashScopeParameters()
    parts.flag(parameters.return_documents, "parameters.return_documents")
    content.refuse_media(body.input.query, "input.query")
    content.refuse_media(body.input.documents, "input.documents")
    return RankRequest(
        queries=content.queries(body.input.query, "input.query"),
        documents=content.texts(body.input.documents, "input.documents"),
        instruction=parameters.instruct,
        top_n=parts.top_n(parameters.top_n, "parameters.top_n"),
        raw_scores=parts.raw_scores(parameters.raw_scores, parameters.use_activation, "parameters."),
    )


def respond(body: DashScopeBody, ranking: Ranking, context: Context) -> DashScopeAnswer:
    """Write documents best first."""
    returned = _returned(body)
    scores, documents = ranking.scores, body.input.documents
    results = [
        DashScopeResult(index, scores[index], _as_object(documents[index]) if returned else UNSET)
        for index in ranking.order
    ]
    return DashScopeAnswer(DashScopeOutput(results), DashScopeUsage(ranking.usage.tokens), context.request_id)


def _returned(body: DashScopeBody) -> bool:
    parameters = body.parameters or DashScopeParameters()
    return parts.flag(parameters.return_documents, "parameters.return_documents")


def _as_object(document: content.Document) -> dict[str, Any]:
    return {"text": document} if isinstance(document, str) else document


_CODES: Mapping[int, str] = MappingProxyType(
    {
        401: "InvalidApiKey",
        404: "NotFound",
        408: "RequestTimeOut",
        429: "Throttling",
        500: "InternalError",
        503: "ServiceUnavailable",
        504: "RequestTimeOut",
    }
)


def fail(error: Exception) -> tuple[int, DashScopeError]:
    """Write a failure."""
    code = status(error)
    return code, DashScopeError(_CODES.get(code, "InvalidParameter"), sentence(error))


DIALECT = Dialect(
    name="dashscope",
    title="DashScope",
    body=DashScopeBody,
    answer=DashScopeAnswer,
    parse=parse,
    respond=respond,
    repeats_texts=lambda body, _: _returned(body),
    fail=fail,
    failure=DashScopeError,
    example={
        "model": "gte-rerank-v2",
        "input": {
            "query": "What is the capital of France?",
            "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        },
        "parameters": {"top_n": 1, "return_documents": True},
    },
    ignored=("model",),
)
