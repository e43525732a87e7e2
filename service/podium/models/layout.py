"""Where the pairs of a packed batch lie: computed once a batch, read by every layer."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GROUP_BYTES = 4 << 20
"""Attention weights of one group at most, unless one pair has more: larger ones leave the cache."""
GROUP_PAIRS = 16
GROUP_GROWTH = 1.15
"""Longest pair of a group to its shortest: padding costs the square of this."""
MULTIPLE = 16
"""Groups, and whole sequences on the CPU, are padded to a multiple of this: few shapes occur, and oneDNN
takes 0.7 ms for each new one."""


class Group(NamedTuple):
    """Neighbouring pairs of like length whose attention is one product, padded to `padded` tokens each."""

    spans: list[tuple[int, int]]
    """Start and end of each pair in the batch."""
    padded: int
    rows: Tensor
    """(pairs · padded,) index of the token that stands in each place; padding repeats the pair's first."""
    held: Tensor
    """(pairs, padded) whether a token of the batch stands in a place."""
    kept: Tensor
    """(tokens,) places that hold the tokens of the batch, in their order."""


class Layout:
    """n pairs of `lengths` tokens, (n,) in ascending order, laid end to end: t tokens in all.

    `score_bytes`: bytes of the attention weights of one token with one other, over all heads.
    """

    def __init__(self, lengths: NDArray[np.int64], device: torch.device, score_bytes: int) -> None:
        self.lengths = lengths
        self.device = device
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths
        self.total = int(self.ends[-1])
        self.rows = -(-self.total // MULTIPLE) * MULTIPLE if device.type == "cpu" else self.total
        """Rows of the sequence; those after the first `total` belong to no pair, and nothing reads them."""
        self.positions = self.filled(np.arange(self.total) - np.repeat(self.starts, lengths))
        """(rows,) place of each token in its pair, from 0."""
        self._score_bytes = score_bytes

    @property
    def longest(self) -> int:
        """Tokens of the longest pair."""
        return int(self.lengths[-1])

    @cached_property
    def firsts(self) -> Tensor:
        """(n,) index of each pair's first token."""
        return self._tensor(self.starts)

    @cached_property
    def first_offsets(self) -> Tensor:
        """(n + 1,) int32 from 0: the offsets of one token a pair."""
        return self._tensor(np.arange(len(self.lengths) + 1, dtype=np.int32))

    @cached_property
    def offsets(self) -> Tensor:
        """(n + 1,) int32: 0 and the end of each pair, as variable-length attention reads them."""
        return self._tensor(np.concatenate(([0], self.ends)).astype(np.int32))

    @cached_property
    def groups(self) -> list[Group]:
        """All pairs, in order."""
        groups = []
        first = 0
        for size, padded in group(self.lengths.tolist(), self._score_bytes):
            starts, ends = self.starts[first : first + size], self.ends[first : first + size]
            places = np.arange(padded)
            held = places < (ends - starts)[:, None]
            groups.append(
                Group(
                    spans=list(zip(starts.tolist(), ends.tolist(), strict=True)),
                    padded=padded,
                    rows=self._tensor((starts[:, None] + places * held).ravel()),
                    held=self._tensor(held),
                    kept=self._tensor(np.flatnonzero(held)),
                )
            )
            first += size
        return groups

    def filled(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return (t,) integers as (rows,) int64, with zeros behind them."""
        filled = np.zeros(self.rows, dtype=np.int64)
        filled[: self.total] = values
        return filled

    def means(self, states: Tensor) -> Tensor:
        """Return the mean of each pair's states: (rows, hidden) → (n, hidden) float32."""
        owner = self._tensor(np.repeat(np.arange(len(self.lengths)), self.lengths))
        sums = torch.zeros(len(self.lengths), states.shape[1], device=self.device)
        sums.index_add_(0, owner, states[: self.total].float())
        return sums / self._tensor(self.lengths).unsqueeze(1)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device, non_blocking=True)


def group(lengths: Sequence[int], score_bytes: int) -> Iterator[tuple[int, int]]:
    """Cut ascending lengths into groups; yield how many pairs each has and to what they are padded."""
    size = padded = 0
    for index, length in enumerate(lengths):
        wanted = -(-length // MULTIPLE) * MULTIPLE
        if size and (
            size == GROUP_PAIRS
            or length > lengths[index - size] * GROUP_GROWTH
            or (size + 1) * wanted * wanted * score_bytes > GROUP_BYTES
        ):
            yield size, padded
            size = 0
        size, padded = size + 1, wanted
    if size:
        yield size, padded
