"""A forward on the CPU in float32 whose layers are those of another on a device, one at a time, each compared
with what the device's layer was given and gave.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from podium.models.base import Encoding
from podium.models.cross_encoder import Forward

LIMIT_S = 5.0
"""Seconds of the CPU for all layers: where they need more, some behind the first are left out."""

_SHARE = {torch.float32: 2e-3, torch.float16: 0.02, torch.bfloat16: 0.08}
"""Greatest difference of a token's states by their mean, relative to what a layer makes of them."""
_ROUNDING = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
"""The same relative to the states themselves, to which the layer's result is added."""
_LOGIT = {torch.float32: 2e-3, torch.float16: 0.05, torch.bfloat16: 0.2}
"""Greatest difference of a logit, relative to those above 1."""


class Passed(NamedTuple):
    """What the device's layer was given, and what it gave, on the CPU in float32."""

    states: Tensor | None
    output: Any


class Disagreement(Exception):
    """A layer gives something else on the device."""


def roots(forward: Forward) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that a forward holds, by their names."""
    return ((name.lstrip("_"), x) for name, x in vars(forward).items() if isinstance(x, nn.Module))


def states_of(args: Any, kwargs: Any) -> Tensor | None:
    """Return a layer's hidden states: its first argument of numbers that is a matrix or more."""
    tensors = (x for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
    return next((x for x in tensors if x.is_floating_point() and x.dim() > 1), None)


def on_cpu(x: Tensor) -> Tensor:
    """Return a copy on the CPU, in float32 where it holds numbers."""
    return x.detach().to("cpu", torch.float32 if x.is_floating_point() else x.dtype, copy=True)


def _copied(module: nn.Module) -> Any:
    """Return a copy of a module on the CPU in float32."""
    return copy.deepcopy(module, {id(x): _like(x, on_cpu(x)) for x in _tensors(module)})


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _like(x: Tensor, value: Tensor) -> Tensor:
    return nn.Parameter(value, requires_grad=False) if isinstance(x, nn.Parameter) else value


class Twin:
    """A forward on the CPU in float32 whose layers are those of another, one at a time."""

    def __init__(
        self,
        forward: Forward,
        stages: dict[str, nn.Module],
        passed: dict[str, list[Passed]],
        dtype: torch.dtype,
        now: Callable[[], float],
    ) -> None:
        self.dtype = dtype
        self.device = forward.device
        self.all = sum(map(len, passed.values()))
        self.begun = self.compared = 0
        self._now, self._start = now, now()
        self._end = self._start + LIMIT_S
        self._credit = 0.0
        held: dict[int, Any] = {
            id(stage): _Stage(self, name, stage, passed[name]) for name, stage in stages.items()
        }
        sizes = {name: [x.numel() for x in _tensors(stage)] for name, stage in stages.items()}
        largest = max(map(sum, sizes.values()), default=0)
        inside = {id(x) for stage in stages.values() for x in _tensors(stage)}
        for x in (x for _, root in roots(forward) for x in _tensors(root) if id(x) not in inside):
            # a vocabulary in float32 is larger than a layer: what is looked up in it is made float32
            held[id(x)] = _like(x, on_cpu(x) if x.numel() <= largest else x.detach().cpu())
        self._forward = copy.deepcopy(forward, held)
        self._forward.device = torch.device("cpu")
        for _, root in roots(self._forward):
            for module in root.modules():
                if isinstance(module, nn.Embedding):
                    module.register_forward_hook(lambda _, __, output: output.float())

    def check(self, pairs: Sequence[Encoding], logits: Tensor) -> None:
        """Raise Disagreement where the device's layers, or its `logits` of the pairs, (n,), are others."""
        wanted = torch.from_numpy(self._forward.logits(pairs))
        worst = ((logits - wanted).abs() / wanted.abs().clamp(min=1)).max()
        if not worst <= _LOGIT[self.dtype]:
            raise self._disagreement("the logits", worst / _LOGIT[self.dtype])

    def worth(self) -> bool:
        """Whether there is time for the layer that comes: those left out lie evenly between others."""
        left, self.begun = self.all - self.begun, self.begun + 1
        if not self.compared:
            return True
        if self._now() >= self._end:
            return False
        if left == 1:
            return True
        each = (self._now() - self._start) / self.compared
        self._credit = min(2.0, self._credit + (self._end - self._now()) / max(each, 1e-9) / left)
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def compare(self, what: str, got: Tensor, wanted: Tensor, before: Tensor | None = None) -> None:
        """Raise Disagreement where the states of a token, the last dimension, differ by too much.

        `before` are those to which a layer may have added something.
        """
        if got.shape != wanted.shape:
            raise self._disagreement(f"the shape of {what}", torch.tensor(torch.nan))
        size = wanted.abs().mean(-1)
        made, rounded = size, size
        if before is not None and before.shape == wanted.shape:
            made = torch.minimum(size, (wanted - before).abs().mean(-1))
            rounded = size + before.abs().mean(-1)
        bound = _SHARE[self.dtype] * made + _ROUNDING[self.dtype] * rounded + 1e-6
        worst = ((got - wanted).abs().mean(-1) / bound).max()
        if not worst <= 1:
            raise self._disagreement(what, worst)

    def _disagreement(self, what: str, worst: Tensor) -> Disagreement:
        by = f"{float(worst):.3g} times the bound" if torch.isfinite(worst) else "what is no number"
        return Disagreement(f"{what} differ{'s' if what.startswith('the shape') else ''} by {by}")


class _Stage(nn.Module):
    """Stands in the twin for a layer of the device: checks it, and gives what it gave."""

    def __init__(self, twin: Twin, name: str, stage: nn.Module, passed: Sequence[Passed]) -> None:
        super().__init__()
        self._twin = twin
        self._name = name
        self._held = [stage]  # no child of this one: its weights lie on the device
        self._passed = iter(passed)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._held[0], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the device's layer returned, on the CPU, with as many rows as came in."""
        found = next(self._passed, None)
        if found is None:
            raise Disagreement(f"`{self._name}` was not called as often as on the CPU")
        given, output = found
        states = states_of(args, kwargs)
        rows = extra = 0
        if given is not None and states is not None:
            # a packed sequence has more rows on the CPU, behind its last token
            rows = given.shape[-2]
            extra = states.shape[-2] - rows
            self._twin.compare(f"what goes into `{self._name}`", given, states[..., :rows, :])
        if self._twin.worth():
            before = None if states is None else states[..., :rows, :].clone()
            wanted = _copied(self._held[0])(*args, **kwargs)
            pairs = zip(pytree.tree_leaves(output), pytree.tree_leaves(wanted), strict=True)
            for got, cpu in pairs:
                if isinstance(got, Tensor) and got.is_floating_point():
                    if extra and cpu.dim() > 1 and cpu.shape[-2] == rows + extra:
                        cpu = cpu[..., :rows, :]
                    self._twin.compare(f"what comes out of `{self._name}`", got, cpu, before)
            self._twin.compared += 1

        def widened(x: Tensor) -> Tensor:
            fits = extra and x.dim() > 1 and x.shape[-2] == rows
            return nn.functional.pad(x, (0, 0, 0, extra)) if fits else x

        return pytree.tree_map_only(Tensor, widened, output)
