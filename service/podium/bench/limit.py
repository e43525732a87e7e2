"""What this machine can do at most, and how much of it a model's work is: speed is told as a share.

A fixed number of pairs a second says little of a program where machines differ by a factor of two.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from time import perf_counter

import torch
from transformers import AutoConfig

from podium.models.linear.int8 import Int8Linear, Reading

_ROWS, _IN, _OUT = 4096, 768, 3072


class Limit:
    """The operations per second that this CPU reaches in one large product of oneDNN, in `float32`, `int8`, …

    Machines vary from one second to the next, by what else their host does: time a product beside each piece
    of the work that is compared with it.
    """

    def __init__(self, dtype: str) -> None:
        kind = getattr(torch, dtype)
        self._product = _integers() if kind == torch.int8 else _floats(kind)
        self._seconds = 0.0
        self._products = 0
        self._product()

    def time_product(self) -> None:
        """Time one product, some 50 ms in bfloat16."""
        start = perf_counter()
        self._product()
        self._seconds += perf_counter() - start
        self._products += 1

    @property
    def operations_per_s(self) -> float:
        """Over all products timed so far, of which there is at least one."""
        return 2 * _ROWS * _IN * _OUT * self._products / self._seconds


def _floats(dtype: torch.dtype) -> Callable[[], object]:
    x, weight = torch.randn(_ROWS, _IN, dtype=dtype), torch.randn(_OUT, _IN, dtype=dtype)
    reordered, bias = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS), torch.randn(_OUT, dtype=dtype)
    return lambda: torch.ops.mkldnn._linear_pointwise(x, reordered, bias, "none", [], "")


def _integers() -> Callable[[], object]:
    """The product of a layer whose input is rounded already."""
    layer = Int8Linear(torch.randn(_OUT, _IN), torch.randn(_OUT), Reading(-3.0, 3.0))
    steps = layer.steps(torch.randn(_ROWS, _IN))
    return lambda: layer(steps)


def operations(folder: Path, lengths: Iterable[int]) -> float:
    """Return the operations of the encoder in `folder` for pairs of these tokens, attention included."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    h, f = config.hidden_size, config.intermediate_size
    layer = sum(2 * t * (4 * h * h + 2 * h * f) + 4 * t * t * h for t in lengths)
    return float(config.num_hidden_layers * layer)
