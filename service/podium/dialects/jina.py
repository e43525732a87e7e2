"""Jina, where the path says so. Source: https://api.jina.ai/redoc and the clients of its /v1/rerank.

The vendor returns texts unless told not to; its clients do not read them, so here they come when asked for.
"""

from types import MappingProxyType

import msgspec

from podium import errors
from podium.dialects import answers, content, parts
from podium.dialects.base import Context, Dialect, ErrorBody, Statuses, superset
from podium.ranking import Ranking, RankRequest


class JinaBody(msgspec.Struct):
    """A query and its documents, each a string or an object with a `text`."""

    query: content.Document
    documents: content.Documents
    model: parts.Model = None
    top_n: parts.TopN = None
    return_documents: parts.ReturnDocuments = None
    truncation: parts.Truncate = None
    truncate: parts.Truncate = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None
    max_query_length: parts.MaxQueryTokens = None
    max_doc_length: parts.MaxDocumentTokens = None


def parse(body: JinaBody) -> RankRequest:
    """Read what to rank."""
    parts.flag(body.return_documents, "return_documents")
    content.refuse_media(body.query, "query")
    content.refuse_media(body.documents, "documents")
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.documents),
        top_n=parts.top_n(body.top_n),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
        truncate=all(
            (parts.truncates(body.truncation, "truncation"), parts.truncates(body.truncate, "truncate"))
        ),
        max_query_tokens=parts.limit(body.max_query_length, "max_query_length"),
        max_document_tokens=parts.limit(body.max_doc_length, "max_doc_length"),
    )


def respond(body: JinaBody, ranking: Ranking, context: Context) -> answers.ResultsAnswer:
    """Write documents best first."""
    form = answers.document_form(context, body.return_documents)
    return answers.results(ranking, body.documents, context, model=body.model, form=form)


_STATUS: Statuses = MappingProxyType({errors.InvalidRequest: 422})


def fail(error: Exception) -> tuple[int, ErrorBody]:
    """Write a failure; Jina's clients read `detail`."""
    return superset(error, _STATUS)


DIALECT = Dialect(
    name="jina",
    title="Jina",
    body=JinaBody,
    answer=answers.ResultsAnswer,
    parse=parse,
    respond=respond,
    repeats_texts=lambda body, context: answers.document_form(context, body.return_documents) is not None,
    fail=fail,
    failure=ErrorBody,
    example={
        "model": "jina-reranker-v2-base-multilingual",
        "query": "What is the capital of France?",
        "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        "top_n": 1,
        "return_documents": True,
    },
)
