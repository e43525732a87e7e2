"""What this machine can do at most, and how much of it a model's work is: speed is told as a share.

A fixed number of pairs a second says little of a program where machines differ by a factor of two.
"""

from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

import torch
from transformers import AutoConfig

_ROWS, _IN, _OUT = 4096, 768, 3072


class Limit:
    """The operations per second that this CPU reaches in one large product of oneDNN, in `float32`, …

    Machines vary from one second to the next, by what else their host does: time a product beside each piece
    of the work that is compared with it.
    """

    def __init__(self, dtype: str) -> None:
        kind = getattr(torch, dtype)
        self._x, weight = torch.randn(_ROWS, _IN, dtype=kind), torch.randn(_OUT, _IN, dtype=kind)
        self._bias = torch.randn(_OUT, dtype=kind)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        self._seconds = 0.0
        self._products = 0
        self._product()

    def time_product(self) -> None:
        """Time one product, some 50 ms in bfloat16."""
        start = perf_counter()
        self._product()
        self._seconds += perf_counter() - start
        self._products += 1

    def _product(self) -> None:
        torch.ops.mkldnn._linear_pointwise(self._x, self._weight, self._bias, "none", [], "")

    @property
    def operations_per_s(self) -> float:
        """Over all products timed so far, of which there is at least one."""
        return 2 * _ROWS * _IN * _OUT * self._products / self._seconds


def operations(folder: Path, lengths: Iterable[int]) -> float:
    """Return the operations of the encoder in `folder` for pairs of these tokens, attention included."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    h, f = config.hidden_size, config.intermediate_size
    layer = sum(2 * t * (4 * h * h + 2 * h * f) + 4 * t * t * h for t in lengths)
    return float(config.num_hidden_layers * layer)
