"""Which modules are replaced; that they give the same results is `test_packing`'s."""

from collections import Counter

import pytest
from models.networks import network, packed
from torch import nn

from podium.models.linear.onednn import FusedLinear
from podium.models.network.fusion import FusedOutput, FusedSelfAttention


@pytest.mark.parametrize(
    ("shape", "changes", "attentions", "outputs", "linears"),
    [
        # a layer is attention, its output, the intermediate and its output: one product each; the last
        # layer's attention has two, see `last_layer`
        pytest.param("ms-marco-MiniLM-L6-v2", {}, 1, 4, 9, id="bert"),
        pytest.param("bge-reranker-base", {}, 1, 4, 9, id="xlm-roberta"),
        pytest.param("podium-tiny", {}, 1, 4, 10, id="electra, and its projected embeddings"),
        pytest.param("gte-reranker-modernbert-base", {}, 0, 0, 10, id="modernbert, gate and up apart"),
        pytest.param("ms-marco-MiniLM-L6-v2", {"hidden_act": "relu"}, 1, 4, 9, id="no gelu to fuse"),
    ],
)
def test_every_linear_layer_below_the_head_is_fused(shape, changes, attentions, outputs, linears):
    forward = packed(network(shape, num_hidden_layers=2, **changes))
    found = Counter(type(module) for module in forward._reduced.base.modules())
    assert found[FusedSelfAttention] == attentions
    assert found[FusedOutput] == outputs
    assert found[FusedLinear] == linears
    assert found[nn.Linear] == 0


def test_another_activation_than_gelu_is_left_where_it_was():
    forward = packed(network("ms-marco-MiniLM-L6-v2", num_hidden_layers=1, hidden_act="relu"))
    intermediate = forward._reduced.base.encoder.layer[0].intermediate
    assert isinstance(intermediate.intermediate_act_fn, nn.ReLU)
    assert intermediate.dense.activation == "none"
