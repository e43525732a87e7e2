"""Linear layers as they lie in their files, and several as one."""

from typing import Any

import torch
from torch import Tensor, nn


class StoredLinear(nn.Linear):
    """A linear layer until it is known how it is served, or several of the same input side by side.

    Its weight has the precision of its file, and lies there where it can; it computes in that of its input.
    """

    parts: nn.ModuleList
    order: Tensor | None

    @classmethod
    def beside(cls, linears: list[nn.Linear], order: Tensor | None) -> "StoredLinear":
        """Return `merged`; no copy of their weights is kept."""
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer.in_features, layer.out_features = linears[0].in_features, sum(x.out_features for x in linears)
        layer.parts = nn.ModuleList(linears)
        layer.order = order
        return layer

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(out, in), made anew where there are several."""
        weight: Tensor = self._joined("weight")
        return weight

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """(out,) float32, or None."""
        bias: Tensor | None = self._joined("bias")
        return bias

    def _joined(self, name: str) -> Any:
        if "parts" not in self._modules:
            return self._parameters[name]
        parts: list[Any] = [getattr(part, name) for part in self.parts]
        return None if parts[0] is None else _beside(parts, self.order)

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, out) for x (…, in)."""
        return nn.functional.linear(x, self.weight.to(x.dtype), self.bias)


def merged(linears: list[nn.Linear], order: Tensor | None = None) -> nn.Linear:
    """Return one layer that computes several of the same input side by side: (…, in) → (…, sum of out).

    `order`, (sum of out,): what they compute, as it is wanted.
    """
    if isinstance(linears[0], StoredLinear):
        return StoredLinear.beside(linears, order)
    weight = _beside([linear.weight for linear in linears], order)
    biases: list[Any] = [linear.bias for linear in linears]
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=biases[0] is not None, dtype=weight.dtype)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if biases[0] is not None:
        layer.bias = nn.Parameter(_beside(biases, order), requires_grad=False)
    return layer


def _beside(parts: list[Tensor], order: Tensor | None) -> Tensor:
    whole = torch.cat(parts)
    return whole if order is None else whole[order.to(whole.device)]
