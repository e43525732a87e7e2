"""The shared form of /rerank and /v1/rerank: what Cohere's first version, Jina, vLLM, Infinity, Xinference,
LocalAI and GPUStack have in common, for clients of which the request does not tell whose they are.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from podium.dialects import answers, content, parts
from podium.dialects.base import Context, Dialect, ErrorBody, superset
from podium.ranking import Ranking, RankRequest


class ResultsBody(msgspec.Struct):
    """A query and its documents."""

    query: content.Document
    documents: content.Documents
    model: parts.Model = None
    top_n: parts.TopN = None
    top_k: Annotated[parts.Whole | None, Meta(description="`top_n` under the name that Voyage gave it")] = (
        None
    )
    return_documents: parts.ReturnDocuments = None
    rank_fields: parts.RankFields = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None
    truncate: parts.Truncate = None
    truncation: parts.Truncate = None
    max_tokens_per_doc: parts.MaxDocumentTokens = None
    max_tokens_per_query: parts.MaxQueryTokens = None
    max_doc_length: Annotated[
        parts.MaxDocumentTokens, Meta(description="`max_tokens_per_doc` under Jina's name")
    ] = None
    max_query_length: Annotated[
        parts.MaxQueryTokens, Meta(description="`max_tokens_per_query` under Jina's name")
    ] = None
    truncate_prompt_tokens: parts.MaxPairTokens = None
    truncation_side: parts.Side = None
    max_chunks_per_doc: parts.MaxChunks = None
    overflow: parts.Overflow = None
    instruction: parts.Instruction = None
    instruct: Annotated[parts.Instruction, Meta(description="`instruction` under SGLang's name")] = None
    prompt: Annotated[
        parts.Instruction, Meta(description="`instruction` under Sentence Transformers' name")
    ] = None
    priority: parts.Priority = None


def parse(body: ResultsBody) -> RankRequest:
    """Read what to rank; of two names for one limit the first that is not null counts."""
    parts.flag(body.return_documents, "return_documents")
    max_chunks = parts.limit(body.max_chunks_per_doc, "max_chunks_per_doc")
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.documents, rank_fields=body.rank_fields),
        top_n=parts.first_of(parts.top_n, top_n=body.top_n, top_k=body.top_k),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
        truncate=all(
            (parts.truncates(body.truncate, "truncate"), parts.truncates(body.truncation, "truncation"))
        ),
        truncate_side=body.truncation_side,
        max_query_tokens=parts.first_of(
            parts.limit,
            max_tokens_per_query=body.max_tokens_per_query,
            max_query_length=body.max_query_length,
        ),
        max_document_tokens=parts.first_of(
            parts.limit, max_tokens_per_doc=body.max_tokens_per_doc, max_doc_length=body.max_doc_length
        ),
        max_pair_tokens=parts.pair_limit(body.truncate_prompt_tokens),
        max_chunks=max_chunks,
        overflow=parts.overflow(body.overflow, max_chunks),
        instruction=parts.first_text(body.instruction, body.instruct, body.prompt),
        priority=parts.priority(body.priority),
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
    repeats_texts=lambda body, context: answers.document_form(context, body.return_documents) is not None,
    fail=superset,
    failure=ErrorBody,
    example={
        "model": "builtin",
        "query": "What is the capital of France?",
        "documents": ["Berlin is the capital of Germany.", {"text": "Paris is the capital of France."}],
        "top_n": 1,
        "return_documents": True,
    },
    ignored=(
        "request_id",
        "user",
        "mm_processor_kwargs",
        "cache_salt",
        "return_len",
        "overlap_tokens",
    ),
)
