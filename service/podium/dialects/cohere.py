"""Cohere, versions 1 and 2, where the path says so. Source: https://docs.cohere.com/reference/rerank.

The second version dropped `return_documents`; litellm and Weaviate send it there too, so it is honoured.
vLLM serves /v2/rerank as well, so its fields count here.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET

from podium.dialects import answers, content, parts
from podium.dialects.base import Context, Dialect, ErrorBody, superset
from podium.ranking import Ranking, RankRequest

THRESHOLD = 0.1
"""Score of a relevant span where the request names none."""


class RelevantSpans(msgspec.Struct):
    """Whether and which stretches of each document are told, best first."""

    mode: Literal["enabled", "disabled"]
    threshold: float | None = None
    max_spans: parts.Whole | None = None


class CohereBody(msgspec.Struct):
    """A query and its documents; the second version's are strings, the first one's also objects."""

    query: content.Document
    documents: content.Documents
    model: parts.Model = None
    top_n: parts.TopN = None
    return_documents: parts.ReturnDocuments = None
    rank_fields: parts.RankFields = None
    max_tokens_per_doc: parts.MaxDocumentTokens = None
    max_chunks_per_doc: parts.MaxChunks = None
    overflow: parts.Overflow = None
    max_tokens_per_query: parts.MaxQueryTokens = None
    truncate_prompt_tokens: parts.MaxPairTokens = None
    truncation_side: parts.Side = None
    raw_scores: parts.RawScores = None
    use_activation: parts.UseActivation = None
    instruction: parts.Instruction = None
    priority: parts.Priority = None
    relevant_spans: RelevantSpans | None = None
    return_details: parts.ReturnDetails = None


def parse(body: CohereBody) -> RankRequest:
    """Read what to rank."""
    parts.flag(body.return_documents, "return_documents")
    details = parts.flag(body.return_details, "return_details")
    if body.relevant_spans is not None:
        parts.limit(body.relevant_spans.max_spans, "relevant_spans.max_spans")
    max_chunks = parts.limit(body.max_chunks_per_doc, "max_chunks_per_doc")
    return RankRequest(
        queries=content.queries(body.query),
        documents=content.texts(body.documents, rank_fields=body.rank_fields),
        top_n=parts.top_n(body.top_n),
        raw_scores=parts.raw_scores(body.raw_scores, body.use_activation),
        truncate_side=body.truncation_side,
        max_query_tokens=parts.limit(body.max_tokens_per_query, "max_tokens_per_query"),
        max_document_tokens=parts.limit(body.max_tokens_per_doc, "max_tokens_per_doc"),
        max_pair_tokens=parts.pair_limit(body.truncate_prompt_tokens),
        max_chunks=max_chunks,
        overflow=parts.overflow(body.overflow, max_chunks),
        spans=_spans(body) is not None,
        details=details,
        instruction=body.instruction,
        priority=parts.priority(body.priority),
    )


def respond(body: CohereBody, ranking: Ranking, context: Context) -> answers.ResultsAnswer:
    """Write documents best first."""
    form = answers.document_form(context, body.return_documents)
    answer = answers.results(
        ranking, body.documents, context, model=body.model, form=form, rank_fields=body.rank_fields
    )
    if (wanted := _spans(body)) is not None and ranking.spans is not None:
        for result in answer.results:
            result.relevant_spans = _best(ranking.spans[result.index], wanted) or UNSET
    if ranking.details is not None:
        for result in answer.results:
            result.tokens, result.truncated = ranking.details[result.index]
    return answer


def _spans(body: CohereBody) -> RelevantSpans | None:
    wanted = body.relevant_spans
    return wanted if wanted is not None and wanted.mode == "enabled" else None


def _best(spans: Sequence[tuple[int, int, float]], wanted: RelevantSpans) -> list[answers.Span]:
    threshold = THRESHOLD if wanted.threshold is None else wanted.threshold
    best = sorted((span for span in spans if span[2] >= threshold), key=lambda span: -span[2])
    return [answers.Span(*span) for span in best[: parts.limit(wanted.max_spans, "relevant_spans.max_spans")]]


DIALECT = Dialect(
    name="cohere",
    title="Cohere",
    body=CohereBody,
    answer=answers.ResultsAnswer,
    parse=parse,
    respond=respond,
    repeats_texts=lambda body, context: answers.document_form(context, body.return_documents) is not None,
    fail=superset,
    failure=ErrorBody,
    example={
        "model": "rerank-v4.0",
        "query": "What is the capital of France?",
        "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
        "top_n": 1,
    },
    ignored=("request_id", "user", "mm_processor_kwargs", "cache_salt"),
)
