"""What this machine can do at most, and how much of it a model's work is: speed is told as a share.

A fixed number of pairs a second says little of a program where machines differ by a factor of two.
"""

import statistics
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

import torch
from transformers import AutoConfig

_ROWS, _IN, _OUT = 4096, 768, 3072
_REPEATS = 15


def machine_limit(dtype: str) -> float:
    """Return the operations per second that this CPU reaches in one large product of oneDNN, in `float32`, …

    The median of a few; other programs that run at the time lower it.
    """
    kind = getattr(torch, dtype)
    x, weight = torch.randn(_ROWS, _IN, dtype=kind), torch.randn(_OUT, _IN, dtype=kind)
    bias = torch.randn(_OUT, dtype=kind)
    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
    seconds = []
    for _ in range(_REPEATS):
        start = perf_counter()
        torch.ops.mkldnn._linear_pointwise(x, laid_out, bias, "none", [], "")
        seconds.append(perf_counter() - start)
    return 2 * _ROWS * _IN * _OUT / statistics.median(seconds)


def operations(folder: Path, lengths: Iterable[int]) -> float:
    """Return the operations of the encoder in `folder` for pairs of these tokens, attention included."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    h, f = config.hidden_size, config.intermediate_size
    layer = sum(2 * t * (4 * h * h + 2 * h * f) + 4 * t * t * h for t in lengths)
    return float(config.num_hidden_layers * layer)
