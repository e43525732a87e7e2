"""What a decoder does to states, queries and keys: norms by the root of the mean square, and rotation.

Both are made in float32 and in blocks of rows that stay in a core's cache: passes over all rows at once, and
passes that mix two dtypes, take several times as long.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_BLOCK_NUMBERS = 1 << 18
"""Numbers of a block on the CPU: 1 MiB in float32."""


def _blocks(x: Tensor) -> Iterator[slice]:
    """Yield slices of the rows of x that make blocks; on a device, all rows."""
    rows = len(x)
    if x.device.type == "cpu":
        rows = max(1, _BLOCK_NUMBERS // max(1, x[0].numel())) if rows else 0
    yield from (slice(first, first + rows) for first in range(0, len(x), max(1, rows)))


def _scales(states: Tensor, epsilon: float) -> Tensor:
    """Return 1 over the root of the mean square: (…, n) float32 → (…, 1)."""
    roots = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
    scales: Tensor = roots.square_().div_(states.shape[-1]).add_(epsilon).rsqrt_()
    return scales


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
        """Return a tensor of the shape and dtype of x, (rows, …, n)."""
        result = torch.empty_like(x)
        for block in _blocks(x):
            states = x[block].to(torch.float32, copy=True)
            states.mul_(_scales(states, self.epsilon))
            if self.whole:
                result[block] = states.mul_(self.weight)
            else:
                result[block].copy_(states).mul_(self.weight)
        return result


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


def interleaved(width: int) -> Tensor:
    """Return the order in which each number of a head stands beside the one that it is turned with: (width,),
    0, width / 2, 1, width / 2 + 1, …

    Rows of the weights for queries and keys are put into it at load, which changes no product of the two: a
    rotation is a product of complex numbers then, in one pass.
    """
    return torch.arange(width).view(2, -1).T.flatten()


class Turned(nn.Module):
    """The rotation of queries and keys by their positions, as Llama has it, after a norm of each head where
    there is one. Heads are `interleaved`.

    `norms`: those of some heads each, as (norm, heads), in the order of the heads; none for no norm.
    """

    def __init__(self, *norms: tuple[RootMeanSquare, int]) -> None:
        super().__init__()
        weights = [
            norm.weight.float()[interleaved(len(norm.weight)).to(norm.weight.device)].expand(heads, -1)
            for norm, heads in norms
        ]
        self.weight: Tensor | None
        self.register_buffer("weight", torch.cat(weights) if weights else None)
        self.epsilon = norms[0][0].epsilon if norms else 0.0

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Turn x in place and return it: (rows, heads, d) by (rows, d) each, whose halves are alike."""
        half = x.shape[-1] // 2
        angles = torch.complex(cos[:, :half].float(), sin[:, :half].float()).unsqueeze(1)
        for block in _blocks(x):
            states = x[block].float()
            if self.weight is not None:
                states.mul_(_scales(states, self.epsilon)).mul_(self.weight)
            torch.view_as_complex(states.view(*states.shape[:-1], half, 2)).mul_(angles[block])
            if states.dtype != x.dtype:
                x[block] = states
        return x
