"""What a decoder does to states and to queries and keys: norms by the root of the mean square, rotation."""

from typing import Any

import torch
from torch import Tensor, nn


class RootMeanSquare(nn.Module):
    """Division by the root of the mean square of the last dimension, then multiplication by a weight.

    `whole`: the weight is multiplied in float32, before the result is rounded; else after it.
    """

    def __init__(self, weight: Tensor, epsilon: float, *, whole: bool) -> None:
        super().__init__()
        self.weight = nn.Buffer(weight)
        self.epsilon = epsilon
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape and dtype of x, (…, n)."""
        roots = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scales = roots.square_().div_(x.shape[-1]).add_(self.epsilon).rsqrt_()
        if self.whole:
            whole: Tensor = (x * scales).mul_(self.weight).to(x.dtype)
            return whole
        return torch.mul(x, scales, out=torch.empty_like(x)).mul_(self.weight)


def root_mean_square(norm: Any) -> RootMeanSquare | None:
    """Return such a norm for one of transformers', by what that does on a probe; None where it is another."""
    epsilon = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    weight = getattr(norm, "weight", None)
    if epsilon is None or weight is None:
        return None
    with torch.no_grad():
        x = torch.linspace(-3, 2, 4 * len(weight), device=weight.device).view(4, -1).to(weight.dtype)
        wanted = norm(x)
        for candidate in (
            RootMeanSquare(weight.detach(), epsilon, whole=False),
            RootMeanSquare(weight.detach().float() + 1, epsilon, whole=True),
        ):
            if torch.allclose(candidate(x), wanted, rtol=1e-2 if x.dtype != torch.float32 else 1e-5):
                return candidate
    return None


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of a head's halves: (rows, heads, d) by (rows, 1, d) each, as Llama does."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), -1)
    return torch.addcmul(x * cos, turned, sin)
