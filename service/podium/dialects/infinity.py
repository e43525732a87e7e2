"""Infinity, where the path says so: documents come back as strings.

Source: michaelfeil/infinity, libs/infinity_emb/infinity_emb/fastapi_schemas/pymodels.py. On the shared paths
its clients get what all do; litellm's `infinity` provider asks for documents and reads only strings.
"""

from types import MappingProxyType

import msgspec

from podium import errors
from podium.dialects import answers, content, parts
from podium.dialects.base import Context, Dialect, ErrorDetail, Statuses, superset
from podium.ranking import Ranking, RankRequest


class InfinityBody(msgspec.Struct):
    """A query and its documents."""

    query: content.Query
    documents: content.Documents
    model: parts.Model = None
    top_n: parts.TopN = None
    return_documents: parts.ReturnDocuments = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None


def parse(body: InfinityBody) -> RankRequest:
    """Read what to rank."""
    parts.flag(body.return_documents, "return_documents")
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.documents),
        top_n=parts.top_n(body.top_n),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
    )


def respond(body: InfinityBody, ranking: Ranking, context: Context) -> answers.ResultsAnswer:
    """Write documents best first."""
    form: answers.Form = "string" if parts.flag(body.return_documents, "return_documents") else None
    return answers.results(ranking, body.documents, context, model=body.model, form=form)


class InfinityDetail(msgspec.Struct, frozen=True):
    """One wrong field, as FastAPI tells it."""

    loc: list[str]
    msg: str
    type: str


class InfinityError(msgspec.Struct, frozen=True):
    """Infinity's failure; `detail` is a list where its status is 422, and a sentence elsewhere."""

    message: str
    detail: str | list[InfinityDetail]
    error: ErrorDetail


_STATUS: Statuses = MappingProxyType({errors.InvalidRequest: 422})


def fail(error: Exception) -> tuple[int, InfinityError]:
    """Write a failure; Infinity's clients read `error.message`, its generated one lists of FastAPI's too."""
    code, told = superset(error, _STATUS)
    detail: str | list[InfinityDetail] = told.detail
    if isinstance(error, errors.InvalidRequest):
        field = [error.field] if error.field else []
        detail = [InfinityDetail(["body", *field], error.message, "value_error")]
    return code, InfinityError(told.message, detail, told.error)


DIALECT = Dialect(
    name="infinity",
    title="Infinity",
    body=InfinityBody,
    answer=answers.ResultsAnswer,
    parse=parse,
    respond=respond,
    repeats_texts=lambda body, _: parts.flag(body.return_documents, "return_documents"),
    fail=fail,
    failure=InfinityError,
    example={
        "model": "mixedbread-ai/mxbai-rerank-xsmall-v1",
        "query": "What is the capital of France?",
        "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        "top_n": 1,
        "return_documents": True,
    },
)
