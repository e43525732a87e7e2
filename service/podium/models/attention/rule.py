"""Which tokens of a pair attend to which, and how their logits are made: one value a layer."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Rule(NamedTuple):
    """How attention works in one layer. Places are counted from the start of a pair, its prefix included."""

    scaling: float
    """Factor of query · key."""
    window: int | None = None
    """Token i sees token j where |i − j| < window."""
    causal: bool = False
    """Token i sees token j where j ≤ i."""
    softcap: float | None = None
    """Logits are softcap · tanh(logit / softcap)."""

    def reaches(self, tokens: int) -> bool:
        """Whether the window leaves out nothing of so many tokens."""
        return self.window is None or tokens <= self.window

    def sees(self, queries: range, keys: range) -> Tensor | None:
        """Return which keys are seen, (q, k) bool, by their places; None where all are, found at no cost."""
        ahead = self.causal and keys[-1] > queries[0]
        farthest = max(queries[-1] - keys[0], keys[-1] - queries[0])
        window = farthest + 1 if self.window is None else self.window
        if not ahead and farthest < window:
            return None
        distance = torch.arange(queries.start, queries.stop).unsqueeze(1) - torch.arange(
            keys.start, keys.stop
        )
        seen = distance >= 0 if ahead else None
        if farthest >= window:
            near = distance.abs() < window
            seen = near if seen is None else seen & near
        return seen


_KEPT = 1 << 17
"""Numbers of a mask that is kept at most: a long pair has many large ones, and they cost little beside what
they are multiplied with."""


def mask(
    known: dict[Any, Tensor | None], rule: Rule, queries: range, keys: range, dtype: torch.dtype
) -> Tensor | None:
    """Return what `rule` sees, (q, k), as zeros and ones of a dtype; None where all is seen. Small ones are
    made once for all layers of a batch and kept in `known`.
    """
    asked = rule, queries, keys, dtype
    if asked in known:
        return known[asked]
    seen = rule.sees(queries, keys)
    made = None if seen is None else seen.to(dtype)
    if made is None or made.numel() <= _KEPT:
        known[asked] = made
    return made


def softmax_weights(query: Tensor, key: Tensor, rule: Rule, seen: Tensor | None) -> Tensor:
    """Return the weights of attention in plain float32 operations: (…, q, d) and (…, k, d) → (…, q, k)."""
    logits = torch.matmul(query.float(), key.float().transpose(-1, -2)) * rule.scaling
    if rule.softcap is not None:
        logits = rule.softcap * torch.tanh(logits / rule.softcap)
    if seen is not None:
        logits = logits.masked_fill(~seen, -torch.inf)
    return torch.softmax(logits, -1)
