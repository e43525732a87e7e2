"""Architectures that cannot be packed give the logits of transformers' own forward."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models.networks import build, encodings, network, padded, reference, states
from transformers import AutoModel

from podium.models.network.heads import make_head
from podium.models.network.padded import PaddedForward, slices
from podium.models.recipe import Recipe, Rows

LENGTHS = [3, 90, 17, 64, 5]


def deberta():
    return network("mxbai-rerank-xsmall-v1", num_hidden_layers=2)


def test_deberta_gives_its_own_logits():
    pairs = encodings(LENGTHS)
    got = padded(deberta()).logits(pairs)
    assert np.abs(got - reference(deberta(), pairs)).max() < 1e-4


def test_segments_reach_a_model_that_knows_them():
    model = network("podium-tiny", num_hidden_layers=1)
    pairs = encodings(LENGTHS)
    got = padded(network("podium-tiny", num_hidden_layers=1)).logits(pairs)
    assert np.abs(got - reference(model, pairs)).max() < 1e-4


@pytest.mark.parametrize("make", [deberta, lambda: network("ms-marco-MiniLM-L6-v2", num_hidden_layers=1)])
def test_the_head_stays_in_float32(make):
    model = make()
    forward = padded(model, torch.bfloat16)
    heads = [model.classifier, getattr(model, "pooler", None) or model.base_model.pooler]
    assert {parameter.dtype for head in heads for parameter in head.parameters()} == {torch.float32}
    assert next(model.base_model.encoder.parameters()).dtype == torch.bfloat16
    assert forward.logits(encodings(LENGTHS)).dtype == np.float32


def test_a_config_of_several_models_pads_as_its_text_model_says():
    text = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4}
    text |= {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 2000, "pad_token_id": 1}
    sight = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = {"model_type": "gemma3", "text_config": text, "vision_config": sight, "num_labels": 1}
    pairs = encodings(LENGTHS)
    got = padded(build(config)).logits(pairs)
    alone = [reference(build(config), [pair]) for pair in pairs]
    assert np.abs(got - np.concatenate(alone)).max() < 1e-4


@pytest.mark.parametrize("state", ["first", "mean", "last"])
def test_a_head_over_a_base_model_reads_the_state_of_each_pair(state):
    config = deberta().config
    torch.manual_seed(22)
    base = AutoModel.from_config(config).eval()
    pairs, row = encodings(LENGTHS), torch.linspace(-1, 1, config.hidden_size)
    wanted = states(base, pairs, state) @ row / 2
    files = SimpleNamespace(network=base, rows=lambda *_: row.unsqueeze(0))
    head = Rows(source="score", true=0)
    recipe = Recipe(family="x", recognised_by="x", head=head, state=state, temperature=2.0)
    forward = PaddedForward(base, make_head(recipe, files), recipe, torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        assert np.abs(forward.logits(pairs) - wanted.numpy()).max() < 1e-4


def test_a_decoder_that_knows_no_padding_scores_pairs_one_by_one():
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    model = build(
        {"model_type": "ministral", "pad_token_id": None, "head_dim": 16, "num_key_value_heads": 1, **small}
    )
    forward, pairs = padded(model), encodings([9, 9, 5])
    with torch.inference_mode():
        wanted = [float(model(torch.from_numpy(pair.ids).long()[None]).logits[0, 0]) for pair in pairs]
        assert forward.logits(pairs) == pytest.approx(wanted, abs=1e-5)


def test_padding_counts_as_computed():
    forward = padded(network("podium-tiny", num_hidden_layers=1))
    assert forward.computed(encodings(LENGTHS)) == len(LENGTHS) * max(LENGTHS)


@pytest.mark.parametrize("model_type", ["fnet", "convbert"])
def test_a_model_that_does_not_mask_padding_scores_a_pair_as_it_does_alone(model_type):
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = build({"model_type": model_type, "pad_token_id": 3, **small})
    forward, pairs = padded(model), encodings(LENGTHS)
    with torch.inference_mode():
        alone = np.concatenate([forward.logits([pair]) for pair in pairs])
        together = forward.logits(pairs)
    assert np.abs(together - alone).max() < 1e-5
    assert forward.computed(pairs) == sum(LENGTHS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_padding_that_moves_a_score_is_noticed_in_every_precision(dtype):
    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    model = build({"model_type": "nystromformer", "max_position_embeddings": 510, **small})
    forward, pairs = padded(model, dtype), encodings(LENGTHS)
    assert forward.computed(pairs) == sum(LENGTHS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_padding_that_is_masked_keeps_pairs_of_all_lengths_together_in_every_precision(dtype):
    assert padded(deberta(), dtype).computed(encodings(LENGTHS)) == len(LENGTHS) * max(LENGTHS)


@pytest.mark.parametrize("model_type", ["bart", "t5"])
def test_a_model_that_masks_padding_and_reads_the_end_of_a_pair_scores_pairs_of_all_lengths_at_once(
    model_type,
):
    small = {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 1, "encoder_layers": 1, "decoder_layers": 1}
    model = build({"model_type": model_type, "eos_token_id": 2, "decoder_start_token_id": 0, **small})
    forward, pairs = padded(model), encodings(LENGTHS)
    for pair in pairs:
        pair.ids[pair.ids == 2] = 3
        pair.ids[-1] = 2
    with torch.inference_mode():
        alone = np.concatenate([forward.logits([pair]) for pair in pairs])
        together = forward.logits(pairs)
    assert np.abs(together - alone).max() < 1e-4
    assert forward.computed(pairs) == len(LENGTHS) * max(LENGTHS)


def test_a_model_whose_code_fails_on_the_probe_in_its_own_way_is_served():
    model = network("podium-tiny", num_hidden_layers=1)
    plain = model.forward

    def forward(input_ids, **inputs):
        assert input_ids[0, 0] == 101, "a pair begins with [CLS]"
        return plain(input_ids=input_ids, **inputs)

    model.forward = forward
    pairs = encodings(LENGTHS)
    for pair in pairs:
        pair.ids[0] = 101
    served = padded(model)
    with torch.inference_mode():
        assert np.isfinite(served.logits(pairs)).all()


@given(lengths=st.lists(st.integers(1, 3000), max_size=80))
def test_slices_hold_every_pair_once_and_keep_to_their_limit(lengths):
    cut = list(slices(lengths))
    assert sorted(index for part in cut for index in part) == list(range(len(lengths)))
    assert all(len(part) == 1 or len(part) * lengths[part[0]] <= 4096 for part in cut)
    assert all(lengths[index] <= lengths[part[0]] for part in cut for index in part)
