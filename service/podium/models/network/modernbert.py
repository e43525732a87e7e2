"""ModernBERT's layers, told in the words of Llama's: the same parts, with products merged and other names."""

from types import SimpleNamespace
from typing import Any

from torch import nn


def as_llama(layer: Any) -> Any:
    """Return the parts of a layer of ModernBERT under the names of Llama's; another layer as it is."""
    attention: Any = getattr(layer, "attn", None)
    mlp = layer.mlp
    if not isinstance(getattr(attention, "Wqkv", None), nn.Linear):
        return layer
    query, key, value = _split(attention.Wqkv, 3)
    gate, up = _split(mlp.Wi, 2)
    return SimpleNamespace(
        self_attn=SimpleNamespace(
            q_proj=query, k_proj=key, v_proj=value, o_proj=attention.Wo, head_dim=attention.head_dim
        ),
        mlp=SimpleNamespace(gate_proj=gate, up_proj=up, down_proj=mlp.Wo, act_fn=mlp.act),
        input_layernorm=layer.attn_norm,
        post_attention_layernorm=layer.mlp_norm,
    )


def _split(linear: nn.Linear, count: int) -> list[nn.Linear]:
    """Return the layers that a merged one holds side by side."""
    biases = [None] * count if linear.bias is None else linear.bias.chunk(count)
    parts = []
    for weight, bias in zip(linear.weight.chunk(count), biases, strict=True):
        part = nn.Linear(linear.in_features, len(weight), bias=bias is not None, device="meta")
        part.weight = nn.Parameter(weight, requires_grad=False)
        part.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        parts.append(part)
    return parts
