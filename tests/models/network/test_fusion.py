"""Which modules are replaced; that they give the same results is `test_packing`'s."""

from collections import Counter

import numpy as np
import pytest
from models.networks import DECODERS, build, encodings, network, packed, reference
from torch import nn

from podium.models.linear import onednn
from podium.models.linear.onednn import FusedLinear, PlainLinear
from podium.models.network.decoder import Layer
from podium.models.network.fusion import FusedOutput, FusedSelfAttention


@pytest.fixture(params=[FusedLinear, PlainLinear])
def kind(request, monkeypatch):
    """The kind of layer that is faster on this machine: each is, on some."""
    monkeypatch.setattr(onednn, "plain_is_faster", lambda: request.param is PlainLinear)
    return request.param


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
def test_every_linear_layer_below_the_head_is_replaced(shape, changes, attentions, outputs, linears, kind):
    forward = packed(network(shape, num_hidden_layers=2, **changes))
    found = Counter(type(module) for module in forward._reduced.base.modules())
    assert found[FusedSelfAttention] == attentions
    assert found[FusedOutput] == outputs
    assert found[kind] == linears
    assert found[nn.Linear] == 0


@pytest.mark.parametrize("shape", ["ms-marco-MiniLM-L6-v2", "gte-reranker-modernbert-base", "podium-tiny"])
def test_either_kind_gives_what_transformers_does(shape, kind):
    model, pairs = network(shape, num_hidden_layers=2), encodings([3, 40, 17, 64])
    wanted = reference(model, pairs)
    assert np.abs(packed(model).logits(pairs) - wanted).max() < 1e-4


@pytest.mark.parametrize("name", ["gemma2", "qwen3"])
def test_decoders_are_replaced_by_either_kind(name, kind):
    forward = packed(build(DECODERS[name]), attention="causal", state="last")
    found = Counter(type(module) for module in forward._base.modules())
    assert found[Layer] == 3
    assert found[kind] == 3 * 5 + 1  # the last layer's query stands apart
    assert found[nn.Linear] == 0


def test_another_activation_than_gelu_is_left_where_it_was():
    forward = packed(network("ms-marco-MiniLM-L6-v2", num_hidden_layers=1, hidden_act="relu"))
    intermediate = forward._reduced.base.encoder.layer[0].intermediate
    assert isinstance(intermediate.intermediate_act_fn, nn.ReLU)
    assert intermediate.dense.activation == "none"
