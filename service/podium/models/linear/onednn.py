"""Linear layers through oneDNN: weights laid out once, bias, activation and residual in the same pass.

The operators are those that torch's compiler emits; no public name stands for them. So each layer is tried on
a probe when the model is loaded, and stays the plain one where the operator is missing, refuses the shape or
disagrees.
"""

import logging
from collections.abc import Callable
from functools import cache, partial
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, silu

logger = logging.getLogger(__name__)

ROWS = 2048
"""Tokens that the weights are laid out for; other counts are as fast (measured from 16 to 4096)."""

_PROBE_ROWS = 8
_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
"""Greatest difference to the product in float32 on a probe, relative to its largest output."""

_WORTH = 1.1
"""So many times as fast the plain layer must be to be taken: less is noise."""
_TIMED_ROWS, _TIMED_IN, _TIMED_OUT, _TURNS = 256, 384, 1536, 5


_GELU_TANH = partial(gelu, approximate="tanh")
ACTIVATIONS: dict[str, tuple[str, str, Callable[[Tensor], Tensor]]] = {
    "none": ("none", "", lambda x: x),
    "gelu": ("gelu", "none", gelu),
    "gelu_tanh": ("gelu", "tanh", _GELU_TANH),
    "silu": ("swish", "", silu),
}
"""What oneDNN calls them and their algorithm, and what they are."""

BINARIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"add": torch.add, "mul": torch.mul}


def activation_of(function: Callable[[Tensor], Tensor]) -> str | None:
    """Return which of the activations known here a function is, by what it does; None for another."""
    x = torch.linspace(-4, 4, 65)
    with torch.no_grad():
        result = function(x)
        for name, (_, _, known) in ACTIVATIONS.items():
            if torch.allclose(result, known(x), rtol=0, atol=1e-6):
                return name
    return None


class PlainLinear(nn.Module):
    """`activation(linear(x))`, or `linear(x)` with another tensor added to it or multiplied with it."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, activation: str = "none", binary: str = "add"
    ) -> None:
        super().__init__()
        self.nbytes = weight.nbytes + (0 if bias is None else bias.nbytes)
        """Bytes of its weights, which are no parameters."""
        self.weight = weight.detach()
        self.bias = None if bias is None else bias.detach()
        self.activation = activation
        self.binary = binary

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Return (…, out) for x (…, in); `other` (…, out) is added or multiplied, without an activation."""
        y = nn.functional.linear(x, self.weight, self.bias)
        return ACTIVATIONS[self.activation][2](y) if other is None else BINARIES[self.binary](y, other)


class FusedLinear(PlainLinear):
    """A PlainLinear in one operation."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, activation: str = "none", binary: str = "add"
    ) -> None:
        super().__init__(weight, None if bias is None else bias.contiguous(), activation, binary)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous(), ROWS)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """As a PlainLinear's."""
        operator = torch.ops.mkldnn._linear_pointwise
        if other is not None:
            result: Tensor = operator.binary(x, other, self.weight, self.bias, self.binary)
        else:
            name, algorithm, _ = ACTIVATIONS[self.activation]
            result = operator(x, self.weight, self.bias, name, [], algorithm)
        return result


def fused(linear: nn.Linear, activation: str = "none", binary: str = "add") -> PlainLinear:
    """Return the fused form of a layer; the plain one where this machine's oneDNN does not give the same
    result, or is slower in float32.
    """
    return fused_from(linear.weight, linear.bias, activation, binary)


@torch.no_grad()
def fused_from(weight: Tensor, bias: Tensor | None, activation: str, binary: str) -> PlainLinear:
    """Return `fused` of a layer with such a weight, (out, in), and bias."""
    plain = PlainLinear(weight, bias, activation, binary)
    if weight.dtype == torch.float32 and plain_is_faster():
        return plain
    probe = torch.linspace(-1, 1, _PROBE_ROWS * weight.shape[1], dtype=weight.dtype)
    probe = probe.reshape(_PROBE_ROWS, weight.shape[1])
    expected = nn.functional.linear(probe.float(), weight.float(), None if bias is None else bias.float())
    bound = _TOLERANCE[weight.dtype] * max(1.0, float(expected.abs().max()))
    try:
        layer = FusedLinear(weight, bias, activation, binary)
        differences = [layer(probe).float() - ACTIVATIONS[activation][2](expected)]
        if activation == "none":
            other = expected.flip(0).to(weight.dtype)
            if binary == "mul":  # by at most 1, so that the bound holds
                other /= max(1.0, float(other.abs().max()))
            differences.append(layer(probe, other).float() - BINARIES[binary](expected, other.float()))
    except (RuntimeError, AttributeError, NotImplementedError) as error:
        logger.warning("oneDNN's fused linear layer is not available, the plain one serves: %s", error)
        return plain
    if not all(float(difference.abs().max()) <= bound for difference in differences):
        logger.warning("oneDNN's fused linear layer disagrees with the plain one, which serves")
        return plain
    return layer


@cache
@torch.no_grad()
def plain_is_faster() -> bool:
    """Whether a plain layer with its activation, by the library that torch takes for it (MKL on x86), is
    clearly faster in float32 than the fused one: measured on first call, in some 20 ms.
    """
    linear, x = nn.Linear(_TIMED_IN, _TIMED_OUT), torch.ones(_TIMED_ROWS, _TIMED_IN)
    try:
        layer = FusedLinear(linear.weight, linear.bias, "gelu")
        fused_s, plain_s = _fastest(lambda: layer(x), lambda: gelu(linear(x)))
    except (RuntimeError, AttributeError, NotImplementedError):  # `fused` says so
        return False
    if fused_s <= _WORTH * plain_s:
        return False
    logger.info("plain linear layers serve: %.1f times as fast as oneDNN's in float32", fused_s / plain_s)
    return True


def _fastest(*works: Callable[[], object]) -> list[float]:
    """Return the seconds of the fastest run of each, in turns; the first run of each does not count."""
    fastest = [float("inf")] * len(works)
    for turn in range(_TURNS + 1):
        for at, work in enumerate(works):
            start = perf_counter()
            work()
            if turn:
                fastest[at] = min(fastest[at], perf_counter() - start)
    return fastest


Fuse = Callable[..., nn.Module]
"""`fused`, or another function of its arguments, whose layers take what a PlainLinear takes."""
