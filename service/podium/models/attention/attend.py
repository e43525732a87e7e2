"""Attention inside each pair of a packed batch, by the fastest way that the device has.

On an accelerator without flash attention (float32, CUDA before 8.0, MPS, widths of heads that it does not
take, softcaps) pairs of like length are padded and attend all at once: one launch a pair and layer would take
longer than what is computed.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from podium.models.attention.pairwise import attend_padded, attend_span, attended
from podium.models.attention.products import attend_group
from podium.models.attention.rule import Rule
from podium.models.attention.varlen import attend_ends_varlen, attend_varlen, has_varlen
from podium.models.layout import Group, Layout
from podium.models.processor import instruction_set

_LONGEST_PRODUCT = {torch.bfloat16: 1 << 20, torch.float32: 192}
"""Tokens of a span up to which products beat `scaled_dot_product_attention` on the CPU (measured)."""


ALONE_ABOVE = 64
"""Tokens of a span from which on its products are faster by themselves in float32 on the CPU, where its rows
are read as they lie, than in a group, for which rows are copied (measured)."""

WINDOWED_ABOVE = 1024
"""Tokens of a span from which on a window is worth blocks of queries of its own on the CPU: products compute
what it hides too (8,192 tokens, a window of 65, 12 heads of 64, bfloat16, AMX: 38 ms in place of 3.3 s)."""

LONGEST_GROUPED = 256
"""Tokens of a span up to which spans of like length are copied to attend all at once on the CPU where
products do not serve (measured): longer ones are read as they lie."""

LONGEST_PADDED = 2048
"""Tokens of a span from which it is worth launches of its own on an accelerator, one for each block of its
queries: there is work for each, and the weights of all at once would take too much memory."""


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    rule: Rule,
    prefixes: Sequence[tuple[Tensor, Tensor]] | None = None,
) -> Tensor:
    """Return the attended values: (heads, rows, d), keys and values (kv, rows, d) → (rows, heads, d).

    Strides may be any; heads is a multiple of kv. Each token sees those of its own pair, as `rule` says.
    `prefixes`: keys and values, (kv, tokens, d) each, of all prefixes; needed where some are cached ones.
    """
    if has_varlen(query, rule):
        return attend_varlen(query, key, value, layout, rule)
    states = query.new_empty(query.shape[1], query.shape[0], query.shape[2])
    states[layout.total :] = 0  # what lies there may be denormal, which is slow
    for group in layout.groups:
        given = query, key, value, states, group, rule, prefix_of(group, key, value, prefixes)
        if _by_products(query, group, rule) and attend_group(*given):
            continue
        if _at_once(query.device, group):
            attend_padded(*given)
        else:
            for span in group.spans:
                attend_span(*given, span)
    return states


def prefix_of(
    group: Group, key: Tensor, value: Tensor, prefixes: Sequence[tuple[Tensor, Tensor]] | None = None
) -> tuple[Tensor, Tensor] | None:
    """Return keys and values, (kv, tokens, d) each, of the prefix that a group continues."""
    if group.number is not None and prefixes is not None:
        return prefixes[group.number]
    return group.prefix and (key[:, slice(*group.prefix)], value[:, slice(*group.prefix)])


def _by_products(query: Tensor, group: Group, rule: Rule) -> bool:
    """Whether products beat torch's own function for a group."""
    if query.device.type != "cpu" or group.padded > _LONGEST_PRODUCT.get(query.dtype, 0):
        return False
    if group.padded >= WINDOWED_ABOVE and not rule.reaches(group.padded):
        return False
    # what is causal, or has a prefix that is multiplied once for all, is as fast or faster by products
    plain = group.prefix is None and not rule.causal and rule.softcap is None
    return not (plain and query.dtype == torch.bfloat16 and library_is_faster())


def _at_once(device: torch.device, group: Group) -> bool:
    """Whether torch's own function is called once for a group, and not once for each of its spans."""
    several = len(group.spans) > 1
    if device.type == "cpu":
        return several and group.padded <= LONGEST_GROUPED and group.prefix is None
    return several or group.padded <= LONGEST_PADDED


@cache
def library_is_faster() -> bool:
    """Whether torch's own function is faster than products in bfloat16 on this CPU: with AMX it takes half to
    three quarters of the time, with AVX512-BF16 alone, where other code multiplies for it, up to twice.

    By the instructions, not by a clock: pods on processors of one kind give the same scores.
    """
    return instruction_set() == "AMX"


def attend_ends(query: Tensor, key: Tensor, value: Tensor, layout: Layout, rule: Rule) -> Tensor:
    """Return what one token of each pair attends to: (p, heads, d) for its query (p, heads, d) and keys and
    values of all tokens, (rows, kv, d).

    The token is the last one under a causal rule or a window, else whichever the queries are of.
    """
    if has_varlen(query, rule):
        return attend_ends_varlen(query, key, value, layout, rule)
    states = torch.empty_like(query)
    first = 0
    for seen in layout.seen:
        pairs, width = seen.held.shape
        k, v = (
            x.index_select(0, seen.rows).view(pairs, width, *x.shape[1:]).transpose(1, 2)
            for x in (key, value)
        )
        held = seen.held
        if rule.window is not None and rule.window < width:
            held = held & (
                torch.arange(width, device=held.device) > (seen.lengths - 1 - rule.window)[:, None]
            )
        # the heads of one key ask as if they were so many tokens
        asking = query[first : first + pairs].reshape(pairs, key.shape[1], -1, query.shape[2])
        states[first : first + pairs] = attended(asking, k, v, rule, held[:, None, None]).flatten(1, 2)
        first += pairs
    return states
