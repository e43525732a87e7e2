"""The operations that a model really computes for a batch: shared prefixes once, of the last layer only what
the head reads, of attention only what a token may see.
"""

from collections.abc import Sequence
from typing import Any

from podium.models.base import Encoding
from podium.models.recipe import Recipe

_GATED = frozenset({"modernbert", "qwen3"})
"""Values of `model_type` whose feed-forward has a gate: three products in place of two."""


def computed(config: Any, recipe: Recipe, batch: Sequence[Encoding], tokens: int | None = None) -> float:
    """Return the operations of a batch: products of linear layers, of attention, and of DeBERTa's positions.

    `config` is transformers'; the pairs of a batch with equal prefixes lie in one sequence. `tokens`: those
    that the model computes where an earlier batch may have computed a prefix.
    """
    h, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    heads = config.num_attention_heads
    d = getattr(config, "head_dim", None) or h // heads
    keys = (getattr(config, "num_key_value_heads", None) or heads) * d
    rest = 2 * (2 * h * heads * d + (3 if config.model_type in _GATED else 2) * h * inner)
    spans = _spans(batch, tokens)
    tokens = sum(length for _, length in spans)
    windows = _windows(config)
    ends = recipe.state != "mean" and windows[-1] is None  # a local last layer computes all tokens
    linear = layers * tokens * 4 * h * keys + rest * (
        (layers - 1) * tokens + (len(batch) if ends else tokens)
    )
    # weights of one token for another, and its share of the other's value; DeBERTa has three kinds of weights
    products = (8 if config.model_type == "deberta-v2" else 4) * heads * d
    causal = recipe.attention == "causal"
    whole = windows[: layers - 1 if ends else layers]
    seen = sum(_seen(spans, window, causal=causal) for window in whole)
    if ends:
        seen += sum(len(encoding.ids) for encoding in batch)
    return float(linear + products * seen)


def _spans(batch: Sequence[Encoding], tokens: int | None) -> list[tuple[int, int]]:
    """Return what lies in a batch's sequence: tokens before it that it sees, and its own."""
    spans = [(encoding.shared, len(encoding.ids) - encoding.shared) for encoding in batch]
    prefixes = {encoding.prefix: encoding.shared for encoding in batch if encoding.shared}
    left = None if tokens is None else tokens - sum(length for _, length in spans)
    laid = []
    for length in prefixes.values():
        if left is None or length <= left:
            laid.append((0, length))
            left = None if left is None else left - length
    return [*laid, *spans]


def _windows(config: Any) -> list[int | None]:
    """Return below what distance a token of each layer sees others; None without end."""
    types = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    # ModernBERT's is half of what it calls local, its own token not counted
    return [config.sliding_window + 1 if kind == "sliding_attention" else None for kind in types]


def _seen(spans: Sequence[tuple[int, int]], window: int | None, *, causal: bool) -> int:
    """Return how many tokens all tokens see."""
    if causal:
        return sum(before * length + length * (length + 1) // 2 for before, length in spans)
    return sum(
        length * length
        if window is None
        else sum(min(length, i + window) - max(0, i - window + 1) for i in range(length))
        for _, length in spans
    )
