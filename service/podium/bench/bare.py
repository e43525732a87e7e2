"""The model alone: tokenization and forward, no server, no queue."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from podium.batching import BATCH_S, Waiting, plan_batch
from podium.bench.results import Way
from podium.bench.texts import Pair
from podium.models.base import Encoding, Model
from podium.models.limit import Limit, operations

MEASURED_S = 12.0
"""Rounds over the pairs are begun until so much work is measured: less would catch one whim of the host."""


def measure(model: Model, name: str, folder: Path, pairs: Sequence[Pair]) -> tuple[Way, float, float]:
    """Return how fast a model scores pairs, in tokens per second too, and the machine's limit meanwhile.

    The limit is measured after each batch, so that both see the same neighbours.
    """
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
    speed = operations(folder, lengths) * rounds / seconds
    way = Way(
        model=name,
        way=f"bare {model.info.dtype}",
        pairs_per_s=len(pairs) * rounds / seconds,
        share=speed / limit.operations_per_s if model.info.device == "cpu" else None,
    )
    return way, sum(lengths) * rounds / seconds, limit.operations_per_s


def tokens_per_batch(model: Model, pairs: Sequence[Pair]) -> int:
    """Return how many tokens this model scores in BATCH_S, as the engine's batches have, and warm it up."""
    encodings = encode(model, pairs[:32])
    tokens = sum(len(encoding.ids) for encoding in encodings)
    model.score(encodings[:8])
    start = perf_counter()
    for batch in batches(encodings, 1024):
        model.score(batch)
    return max(1, int(tokens / (perf_counter() - start) * BATCH_S))


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
