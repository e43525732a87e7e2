"""From the state that is read of a pair to its logit, in float32, whatever the network below computes in."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from podium.models.recipe import Dense, LayerNorm, Normalize, Own, Recipe, Rows, Stack


class Built(Protocol):
    """What a head is made of: a network, and tensors of the files in their own precision."""

    network: Any

    def tensors(self, subfolder: str) -> dict[str, Tensor]:
        """Return all tensors of a folder in the model's, `2_Dense`, by their names there."""
        ...

    def rows(self, source: str, rows: Sequence[int]) -> Tensor:
        """Return rows of the `vocabulary`'s output embedding or of the head `score`: (len(rows), h)."""
        ...


class Head(nn.Module):
    """States (n, h) float32 → logits (n,) float32, divided by the temperature."""

    def __init__(self, module: nn.Module, temperature: float) -> None:
        super().__init__()
        self.module = module
        self.temperature = temperature

    def forward(self, states: Tensor) -> Tensor:
        """Return one logit a state."""
        logits: Tensor = self.module(states)
        return logits.reshape(len(states), -1)[:, 0] / self.temperature


def make_head(recipe: Recipe, built: Built) -> nn.Module:
    """Return the head that the recipe names, (n, h) float32 → (n,) float32, on the CPU.

    Make it before a forward takes over the network, whose pooler and classifier it shares. Raises ValueError
    where the files hold other tensors than the recipe says, or other shapes.
    """
    module: nn.Module
    match recipe.head:
        case Own():
            module = own(built.network)
        case Rows(source=source, true=true, false=None):
            module = _Row(built.rows(source, [true])[0].float())
        case Rows(source=source, true=true, false=int(false)):
            yes, no = built.rows(source, [true, false]).float()
            module = _Row(yes - no)
        case Stack(modules=modules):
            module = nn.Sequential(*(_module(one, built) for one in modules))
    return Head(module, recipe.temperature).float().eval().requires_grad_(False)


class _Row(nn.Module):
    """The product with one row, (h,)."""

    def __init__(self, row: Tensor) -> None:
        super().__init__()
        self.row = nn.Buffer(row)

    def forward(self, states: Tensor) -> Tensor:
        """Return (n,)."""
        return states @ self.row


def own(network: Any) -> nn.Module:
    """Return the checkpoint's own classification modules as one module: (n, h) → (n, labels).

    A decoder's is `score` alone, which transformers would ask for the place of the last token. Others run the
    network's own forward with a stand-in for its base model, so no head is written anew.
    """
    score = getattr(network, "score", None)
    if isinstance(score, nn.Linear):
        return score
    head = copy.copy(network)
    head._modules = dict(network._modules)
    setattr(head, network.base_model_prefix, _States(getattr(network.base_model, "pooler", None)))
    return _Own(head)


class _Own(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, states: Tensor) -> Tensor:
        logits: Tensor = self.network(input_ids=states).logits
        return logits


class _States(nn.Module):
    """Stands in for a base model: its one token a pair has the state that it is given."""

    def __init__(self, pooler: nn.Module | None) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(self, input_ids: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        states = input_ids.unsqueeze(1)
        pooled = None if self.pooler is None else self.pooler(states)
        return BaseModelOutputWithPooling(last_hidden_state=states, pooler_output=pooled)


class _Dense(nn.Module):
    """`activation(linear(x))`, plus x or its projection where there is a residual; modules have the names of
    the file's tensors.
    """

    def __init__(self, part: Dense) -> None:
        super().__init__()
        self.linear = nn.Linear(part.inputs, part.outputs, bias=part.bias)
        self.activation_function = activation(part.activation)
        self.residual: nn.Module | None = None
        if part.residual:
            same = part.inputs == part.outputs
            self.residual = nn.Identity() if same else nn.Linear(part.inputs, part.outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.activation_function(self.linear(x))
        return result if self.residual is None else result + self.residual(x)


class _LayerNorm(nn.Module):
    """`norm(x)`, named as in the file."""

    def __init__(self, part: LayerNorm) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(part.size)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(x)
        return result


class _Normalize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(x, dim=-1)


def _module(part: Dense | LayerNorm | Normalize, built: Built) -> nn.Module:
    match part:
        case Normalize():
            return _Normalize()
        case LayerNorm(folder=folder):
            return _filled(_LayerNorm(part), built.tensors(folder), folder)
        case Dense(folder=folder):
            return _filled(_Dense(part), built.tensors(folder), folder)


def _filled(module: nn.Module, found: Mapping[str, Tensor], folder: str) -> nn.Module:
    """Give a module all tensors of its folder, an activation's among them; it has a place for each."""
    wanted = module.state_dict()
    if missing := sorted(wanted.keys() - found.keys()):
        raise ValueError(f"the weights in `{folder}` lack {', '.join(missing)}")
    if unread := sorted(found.keys() - wanted.keys()):
        raise ValueError(f"`{folder}/{unread[0]}` has no place in the module of its config.json")
    for name, x in wanted.items():
        if found[name].shape != x.shape:
            raise ValueError(f"`{folder}/{name}` is {tuple(found[name].shape)}, expected {tuple(x.shape)}")
    module.load_state_dict(found)
    return module


def activation(name: str) -> nn.Module:
    """Return the module of torch.nn that a dotted name such as `torch.nn.modules.activation.GELU` stands for.

    Raises ValueError for any other name.
    """
    kind = getattr(nn, name.rpartition(".")[2], None) if name.startswith("torch.nn.") else None
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"`{name}` is no activation of torch.nn")  # noqa: TRY004 a name, not a type
    return kind()
