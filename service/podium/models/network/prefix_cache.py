"""Prefix caching: keys and values of a decoder's prefixes, of every layer, for the batches to come.

The documents of a request with a decoder share a prefix and run in several batches. The first one computes
it; the next ones find it here, and so does a later request with the same query.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

Key = tuple[int, bytes]
"""A prefix: how many tokens, and their ids."""
KeysValues = tuple[Tensor, Tensor]
"""Keys and values of a prefix in one layer, (kv, tokens, d) each."""
Cached = Mapping[Key, Sequence[KeysValues]]
"""Layer by layer, of each prefix; the one seen last at the end."""

CACHED_TOKENS = 512
"""Tokens of all cached prefixes at most: 59 MB for Qwen3-Reranker-0.6B in bfloat16, 75 for 8B."""


class PrefixStates:
    """Keys and values of all prefixes of one sequence, as it goes from layer to layer."""

    def __init__(
        self,
        cached: Sequence[Sequence[KeysValues]],
        computed: Mapping[Key, tuple[int, int]],
        kept: Iterable[Key],
    ) -> None:
        """`cached`: of each cached prefix, layer by layer. `computed`: first row and end of each other one,
        in their order. `kept`: those of the latter that the cache is to have.
        """
        self._cached = cached
        self._computed = computed
        self.found: dict[Key, list[KeysValues]] = {key: [] for key in kept}
        """Of those that the cache is to have, layer by layer as far as it came."""
        self._layer = 0

    def next_layer(self, key: Tensor, value: Tensor) -> list[KeysValues]:
        """Take what the next layer computed, (kv, rows, d) each; return its keys and values of all prefixes,
        cached ones first.

        Those of the computed ones are copies too: products read them as those of the cached ones, and give
        the same last bits.
        """
        states = [layers[self._layer] for layers in self._cached]
        for prefix, (start, end) in self._computed.items():
            own = _copied(key[:, start:end]), _copied(value[:, start:end])
            states.append(own)
            if prefix in self.found:
                self.found[prefix].append(own)
        self._layer += 1
        return states


def _copied(x: Tensor) -> Tensor:
    return x.clone(memory_format=torch.contiguous_format)


class PrefixCache:
    """The prefixes seen last, CACHED_TOKENS of them in all at most."""

    def __init__(self) -> None:
        self.cached: Cached = {}
        """Never changed in place: a sequence goes on with what it found."""

    def see(self, continued: Iterable[Key], found: Cached) -> None:
        """Take what a sequence computed, and count what it continued as seen."""
        seen = {key: self.cached[key] for key in continued if key in self.cached} | dict(found)
        before = {key: layers for key, layers in self.cached.items() if key not in seen}
        states = before | seen
        self.cached = {key: states[key] for key in fitting(states)}


def fitting(prefixes: Iterable[Key]) -> list[Key]:
    """Return the last prefixes, CACHED_TOKENS in all at most, in their order; a longer one is left out."""
    room, chosen = CACHED_TOKENS, []
    for key in reversed(list(prefixes)):
        if key[0] <= room:
            room -= key[0]
            chosen.append(key)
    return chosen[::-1]
