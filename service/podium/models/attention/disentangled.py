"""DeBERTa's disentangled attention inside each pair of a packed batch, by plain products.

The weight of token i for token j has three parts: content with content, q_i · k_j, content with position,
q_i · p_(i−j), and position with content, k_j · r_(i−j). For each of the last two, one product of all tokens
with all distances holds what is wanted on its diagonals, and a view whose rows begin one element earlier each
time reads them: neither a matrix of distances nor a gather is made.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

from podium.models.grouping import ON_ACCELERATORS
from podium.models.layout import Group, Layout

WORKING_BYTES = 16 << 20
"""Products and weights of the heads that are computed at once, at most, unless one head has more."""

_SAFE = 2.0**60
"""Sums of powers of two between 1/_SAFE and _SAFE lost nothing to overflow or underflow."""


class Distances:
    """Which row of the relative embeddings stands for which distance between two tokens.

    `span`: half of the rows; `buckets` and `furthest` as transformers' config has them.
    """

    def __init__(self, span: int, buckets: int, furthest: int) -> None:
        self._span, self._buckets, self._furthest = span, buckets, furthest
        self._reach = 0
        self._rows = torch.empty(0, dtype=torch.long)

    def rows(self, reach: int, device: torch.device) -> Tensor:
        """Return the rows for the distances −reach to reach − 1, (2 · reach,) int64."""
        if reach > self._reach or self._rows.device != device:
            distances = torch.arange(-reach, reach)
            if self._buckets > 0 and self._furthest > 0:
                distances = make_log_bucket_position(distances, self._buckets, self._furthest).long()
            self._rows = (distances + self._span).clamp(0, 2 * self._span - 1).to(device)
            self._reach = reach
        return self._rows[self._reach - reach : self._reach + reach]


class Relative(NamedTuple):
    """Projections of the relative embeddings of one layer, scaled as `attend` needs them: (heads, rows, d).

    None where a model does without.
    """

    key: Tensor | None
    """What queries are multiplied with (content to position, c2p)."""
    query: Tensor | None
    """What keys are multiplied with (position to content, p2c)."""
    distances: Distances


def attend(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, relative: Relative, *, scaling: float
) -> Tensor:
    """Return the attended values: (heads, rows, d) each, with any strides → (rows, heads, d).

    `relative` holds projections that `scaled` has scaled.
    """
    states = query.new_empty(query.shape[1], query.shape[0], query.shape[2])
    states[layout.total :] = 0  # what lies there may be denormal, which is slow
    for group in layout.groups:
        # products with positions are 2 · padded wide, twice, and the weights padded
        head_bytes = 5 * len(group.spans) * group.padded**2 * query.element_size()
        working = WORKING_BYTES if query.device.type == "cpu" else ON_ACCELERATORS.bytes
        heads = max(1, working // head_bytes)
        for first in range(0, query.shape[0], heads):
            part = slice(first, first + heads)
            _attend_group(
                query[part], key[part], value[part], states[:, part], group, _of(relative, part), scaling
            )
    return states


def _of(relative: Relative, heads: slice) -> Relative:
    key, query, distances = relative
    return Relative(None if key is None else key[heads], None if query is None else query[heads], distances)


def _attend_group(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    states: Tensor,
    group: Group,
    relative: Relative,
    scaling: float,
) -> None:
    """Fill the states of a group: (heads, rows, d) each → states (rows, heads, d)."""
    heads, _, d = query.shape
    pairs, padded = group.held.shape
    q, k, v = (x.index_select(1, group.rows).view(heads, pairs * padded, d) for x in (query, key, value))
    v = v.view(heads * pairs, padded, d)
    result = None
    if query.device.type == "cpu":
        result = _by_powers(q, k, v, group, relative, scaling)
    if result is None:
        scores = _scores(q, k, group, relative, scaling).view(heads, pairs, padded, padded).float()
        scores.mul_(math.log(2)).masked_fill_(~group.held[:, None], -math.inf)
        weights = torch.softmax(scores, -1).to(v.dtype).view(heads * pairs, padded, padded)
        result = torch.bmm(weights, v)
    placed = result.view(heads, pairs * padded, d).transpose(0, 1)
    states[group.spans[0][0] : group.spans[-1][1]] = placed.index_select(0, group.kept)


def _by_powers(
    q: Tensor, k: Tensor, v: Tensor, group: Group, relative: Relative, scaling: float
) -> Tensor | None:
    """Return what is attended to, (heads · pairs, padded, d), in fewer passes than softmax takes.

    The weights are plain powers of two. None where their sums are too large or too small for it, which takes
    a look at them: on an accelerator that would hold up all that comes.
    """
    heads, (pairs, padded) = len(q), group.held.shape
    weights = _scores(q, k, group, relative, scaling).exp2_()
    for number, (start, end) in enumerate(group.spans):
        if end - start < padded:
            weights.view(heads, pairs, padded, padded)[:, number, :, end - start :] = 0
    sums = weights.sum(-1, keepdim=True)
    least, most = torch.aminmax(sums)
    if least > 1 / _SAFE and most < _SAFE:
        return torch.bmm(weights, v).div_(sums)
    return None


def _scores(q: Tensor, k: Tensor, group: Group, relative: Relative, scaling: float) -> Tensor:
    """Return the logarithms of the weights, to base 2.

    (heads, pairs · padded, d) each → (heads · pairs, padded, padded).
    """
    heads, tokens, d = q.shape
    pairs, padded = group.held.shape
    scores = q.new_empty(heads, pairs, padded, padded)
    rows = relative.distances.rows(padded, q.device)
    shape, strides = scores.shape, (tokens * 2 * padded, padded * 2 * padded)
    parts = []
    if relative.key is not None:
        # column c is the distance padded − 1 − c, so that key j of query i is column j − i + padded − 1
        wide = torch.bmm(q, relative.key.index_select(1, rows.flip(0)).transpose(1, 2))
        parts.append(wide.as_strided(shape, (*strides, 2 * padded - 1, 1), padded - 1))
    if relative.query is not None:
        # column c is the distance c − padded, so that query i of key j is column i − j + padded
        wide = torch.bmm(k, relative.query.index_select(1, rows).transpose(1, 2))
        parts.append(wide.as_strided(shape, (*strides, 1, 2 * padded - 1), padded))
    match parts:
        case [one, other]:
            torch.add(one, other, out=scores)
        case [one]:
            scores.copy_(one)
    q, k = (x.view(heads * pairs, padded, d) for x in (q, k))
    scores = scores.view(heads * pairs, padded, padded)
    return scores.baddbmm_(q, k.transpose(1, 2), beta=1 if parts else 0, alpha=scaling * math.log2(math.e))


def scaled(projected: Tensor, heads: int, scaling: float, dtype: torch.dtype) -> Tensor:
    """Return projections of the relative embeddings, (rows, hidden) float32, as `Relative` holds them."""
    split = (projected * (scaling * math.log2(math.e))).view(len(projected), heads, -1)
    return split.transpose(0, 1).contiguous().to(dtype)


def attend_firsts(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, relative: Relative, *, scaling: float
) -> Tensor:
    """Return what the first token of each pair attends to: (n, heads, d) for its query (n, heads, d) and
    keys and values of all tokens, (rows, heads, d).
    """
    states = torch.empty_like(query)
    first = 0
    for group in layout.groups:
        pairs, padded = group.held.shape
        asking = query[first : first + pairs].unsqueeze(2)
        k, v = (
            x.index_select(0, group.rows).view(pairs, padded, *x.shape[1:]).transpose(1, 2)
            for x in (key, value)
        )
        # from the first token to token j it is −j
        rows = relative.distances.rows(padded, query.device)[1 : padded + 1].flip(0)
        scores = torch.matmul(asking, k.transpose(-1, -2)).float() * (scaling * math.log2(math.e))
        if relative.key is not None:
            scores += torch.matmul(asking, relative.key.index_select(1, rows).transpose(-1, -2))
        if relative.query is not None:
            scores += (k * relative.query.index_select(1, rows)).sum(-1).unsqueeze(2)
        scores.mul_(math.log(2)).masked_fill_(~group.held[:, None, None], -math.inf)
        states[first : first + pairs] = torch.matmul(torch.softmax(scores, -1).to(v.dtype), v).squeeze(2)
        first += pairs
    return states
