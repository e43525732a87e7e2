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
        if self.whole:
            whole: Tensor = (x * self._scales(x)).mul_(self.weight).to(x.dtype)
            return whole
        return self.unweighted(x).mul_(self.weight)

    def unweighted(self, x: Tensor) -> Tensor:
        """Return x over the root of its mean square."""
        scales = self._scales(x)
        if x.dtype == torch.float32:
            return x * scales
        # a product of two dtypes is made by way of copies: scales are rounded, and what that left is added
        rounded = scales.to(x.dtype)
        left = (scales - rounded).to(x.dtype)
        return torch.addcmul(x * left, x, rounded)

    def _scales(self, x: Tensor) -> Tensor:
        roots = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scales: Tensor = roots.square_().div_(x.shape[-1]).add_(self.epsilon).rsqrt_()
        return scales


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
            if agree(candidate(x), wanted, 1e-2 if x.dtype != torch.float32 else 1e-5):
                return candidate
    return None


def agree(got: Tensor, wanted: Tensor, tolerance: float) -> bool:
    """Whether two results are the same, up to a share of the largest number in them."""
    bound = tolerance * float(wanted.abs().max())
    return got.shape == wanted.shape and float((got - wanted).abs().max()) <= bound


class Turned(nn.Module):
    """The rotation of queries or keys by their positions, as Llama has it, after a norm of each head where
    there is one, whose weight is multiplied into the cosines and sines: those are few, the states are not.
    """

    def __init__(self, norm: RootMeanSquare | None) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return what is turned: (rows, heads, d) by (rows, d) each."""
        half = x.shape[-1] // 2
        sin = torch.cat((-sin[..., :half], sin[..., half:]), -1)
        if self.norm is not None:
            x = self.norm.unweighted(x)
            cos, sin = cos * self.norm.weight, sin * self.norm.weight.roll(half)
        turned = x.roll(half, -1).mul_(sin.to(x.dtype).unsqueeze(1))
        return turned.addcmul_(x, cos.to(x.dtype).unsqueeze(1))
