"""The packed forward is equal to transformers' own padded one, and this test would notice if it were not."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.networks import CUDA, build, encodings, network, packed, reference

from podium.models import architectures
from podium.models.layout import MULTIPLE, Group, Layout
from podium.models.linear.onednn import FusedLinear
from podium.models.network import packed as forward_module

BOUND = 1e-4
"""Greatest difference of two float32 logits; they are of the order of 1."""

SHORT = [3, 130, 17, 64, 65, 64, 16, 33, 128]


def difference(model, pairs, *batches, device="cpu") -> float:
    """Return the greatest difference between all pairs packed at once and `batches` of them padded."""
    expected = np.concatenate([reference(model, batch) for batch in batches or [pairs]])
    got = packed(model, device).logits(pairs)
    assert got.dtype == np.float32
    return float(np.abs(got - expected).max())


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize(
    "shape", ["ms-marco-MiniLM-L6-v2", "podium-tiny", "bge-reranker-base", "gte-reranker-modernbert-base"]
)
def test_all_layers_give_the_logits_of_the_padded_forward_up_to_512_tokens(shape, device):
    short, long = encodings(SHORT), encodings([512, 400], seed=8)
    assert difference(network(shape), short + long, short, long, device=device) < BOUND


@pytest.mark.parametrize("shape", ["bge-reranker-v2-m3", "gte-reranker-modernbert-base"])
def test_two_layers_give_the_logits_of_the_padded_forward_up_to_8192_tokens(shape):
    short, long = encodings([5, 300]), encodings([8192], seed=8)
    assert difference(network(shape, num_hidden_layers=2), short + long, short, long) < BOUND


def test_a_modernbert_head_that_reads_the_first_token_gets_it():
    model = network("gte-reranker-modernbert-base", num_hidden_layers=3, classifier_pooling="cls")
    assert difference(model, encodings(SHORT)) < BOUND


@pytest.mark.parametrize("model_type", sorted(architectures.PACKABLE))
def test_each_architecture_that_is_packed_gives_the_logits_of_the_padded_forward(model_type):
    small = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
    model = build({"model_type": model_type, "pad_token_id": 1, **small})
    assert architectures.packable(model)
    assert difference(model, encodings(SHORT)) < BOUND


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ("bge-reranker-base", len(SHORT)),
        ("gte-reranker-modernbert-base", sum(SHORT) + -sum(SHORT) % MULTIPLE),
    ],
)
def test_the_last_feed_forward_is_of_first_tokens_alone_where_the_head_reads_no_others(shape, rows):
    forward = packed(network(shape, num_hidden_layers=2))
    seen = []
    for module in forward._reduced.base.modules():
        if isinstance(module, FusedLinear):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numel()))
    forward.logits(encodings(SHORT))
    width = forward._base.config.intermediate_size
    assert seen[-1] == rows * width


def test_one_token_is_a_pair():
    assert difference(network("podium-tiny"), encodings([1])) < BOUND


@pytest.fixture(scope="module")
def small():
    """A model that is fast enough for many batches: its reference and its packed form."""
    return network("ms-marco-MiniLM-L6-v2", num_hidden_layers=2), packed(
        network("ms-marco-MiniLM-L6-v2", num_hidden_layers=2)
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(1, 260), min_size=1, max_size=24))
def test_whatever_the_mix_of_lengths(small, lengths):
    model, forward = small
    pairs = encodings(lengths)
    assert np.abs(forward.logits(pairs) - reference(model, pairs)).max() < BOUND


def test_a_score_does_not_depend_on_the_neighbours(small):
    _, forward = small
    pairs = encodings(SHORT)
    alone = np.concatenate([forward.logits([pair]) for pair in pairs])
    assert np.abs(forward.logits(pairs) - alone).max() < 1e-5


def test_a_batch_of_several_sequences_keeps_its_order(small):
    _, forward = small
    pairs = encodings([500, 30, 510, 500, 5, 512, 511, 509, 508, 507, 506, 512])
    alone = np.concatenate([forward.logits([pair]) for pair in pairs])
    assert np.abs(forward.logits(pairs) - alone).max() < 1e-5


class SeesNeighbour(Layout):
    """Attention also sees the first token of the next pair."""

    @property
    def groups(self) -> list[Group]:
        ends = np.minimum(self.ends + 1, self.total)
        return [
            Group(
                spans=[(start, end)],
                padded=end - start,
                rows=self._tensor(np.arange(start, end)),
                held=torch.ones(1, end - start, dtype=torch.bool),
                kept=self._tensor(np.arange(end - start)),
                prefix=None,
            )
            for start, end in zip(self.starts.tolist(), ends.tolist(), strict=True)
        ]


class RunsOn(Layout):
    """Positions do not restart at each pair."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.positions = self.filled(np.arange(self.total))


@pytest.mark.parametrize(
    "shape", ["ms-marco-MiniLM-L6-v2", "podium-tiny", "bge-reranker-base", "gte-reranker-modernbert-base"]
)
def test_the_bound_notices_attention_that_sees_one_token_of_the_neighbour(shape, monkeypatch):
    monkeypatch.setattr(forward_module, "Layout", SeesNeighbour)
    assert difference(network(shape, num_hidden_layers=3), encodings([9, 30, 70, 71])) > 10 * BOUND


# not ModernBERT: rotated positions are relative, so a shift of a whole pair changes nothing
@pytest.mark.parametrize("shape", ["ms-marco-MiniLM-L6-v2", "podium-tiny", "bge-reranker-base"])
def test_the_bound_notices_positions_that_run_on(shape, monkeypatch):
    monkeypatch.setattr(forward_module, "Layout", RunsOn)
    assert difference(network(shape, num_hidden_layers=3), encodings([9, 30, 70, 71])) > 10 * BOUND


@pytest.mark.parametrize("offset", [-1, 1])
def test_the_bound_notices_a_window_that_is_off_by_one(offset, monkeypatch):
    attend = forward_module.attend

    def mutant(query, key, value, layout, rule):
        return attend(query, key, value, layout, rule._replace(window=rule.window and rule.window + offset))

    monkeypatch.setattr(forward_module, "attend", mutant)
    model = network("gte-reranker-modernbert-base", num_hidden_layers=3)
    assert difference(model, encodings([70, 90, 300])) > 10 * BOUND
