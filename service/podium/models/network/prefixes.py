"""What later batches need of a prefix that a batch computed: its keys and values, of every layer.

The documents of a request with a decoder share a prefix and run in several batches. The first one computes
it; the next ones find it here, and so does a later request with the same query.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

Key = tuple[int, bytes]
"""A prefix: how many tokens, and which."""
States = tuple[Tensor, Tensor]
"""Keys and values of a prefix in one layer, (kv, tokens, d) each."""

KEPT_TOKENS = 512
"""Tokens of all kept prefixes at most: 59 MB for Qwen3-Reranker-0.6B in bfloat16, 75 for 8B."""


class Passage:
    """The way of one sequence through the layers: which prefixes it continues, and which it computes."""

    def __init__(
        self,
        continued: Sequence[Sequence[States]],
        computed: Mapping[Key, tuple[int, int]],
        keep: Iterable[Key],
    ) -> None:
        """`continued`: of each kept prefix, layer by layer. `computed`: start and end of each other one, in
        their order. `keep`: those of the latter that are to be `found` afterwards.
        """
        self._continued = continued
        self._computed = computed
        self.found: dict[Key, list[States]] = {key: [] for key in keep}
        """Layer by layer, as far as it came."""
        self._layer = 0

    def layer(self, key: Tensor, value: Tensor) -> list[States]:
        """Take what a layer computed, (kv, rows, d); return its states of all prefixes, in their order.

        Those of the computed ones are copies too: products read them as those of the kept ones, and give the
        same last bits.
        """
        states = [layers[self._layer] for layers in self._continued]
        for prefix, (start, end) in self._computed.items():
            own = (
                key[:, start:end].clone(memory_format=torch.contiguous_format),
                value[:, start:end].clone(memory_format=torch.contiguous_format),
            )
            states.append(own)
            if prefix in self.found:
                self.found[prefix].append(own)
        self._layer += 1
        return states


class Prefixes:
    """The prefixes seen last, KEPT_TOKENS of them in all at most."""

    def __init__(self) -> None:
        self.kept: Mapping[Key, Sequence[States]] = {}
        """Layer by layer, the one seen last at the end. Never changed in place: other threads read it."""

    def see(self, continued: Iterable[Key], found: Mapping[Key, Sequence[States]]) -> None:
        """Keep what a sequence computed, and what it continued a while longer."""
        seen = {key: self.kept[key] for key in continued if key in self.kept} | dict(found)
        before = {key: layers for key, layers in self.kept.items() if key not in seen}
        states = before | seen
        self.kept = {key: states[key] for key in last(states)}


def last(prefixes: Iterable[Key]) -> list[Key]:
    """Return the last prefixes, KEPT_TOKENS in all at most, in their order; a longer one is left out."""
    room, chosen = KEPT_TOKENS, []
    for key in reversed(list(prefixes)):
        if key[0] <= room:
            room -= key[0]
            chosen.append(key)
    return chosen[::-1]
