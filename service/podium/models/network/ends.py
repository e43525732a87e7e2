"""The last layer computes what the head reads, and no more.

A head that reads one token of each pair, the first or the last, needs of the last layer the keys and values
of all tokens, but the query, attention and feed-forward of n tokens only: four fifths of the layer's products
fall away, and the scores stay what they were. Decoders do it in `decoder`.
"""

from typing import Any

from torch import Tensor, nn

from podium.models.attention.attend import attend_ends
from podium.models.attention.rule import Rule
from podium.models.layout import Layout
from podium.models.linear.stored import merged


def keep_firsts(layers: nn.ModuleList) -> None:
    """Let the last of a BERT-like encoder's layers return (1, n, hidden), the first token of each pair."""
    last: Any = layers[-1]
    last.attention = FirstAttention(last.attention)


class FirstAttention(nn.Module):
    """Attention of each pair's first token to its pair, and what BERT's layers do with it.

    Its products are plain linear layers, which `fusion.fuse` knows.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        whole = attention.self
        self.query = whole.query
        self.keys_and_values = merged([whole.key, whole.value])
        self.output = attention.output
        self.heads = whole.num_attention_heads
        self.rule = Rule(whole.scaling)

    def forward(self, hidden_states: Tensor, *_: Any, layout: Layout, **__: Any) -> tuple[Tensor, None]:
        """Return (1, n, hidden) for hidden_states (1, rows, hidden)."""
        firsts = hidden_states[0, layout.firsts]
        query = self.query(firsts).unflatten(-1, (self.heads, -1))
        key, value = self.keys_and_values(hidden_states[0]).unflatten(-1, (2, self.heads, -1)).unbind(1)
        states = attend_ends(query, key, value, layout, self.rule)
        return self.output(states.flatten(1).unsqueeze(0), firsts.unsqueeze(0)), None
