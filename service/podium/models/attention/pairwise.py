"""Attention span by span, or many padded ones at once, by the function that torch has for it: for long spans,
for accelerators without flash attention, and wherever no faster way is right.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from podium.models.attention.rule import Rule, mask, softmax_weights
from podium.models.layout import Group

_KEPT = 1 << 20
"""Places of a mask of padded spans that is kept for the next layers at most."""

BLOCK = 256
"""Queries that share one block of keys where they do not see all of them, so that few are in vain."""


def attend_span(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    states: Tensor,
    group: Group,
    rule: Rule,
    prefix: tuple[Tensor, Tensor] | None,
    span: tuple[int, int],
) -> None:
    """Fill the states of one span of a group: (heads, rows, d) each → states (rows, heads, d).

    `prefix`: keys and values of what it continues, (kv, tokens, d) each.
    """
    start, end = span
    before = 0
    q, k, v = (x[:, start:end] for x in (query, key, value))
    if prefix is not None:
        before = prefix[0].shape[1]
        k, v = (torch.cat(both, 1) for both in zip(prefix, (k, v), strict=True))
    places = range(before, before + end - start)
    whole = rule.reaches(before + len(places)) and not rule.causal
    block = len(places) if whole else BLOCK
    for first in range(0, len(places), block):
        asking = places[first : first + block]
        low, high = 0, k.shape[1]
        if rule.window is not None:
            low = max(0, before + first - rule.window + 1)
            high = min(high, before + first + block + rule.window - 1)
        if rule.causal:
            high = min(high, before + first + block)
        seen = mask(group.masks, rule, asking, range(low, high), torch.bool)
        seen = None if seen is None else seen.to(query.device)
        states[start + first : start + first + len(asking)] = attended(
            q[:, first : first + block], k[:, low:high], v[:, low:high], rule, seen
        ).transpose(0, 1)


def attend_padded(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    states: Tensor,
    group: Group,
    rule: Rule,
    prefix: tuple[Tensor, Tensor] | None = None,
) -> None:
    """Fill the states of a group by one call: (heads, rows, d) each → states (rows, heads, d).

    `prefix`: keys and values of what it continues, (kv, tokens, d) each.
    """
    pairs, padded = group.held.shape
    # rows are copied as they lie, all heads of a token together
    q, k, v = (
        x.transpose(0, 1).index_select(0, group.rows).view(pairs, padded, len(x), -1).transpose(1, 2)
        for x in (query, key, value)
    )
    before = 0
    if prefix is not None:
        before = prefix[0].shape[1]
        k, v = (
            torch.cat((x.expand(pairs, -1, -1, -1), own), 2) for x, own in zip(prefix, (k, v), strict=True)
        )
    result = attended(q, k, v, rule, _seen(group, before, rule, q.dtype))
    placed = result.transpose(1, 2).flatten(0, 1)  # (pairs · padded, heads, d)
    place = states[group.spans[0][0] : group.spans[-1][1]]
    place.copy_(placed if group.full else placed.index_select(0, group.kept))


def _seen(group: Group, before: int, rule: Rule, dtype: torch.dtype) -> Tensor | None:
    """Return which keys the tokens of a group see, broadcast to (pairs, 1, padded, before + padded), as
    `attended` takes it.

    None where all are. Made on the device, which is not waited for, once for all layers where it is small.
    """
    asked = "padded", rule, before, dtype
    if asked in group.masks:
        return group.masks[asked]
    padded, device = group.padded, group.held.device
    seen: Tensor | None = None
    if not group.full and not rule.causal:  # else nothing sees what comes after it, padding neither
        seen = nn.functional.pad(group.held, (before, 0), value=True)[:, None, None]
    reaches = rule.reaches(before + padded)
    if rule.causal or not reaches:
        places = torch.arange(before + padded, device=device)
        distance = places[before:, None] - places
        if rule.causal:
            seen = distance >= 0
        if rule.window is not None and not reaches:
            near = distance.abs() < rule.window
            seen = near if seen is None else seen & near
    if seen is not None and rule.softcap is None and device.type == "cpu":  # torch would do so in each layer
        seen = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill_(~seen, -torch.inf)
    if seen is None or seen.numel() <= _KEPT:
        group.masks[asked] = seen
    return seen


def attended(query: Tensor, key: Tensor, value: Tensor, rule: Rule, seen: Tensor | None) -> Tensor:
    """Return (…, heads, q, d) for query (…, heads, q, d), keys and values (…, kv, k, d).

    `seen`: which keys are seen, broadcast to (…, heads, q, k) bool, or without a softcap what is added to
    their logits; None where all are.
    """
    heads, kv = query.shape[-3], key.shape[-3]
    # on a device fewer kernels know of heads that share keys
    shared = heads != kv and query.device.type == "cpu" and rule.softcap is None
    if heads != kv and not shared:
        key, value = (x.repeat_interleave(heads // kv, -3) for x in (key, value))
    if rule.softcap is not None:
        return torch.matmul(softmax_weights(query, key, rule, seen).to(value.dtype), value)
    # a batch of one: with three dimensions a slower kernel is taken
    single = query.dim() == 3
    if single:
        query, key, value = query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
    result = scaled_dot_product_attention(query, key, value, seen, scale=rule.scaling, enable_gqa=shared)
    return result.squeeze(0) if single else result
