"""What a loaded model must do before it serves: run once on usual shapes, and rank a known pair right."""

from podium.models.base import Model

_QUERY = "What is deep learning?"
_RIGHT = "Deep learning is a subset of machine learning that uses neural networks."
_WRONG = "The weather is nice today."

_WARM_UP_LENGTHS = (1, 3, 3, 8, 8, 8)
"""Repetitions of a sentence: pairs of some 20 to 120 tokens."""


def warm_up(model: Model) -> None:
    """Score a few pairs and forget the scores: the first products of each shape set up their kernels."""
    (query,) = model.queries([_QUERY])
    documents = model.documents([" ".join([_RIGHT] * times) for times in _WARM_UP_LENGTHS])
    model.score([model.pair(query, document) for document in documents])


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
