"""Where the pairs of a packed batch lie: computed once a batch, read by every layer."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Layout:
    """n pairs of `lengths` tokens, (n,) in ascending order, laid end to end: t tokens in all."""

    def __init__(self, lengths: NDArray[np.int64], device: torch.device) -> None:
        self.lengths = lengths
        self.device = device
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths
        self.total = int(self.ends[-1])
        self.positions: NDArray[np.int64] = np.arange(self.total) - np.repeat(self.starts, lengths)
        """(t,) place of each token in its pair, from 0."""
        self.spans: list[tuple[int, int]] = list(zip(self.starts.tolist(), self.ends.tolist(), strict=True))
        """Start and end of each pair."""

    @cached_property
    def firsts(self) -> Tensor:
        """(n,) index of each pair's first token."""
        return self._tensor(self.starts)

    @cached_property
    def offsets(self) -> Tensor:
        """(n + 1,) int32: 0 and the end of each pair, as variable-length attention reads them."""
        return self._tensor(np.concatenate(([0], self.ends)).astype(np.int32))

    @property
    def longest(self) -> int:
        """Tokens of the longest pair."""
        return int(self.lengths[-1])

    def means(self, states: Tensor) -> Tensor:
        """Return the mean of each pair's states: (t, hidden) → (n, hidden) float32."""
        owner = self._tensor(np.repeat(np.arange(len(self.lengths)), self.lengths))
        sums = torch.zeros(len(self.lengths), states.shape[1], device=self.device)
        sums.index_add_(0, owner, states.float())
        return sums / self._tensor(self.lengths).unsqueeze(1)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device, non_blocking=True)
