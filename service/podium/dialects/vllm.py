"""vLLM's rerank API, where the path says so. Source: vllm/entrypoints/pooling/scoring/protocol.py.

vLLM always returns the documents, so its own clients may index into them.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from podium.dialects import answers, content, parts
from podium.dialects.base import Context, Dialect, ErrorBody, superset
from podium.ranking import Ranking, RankRequest


class VllmBody(msgspec.Struct):
    """A query and its documents, each a string or an object with `content`."""

    query: content.Document
    documents: str | content.Documents
    model: parts.Model = None
    top_n: parts.TopN = None
    return_documents: Annotated[
        parts.Flag, Meta(description="put each document's text into the answer; true unless false")
    ] = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None
    max_tokens_per_doc: parts.MaxDocumentTokens = None
    max_tokens_per_query: parts.MaxQueryTokens = None
    truncate_prompt_tokens: parts.MaxPairTokens = None
    truncation_side: parts.Side = None
    instruction: parts.Instruction = None
    priority: parts.Priority = None


def parse(body: VllmBody) -> RankRequest:
    """Read what to rank."""
    parts.flag(body.return_documents, "return_documents")
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(_documents(body)),
        top_n=parts.top_n(body.top_n),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
        truncate_side=body.truncation_side,
        max_query_tokens=parts.limit(body.max_tokens_per_query, "max_tokens_per_query"),
        max_document_tokens=parts.limit(body.max_tokens_per_doc, "max_tokens_per_doc"),
        max_pair_tokens=parts.pair_limit(body.truncate_prompt_tokens),
        instruction=body.instruction,
        priority=parts.priority(body.priority),
    )


def respond(body: VllmBody, ranking: Ranking, context: Context) -> answers.ResultsAnswer:
    """Write documents best first."""
    form: answers.Form = (
        "object" if parts.flag(body.return_documents, "return_documents", default=True) else None
    )
    return answers.results(ranking, _documents(body), context, model=body.model, form=form)


def _documents(body: VllmBody) -> list[content.Document]:
    return [body.documents] if isinstance(body.documents, str) else body.documents


DIALECT = Dialect(
    name="vllm",
    title="vLLM rerank",
    body=VllmBody,
    answer=answers.ResultsAnswer,
    parse=parse,
    respond=respond,
    repeats_texts=lambda body, _: parts.flag(body.return_documents, "return_documents", default=True),
    fail=superset,
    failure=ErrorBody,
    example={
        "model": "BAAI/bge-reranker-base",
        "query": "What is the capital of France?",
        "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        "top_n": 1,
    },
    ignored=("request_id", "user", "mm_processor_kwargs", "cache_salt"),
)
