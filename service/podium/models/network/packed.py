"""Pad-free forward: all pairs of a batch are one sequence, and attention stays inside each pair.

Nothing of an architecture is rewritten. Its own forward runs on a batch of one long sequence, with positions
that restart at each pair and with an attention function (`attention.attend`, registered with transformers)
that knows where pairs begin. Then each pair's states are reduced to the one that its head reads and given to
the model's own head, in float32.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AttentionInterface

from podium.models import architectures
from podium.models.attention.attend import attend
from podium.models.base import Encoding
from podium.models.layout import Layout
from podium.models.network import fusion
from podium.models.network.deberta import PackedDeberta
from podium.models.network.ends import keep_firsts
from podium.models.recipe import Recipe

ATTENTION = "podium_packed"
"""Name of the packed attention in transformers' AttentionInterface; without a mask function of the same name
transformers makes no mask at all."""


CPU_TOKENS = 4096
"""Tokens of one sequence at most on the CPU, or one pair: more is no faster there, and oneDNN remembers
buffers as large as its results."""


class PackedForward:
    """The packed forward of one model, on one device; call it from one thread."""

    name = "packed"

    def __init__(
        self, network: Any, head: nn.Module, recipe: Recipe, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Take over `network`, whose base model is of `dtype`, and its head, made by `heads.make_head`."""
        base = network.base_model
        config = base.config
        self._device = device
        self._first_position = architectures.first_position(config)
        self._segments = architectures.has_segments(config)
        self._max_tokens = CPU_TOKENS if device.type == "cpu" else None
        self._score_bytes = config.num_attention_heads * dtype.itemsize
        if getattr(base, "pooler", None) is not None:
            base.pooler = None  # the head has it
        first = recipe.state == "first"
        layers = architectures.bert_layers(network) if first else None
        if architectures.disentangled(config):
            base = PackedDeberta(base, firsts=first)
        else:
            base.set_attn_implementation(ATTENTION)
        if layers is not None:
            keep_firsts(layers)
        base.eval().requires_grad_(False)
        base.to(device)
        if device.type == "cpu":
            fusion.fuse(base)
        self._base = base
        kept = layers is not None or (first and architectures.disentangled(config))
        self._reduced = Reduced(base, mean=recipe.state == "mean", kept=kept)
        self._head = head.to(device)

    def logits(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        """Return the logits of the pairs, (n,) float32, in order."""
        lengths = np.array([len(encoding.ids) for encoding in encodings])
        # neighbours of like length share one attention product
        order = np.argsort(lengths, kind="stable")
        scores = np.empty(len(encodings), dtype=np.float32)
        for part in np.split(order, cuts(lengths[order], self._max_tokens)):
            scores[part] = self._sequence([encodings[i] for i in part], lengths[part])
        return scores

    def computed(self, encodings: Sequence[Encoding]) -> int:
        """Return how many tokens are computed for these pairs."""
        return sum(len(encoding.ids) for encoding in encodings)

    def _sequence(self, ordered: Sequence[Encoding], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits of pairs in ascending order of length, computed as one sequence."""
        layout = Layout(lengths, self._device, self._score_bytes)
        inputs = {
            "input_ids": self._tensor(layout.filled(np.concatenate([encoding.ids for encoding in ordered]))),
            "position_ids": self._tensor(layout.positions + self._first_position),
        }
        if self._segments:
            second = np.repeat([encoding.second for encoding in ordered], layout.lengths)
            types = layout.filled(layout.positions[: layout.total] >= second)
            inputs["token_type_ids"] = self._tensor(types)
        logits: NDArray[np.float32] = self._head(self._reduced(**inputs, layout=layout)).cpu().numpy()
        return logits

    def _tensor(self, values: NDArray[np.int64]) -> Tensor:
        """Return (rows,) integers as the (1, rows) tensor that embeddings take."""
        return torch.from_numpy(values).unsqueeze(0).to(self._device, non_blocking=True)


def cuts(lengths: NDArray[np.int64], max_tokens: int | None) -> list[int]:
    """Return where to cut lengths: no part has more than `max_tokens` tokens, but one of a single pair."""
    found: list[int] = []
    tokens = 0
    for index, length in enumerate(lengths.tolist()):
        if max_tokens is not None and index and tokens + length > max_tokens:
            found.append(index)
            tokens = 0
        tokens += length
    return found


class Reduced(nn.Module):
    """A base model and what is read of it: (1, rows) tokens of n pairs in, (n, hidden) float32 states out.

    `mean`: the head reads the mean of a pair's states; `kept`: `base` returns the first ones by itself.
    """

    def __init__(self, base: Any, *, mean: bool, kept: bool) -> None:
        super().__init__()
        self.base = base
        self.mean = mean
        self.kept = kept

    def forward(self, input_ids: Tensor, *, layout: Layout, **kwargs: Any) -> Tensor:
        """Run the base model and reduce its states pair by pair."""
        states: Tensor = self.base(input_ids, layout=layout, **kwargs).last_hidden_state[0]
        if self.mean:
            states = layout.means(states)
        elif not self.kept:
            states = states[layout.firsts]
        return states.float()


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    layout: Layout,
    scaling: float,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend inside each pair: (1, heads, rows, d) each → (1, rows, heads, d), as transformers asks."""
    states = attend(query[0], key[0], value[0], layout, scaling=scaling, window=sliding_window)
    return states.unsqueeze(0), None


AttentionInterface.register(ATTENTION, packed_attention)
