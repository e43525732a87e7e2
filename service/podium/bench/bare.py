"""The model alone: tokenization and forward, no server, no queue."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from podium.batching import BATCH_S, Waiting, plan_batch
from podium.bench.results import Way
from podium.bench.texts import Pair
from podium.models.base import Encoding, Model
from podium.models.limit import Limit, operations
from podium.models.load import load

MEASURED_S = 12.0
"""Rounds over the pairs are begun until so much work is measured: less would catch one whim of the host."""


class Bare(NamedTuple):
    """What was measured of the model alone."""

    way: Way
    tokens_per_s: float
    limit_gflops: float
    """The machine's limit meanwhile."""
    mean_tokens: float
    """Of a pair."""
    gflop_per_pair: float


def measure(folder: Path, name: str, dtype: str, pairs: Sequence[Pair]) -> Bare:
    """Load the model in `folder` and return how fast it scores pairs.

    The limit is measured after each batch, so that both see the same neighbours. Call it in a process of its
    own: a result of the limit's product in float32 (50 MB) is new memory each time, 15 % of its time, unless
    earlier work left a free block of that size.
    """
    model = load(folder, uri=name, dtype=dtype)
    budget = tokens_per_batch(model, pairs)
    limit = Limit(model.info.dtype)
    seconds, rounds = 0.0, 0
    while seconds < MEASURED_S:
        rounds += 1
        start = perf_counter()
        encodings = encode(model, pairs)
        seconds += perf_counter() - start
        for batch in batches(encodings, budget):
            start = perf_counter()
            model.score(batch)
            seconds += perf_counter() - start
            limit.time_product()
    lengths = [len(encoding.ids) for encoding in encodings]
    work = operations(folder, lengths)
    way = Way(
        model=name,
        way=f"bare {model.info.dtype}",
        pairs_per_s=len(pairs) * rounds / seconds,
        share=work * rounds / seconds / limit.operations_per_s if model.info.device == "cpu" else None,
    )
    return Bare(
        way=way,
        tokens_per_s=sum(lengths) * rounds / seconds,
        limit_gflops=limit.operations_per_s / 1e9,
        mean_tokens=sum(lengths) / len(pairs),
        gflop_per_pair=work / len(pairs) / 1e9,
    )


def tokens_per_batch(model: Model, pairs: Sequence[Pair]) -> int:
    """Return how many tokens this model scores in BATCH_S, as the engine's batches have, and warm it up.

    The second round has batches of about that size: a large model is faster in larger ones.
    """
    encodings = encode(model, pairs[:32])
    tokens = sum(len(encoding.ids) for encoding in encodings)
    model.score(encodings[:8])
    budget = 1024
    for _ in range(2):
        start = perf_counter()
        for batch in batches(encodings, budget):
            model.score(batch)
        budget = max(1, int(tokens / (perf_counter() - start) * BATCH_S))
    return budget


def encode(model: Model, pairs: Sequence[Pair]) -> list[Encoding]:
    """Tokenize and join pairs."""
    queries = model.tokenize([query for query, _ in pairs])
    documents = model.tokenize([document for _, document in pairs])
    return [model.pair(query, document) for query, document in zip(queries, documents, strict=True)]


def batches(encodings: Sequence[Encoding], budget: int) -> list[list[Encoding]]:
    """Cut encodings into batches of at most `budget` tokens or one pair, as the engine cuts one request."""
    left = list(encodings)
    cut = []
    while left:
        [positions] = plan_batch([Waiting((0, 0), [len(encoding.ids) for encoding in left])], budget)
        cut.append([left[position] for position in positions])
        for position in reversed(positions):
            del left[position]
    return cut
