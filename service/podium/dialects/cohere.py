"""Cohere, versions 1 and 2, where the path says so. Source: https://docs.cohere.com/reference/rerank.

The second version dropped `return_documents`; litellm and Weaviate send it there too, so it is honoured.
"""

import msgspec

from podium.dialects import answers, parts
from podium.dialects.base import Context, Dialect, superset
from podium.ranking import Ranking, RankRequest


class CohereBody(msgspec.Struct):
    """A query and its documents; the second version's are strings, the first one's also objects."""

    query: parts.Query
    documents: parts.Documents
    model: parts.Model = None
    top_n: parts.TopN = None
    return_documents: parts.ReturnDocuments = None
    rank_fields: parts.RankFields = None


def parse(body: CohereBody) -> RankRequest:
    """Read what to rank."""
    parts.flag(body.return_documents, "return_documents")
    return RankRequest(
        queries=parts.queries(body.query),
        documents=parts.texts(body.documents, rank_fields=body.rank_fields),
        top_n=parts.top_n(body.top_n),
    )


def respond(body: CohereBody, ranking: Ranking, context: Context) -> answers.ResultsAnswer:
    """Write documents best first."""
    form = answers.document_form(context, body.return_documents)
    return answers.results(
        ranking, body.documents, context, model=body.model, form=form, rank_fields=body.rank_fields
    )


DIALECT = Dialect(
    name="cohere",
    title="Cohere",
    body=CohereBody,
    answer=answers.ResultsAnswer,
    parse=parse,
    respond=respond,
    fail=superset,
    example={
        "model": "rerank-v4.0",
        "query": "What is the capital of France?",
        "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        "top_n": 1,
    },
)
