"""Packed DeBERTa gives the logits of transformers' own padded forward, and this test would notice if not."""

import numpy as np
import pytest
import torch
from models.network.test_packed import SeesNeighbour
from models.networks import CUDA, encodings, network, packed, reference
from scipy.stats import spearmanr

from podium.models import architectures
from podium.models.attention import disentangled
from podium.models.network import packed as forward_module

BOUND = 1e-4
SHAPE = "mxbai-rerank-xsmall-v1"
SHORT = [3, 130, 17, 64, 65, 64, 16, 33, 128, 1, 2]

VARIANTS = {
    "mxbai v1": {},
    "content to position alone": {"pos_att_type": ["c2p"]},
    "position to content alone": {"pos_att_type": ["p2c"]},
    "keys of their own for positions": {"share_att_key": False},
    "no buckets": {"position_buckets": -1},
    "no buckets, few positions": {"position_buckets": -1, "max_relative_positions": 40},
    "relative embeddings not normalized": {"norm_rel_ebd": "none"},
    "biased positions and segments": {"position_biased_input": True, "type_vocab_size": 2},
    "no relative attention": {"relative_attention": False, "position_biased_input": True},
    "embeddings of another size": {"embedding_size": 128},
}


def difference(shape_changes, pairs, *batches, device="cpu") -> float:
    expected = np.concatenate(
        [reference(network(SHAPE, **shape_changes), batch) for batch in batches or [pairs]]
    )
    got = packed(network(SHAPE, **shape_changes), device).logits(pairs)
    assert got.dtype == np.float32
    return float(np.abs(got - expected).max())


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_all_layers_give_the_logits_of_the_padded_forward_up_to_512_tokens(device):
    short, long = encodings(SHORT), encodings([512, 400, 300], seed=8)
    assert difference({}, short + long, short, long, device=device) < BOUND


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_two_layers_give_the_logits_of_the_padded_forward_beyond_2048_tokens(device):
    changes = {"num_hidden_layers": 2, "max_position_embeddings": 2500}
    short, long = encodings([5, 300]), encodings([2450], seed=8)
    assert difference(changes, short + long, short, long, device=device) < BOUND


def test_tokens_beyond_the_positions_are_as_far_as_the_reference_says():
    """Relative positions have no end: the furthest bucket stands for whatever is further."""
    pairs = encodings([900])
    assert difference({"num_hidden_layers": 2, "max_position_embeddings": 512}, pairs) < BOUND


@pytest.mark.parametrize("name", VARIANTS)
def test_each_kind_of_disentangled_attention(name):
    changes = {"num_hidden_layers": 2, **VARIANTS[name]}
    assert difference(changes, encodings([*SHORT, 300])) < BOUND


def test_a_score_does_not_depend_on_the_neighbours():
    forward = packed(network(SHAPE, num_hidden_layers=2))
    pairs = encodings([*SHORT, 500, 510, 511, 512])
    alone = np.concatenate([forward.logits([pair]) for pair in pairs])
    assert np.abs(forward.logits(pairs) - alone).max() < 1e-5


def test_weights_beyond_the_range_of_powers_of_two_are_computed_with_their_maximum_taken_off():
    model = network(SHAPE, num_hidden_layers=2)
    wild = network(SHAPE, num_hidden_layers=2)
    for one in (model, wild):
        for layer in one.deberta.encoder.layer:
            layer.attention.self.query_proj.weight.data *= 12
    pairs = encodings(SHORT)
    expected = reference(model, pairs)
    got = packed(wild).logits(pairs)
    assert np.abs(got - expected).max() < 1e-3 * max(1, expected.std())


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="needs a processor that oneDNN computes bfloat16 on",
)
def test_bfloat16_ranks_as_float32_does():
    random = np.random.default_rng(5)
    pairs = encodings(random.integers(20, 200, 120).tolist())
    small = {"num_hidden_layers": 6, "initializer_range": 0.05}
    expected = packed(network(SHAPE, **small)).logits(pairs)
    got = packed(network(SHAPE, **small).to(torch.bfloat16), dtype=torch.bfloat16).logits(pairs)
    assert spearmanr(got, expected).statistic >= 0.999


def test_the_last_layer_is_computed_for_first_tokens_alone():
    forward = packed(network(SHAPE, num_hidden_layers=2))
    last = forward._base.layers[-1]
    seen = []
    last.output.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    forward.logits(encodings(SHORT))
    assert seen == [(1, len(SHORT), 1536)]


def test_no_matrix_of_distances_is_made(monkeypatch):
    """transformers makes 8 · t² bytes of them: 192 MB at 4,096 tokens with their copies."""
    asked = []
    plain = disentangled.make_log_bucket_position
    monkeypatch.setattr(
        disentangled, "make_log_bucket_position", lambda x, *rest: asked.append(x.shape) or plain(x, *rest)
    )
    packed(network(SHAPE, num_hidden_layers=2)).logits(encodings([300]))
    assert asked
    assert all(shape == (2 * 304,) for shape in asked)


def test_a_convolution_is_not_packed():
    convolution = network(SHAPE, num_hidden_layers=1, conv_kernel_size=3, conv_act="gelu")
    assert not architectures.packable(convolution)
    assert architectures.packable(network(SHAPE, num_hidden_layers=1))


def mutants():
    """What the bound must notice: name to what is changed."""
    rows = disentangled.Distances.rows
    scores = disentangled._scores
    return {
        "positions mirrored": (
            "Distances.rows",
            lambda self, reach, device: rows(self, reach, device).flip(0),
        ),
        "positions off by one": (
            "Distances.rows",
            lambda self, reach, device: rows(self, reach, device).roll(1),
        ),
        "one part left out": (
            "_scores",
            lambda q, k, group, relative, scaling: scores(
                q, k, group, relative._replace(query=None), scaling
            ),
        ),
    }


@pytest.mark.parametrize("name", mutants())
def test_the_bound_notices(name, monkeypatch):
    where, mutant = mutants()[name]
    owner, _, attribute = f"disentangled.{where}".rpartition(".")
    target = disentangled if owner == "disentangled" else disentangled.Distances
    monkeypatch.setattr(target, attribute, mutant)
    assert difference({"num_hidden_layers": 2}, encodings([9, 30, 70, 71])) > 10 * BOUND


def test_the_bound_notices_attention_that_sees_one_token_of_the_neighbour(monkeypatch):
    monkeypatch.setattr(forward_module, "Layout", SeesNeighbour)
    assert difference({"num_hidden_layers": 2}, encodings([9, 30, 70, 71])) > 10 * BOUND
