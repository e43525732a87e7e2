"""What every dialect asks for and what every dialect answers from: pure values, no text of any API."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray


class RankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Score `documents` against their query."""

    queries: Sequence[str]
    """One query for all documents, or one a document."""
    documents: Sequence[str]
    """At least one; an empty string is a document like any other."""
    top_n: int | None = None
    """How many of the best to return; None means all, more than there are means all."""
    raw_scores: bool = False
    """Logits instead of their sigmoid."""
    truncate: bool = True
    """Cut pairs that do not fit; False refuses them with `PairTooLong`."""
    truncate_side: Literal["left", "right"] | None = None
    """From which end of long texts tokens are cut: "left" keeps their ends; None: as the model's files say
    it."""
    max_query_tokens: int | None = None
    """Cut the query to so many tokens, whether or not the pair fits; at least 1."""
    max_document_tokens: int | None = None
    """Cut each document to so many tokens, whether or not the pair fits; at least 1."""
    max_pair_tokens: int | None = None
    """Fit each pair into so many tokens, special ones included, where the model takes more; at least 1."""
    overflow: Literal["cut", "chunk"] = "cut"
    """A document that does not fit is cut, or read in overlapping windows of which the best counts."""
    max_chunks: int | None = None
    """Windows of a document at most, from its start; at least 1."""
    spans: bool = False
    """Tell the windows of each document and their scores in `Ranking.spans`."""
    details: bool = False
    """Tell the tokens of each pair, and whether it was cut, in `Ranking.details`."""
    instruction: str | None = None
    """What makes a document relevant, for models that take one; None: the model's own default."""
    priority: int = 0
    """Seconds later that it is as if the request had come, earlier where negative; see `batching.due_at`."""


class Usage(msgspec.Struct, frozen=True):
    """What a request cost; the same whether its pairs were computed or came from the cache."""

    tokens: int
    """Tokens of all pairs as the model reads them, special tokens included."""
    truncated_documents: int
    """Pairs of which something was cut."""


class Timing(msgspec.Struct, frozen=True):
    """Where the seconds of a request went; all 0 where every pair came from the cache."""

    queue_s: float
    """The rest of its time from admission: waiting for the tokenizer, and while batches of others ran."""
    tokenization_s: float
    """Of the tokenizer for its texts; of a long request some of it passes while its batches run."""
    inference_s: float
    """Of the batches with one of its pairs, which may hold pairs of others, too."""


class Ranking(msgspec.Struct, frozen=True):
    """The answer to a RankRequest of n documents."""

    scores: Sequence[float]
    """(n,) in input order: sigmoid in [0, 1], or the logit where `raw_scores` was set."""
    order: Sequence[int]
    """Input indices, best first, ties in input order, cut to `top_n`."""
    usage: Usage
    spans: Sequence[Sequence[tuple[int, int, float]]] | None = None
    """For each document, in input order, its windows as (start, end, score), in code points of its text, end
    exclusive, scores in [0, 1]; None unless `RankRequest.spans` was set."""
    details: Sequence[tuple[int, bool]] | None = None
    """For each document, in input order, the tokens of its pair, special ones included, and whether something
    of it was cut; None unless `RankRequest.details` was set."""
    timing: Timing | None = None
    """None where nobody waited, as for one that was not ranked by `Reranker`."""


def rank(
    logits: NDArray[np.float32],
    usage: Usage,
    *,
    top_n: int | None = None,
    raw_scores: bool = False,
    spans: Sequence[Sequence[tuple[int, int, float]]] | None = None,
) -> Ranking:
    """Order n documents by their logits, (n,) float32, all finite.

    Ranking is by logit: in float64 the sigmoid of large logits is 1.0 for all of them. `spans` hold the logit
    of each window of each document.
    """
    order = np.argsort(-logits, kind="stable")[:top_n]
    scores = logits.astype(np.float64)
    if spans is not None:
        spans = [
            [(start, end, float(sigmoid(np.float64(logit)))) for start, end, logit in windows]
            for windows in spans
        ]
    return Ranking((scores if raw_scores else sigmoid(scores)).tolist(), order.tolist(), usage, spans)


def sigmoid(logits: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    """Return 1 / (1 + e^-x), without overflow for large negative x."""
    small = np.exp(-np.abs(logits))
    result: NDArray[np.float64] = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    return result
