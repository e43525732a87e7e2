"""From a float layer to its form in integers: which range its activations have on a text for calibration, and
whether that form is near enough.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from podium.models.linear.int8 import Int8Linear, Reading
from podium.models.linear.onednn import PlainLinear, fused_from

WORST_SHARE = 0.15
"""A layer whose output in integers differs from float32 by more than this stays in float32: the length of the
difference relative to the output's, as the root mean square over tokens."""

_CLIPPED = (0.0, 1e-5, 1e-4, 5e-4, 2e-3)
"""Shares of activations beyond each end of a range that are tried; that with the nearest output is taken."""
_TRIED_ROWS = 128
_FEWEST_ROWS = 256
"""A layer that sees fewer rows of the text stays in float32: it computes one token of each pair, which is
little work, and so few do not tell its range."""
_BLOCK, FEW = 64, 16
"""Rows of a block in float32: of all tokens, and of one token of each pair."""
_WORTH = 0.8
"""Channels are rounded apart where that leaves less than this of the difference."""


class Settled(NamedTuple):
    """What was found of a layer: how it reads its input, and how far its output then is from float32's."""

    reading: Reading
    share: float

    @property
    def near(self) -> bool:
        """Whether it is near enough to be served; also false for what is not a number."""
        return self.share <= WORST_SHARE


class Undecided(nn.Module):
    """A layer in float32 until it is known how it is served: `activation(linear(x))`, or `linear(x)` with
    another tensor added to it or multiplied with it.
    """

    def __init__(self, linear: nn.Linear, activation: str = "none", binary: str = "add") -> None:
        super().__init__()
        self.linear: nn.Linear | None = linear
        self.activation = activation
        self.binary = binary
        self.watched = False
        self.found: Settled | None = None
        self.becomes: nn.Module | None = None

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Return (…, out) for x (…, in); the first x while `watched` settles the layer."""
        if self.linear is None:
            raise RuntimeError("a layer that is settled is called again before it is replaced")
        if not self.watched:
            weight, bias = self.weight, self.linear.bias
            plain: Tensor = PlainLinear(weight, bias, self.activation, self.binary)(x, other)
            return plain
        layer = self._float()
        rows = x.flatten(0, -2)
        if len(rows) < _FEWEST_ROWS:
            self.becomes = InBlocks(layer, FEW)
        else:
            self.found, best = _nearest(self, rows, layer)
            self.becomes = best if self.found.near else InBlocks(layer, _BLOCK)
        self.linear = None  # its weights are let go before the next layer's come into memory
        result: Tensor = layer(x, other)
        return result

    def settle(self, found: Settled | None) -> nn.Module:
        """Return how the layer is served by what was found of it, in float32 where nothing was."""
        if self.becomes is None:
            if found is None or not found.near:
                self.becomes = InBlocks(self._float(), FEW if found is None else _BLOCK)
            else:
                self.becomes = self.rounded(found.reading)
            self.linear = None
        return self.becomes

    @property
    def weight(self) -> Tensor:
        """(out, in) float32: that of the layer, or a copy where it is stored in another precision."""
        assert self.linear is not None
        return self.linear.weight.float()

    def rounded(self, reading: Reading) -> Int8Linear:
        """Return the layer in integers."""
        assert self.linear is not None
        return Int8Linear(self.weight, self.linear.bias, reading, self.activation, self.binary)

    def _float(self) -> nn.Module:
        assert self.linear is not None
        return fused_from(self.weight, self.linear.bias, self.activation, self.binary)


class InBlocks(nn.Module):
    """A module in float32 on rows in blocks of one size: its products have the same last bits however many
    rows there are.
    """

    def __init__(self, module: nn.Module, block: int) -> None:
        super().__init__()
        self.module = module
        self.block = block

    def forward(self, *given: Tensor | None) -> Tensor:
        """Return (…, out) for (…, in) each."""
        wanted = [x for x in given if x is not None]
        rows = wanted[0].flatten(0, -2)
        missing = -len(rows) % self.block
        padded = [nn.functional.pad(x.flatten(0, -2), (0, 0, 0, missing)) for x in wanted]
        parts = [
            self.module(*part) for part in zip(*(torch.split(x, self.block) for x in padded), strict=True)
        ]
        result = torch.cat(parts)[: len(rows)]
        return result.view(*wanted[0].shape[: wanted[0].dim() - 1], *result.shape[1:])


def undecided(base: nn.Module) -> dict[str, Undecided]:
    """Return the layers that are to be settled, by their names."""
    return {name: module for name, module in base.named_modules() if isinstance(module, Undecided)}


def calibrate(base: nn.Module, run: Callable[[], object]) -> dict[str, Settled]:
    """Settle each layer in turn while `run` computes a text in float32; return what was found."""
    layers = undecided(base)
    for layer in layers.values():
        layer.watched = True
    run()
    return {name: layer.found for name, layer in layers.items() if layer.found is not None}


def settle(base: nn.Module, found: Mapping[str, Settled]) -> None:
    """Put what each layer becomes in its place."""
    for name, layer in undecided(base).items():
        parent, _, own = name.rpartition(".")
        setattr(base.get_submodule(parent), own, layer.settle(found.get(name)))


def _nearest(layer: Undecided, x: Tensor, exact: nn.Module) -> tuple[Settled, Int8Linear]:
    """Return how x, (rows, in), is read with the output nearest to float32's, and the layer then.

    Ranges come from other rows than those on which they are tried: a range for each channel fits the rows
    that it was taken from better than any others.
    """
    every = max(2, len(x) // _TRIED_ROWS)
    tried = x[::every]
    wanted = exact(tried)
    others = x[: len(x) // every * every].reshape(-1, every, x.shape[1])[:, 1:]
    # along one dimension at a time: along both at once takes twenty times as long
    low, high, sample = others.amin(1).amin(0), others.amax(1).amax(0), others[:, 0]
    best, rounded = _clipped(layer, (low, high, sample), tried, wanted)
    shift = (low + high) / 2
    largest = ((high - low) / 2).clamp(min=1e-5)
    weights = layer.weight.abs().amax(0).clamp(min=1e-5)
    factor = (largest / weights).sqrt()
    moved = tuple((each - shift) / factor for each in (low, high, sample))
    found, candidate = _clipped(layer, moved, tried, wanted, shift, factor)
    return (found, candidate) if found.share < _WORTH * best.share else (best, rounded)


def _clipped(
    layer: Undecided,
    seen: tuple[Tensor, ...],
    tried: Tensor,
    wanted: Tensor,
    shift: Tensor | None = None,
    factor: Tensor | None = None,
) -> tuple[Settled, Int8Linear]:
    """Return the best range when channels are shifted and divided so, and the layer with it.

    `seen`: the least and the largest of each channel, (in,) each, and a sample of rows, shifted and divided.
    """
    least, most, sample = seen
    beyond = [int(share * sample.numel()) for share in _CLIPPED]
    places = sorted({place for each in beyond for place in (each, sample.numel() - 1 - each)})
    ordered = np.partition(sample.numpy().ravel(), places)
    lengths = wanted.square().sum(1).clamp(min=1e-12)
    best: Settled | None = None
    rounded: Int8Linear | None = None
    for each in beyond:
        low, high = (ordered[each], ordered[-1 - each]) if each else (least.min(), most.max())
        reading = Reading(min(float(low), 0.0), max(float(high), 0.0), shift, factor)
        if rounded is None:
            rounded = layer.rounded(reading)
        rounded.read(reading)
        error = (rounded(tried) - wanted).square_().sum(1) / lengths
        found = Settled(reading, float(error.mean().sqrt()))
        if best is None or found.share < best.share:
            best = found
    assert best is not None
    assert rounded is not None
    rounded.read(best.reading)
    return best, rounded
