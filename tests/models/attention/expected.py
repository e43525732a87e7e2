"""What attention is by definition, span by span and in float64; what torch documents of its own function."""

from itertools import pairwise

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from podium.models.attention.rule import Rule
from podium.models.layout import Layout

FULL, CAUSAL = Rule(0.25), Rule(0.25, causal=True)
HEADS, KV, WIDTH = 4, 2, 16
LENGTHS = [1, 5, 17, 40, 41, 90, 200]
BOUND = {torch.float32: 1e-5, torch.bfloat16: 2e-2}

# three prefixes after three whole pairs' lengths in ascending order, then the branches of each
SHARED = [3, 20, 33, 70, 5, 18, 19, 40, 1, 90]
PREFIXES = [-1, -1, -1, -1, 1, 1, 1, 1, 3, 3]


def layout(lengths, dtype, prefixes=None, device="cpu"):
    prefixes = None if prefixes is None else np.array(prefixes)
    return Layout(np.array(lengths), torch.device(device), HEADS * dtype.itemsize, prefixes)


def states(lengths, dtype, scale=1.0, kv=HEADS):
    """Return random query, key and value, (heads, t, d) each, as views of one product."""
    torch.manual_seed(1)
    product = torch.randn(sum(lengths), HEADS + 2 * kv, WIDTH)
    product[:, :HEADS] *= scale
    query, key, value = product.to(dtype).transpose(0, 1).split((HEADS, kv, kv))
    return query, key, value


def expected(query, key, value, rule, lengths, prefixes=None):
    """Return softmax(logits) · value of each span over its prefix and itself: (t, heads, d) in float64."""
    query, key, value = (x.double() for x in (query, key, value))
    key, value = (x.repeat_interleave(len(query) // len(x), 0) for x in (key, value))
    ends = np.cumsum(lengths)
    spans = [torch.arange(end - length, end) for end, length in zip(ends, lengths, strict=True)]
    results = []
    for number, span in enumerate(spans):
        prefix = -1 if prefixes is None else prefixes[number]
        rows = span if prefix < 0 else torch.cat((spans[prefix], span))
        logits = query[:, span] @ key[:, rows].transpose(1, 2) * rule.scaling
        if rule.softcap is not None:
            logits = (logits / rule.softcap).tanh() * rule.softcap
        places = torch.arange(len(rows))
        ahead = places - places[-len(span) :, None]
        if rule.causal:
            logits[:, ahead > 0] = -torch.inf
        if rule.window is not None:
            logits[:, ahead.abs() >= rule.window] = -torch.inf
        results.append((logits.softmax(-1) @ value[:, rows]).transpose(0, 1))
    return torch.cat(results)


def close(got, wanted, dtype):
    bound = BOUND[dtype] * float(wanted.abs().max())
    return got.shape == wanted.shape and float((got - wanted).abs().max()) < bound


def documented_varlen_attn(
    query,
    key,
    value,
    starts,
    key_starts,
    longest,
    longest_key,
    *,
    scale,
    window_size=(-1, -1),
    enable_gqa=False,
    return_aux=None,
):
    """Do what torch documents of its `varlen_attn`, which itself runs on CUDA alone: (t, heads, d) each.

    Queries lie at the end of their keys, and the windows count from there. The log-sum-exp is (heads, t), as
    its shape function has it, and not (t, heads), as its documentation has.
    """
    assert starts.dtype == key_starts.dtype == torch.int32
    assert (longest, longest_key) == (max(starts.diff()), max(key_starts.diff()))
    assert (starts[-1], key_starts[-1]) == (len(query), len(key)) or starts[-1] <= len(query)
    assert enable_gqa or query.shape[1] == key.shape[1]
    left, right = window_size
    results, logs = torch.zeros_like(query), torch.zeros(query.shape[:2])
    for (start, end), (key_start, key_end) in zip(
        pairwise(starts.tolist()), pairwise(key_starts.tolist()), strict=True
    ):
        q = query[start:end].transpose(0, 1)
        k, v = (x[key_start:key_end].transpose(0, 1) for x in (key, value))
        k, v = (x.repeat_interleave(len(q) // len(x), 0) for x in (k, v))
        keys, queries = key_end - key_start, end - start
        ahead = torch.arange(keys) - torch.arange(keys - queries, keys)[:, None]  # key from query
        seen = ((left < 0) | (ahead >= -left)) & ((right < 0) | (ahead <= right))
        results[start:end] = scaled_dot_product_attention(q, k, v, seen, scale=scale).transpose(0, 1)
        logits = (q.float() @ k.float().transpose(1, 2) * scale).masked_fill(~seen, -torch.inf)
        logs[start:end] = logits.logsumexp(-1).T
    return (results, logs.T) if return_aux is not None and return_aux.lse else results
