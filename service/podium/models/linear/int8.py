"""Linear layers of 8-bit integers through oneDNN: weights with a scale for each row, activations with one
range for all tokens that was fixed before, so that no score depends on its neighbours.

Where the processor has no instruction that adds up four products in 32 bits (VNNI), oneDNN adds two in 16
bits, which saturate: there weights take 7 bits. Which of the two is exact is tried, not looked up.
"""

import warnings
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from podium.models.linear.onednn import ACTIVATIONS

_STEPS = 255
"""Of an activation, from the low end of its range to the high one."""
_LIMITS = (127, 64)
"""Largest weights, of 8 and of 7 bits: 2 · 255 · 64 fits 16 bits, 2 · 255 · 65 does not."""
_ROWS = 16
"""Rows are padded to a multiple of this: one pair has the result of many to the last bit."""
_SUM: tuple[Any, ...] = (1.0, 0, torch.float32, 1.0, 0, "sum", 1.0, "none", [], "")
"""How oneDNN is asked for a product in float32 that is added to another tensor in its place."""


class Reading(NamedTuple):
    """How activations are rounded: to 256 steps from about `low` ≤ 0 to `high` ≥ 0, after each channel was
    shifted and divided; those beyond are clipped.
    """

    low: float
    high: float
    shift: Tensor | None = None
    """(in,) the middle of each channel; None for 0."""
    factor: Tensor | None = None
    """(in,) what each channel is divided by, and the weights of it multiplied with; None for 1."""

    @property
    def step(self) -> float:
        """Width of a step."""
        return max(self.high - self.low, 1e-6) / _STEPS

    @property
    def zero(self) -> int:
        """The step that stands for 0."""
        return min(max(round(-self.low / self.step), 0), _STEPS)

    @property
    def plain(self) -> bool:
        """Whether all channels are rounded alike."""
        return self.shift is None and self.factor is None


class Int8Linear(nn.Module):
    """`activation(linear(x))`, or `linear(x)` with another tensor added to it or multiplied with it, in
    integers.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        reading: Reading,
        activation: str = "none",
        binary: str = "add",
    ) -> None:
        """Round a weight, (out, in) float32, for inputs that are read so.

        Raises RuntimeError where no product of integers is exact on this processor.
        """
        super().__init__()
        limit = largest_weight()
        if limit is None:
            raise RuntimeError("this processor's products of 8-bit integers are not exact")
        bias = None if bias is None else bias.float()
        if reading.shift is not None:
            shifted = weight @ reading.shift
            bias = shifted if bias is None else bias + shifted
        if reading.factor is not None:
            weight = weight * reading.factor
        self.scales = nn.Buffer((weight.abs().amax(1) / limit).clamp(min=1e-12))
        rounded = (weight / self.scales.unsqueeze(1)).round_().to(torch.int8).contiguous()
        self.nbytes = rounded.nbytes + self.scales.nbytes + (0 if bias is None else bias.nbytes)
        """Bytes of its weights."""
        self.packed = torch.ops.onednn.qlinear_prepack(rounded, None)  # wrong for what is not contiguous
        self.zeros = nn.Buffer(torch.zeros(len(weight), dtype=torch.int8))
        self.bias = None if bias is None else nn.Buffer(bias)
        self.activation = activation
        self.binary = binary
        self.gives: Reading | None = None
        """How the one layer reads that reads what is returned, which is then steps (uint8)."""
        self.read(reading)

    def read(self, reading: Reading) -> None:
        """Read inputs so from now on; shift and factor stay those that the weights were rounded for."""
        self.reading = reading
        self.per_step: Tensor | float = 1 / reading.step
        self.offset: Tensor | float = reading.zero
        if reading.factor is not None:
            self.per_step = self.per_step / reading.factor
        if reading.shift is not None:
            self.offset = self.offset - self.per_step * reading.shift

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Return (…, out) for x (…, in), float32 or steps (uint8) of the reading; `other` (…, out) is
        added or multiplied, without an activation. What is added to is lost: the sum may take its memory.
        """
        steps = x if x.dtype == torch.uint8 else self.steps(x)
        flat = steps.flatten(0, -2)
        rows = len(flat)
        if missing := -rows % _ROWS:
            flat = nn.functional.pad(flat, (0, 0, 0, missing))
        elif other is not None and self.binary == "add":
            return self._sum(flat, other.flatten(0, -2)).view_as(other)
        result = self._product(flat)[:rows].view(*x.shape[:-1], -1)
        if other is None:
            return result
        return result.add_(other) if self.binary == "add" else result.mul_(other)

    def steps(self, x: Tensor) -> Tensor:
        """Round x to steps: float32 → uint8."""
        if self.reading.plain:
            return _rounded(x, self.reading.step, self.reading.zero)
        placed = torch.addcmul(torch.as_tensor(self.offset), x, torch.as_tensor(self.per_step))
        return _rounded(placed, 1.0, 0)

    def _product(self, steps: Tensor) -> Tensor:
        name, algorithm, _ = ACTIVATIONS[self.activation]
        gives = self.gives
        given = (1.0, 0, torch.float32) if gives is None else (gives.step, gives.zero, torch.uint8)
        result: Tensor = torch.ops.onednn.qlinear_pointwise(
            steps, *self._read(), self.bias, *given, name, [], algorithm
        )
        return result

    def _sum(self, steps: Tensor, other: Tensor) -> Tensor:
        """Return the product added to `other`, in its memory."""
        given: tuple[Any, ...] = (self.bias, 1.0, 0, torch.float32, 1.0, 0, "sum", 1.0, "none", [], "")
        read, zero, *weights = self._read()
        result: Tensor = torch.ops.onednn.qlinear_pointwise.binary(steps, read, zero, *weights, other, *given)
        return result

    def _read(self) -> tuple[Any, ...]:
        return self.reading.step, self.reading.zero, self.packed, self.scales, self.zeros


def _rounded(x: Tensor, step: float, zero: int) -> Tensor:
    """Return x / step + zero, rounded and clipped to uint8."""
    if not _quantizes():
        return (x / step).round_().add_(zero).clamp_(0, _STEPS).to(torch.uint8)
    steps = torch.quantize_per_tensor(x.contiguous(), step, zero, torch.quint8)
    return torch.empty(0, dtype=torch.uint8).set_(steps.untyped_storage(), 0, steps.shape, steps.stride())


@cache
def _quantizes() -> bool:
    """Whether torch rounds in one pass, which takes a fifth of the time. Its quantized tensors are to be
    removed, of which it warns once; their memory is read here and nothing else of them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = torch.tensor([-3.0, 0.0, 0.6, 1e30])
            return torch.quantize_per_tensor(x, 0.5, 4, torch.quint8).int_repr().tolist() == [0, 4, 5, 255]
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


@cache
def largest_weight() -> int | None:
    """Return the largest weight with which this processor's products are exact: 127, 64, or None."""
    return next((limit for limit in _LIMITS if _exact(limit)), None)


def _exact(limit: int) -> bool:
    """Whether products with weights up to `limit` are exact, those that would saturate 16 bits among them."""
    generator = torch.Generator().manual_seed(5)
    width, out = 512, 48  # 512 · 255 · 127 is still exact in float32
    weight = torch.randint(-limit, limit + 1, (out, width), generator=generator)
    weight[0], weight[1] = limit, -limit
    weight[2, ::2], weight[2, 1::2] = limit, -limit
    weight[3, ::2], weight[3, 1::2] = limit, 0
    ones, zeros = torch.ones(out), torch.zeros(out, dtype=torch.int8)
    operator = torch.ops.onednn.qlinear_pointwise
    try:
        packed = torch.ops.onednn.qlinear_prepack(weight.to(torch.int8), None)
        for rows in (1, 16, 300):
            x = torch.randint(0, _STEPS + 1, (rows, width), generator=generator)
            x[0] = _STEPS
            for zero in (0, 100):
                read = (x.to(torch.uint8), 1.0, zero, packed, ones, zeros)
                wanted = (x - zero) @ weight.T
                got = operator(*read, None, 1.0, 0, torch.float32, "none", [], "none")
                one = torch.ones(rows, out)
                added = operator.binary(*read, one, None, *_SUM)
                if not torch.equal(got.long(), wanted) or not torch.equal(added.long(), wanted + 1):
                    return False
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return True
