"""DeBERTa v2 and v3, packed.

Their attention takes no function of ours and their encoder makes matrices of all distances, so the loop over
layers stands here; what else a layer has is transformers'.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.modeling_outputs import BaseModelOutput

from podium.models.attention.disentangled import Distances, Relative, attend, attend_firsts, scaled
from podium.models.layout import Layout
from podium.models.linear.stored import merged


class PackedDeberta(nn.Module):
    """Stands in for a `DebertaV2Model` without convolution, whose layers it takes over.

    `firsts`: the last layer returns the first token of each pair, and computes no others.
    """

    def __init__(self, model: Any, *, firsts: bool) -> None:
        super().__init__()
        self.config = model.config
        self.embeddings = model.embeddings
        self.layers = model.encoder.layer
        embedded = model.encoder.get_rel_embedding()
        for index, layer in enumerate(self.layers, 1):
            last = index == len(self.layers)
            layer.attention.self = Attention(layer.attention.self, embedded, firsts=firsts and last)

    def forward(
        self,
        input_ids: Tensor,
        *,
        layout: Layout,
        position_ids: Tensor,
        token_type_ids: Tensor | None = None,
        **_: Any,
    ) -> BaseModelOutput:
        """Return (1, rows, hidden) states for (1, rows) tokens, or (1, n, hidden) those of first tokens."""
        states = self.embeddings(input_ids, token_type_ids=token_type_ids, position_ids=position_ids)
        for layer in self.layers:
            attended, residual = layer.attention.self(states, layout)
            attended = layer.attention.output(attended, residual)
            states = layer.output(layer.intermediate(attended), attended)
        return BaseModelOutput(last_hidden_state=states)


class Attention(nn.Module):
    """`DisentangledSelfAttention`, packed, its products of the same input merged.

    `embedded`: the relative embeddings, (2 · span, hidden), None where the model has none; `firsts`: only the
    first token of each pair asks.
    """

    def __init__(self, attention: Any, embedded: Tensor | None, *, firsts: bool) -> None:
        super().__init__()
        query, key, value = attention.query_proj, attention.key_proj, attention.value_proj
        self.asking = query if firsts else None
        self.product = merged([key, value] if firsts else [query, key, value])
        self.heads = attention.num_attention_heads
        kinds = {"c2p", "p2c"} & set(attention.pos_att_type)
        self.scaling = (attention.attention_head_size * (1 + len(kinds))) ** -0.5
        self.distances = Distances(1, 0, 0)
        content = position = None
        if attention.relative_attention and embedded is not None:
            span = attention.pos_ebd_size
            self.distances = Distances(span, attention.position_buckets, attention.max_relative_positions)
            if "c2p" in kinds:
                layer = key if attention.share_att_key else attention.pos_key_proj
                content = self._projected(embedded[: 2 * span], layer)
            if "p2c" in kinds:
                layer = query if attention.share_att_key else attention.pos_query_proj
                position = self._projected(embedded[: 2 * span], layer)
        self.positions_key: Tensor | None
        self.positions_query: Tensor | None
        self.register_buffer("positions_key", content)
        self.register_buffer("positions_query", position)

    @torch.no_grad()
    def _projected(self, embedded: Tensor, layer: nn.Linear) -> Tensor:
        bias = None if layer.bias is None else layer.bias.float()
        projected = linear(embedded.float(), layer.weight.float(), bias)
        return scaled(projected, self.heads, self.scaling, embedded.dtype)

    def forward(self, states: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Return what is attended to, and what it is added to: (1, rows or n, hidden) each."""
        relative = Relative(self.positions_key, self.positions_query, self.distances)
        product = self.product(states[0])
        if self.asking is None:
            query, key, value = product.unflatten(-1, (3, self.heads, -1)).permute(1, 2, 0, 3)
            attended = attend(query, key, value, layout, relative, scaling=self.scaling)
        else:
            states = states[:, layout.firsts]
            query = self.asking(states[0]).unflatten(-1, (self.heads, -1))
            key, value = product.unflatten(-1, (2, self.heads, -1)).unbind(1)
            attended = attend_firsts(query, key, value, layout, relative, scaling=self.scaling)
        return attended.flatten(1).unsqueeze(0), states
