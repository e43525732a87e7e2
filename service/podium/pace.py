"""The batches that the engine makes of one request, for what measures a model without an engine."""

from collections.abc import Sequence
from time import perf_counter

from podium.batching import LEAST_TOKENS, cut, first_budget, most_tokens, next_budget
from podium.models.base import Encoding, Model

FIRST_TOKENS = 512
"""Of the batch by which the speed is guessed."""


def as_served(
    model: Model, encodings: Sequence[Encoding], max_batch_tokens: int | None = None
) -> list[list[Encoding]]:
    """Cut the pairs of a request, at least one, into batches as the engine does on a CPU once it knows the
    model's speed, which is found on the first of them. `max_batch_tokens`: by default the model's own.

    Raises what the model raises, OutOfMemory where a batch does not fit.
    """
    held = max_batch_tokens or model.info.max_batch_tokens
    budget = most = min(FIRST_TOKENS, held)
    for _ in range(2):  # a large model is faster in larger batches: the second round has about the engine's
        [first, *_] = _cut(model, encodings, budget, most)
        tokens = model.computed(first)
        start = perf_counter()
        model.score(first)
        tokens_per_s = tokens / max(perf_counter() - start, 1e-6)
        most = most_tokens(tokens_per_s, held)
        budget = next_budget(tokens_per_s, most, least_tokens=LEAST_TOKENS)
    return _cut(model, encodings, budget, most)


def _cut(model: Model, encodings: Sequence[Encoding], budget: int, most: int) -> list[list[Encoding]]:
    budget = first_budget(encodings[0], budget, most, padded=model.pads)
    return [[encodings[at] for at in batch] for batch in cut(encodings, budget, padded=model.pads)]
