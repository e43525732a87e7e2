"""Attention inside each pair of a packed batch, by the fastest way that the device has."""

import math

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention

from podium.models.layout import GROUP_BYTES, Group, Layout

BLOCK = 256
"""Queries that share one block of keys under a window: t · (BLOCK + 2 · window) products, not t²."""

_LONGEST_PRODUCT = {torch.bfloat16: 1 << 20, torch.float32: 192}
"""Tokens of a pair up to which products beat `scaled_dot_product_attention` on the CPU (measured)."""

_SAFE = 2.0**60
"""Sums of exponentials between 1/_SAFE and _SAFE lost nothing to overflow or underflow."""


def attend(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, *, scaling: float, window: int | None
) -> Tensor:
    """Return the attended values: (heads, rows, d) each, with any strides → (rows, heads, d).

    Token i sees token j of its own pair where `window` is None or |i − j| < window.
    """
    if _has_varlen(query):
        return _attend_varlen(query, key, value, layout, scaling, window)
    states = query.new_empty(query.shape[1], query.shape[0], query.shape[2])
    states[layout.total :] = 0  # what lies there may be denormal, which is slow
    longest = _LONGEST_PRODUCT.get(query.dtype, 0) if query.device.type == "cpu" else 0
    for group in layout.groups:
        if group.padded > longest or not _attend_group(query, key, value, states, group, scaling, window):
            for start, end in group.spans:
                _attend_pair(query, key, value, states, start, end, scaling, window)
    return states


def attend_firsts(query: Tensor, key: Tensor, value: Tensor, layout: Layout, *, scaling: float) -> Tensor:
    """Return what the first token of each pair attends to: (n, heads, d) for its query (n, heads, d) and
    keys and values of all tokens, (rows, heads, d).
    """
    if _has_varlen(query):
        states = varlen_attn(
            query, key, value, layout.first_offsets, layout.offsets, 1, layout.longest, scale=scaling
        )
        assert isinstance(states, Tensor)
        return states
    states = torch.empty_like(query)
    first = 0
    for group in layout.groups:
        pairs, padded = group.held.shape
        k, v = (
            x.index_select(0, group.rows).view(pairs, padded, *x.shape[1:]).transpose(1, 2)
            for x in (key, value)
        )
        states[first : first + pairs] = scaled_dot_product_attention(
            query[first : first + pairs].unsqueeze(2), k, v, group.held[:, None, None], scale=scaling
        ).squeeze(2)
        first += pairs
    return states


def _has_varlen(query: Tensor) -> bool:
    """Whether flash attention over sequences of different lengths is there for such states."""
    return (
        query.is_cuda
        and query.dtype != torch.float32
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def _attend_varlen(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float, window: int | None
) -> Tensor:
    """Attend on CUDA: flash attention over sequences of different lengths, all at once."""
    query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    reach = -1 if window is None else window - 1
    states = varlen_attn(
        query,
        key,
        value,
        layout.offsets,
        layout.offsets,
        layout.longest,
        layout.longest,
        scale=scaling,
        window_size=(reach, reach),
    )
    assert isinstance(states, Tensor)
    return states


def _attend_group(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    states: Tensor,
    group: Group,
    scaling: float,
    window: int | None,
) -> bool:
    """Fill the states of a group by plain products; False, with nothing filled, where numbers grew too large.

    The weights are 2^x and not softmax(x), whose three passes over them cost more than both products: no
    maximum is subtracted, and the sums say afterwards whether one had to be.
    """
    heads, _, d = query.shape
    pairs, padded = len(group.spans), group.padded

    def gathered(x: Tensor) -> Tensor:
        rows = x.transpose(0, 1).index_select(0, group.rows)
        return rows.view(pairs, padded, heads, d).transpose(1, 2).reshape(pairs * heads, padded, d)

    q, k, v = gathered(query), gathered(key).transpose(1, 2), gathered(value)
    result = torch.empty_like(v)
    # a group of several pairs fits GROUP_BYTES; one long pair is cut by heads, then by queries
    fitting = GROUP_BYTES // (padded * padded * query.element_size())
    rows = len(q) if pairs > 1 else max(1, fitting)
    columns = padded if fitting or pairs > 1 else max(1, GROUP_BYTES // (padded * query.element_size()))
    for n in range(0, len(q), rows):
        part = slice(n, min(n + rows, len(q)))
        for i in range(0, padded, columns):
            asking = q[part, i : i + columns]
            weights = asking.new_empty(asking.shape[0], asking.shape[1], padded)
            weights.baddbmm_(asking, k[part], beta=0, alpha=scaling * math.log2(math.e)).exp2_()
            for number, (start, end) in enumerate(group.spans):
                if end - start < padded:
                    weights[number * heads : (number + 1) * heads, :, end - start :] = 0
            if window is not None and padded > window:
                weights *= _band(i, asking.shape[1], padded, window)
            sums = weights.sum(-1, keepdim=True)
            least, most = torch.aminmax(sums)
            if not (least > 1 / _SAFE and most < _SAFE):
                return False
            torch.bmm(weights, v[part], out=result[part, i : i + columns]).div_(sums)
    placed = result.view(pairs, heads, padded, d).transpose(1, 2).reshape(pairs * padded, heads, d)
    states[group.spans[0][0] : group.spans[-1][1]] = placed.index_select(0, group.kept)
    return True


def _band(first: int, queries: int, keys: int, window: int) -> Tensor:
    """Return which keys queries `first` to `first + queries` see: (queries, keys) of bool."""
    distance = torch.arange(first, first + queries).unsqueeze(1) - torch.arange(keys)
    return distance.abs() < window


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
