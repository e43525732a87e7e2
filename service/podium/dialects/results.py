"""The shared form of /rerank and /v1/rerank: what Cohere's first version, Jina, vLLM, Infinity, Xinference,
LocalAI and GPUStack have in common, for clients of which the request does not tell whose they are.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from podium.dialects import answers, parts
from podium.dialects.base import Context, Dialect, superset
from podium.ranking import Ranking, RankRequest


class ResultsBody(msgspec.Struct):
    """A query and its documents."""

    query: parts.Document
    documents: parts.Documents
    model: parts.Model = None
    top_n: parts.TopN = None
    top_k: Annotated[int | None, Meta(description="`top_n` under the name that Voyage gave it")] = None
    return_documents: parts.ReturnDocuments = None
    rank_fields: parts.RankFields = None


def parse(body: ResultsBody) -> RankRequest:
    """Read what to rank; `top_n` counts before `top_k`."""
    parts.flag(body.return_documents, "return_documents")
    return RankRequest(
        queries=parts.queries(body.query),
        documents=parts.texts(body.documents, rank_fields=body.rank_fields),
        top_n=parts.top_n(body.top_n) or parts.top_n(body.top_k, "top_k"),
    )


def respond(body: ResultsBody, ranking: Ranking, context: Context) -> answers.ResultsAnswer:
    """Write documents best first."""
    form = answers.document_form(context, body.return_documents)
    return answers.results(
        ranking, body.documents, context, model=body.model, form=form, rank_fields=body.rank_fields
    )


DIALECT = Dialect(
    name="results",
    title="Cohere v1, Jina, vLLM, Infinity and those after them",
    body=ResultsBody,
    answer=answers.ResultsAnswer,
    parse=parse,
    respond=respond,
    fail=superset,
    example={
        "model": "builtin",
        "query": "What is the capital of France?",
        "documents": ["Berlin is the capital of Germany.", {"text": "Paris is the capital of France."}],
        "top_n": 1,
        "return_documents": True,
    },
)
