"""Replace modules of a loaded model by faster ones that give the same result.

Modules are known by the names and types of their children, which BERT, ELECTRA, RoBERTa and XLM-R share:
whatever does not match is left as transformers made it.
"""

from typing import Any

import torch
from torch import Tensor, nn

from podium.models.attention.attend import attend
from podium.models.attention.rule import Rule
from podium.models.layout import Layout
from podium.models.linear.calibration import Undecided
from podium.models.linear.int8 import Int8Linear
from podium.models.linear.onednn import Fuse, fused
from podium.models.linear.stored import merged


def fuse(module: nn.Module, make: Fuse = fused) -> None:
    """Fuse, in place, what can be fused below `module`, the base of a packed model on the CPU, with layers
    that `make` makes.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, Undecided):
            continue
        replacement = _replacement(child, make)
        if replacement is None:
            fuse(child, make)
        else:
            setattr(module, name, replacement)


def _replacement(module: nn.Module, make: Fuse) -> nn.Module | None:
    """Return what takes the place of a module; None where it stays and its children are looked at."""
    children = dict(module.named_children())
    match len(children), children:
        case 4, {"query": nn.Linear() as q, "key": nn.Linear() as k, "value": nn.Linear() as v, "dropout": _}:
            return FusedSelfAttention(make(merged([q, k, v])), module)
        case 2, {"dense": nn.Linear() as dense, "intermediate_act_fn": activation} if _is_gelu(activation):
            return make(dense, "gelu")
        case 3, {"dense": nn.Linear() as dense, "LayerNorm": norm, "dropout": _}:
            return FusedOutput(make(dense), norm)
    return make(module) if isinstance(module, nn.Linear) else None


def _is_gelu(activation: nn.Module) -> bool:
    """Whether it is the exact GELU, by what it does: its class has had several names."""
    x = torch.linspace(-4, 4, 65)
    return bool(torch.equal(activation(x), nn.functional.gelu(x)))


class FusedSelfAttention(nn.Module):
    """Query, key and value as one product, then attention inside each pair."""

    def __init__(self, product: nn.Module, attention: Any) -> None:
        super().__init__()
        self.product = product
        self.heads = attention.num_attention_heads
        self.rule = Rule(attention.scaling)

    def forward(self, hidden_states: Tensor, *_: Any, layout: Layout, **__: Any) -> tuple[Tensor, None]:
        """Return (1, rows, hidden) for hidden_states (1, rows, hidden)."""
        qkv = self.product(hidden_states[0]).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(1, 2, 0, 3)
        states = attend(query, key, value, layout, self.rule)
        return states.flatten(1).unsqueeze(0), None


class FusedOutput(nn.Module):
    """`norm(dense(x) + residual)`."""

    def __init__(self, product: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.product = product
        self.norm = norm

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """Return (1, rows, hidden)."""
        result: Tensor = self.norm(self.product(hidden_states, input_tensor))
        return result


def link(base: nn.Module) -> None:
    """Let layers in integers hand results on as integers where a layer of that kind alone reads them."""
    for module in base.modules():
        children = dict(module.named_children())
        match children.get("intermediate"), getattr(children.get("output"), "product", None):
            case Int8Linear() as first, Int8Linear(reading=reading) if reading.plain:
                first.gives = reading
