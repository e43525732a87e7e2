"""Layers of Llama's kind (Llama, Mistral, Qwen, Gemma, EuroBERT, …) with fewer and larger products.

Query, key and value are one product, gate and up another, residuals are added inside the products, and the
last layer computes what the head reads alone. Layers are known by the names and types of their children,
and each replacement is run beside transformers' own layer on a probe when the model is loaded: one that
differs is not taken, and the layer stays what it was.
"""

import logging
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from podium.models.attention.attend import attend, attend_ends
from podium.models.attention.rule import Rule
from podium.models.layout import Layout
from podium.models.linear.onednn import Fuse, activation_of
from podium.models.linear.stored import merged
from podium.models.network import rotary
from podium.models.network.modernbert import as_llama
from podium.models.network.prefix_cache import PrefixStates
from podium.models.network.rotary import RootMeanSquare, Turned, interleaved, root_mean_square

logger = logging.getLogger(__name__)

End = Literal["first", "last"]

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Greatest difference to transformers' own layer on a probe, relative to its largest output."""


class Layer(nn.Module):
    """A decoder layer over a packed batch: (1, rows, h) → (1, rows, h), or (1, p, h) by its `end`."""

    def __init__(self, layer: Any, rule: Rule, *, make: Fuse | None) -> None:
        """Take over the weights of transformers' `layer`. Raises ValueError where it is of another kind."""
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        four = hasattr(layer, "pre_feedforward_layernorm")
        self.attention_norm = _norm(layer.input_layernorm)
        self.attended_norm = _norm(layer.post_attention_layernorm) if four else None
        self.feed_norm = _norm(layer.pre_feedforward_layernorm if four else layer.post_attention_layernorm)
        self.fed_norm = _norm(layer.post_feedforward_layernorm) if four else None
        self.rule = rule
        self.width = attention.head_dim
        linears = [attention.q_proj, attention.k_proj, attention.v_proj]
        self.heads, self.kv, _ = (linear.out_features // self.width for linear in linears)
        order = self._order(self.heads + self.kv, self.kv)
        self.product = _product(merged(linears, order), make=make)
        norms = _head_norms(attention)
        self.turned = Turned(*zip(norms, [self.heads, self.kv][: len(norms)], strict=True))
        self.output = _product(attention.o_proj, make=make)
        self.gated = Gated(mlp.gate_proj, mlp.up_proj, mlp.act_fn, make=make)
        self.down = _product(mlp.down_proj, make=make)
        self.attention_type: str | None = None
        self.end: End | None = None
        self.query: nn.Module | None = None
        self.turned_query: nn.Module | None = None

    def keep(self, end: End, layer: Any, *, make: Fuse | None) -> None:
        """Compute one token of each pair only, from now on: its first, or its last."""
        attention = layer.self_attn
        self.end = end
        of_query, of_both = self._order(self.heads), self._order(self.kv, self.kv)
        self.query = _product(merged([attention.q_proj], of_query), make=make)
        self.product = _product(merged([attention.k_proj, attention.v_proj], of_both), make=make)
        norms = _head_norms(attention)
        self.turned_query = Turned(*((norm, self.heads) for norm in norms[:1]))
        self.turned = Turned(*((norm, self.kv) for norm in norms[1:]))

    def _order(self, turned: int, others: int = 0) -> Tensor:
        """Return the order of rows in which so many heads are turned; that of others after them stays."""
        order = torch.arange((turned + others) * self.width).view(turned + others, self.width)
        order[:turned] = order[:turned, interleaved(self.width)]
        return order.flatten()

    def forward(
        self,
        hidden_states: Tensor,
        *,
        position_embeddings: tuple[Tensor, Tensor],
        layout: Layout,
        prefixes: PrefixStates | None = None,
        **_: Any,
    ) -> Tensor:
        """Return the states after the layer."""
        residual = hidden_states[0]
        normed = self.attention_norm(residual)
        cos, sin = (x[0] for x in position_embeddings)
        product = self.product(normed).unflatten(-1, (-1, self.width))
        if self.query is None or self.turned_query is None:
            both, value = product.split((self.heads + self.kv, self.kv), 1)
            both, value = self.turned(both, cos, sin).transpose(0, 1), value.transpose(0, 1)
            key = both[self.heads :]
            keys_values = None if prefixes is None else prefixes.next_layer(key, value)
            states = attend(both[: self.heads], key, value, layout, self.rule, keys_values)
        else:
            picked = layout.firsts if self.end == "first" else layout.lasts
            key, value = product.split((self.kv, self.kv), 1)
            query = self.query(normed[picked]).unflatten(-1, (-1, self.width))
            query, key = self.turned_query(query, cos[picked], sin[picked]), self.turned(key, cos, sin)
            if prefixes is not None:
                cached = prefixes.next_layer(key.transpose(0, 1), value.transpose(0, 1))[: layout.cached]
                key, value = (
                    torch.cat((own, *(x.transpose(0, 1) for x in others)))
                    for own, *others in zip((key, value), *cached, strict=True)
                )
            states = attend_ends(query, key, value, layout, self.rule)
            residual = residual[picked]
        residual = _added(self.output, states.flatten(1), residual, self.attended_norm)
        gated = self.gated(self.feed_norm(residual))
        return _added(self.down, gated, residual, self.fed_norm).unsqueeze(0)


def _added(product: nn.Module, x: Tensor, residual: Tensor, norm: nn.Module | None) -> Tensor:
    """Return what a layer's half adds to its residual, and the residual."""
    if not isinstance(product, nn.Linear) and norm is None:
        both: Tensor = product(x, residual)
        return both
    result: Tensor = product(x)
    return residual + (result if norm is None else norm(result))


class Gated(nn.Module):
    """`activation(gate(x)) * up(x)`: (…, h) → (…, inner)."""

    def __init__(self, gate: nn.Linear, up: nn.Linear, activation: Any, *, make: Fuse | None) -> None:
        super().__init__()
        name = None if make is None else activation_of(activation)
        self.gate: nn.Module | None = None
        self.up: nn.Module | None = None
        self.both: nn.Module | None = None
        if name is None or make is None:
            self.both = _product(merged([gate, up]), make=make)
        else:
            self.gate, self.up = make(gate, name), make(up, binary="mul")
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Return what goes down."""
        if self.both is not None:
            gate, up = self.both(x).chunk(2, -1)
            result: Tensor = self.activation(gate) * up
        else:
            assert self.gate is not None
            assert self.up is not None
            result = self.up(x, self.gate(x))
        return result


def _product(linear: nn.Linear, *, make: Fuse | None) -> nn.Module:
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"a {type(linear).__name__}, where a linear layer is expected")
    return linear if make is None else make(linear)


def _head_norms(attention: Any) -> list[RootMeanSquare]:
    """Return the norms of queries and of keys, or none. Raises ValueError where they are of another kind."""
    norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
    if norms == [None, None]:
        return []
    known = [None if norm is None else root_mean_square(norm) for norm in norms]
    found = [norm for norm in known if norm is not None]
    if len(found) < len(norms):
        raise ValueError("norms of heads that are not known here")
    return found


def _norm(norm: Any) -> nn.Module:
    """Return the norm as it is done here; what is another kind of norm stays as it is."""
    return root_mean_square(norm) or norm


@torch.no_grad()
def pack(base: Any, device: torch.device, make: Fuse | None, *, causal: bool, end: End | None) -> bool:
    """Replace the layers of a base model, in place; return whether the last one now computes `end` alone.

    The base model already attends by the packed attention, and lies on `device`. `make` makes its products,
    which stay plain ones where it is None.
    """
    layers = getattr(base, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not hasattr(base, "rotary_emb"):
        return False
    kept = False
    for index, layer in enumerate(layers):
        try:
            parts = as_llama(layer)
            probe = Probe(base, layer, parts, device, causal=causal)
            replacement = Layer(parts, probe.rule, make=make).eval()
            same = probe.agrees(replacement)
            # under a window only a last token's attention is known to lie at the end of its keys
            near = end == "first" and probe.rule.window is not None
            if same and end is not None and index == len(layers) - 1 and not near:
                replacement.keep(end, parts, make=make)
                kept = same = probe.agrees(replacement)
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            logger.info("layer %d stays as it is: %s", index, error)
            return False
        if not same:
            logger.info("layer %d stays as it is: its replacement gives something else", index)
            return False
        replacement.attention_type = getattr(layer, "attention_type", None)  # ModernBERT asks its layers
        layers[index] = replacement
    return kept


class Probe:
    """A small batch through one layer as transformers wrote it: what it gives, and how it attends."""

    def __init__(self, base: Any, layer: Any, parts: Any, device: torch.device, *, causal: bool) -> None:
        dtype = base.get_input_embeddings().weight.dtype
        prefixes = np.array([-1, 0, 0]) if causal else None
        self._layout = Layout(np.array([5, 5, 6]), device, dtype.itemsize * 16, prefixes)
        generator = torch.Generator().manual_seed(3)
        states = torch.randn(1, 16, base.config.hidden_size, generator=generator).to(device, dtype)
        positions = torch.from_numpy(self._layout.positions).unsqueeze(0).to(device)
        self._inputs = {
            "hidden_states": states,
            # ModernBERT's depend on the kind of layer
            "position_embeddings": base.rotary_emb(
                states, positions, *([] if parts is layer else [layer.attention_type])
            ),
            "layout": self._layout,
        }
        rules: list[Rule] = []
        self._wanted = layer(
            **self._inputs, attention_mask=None, position_ids=positions, causal=causal, rules=rules
        )
        [self.rule] = rules

    def agrees(self, replacement: Layer) -> bool:
        """Whether another layer gives the same, for the tokens that it computes."""
        got, wanted = replacement(**self._inputs), self._wanted
        if replacement.end is not None:
            picked = self._layout.firsts if replacement.end == "first" else self._layout.lasts
            wanted = wanted[:, picked]
        return rotary.agree(got, wanted, _TOLERANCE[got.dtype])
