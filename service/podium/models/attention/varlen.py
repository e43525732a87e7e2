"""Attention on CUDA: flash attention over sequences of different lengths, all at once."""

import torch
from torch import Tensor
from torch.nn.attention.varlen import AuxRequest, varlen_attn

from podium.models.attention.rule import Rule
from podium.models.layout import Keys, Layout

_WIDEST_HEAD = 256
"""Numbers of a head that flash attention takes, and multiples of 8 alone."""


def has_varlen(query: Tensor, rule: Rule) -> bool:
    """Whether flash attention over sequences of different lengths is there for such states."""
    return (
        query.is_cuda
        and rule.softcap is None
        and query.dtype != torch.float32
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= _WIDEST_HEAD
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def attend_varlen(query: Tensor, key: Tensor, value: Tensor, layout: Layout, rule: Rule) -> Tensor:
    """Return the attended values: (heads, rows, d), keys and values (kv, rows, d) → (rows, heads, d)."""
    query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    if not layout.shared:
        itself = Keys(layout.firsts, layout.offsets, layout.longest)
        return _states(query, key, value, layout.offsets, layout.longest, itself, rule)
    if not rule.reaches(layout.longest_pair):
        # a window counts from each branch's own end, so each is given its prefix's keys
        seen = layout.span_keys
        key, value = (x.index_select(0, seen.rows) for x in (key, value))
        return _states(query, key, value, layout.offsets, layout.longest, seen, rule)
    return _merged(query, key, value, layout, rule._replace(window=None))


def _merged(query: Tensor, key: Tensor, value: Tensor, layout: Layout, rule: Rule) -> Tensor:
    """Attend to the span itself, and to the prefix with all its branches' queries at once; merge the two."""
    states, logs = varlen_attn(
        query,
        key,
        value,
        layout.offsets,
        layout.offsets,
        layout.longest,
        layout.longest,
        return_aux=AuxRequest(lse=True),
        scale=rule.scaling,
        window_size=_window(rule),
        enable_gqa=True,
    )
    seen, (offsets, longest) = layout.prefix_keys, layout.branch_offsets
    branches = slice(layout.first_branch, None)
    prefix_states, prefix_logs = varlen_attn(
        query[branches],
        key.index_select(0, seen.rows),
        value.index_select(0, seen.rows),
        offsets,
        seen.offsets,
        longest,
        seen.longest,
        return_aux=AuxRequest(lse=True),
        scale=rule.scaling,
        enable_gqa=True,
    )
    # a part counts by its sum of exponentials over both: a sigmoid of the difference of their logarithms
    difference = of_tokens(prefix_logs, query[branches]) - of_tokens(logs, query)[branches]
    share = torch.sigmoid(difference).unsqueeze(-1)
    own = states[branches].float()
    states[branches] = (own + share * (prefix_states.float() - own)).to(states.dtype)
    return states


def of_tokens(logs: Tensor, query: Tensor) -> Tensor:
    """Return log-sum-exps as (t, heads): torch's documentation says so, its operator gives (heads, t)."""
    tokens, heads, _ = query.shape
    return logs.T if logs.shape == (heads, tokens) else logs


def attend_ends_varlen(query: Tensor, key: Tensor, value: Tensor, layout: Layout, rule: Rule) -> Tensor:
    """Return what one token of each pair attends to: (p, heads, d) for its query, (p, heads, d), and keys and
    values of all tokens, (rows, kv, d). Under a causal rule it is the last token.
    """
    seen = layout.pair_keys
    if layout.shared:
        key, value = (x.index_select(0, seen.rows) for x in (key, value))
    return _states(query, key, value, layout.end_offsets, 1, seen, rule)


def _states(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, longest: int, seen: Keys, rule: Rule
) -> Tensor:
    """Attend by one call: the queries of each sequence lie at the end of its keys."""
    states = varlen_attn(
        query,
        key,
        value,
        offsets,
        seen.offsets,
        longest,
        seen.longest,
        scale=rule.scaling,
        window_size=_window(rule),
        enable_gqa=True,
    )
    assert isinstance(states, Tensor)
    return states


def _window(rule: Rule) -> tuple[int, int]:
    reach = -1 if rule.window is None else rule.window - 1
    return reach, 0 if rule.causal else reach
