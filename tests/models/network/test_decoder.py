"""Packed decoders are equal to transformers' own padded forward, and these tests would notice if not."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.networks import DECODERS, build, packed, prefixed, states
from scipy.stats import spearmanr
from torch import nn

from podium.models.layout import Layout
from podium.models.network import packed as forward_module
from podium.models.network import sequences as laying
from podium.models.network.decoder import Layer
from podium.models.network.packed import packed_attention
from podium.models.network.prefix_cache import PrefixCache

BOUND = 1e-4
"""Greatest difference of two float32 logits, relative to their spread where it is above 1."""

CAUSAL = {"attention": "causal", "state": "last"}
PAIRS = [*prefixed([3, 17, 30, 31, 60, 1], 25), *prefixed([5, 90], 40, seed=8), *prefixed([50], 12, seed=9)]
every_decoder = pytest.mark.parametrize("name", sorted(DECODERS))


@torch.inference_mode()
def logits(model, pairs, state="last"):
    """Return what transformers computes, by the head `score`."""
    return model.score(states(model.base_model, pairs, state))[:, 0].numpy()


def difference(got, wanted):
    assert got.dtype == np.float32
    return float(np.abs(got - wanted).max()) / max(1.0, float(np.ptp(wanted)))


@every_decoder
def test_pairs_with_shared_prefixes_have_the_logits_of_each_pair_alone(name):
    model = build(DECODERS[name])
    wanted = logits(model, PAIRS)
    assert wanted.std() > 0.2
    forward = packed(model, **CAUSAL)
    # 25 + 142 of the first prefix, 40 + 95 of the second, a pair alone
    assert forward.computed(PAIRS) == 25 + 142 + 40 + 95 + 62
    assert difference(forward.logits(PAIRS), wanted) < BOUND


@every_decoder
def test_pairs_without_shared_prefixes_too(name):
    pairs = [pair._replace(shared=0) for pair in PAIRS]
    model = build(DECODERS[name])
    wanted = logits(model, pairs)
    forward = packed(model, **CAUSAL)
    assert difference(forward.logits(pairs), wanted) < BOUND
    assert forward.computed(pairs) == sum(len(pair.ids) for pair in pairs)


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "qwen2 with windows", "mistral", "gemma2"])
@pytest.mark.parametrize("state", ["first", "mean", "last"])
def test_a_decoder_may_be_read_in_both_directions(name, state):
    model = build({**DECODERS[name], "is_causal": False})
    wanted = logits(model, PAIRS, state)
    forward = packed(model, attention="bidirectional", state=state)
    assert difference(forward.logits(PAIRS), wanted) < BOUND
    assert forward.computed(PAIRS) == sum(len(pair.ids) for pair in PAIRS)


def test_the_mean_of_a_causal_decoder_counts_its_prefix():
    model = build(DECODERS["qwen3"])
    wanted = logits(model, PAIRS, "mean")
    assert difference(packed(model, attention="causal", state="mean").logits(PAIRS), wanted) < BOUND


@pytest.mark.parametrize("name", ["qwen3", "gemma2", "llama"])
def test_bfloat16_keeps_the_order(name):
    pairs = [*prefixed(range(20, 80), 30), *prefixed(range(20, 60), 50, seed=11)]
    model = build(DECODERS[name])
    wanted = logits(model, pairs)
    got = packed(model, dtype=torch.bfloat16, **CAUSAL).logits(pairs)
    assert spearmanr(got, wanted).statistic >= 0.999


def test_bfloat16_keeps_the_order_at_thousands_of_tokens():
    # frequencies in bfloat16 are off by several radians there
    pairs = prefixed(range(20, 60), 4100)
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1}  # each takes a minute where it is emulated
    fields = {**DECODERS["llama"], "num_hidden_layers": 2, **heads}
    theirs = logits(build(fields), pairs[:2])  # the others cost it minutes
    exact = packed(build(fields), **CAUSAL).logits(pairs)
    assert difference(exact[:2], theirs) < BOUND
    fast = packed(build(fields), dtype=torch.bfloat16, **CAUSAL).logits(pairs)
    assert spearmanr(fast, exact).statistic >= 0.999


def test_rotary_frequencies_are_float32_whatever_is_served():
    forward = packed(build(DECODERS["qwen3"]), dtype=torch.bfloat16, **CAUSAL)
    assert forward._base.rotary_emb.inv_freq.dtype == torch.float32


@pytest.fixture(scope="module")
def small():
    """A model that is fast enough for many batches: its reference and its packed form."""
    fields = {**DECODERS["qwen2 with windows"], "num_hidden_layers": 2}
    return build(fields), packed(build(fields), **CAUSAL)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    families=st.lists(
        st.tuples(st.integers(0, 70), st.lists(st.integers(1, 90), min_size=1)), min_size=1, max_size=4
    )
)
def test_whatever_the_mix_of_prefixes_and_lengths(small, families):
    model, forward = small
    pairs = [
        pair
        for seed, (shared, lengths) in enumerate(families)
        for pair in prefixed(lengths[:12], shared, seed)
    ]
    assert difference(forward.logits(pairs), logits(model, pairs)) < BOUND


def test_a_batch_of_several_sequences_keeps_its_order(small, monkeypatch):
    model, forward = small
    monkeypatch.setattr(forward, "_max_tokens", 120)
    monkeypatch.setattr(forward, "_prefix_cache", PrefixCache())
    assert forward.computed(PAIRS) > 25 + 142 + 40 + 95 + 62
    assert difference(forward.logits(PAIRS), logits(model, PAIRS)) < BOUND


@every_decoder
def test_layers_of_llama_s_kind_are_replaced_and_the_last_computes_last_tokens_alone(name):
    forward = packed(build(DECODERS[name]), **CAUSAL)
    replaced = [module for module in forward._base.modules() if isinstance(module, Layer)]
    if name == "gpt2":  # its products are of another kind
        assert not replaced
        assert not forward._reduced.kept
        return
    assert len(replaced) == 3
    seen = []
    replaced[-1].gated.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[0]))
    forward.logits(PAIRS)
    assert seen == [len(PAIRS)]
    assert not any(isinstance(module, nn.Linear) for module in forward._base.modules())


def test_a_layer_that_only_looks_like_it_stays_what_it_was(monkeypatch):
    def halved(self, hidden_states):
        return self.down_proj(self.act_fn(self.gate_proj(hidden_states)) * self.up_proj(hidden_states)) / 2

    model = build(DECODERS["llama"])
    monkeypatch.setattr(type(model.base_model.layers[0].mlp), "forward", halved)
    wanted = logits(model, PAIRS)
    forward = packed(model, **CAUSAL)
    assert not any(isinstance(module, Layer) for module in forward._base.modules())
    assert difference(forward.logits(PAIRS), wanted) < BOUND


def test_a_last_layer_that_gives_something_else_for_last_tokens_stays_what_it_was(monkeypatch):
    keep = Layer.keep

    def wrongly(self, *arguments, **more):
        keep(self, *arguments, **more)
        self.query = nn.Sequential(self.query, nn.Softplus())

    monkeypatch.setattr(Layer, "keep", wrongly)
    model = build(DECODERS["llama"])
    wanted = logits(model, PAIRS)
    forward = packed(model, **CAUSAL)
    assert sum(isinstance(module, Layer) for module in forward._base.modules()) == 2
    assert not forward._reduced.kept
    assert difference(forward.logits(PAIRS), wanted) < BOUND


def test_an_argument_of_attention_that_is_not_known_is_refused():
    some = torch.zeros(1, 1, 1, 16)
    with pytest.raises(TypeError, match="Linear attends with s_aux, which packing does not know"):
        packed_attention(
            nn.Linear(1, 1), some, some, some, None, layout=None, causal=True, scaling=1.0, s_aux=some + 1
        )


class OneShort(Layout):
    """Branches see all of their prefix but its last token."""

    def _groups(self, first, end):
        for group in super()._groups(first, end):
            prefix = group.prefix
            yield group._replace(prefix=prefix and (prefix[0], prefix[1] - 1), number=None)


class SeesNeighbour(Layout):
    """Branches see the first token of the branch before them, in place of their prefix's last."""

    def _groups(self, first, end):
        for group in super()._groups(first, end):
            moved = group.prefix and (group.prefix[0] + 1, group.prefix[1] + 1)
            yield group._replace(prefix=moved, number=None)


class RestartsAtZero(Layout):
    """Positions of a branch start at 0."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.positions = self.filled(np.arange(self.total) - np.repeat(self.starts, self.lengths))


@pytest.mark.parametrize("mutant", [OneShort, SeesNeighbour, RestartsAtZero])
@every_decoder
def test_the_bound_notices(mutant, name, monkeypatch):
    fields = {key: value for key, value in DECODERS[name].items() if key != "sliding_window"}
    if name.startswith("qwen2"):
        fields["use_sliding_window"] = False
    model = build(fields)
    wanted = logits(model, PAIRS)
    forward = packed(model, **CAUSAL)
    monkeypatch.setattr(forward_module, "Layout", mutant)
    assert difference(forward.logits(PAIRS), wanted) > 10 * BOUND


def test_the_bound_notices_a_prefix_that_is_cut_one_token_short(monkeypatch):
    model = build(DECODERS["qwen3"])
    wanted = logits(model, PAIRS)
    forward = packed(model, **CAUSAL)
    whole = laying._tree

    def short(prefix, branches, *given, **more):
        return whole(prefix[:-1] if len(branches) > 1 else prefix, branches, *given, **more)

    monkeypatch.setattr(laying, "_tree", short)
    assert difference(forward.logits(PAIRS), wanted) > 10 * BOUND


@pytest.mark.parametrize("offset", [-1, 1])
@pytest.mark.parametrize("name", ["mistral", "gemma2", "qwen2 with windows"])
def test_the_bound_notices_a_window_that_is_off_by_one(name, offset, monkeypatch):
    model = build(DECODERS[name])
    wanted = logits(model, PAIRS)
    forward = packed(model, **CAUSAL)
    for module in forward._base.modules():
        if isinstance(module, Layer) and module.rule.window:
            module.rule = module.rule._replace(window=module.rule.window + offset)
    assert difference(forward.logits(PAIRS), wanted) > 10 * BOUND


def test_the_bound_notices_a_softcap_that_is_left_out():
    model = build({**DECODERS["gemma2"], "attn_logit_softcapping": 0.5})
    wanted = logits(model, PAIRS)
    forward = packed(model, **CAUSAL)
    assert difference(forward.logits(PAIRS), wanted) < BOUND
    for module in forward._base.modules():
        if isinstance(module, Layer):
            assert module.rule.softcap == 0.5
            module.rule = module.rule._replace(softcap=None)
    assert difference(forward.logits(PAIRS), wanted) > 10 * BOUND
