"""What a loaded model must do before it serves: run once on usual shapes, and rank a known pair right."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import NamedTuple

from podium.errors import OutOfMemory, PermanentStartError, Reason, StartError
from podium.models.base import Encoding, Model, Tokens
from podium.models.folder import first_line

log = logging.getLogger(__name__)

_QUERY = "What is deep learning?"
_RIGHT = "Deep learning is a subset of machine learning that uses neural networks."
_WRONG = "The weather is nice today."

_WARM_UP_LENGTHS = (1, 3, 3, 8, 8, 8)
"""Repetitions of a sentence: pairs of some 20 to 120 tokens."""

CPU_WARM_UP_TOKENS = 512
"""Tokens of the longest pair that is scored at the start on a CPU, which takes seconds for one of 8,192."""

_MEASURED_LENGTH = 8
"""Repetitions of a sentence: pairs of some 120 tokens, as documents have."""
_FIRST_TOKENS = 1024
GAIN = 1.1
"""How much faster twice the batch must be to be worth that others wait twice as long for it."""


@contextmanager
def first_batches(model: Model) -> Iterator[None]:
    """Refuse a model that fails on its first batches, whatever it raises there."""
    try:
        yield
    except StartError:  # the machine's fault, not the model's
        raise
    except Exception as error:
        log.debug("the model failed on its first batch", exc_info=error)
        halved = isinstance(error, RuntimeError) and model.info.dtype in ("bfloat16", "float16")
        raise PermanentStartError(
            Reason.MODEL_LOAD_FAILED,
            f"the model is loaded, but fails on its first batch: {first_line(error)}"
            + (f"; it may not know {model.info.dtype}: try PODIUM_DTYPE=float32" if halved else ""),
        ) from error


def warm_up(model: Model) -> None:
    """Score a few pairs, and one as long as the model takes, and forget the scores.

    The first products of each shape set up their kernels, and a device that has no room for the longest pair
    tells it before it serves.
    """
    (query,) = model.queries([_QUERY])
    documents = model.documents([" ".join([_RIGHT] * times) for times in _WARM_UP_LENGTHS])
    model.score([model.pair(query, document) for document in documents])
    model.score([_longest(model, query)])


def _longest(model: Model, query: Tokens) -> Encoding:
    """Return a pair of `max_length` tokens, on a CPU of at most CPU_WARM_UP_TOKENS."""
    tokens = model.info.max_length
    if model.info.device == "cpu":
        tokens = min(tokens, CPU_WARM_UP_TOKENS)
    (once, more) = (_of_repeated(model, query, times) for times in (1, 2))
    each = max(1, more.needed - once.needed)
    times = 1 + max(0, tokens - once.needed) // each
    if tokens == model.info.max_length:
        times += 1  # the rest is cut off
    return _of_repeated(model, query, times)


def _of_repeated(model: Model, query: Tokens, times: int) -> Encoding:
    (document,) = model.documents([" ".join([_RIGHT] * times)])
    return model.pair(query, document)


class Pace(NamedTuple):
    """How fast a device is, and what its batches should aim at."""

    tokens_per_s: float
    batch_s: float
    least_batch_tokens: int
    """Half of the batch that was found: a few slow ones must not make all later ones small, which are slow
    for being small."""


def measure(
    model: Model, max_batch_tokens: int, most_s: float, *, now: Callable[[], float] = perf_counter
) -> Pace | None:
    """Find the smallest batch in which an accelerator is as fast as in larger ones; None on a CPU.

    There 250 ms are right, and so many batches would take minutes. Batches are doubled until that gains less
    than GAIN, they take `most_s`, the next would hold more than `max_batch_tokens`, or does not fit.
    Each is scored three times: the first time kernels are chosen and memory is got, then the faster counts.
    Raises what the model raises, OutOfMemory where the first batch does not fit.
    """
    if model.info.device == "cpu":
        return None
    (query,) = model.queries([_QUERY])
    (document,) = model.documents([" ".join([_RIGHT] * _MEASURED_LENGTH)])
    pair = model.pair(query, document)
    best: Pace | None = None
    pairs = max(1, min(_FIRST_TOKENS, max_batch_tokens) // pair.tokens)
    while best is None or pairs * pair.tokens <= max_batch_tokens:
        batch = [pair] * pairs
        try:
            model.score(batch)
            seconds = min(_seconds(model, batch, now) for _ in range(2))
        except OutOfMemory:
            if best is None:
                raise
            return best
        tokens = model.computed(batch)
        found = Pace(tokens / seconds, min(seconds, most_s), max(1, tokens // 2))
        if best is not None and found.tokens_per_s < GAIN * best.tokens_per_s:
            return best
        best = found
        if seconds >= most_s:
            return best
        pairs *= 2
    return best


def _seconds(model: Model, batch: Sequence[Encoding], now: Callable[[], float]) -> float:
    start = now()
    model.score(batch)
    return max(now() - start, 1e-6)


def self_test(model: Model) -> str | None:
    """Rank a known pair; return what is wrong, None where nothing is."""
    (query,) = model.queries([_QUERY])
    right, wrong = model.documents([_RIGHT, _WRONG])
    relevant, irrelevant = (
        float(x) for x in model.score([model.pair(query, right), model.pair(query, wrong)])
    )
    # also false for a score that is not a number
    if relevant > irrelevant:
        return None
    return (
        f"the model gives the relevant document {relevant:.4g} and the irrelevant one {irrelevant:.4g} for "
        f"`{_QUERY}`: it is untrained, damaged, or not a reranker; PODIUM_SELF_TEST=off serves it anyway"
    )
