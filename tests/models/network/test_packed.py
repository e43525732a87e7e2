"""The packed forward is equal to transformers' own padded one, and this test would notice if it were not."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.networks import CUDA, build, encodings, network, packed, padded, reference, states
from scipy.stats import spearmanr
from transformers import AutoModel

from podium.models import architectures
from podium.models.grouping import MULTIPLE
from podium.models.layout import Group, Layout
from podium.models.linear.onednn import PlainLinear
from podium.models.network import decoder
from podium.models.network import packed as forward_module
from podium.models.network.heads import make_head
from podium.models.network.packed import PackedForward
from podium.models.recipe import Recipe, Rows

BOUND = 1e-4
"""Greatest difference of two float32 logits; they are of the order of 1."""

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "dim": 64,
    "hidden_dim": 96,
    "n_layers": 3,
    "n_heads": 4,
}
"""A small model by the names of all configs."""

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


def test_a_modernbert_head_that_reads_the_first_token_gets_it_and_the_last_layer_computes_no_other():
    # every third layer is a global one; a local last layer computes all tokens, see `decoder`
    for layers, kept in ((4, True), (3, False)):
        shape = {"num_hidden_layers": layers, "classifier_pooling": "cls"}
        assert packed(network("gte-reranker-modernbert-base", **shape))._reduced.kept is kept
        model = network("gte-reranker-modernbert-base", **shape)
        assert difference(model, encodings(SHORT)) < BOUND


@pytest.mark.parametrize("model_type", sorted(architectures.ENCODERS))
def test_each_architecture_that_is_packed_gives_the_logits_of_the_padded_forward(model_type):
    pooling = {"classifier_pooling": "mean"} if model_type == "eurobert" else {}
    model = build({"model_type": model_type, **SMALL, **pooling})
    assert architectures.packable(model)
    assert difference(model, encodings(SHORT)) < BOUND


@pytest.mark.parametrize("model_type", sorted(architectures.ENCODERS))
def test_each_architecture_ranks_in_bfloat16_as_it_does_in_float32(model_type):
    # also where the processor has no such products: torch's plain ones round the same way
    fields = {"model_type": model_type, **SMALL}
    if model_type == "eurobert":
        fields["classifier_pooling"] = "mean"
    pairs = encodings(np.random.default_rng(3).integers(8, 90, 80).tolist())
    exact, fast = packed(build(fields)), packed(build(fields), dtype=torch.bfloat16)
    assert spearmanr(exact.logits(pairs), fast.logits(pairs)).statistic >= 0.999


@pytest.mark.parametrize("model_type", sorted(architectures.ENCODERS))
@pytest.mark.parametrize("state", ["first", "mean", "last"])
def test_a_base_model_alone_gives_the_state_that_is_read(model_type, state):
    torch.manual_seed(21)
    config = build({"model_type": model_type, **SMALL}).config
    base = AutoModel.from_config(config).eval()
    pairs = [pair._replace(second=len(pair.ids)) for pair in encodings(SHORT)]
    wanted = states(base, pairs, state) @ torch.linspace(-1, 1, 64)
    head = SimpleNamespace(network=base, rows=lambda *_: torch.linspace(-1, 1, 64).unsqueeze(0))
    recipe = Recipe(family="x", recognised_by="x", head=Rows(source="score", true=0), state=state)
    forward = PackedForward(base, make_head(recipe, head), recipe, torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        got = torch.from_numpy(forward.logits(pairs))
    assert float((got - wanted).abs().max()) < BOUND * max(1.0, float(wanted.std()))


@pytest.mark.parametrize(
    "model_type",
    [
        *("camembert", "data2vec-text", "esm", "ibert", "lilt", "luke", "mpnet", "roberta"),
        *("roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
    ],
)
def test_positions_that_begin_after_padding_are_the_model_s_own(model_type):
    languages = {"languages": ["en"], "default_language": "en"} if model_type == "xmod" else {}
    fields = {**SMALL, "hidden_size": 96, "channel_shrink_ratio": 4, "max_position_embeddings": 40}
    if model_type == "esm":
        fields |= {"position_embedding_type": "absolute", "token_dropout": False}
    base = build({"model_type": model_type, **fields, **languages}).base_model
    assert architectures.positions(base) == (2, 1)
    assert architectures.usable_length(base) == 38


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra", "ernie", "gte", "modernbert"])
def test_other_positions_begin_at_0_and_count_every_token(model_type):
    base = build({"model_type": model_type, **SMALL, "max_position_embeddings": 40}).base_model
    assert architectures.positions(base) == (0, None)
    assert architectures.usable_length(base) == 40


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta", "bert"])
def test_a_padding_token_inside_a_text_has_the_position_that_the_model_gives_it(model_type):
    pairs = encodings([9, 30, 40])
    for place, pair in zip((0, 7, 39), pairs, strict=True):
        pair.ids[place] = 1
        pair.ids[place - 1] = 1
    model = build({"model_type": model_type, **SMALL})
    assert difference(model, pairs) < BOUND


def test_a_head_that_means_logits_and_not_states_is_not_packed():
    model = build({"model_type": "eurobert", **SMALL, "classifier_pooling": "late"})
    assert not architectures.packable(model)
    assert architectures.packable(model.base_model)
    pairs = encodings(SHORT)
    wanted = reference(model, pairs)
    assert np.abs(padded(model).logits(pairs) - wanted).max() < BOUND


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ("bge-reranker-base", len(SHORT)),
        ("gte-reranker-modernbert-base", sum(SHORT) + -sum(SHORT) % MULTIPLE),
    ],
)
def test_the_last_feed_forward_is_of_first_tokens_alone_where_the_head_reads_no_others(
    shape, rows, monkeypatch
):
    forward = packed(network(shape, num_hidden_layers=2))
    seen = []
    for module in forward._base.modules():
        if isinstance(module, PlainLinear):
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
                number=None,
                masks={},
            )
            for start, end in zip(self.starts.tolist(), ends.tolist(), strict=True)
        ]


class RunsOn(Layout):
    """Positions do not restart at each pair."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
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

    # both as transformers wrote the layers and as they are fused: one is probed by the other
    for module in (forward_module, decoder):
        monkeypatch.setattr(module, "attend", mutant)
    model = network("gte-reranker-modernbert-base", num_hidden_layers=3)
    assert difference(model, encodings([70, 90, 300])) > 10 * BOUND


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"model_type": "t5", "d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 1, "num_heads": 4}, None),
        ({"model_type": "xlnet", "d_model": 64, "n_head": 4, "d_inner": 96, "n_layer": 1}, None),
        ({"model_type": "bloom", "hidden_size": 64, "n_head": 4, "n_layer": 1}, None),
        ({"model_type": "mpt", "d_model": 64, "n_heads": 4, "n_layers": 1, "max_seq_len": 96}, 96),
    ],
    ids=lambda value: value.get("model_type") if isinstance(value, dict) else str(value),
)
def test_a_model_that_knows_distances_alone_has_no_positions_to_run_out_of(config, length):
    model = build({**config, "vocab_size": 99, "num_labels": 1})
    assert architectures.usable_length(model) == length
    assert architectures.longest(model.config) == 2048


@pytest.mark.parametrize(("model_type", "length"), [("nystromformer", 66), ("mra", 66), ("mpnet", 64)])
def test_positions_that_begin_at_2_whatever_the_padding_is_are_found(model_type, length):
    model = build({"model_type": model_type, **SMALL, "pad_token_id": 0, "max_position_embeddings": 66})
    assert architectures.positions(model.base_model).first == 2
    assert architectures.usable_length(model) == length  # the first two have rows beside those that they say
