"""Architectures that cannot be packed give the logits of transformers' own forward."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models.networks import encodings, network, padded, reference

from podium.models.network.padded import slices

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


@pytest.mark.parametrize("build", [deberta, lambda: network("ms-marco-MiniLM-L6-v2", num_hidden_layers=1)])
def test_the_head_stays_in_float32(build):
    model = build()
    forward = padded(model, torch.bfloat16)
    heads = [model.classifier, getattr(model, "pooler", None) or model.base_model.pooler]
    assert {parameter.dtype for head in heads for parameter in head.parameters()} == {torch.float32}
    assert model.base_model.encoder.layer[0].attention.self.dropout is not None
    assert next(model.base_model.encoder.parameters()).dtype == torch.bfloat16
    assert forward.logits(encodings(LENGTHS)).dtype == np.float32


@given(lengths=st.lists(st.integers(1, 3000), max_size=80))
def test_slices_hold_every_pair_once_and_keep_to_their_limit(lengths):
    cut = list(slices(lengths))
    assert sorted(index for part in cut for index in part) == list(range(len(lengths)))
    assert all(len(part) == 1 or len(part) * lengths[part[0]] <= 4096 for part in cut)
    assert all(lengths[index] <= lengths[part[0]] for part in cut for index in part)
