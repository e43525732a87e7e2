"""Attention of a group of spans by plain products, on the CPU.

The weights are 2^x and not softmax(x), whose three passes over them cost more than both products: no maximum
is subtracted, and the sums say afterwards whether one had to be. So the weights of a shared prefix and those
of the branch itself are sums of the same kind, and are added up: the prefix's keys are multiplied once with
the queries of all branches of the group.
"""

import math

import torch
from torch import Tensor

from podium.models.attention.rule import Rule, mask
from podium.models.grouping import GROUP_BYTES
from podium.models.layout import Group

_SAFE = 2.0**60
"""Sums of exponentials between 1/_SAFE and _SAFE lost nothing to overflow or underflow."""

_ALIGNMENT = 64
"""Bytes by which a row is aligned as well as any that torch allocates."""

_TO_BASE_2 = math.log2(math.e)


def attend_group(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    states: Tensor,
    group: Group,
    rule: Rule,
    prefix: tuple[Tensor, Tensor] | None = None,
) -> bool:
    """Fill the states of a group: (heads, rows, d), keys and values (kv, rows, d) → states (rows, heads, d).

    `prefix`: keys and values of what it continues, (kv, tokens, d) each.

    Returns False where numbers grew too large for it; what it filled then is to be filled anew.
    """
    heads, _, d = query.shape
    kv, spans = len(key), len(group.spans)
    each = heads // kv
    place = states[group.spans[0][0] : group.spans[-1][1]]
    alone = spans == 1 and query.dtype == torch.float32  # oneDNN, which serves others, is slow in new shapes
    if alone:
        own = slice(*group.spans[0])
        q, k, v = (_split(_aligned(x[:, own]), kv) for x in (query, key, value))
        result = _split(place.transpose(0, 1), kv)
    else:
        q, k, v = (_gathered(x, kv, group) for x in (query, key, value))
        result = torch.empty_like(q)
    padded = q.shape[2]
    before = 0 if prefix is None else prefix[0].shape[1]
    width = before + padded
    # a part is some heads of all spans; where one head is too large, some queries of it, if it is one span
    fitting = GROUP_BYTES // (each * spans * padded * width * q.element_size())
    columns = padded
    if fitting == 0 and spans == 1:
        columns = max(1, GROUP_BYTES // (each * width * q.element_size()))
    step = max(1, fitting)
    for n in range(0, kv, step):
        part = slice(n, min(n + step, kv))
        shared = None if prefix is None else (prefix[0][part], prefix[1][part])
        for i in range(0, padded, columns):
            asked = slice(i, min(i + columns, padded))
            of_part = q[part, :, asked], k[part], v[part]
            if not _attend(*of_part, shared, result[part, :, asked], asked.start, group, rule):
                return False
    if alone:
        return True
    placed = result.permute(1, 2, 0, 3, 4)  # (spans, padded, kv, each, d)
    if group.full or spans == 1:
        place.view(spans, -1, *placed.shape[2:]).copy_(placed[:, : len(place)])
    else:
        place.copy_(placed.reshape(spans * padded, heads, d).index_select(0, group.kept))
    return True


def _aligned(x: Tensor) -> Tensor:
    """Return x, (heads, rows, d), or a copy where MKL would see other alignments, and so give other last
    bits, for other rows of the same batch.
    """
    steps = (x.data_ptr(), *(stride * x.element_size() for stride in x.stride()[:2]))
    return x if x.stride(2) == 1 and all(step % _ALIGNMENT == 0 for step in steps) else x.contiguous()


def _split(x: Tensor, kv: int) -> Tensor:
    """Return the rows of one span as those of a group, in their place: (heads, rows, d) → (kv, 1, rows,
    heads / kv, d).
    """
    return x.view(kv, -1, *x.shape[1:]).transpose(1, 2).unsqueeze(1)


def _gathered(x: Tensor, kv: int, group: Group) -> Tensor:
    """Return a copy of the rows of a group, (heads, rows, d) → (kv, spans, padded, heads / kv, d)."""
    rows, first, end = x.transpose(0, 1), group.spans[0][0], group.spans[-1][1]
    behind = None
    if group.full:
        rows = rows[first:end]
    elif len(group.spans) == 1 and first + group.padded <= len(rows):
        rows, behind = rows[first : first + group.padded], end - first
    else:
        rows = rows.index_select(0, group.rows)
    split = rows.reshape(len(group.spans), group.padded, kv, -1, x.shape[2]).permute(2, 0, 1, 3, 4)
    if behind is None:
        return split.contiguous()
    alone = split.clone(memory_format=torch.contiguous_format)
    alone[:, :, behind:] = 0  # rows of a neighbour
    return alone


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    prefix: tuple[Tensor, Tensor] | None,
    result: Tensor,
    first: int,
    group: Group,
    rule: Rule,
) -> bool:
    """Fill the result of some heads and of the queries from `first` on: (kv, spans, queries, each, d).

    Keys and values are (kv, spans, padded, 1, d); those of a prefix (kv, tokens, d).
    """
    kv, spans, queries, each, d = q.shape
    padded = k.shape[2]
    last = min(padded, first + queries) if rule.causal else padded
    asking = q.reshape(kv * spans, queries * each, d)
    keys, values = (x[:, :, :last].reshape(kv * spans, last, d) for x in (k, v))
    own = _weights(asking, keys.transpose(1, 2), rule).view(kv, spans, queries, each, last)
    _hide(own, rule, group, range(first, first + queries), range(last))
    if not rule.causal:  # else nothing sees what comes after it, padding neither
        for number, (start, end) in enumerate(group.spans):
            if end - start < last:
                own[:, number, :, :, end - start :] = 0
    sums = own.sum(-1, keepdim=True)
    own = own.view(kv * spans, queries * each, last)
    if prefix is None:
        attended = torch.bmm(own, values)
    else:
        shared_keys, shared_values = prefix
        before = shared_keys.shape[1]
        shared = _weights(q.reshape(kv, -1, d), shared_keys.transpose(1, 2), rule)
        shared = shared.view(kv, spans, queries, each, before)
        _hide(shared, rule, group, range(before + first, before + first + queries), range(before))
        sums += shared.sum(-1, keepdim=True)
        attended = torch.bmm(shared.view(kv, -1, before), shared_values).view(own.shape[0], -1, d)
        attended.baddbmm_(own, values)
    least, most = map(float, torch.aminmax(sums))
    if not (least > 1 / _SAFE and most < _SAFE):
        return False
    torch.div(attended.view(result.shape), sums, out=result)
    return True


def _weights(queries: Tensor, keys: Tensor, rule: Rule) -> Tensor:
    """Return 2 to the logits in base 2: (b, q, d) and (b, d, k) → (b, q, k)."""
    weights = queries.new_empty(queries.shape[0], queries.shape[1], keys.shape[2])
    if rule.softcap is None:
        weights.baddbmm_(queries, keys, beta=0, alpha=rule.scaling * _TO_BASE_2)
    else:
        weights.baddbmm_(queries, keys, beta=0, alpha=rule.scaling / rule.softcap)
        weights.tanh_().mul_(rule.softcap * _TO_BASE_2)
    return weights.exp2_()


def _hide(weights: Tensor, rule: Rule, group: Group, queries: range, keys: range) -> None:
    """Make the weights of what is not seen zero: (…, queries, each, keys), by their places in a pair."""
    seen = mask(group.masks, rule, queries, keys, weights.dtype)
    if seen is not None:
        weights *= seen.unsqueeze(1)
