"""The shared form of /rerank and /v1/rerank: what Cohere's first version, Jina, vLLM, Infinity, Xinference,
LocalAI and GPUStack have in common, for clients of which the request does not tell whose they are.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from podium.dialects import answers, parts
from podium.dialects.base import Context, Dialect, ErrorBody, superset
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
    raw_scores: Annotated[parts.Flag, Meta(description="logits instead of their sigmoid")] = None
    use_activation: Annotated[parts.Flag, Meta(description="false: logits instead of their sigmoid")] = None
    max_tokens_per_doc: parts.MaxDocumentTokens = None
    max_tokens_per_query: parts.MaxQueryTokens = None
    truncate_prompt_tokens: parts.MaxPairTokens = None
    truncation_side: parts.Side = None
    max_chunks_per_doc: parts.MaxChunks = None
    overflow: parts.Overflow = None
    priority: parts.Priority = None


def parse(body: ResultsBody) -> RankRequest:
    """Read what to rank; `top_n` counts before `top_k`."""
    parts.flag(body.return_documents, "return_documents")
    max_chunks = parts.limit(body.max_chunks_per_doc, "max_chunks_per_doc")
    return RankRequest(
        queries=parts.queries(body.query),
        documents=parts.texts(body.documents, rank_fields=body.rank_fields),
        top_n=parts.top_n(body.top_n) or parts.top_n(body.top_k, "top_k"),
        raw_scores=parts.flag(body.raw_scores, "raw_scores")
        or not parts.flag(body.use_activation, "use_activation", default=True),
        truncate_side=body.truncation_side or "right",
        max_query_tokens=parts.limit(body.max_tokens_per_query, "max_tokens_per_query"),
        max_document_tokens=parts.limit(body.max_tokens_per_doc, "max_tokens_per_doc"),
        max_pair_tokens=parts.pair_limit(body.truncate_prompt_tokens),
        max_chunks=max_chunks,
        overflow=parts.overflow(body.overflow, max_chunks),
        priority=body.priority or 0,
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
    failure=ErrorBody,
    example={
        "model": "builtin",
        "query": "What is the capital of France?",
        "documents": ["Berlin is the capital of Germany.", {"text": "Paris is the capital of France."}],
        "top_n": 1,
        "return_documents": True,
    },
)
