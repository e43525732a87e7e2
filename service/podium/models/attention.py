"""Attention inside each pair of a packed batch, by the fastest way that the device has."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from podium.models.layout import Layout

BLOCK = 256
"""Queries that share one block of keys under a window: t · (BLOCK + 2 · window) products, not t²."""


def attend(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, *, scaling: float, window: int | None
) -> Tensor:
    """Return the attended values: (heads, t, d) each, with any strides → (t, heads, d).

    Token i sees token j of its own pair where `window` is None or |i − j| < window.
    """
    states = query.new_empty(query.shape[1], query.shape[0], query.shape[2])
    for start, end in layout.spans:
        _attend_pair(query, key, value, states, start, end, scaling, window)
    return states


def _attend_pair(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    states: Tensor,
    start: int,
    end: int,
    scaling: float,
    window: int | None,
) -> None:
    """Fill states[start:end], the pair that lies there."""
    if window is None or end - start <= window:
        q, k, v = (x[None, :, start:end] for x in (query, key, value))
        states[start:end] = scaled_dot_product_attention(q, k, v, scale=scaling)[0].transpose(0, 1)
        return
    for first in range(start, end, BLOCK):
        last = min(first + BLOCK, end)
        left, right = max(start, first - window + 1), min(end, last + window - 1)
        distance = torch.arange(first, last).unsqueeze(1) - torch.arange(left, right)
        seen = (distance.abs() < window).to(query.device)
        states[first:last] = scaled_dot_product_attention(
            query[None, :, first:last],
            key[None, :, left:right],
            value[None, :, left:right],
            attn_mask=seen,
            scale=scaling,
        )[0].transpose(0, 1)
