"""A prefix that one batch computed is continued by the next: with the same scores, and within a bound."""

import numpy as np
import pytest
import torch
from models.network.test_decoder import BOUND, CAUSAL, PAIRS, difference, every_decoder, logits
from models.networks import DECODERS, build, packed, parts, prefixed

from podium.models.network.decoder import Layer
from podium.models.network.packed import PackedForward
from podium.models.network.prefix_cache import CACHED_TOKENS, PrefixCache, PrefixStates

ONCE = 25 + 142 + 40 + 95 + 62
"""Tokens of PAIRS whose prefixes, of 25 and 40 tokens, are laid down once."""


@every_decoder
def test_later_batches_continue_what_the_first_one_computed(name):
    model = build(DECODERS[name])
    wanted = logits(model, PAIRS)
    forward = packed(model, **CAUSAL)
    got = np.empty_like(wanted)
    tokens = []
    for batch in [0, 1], [6, 7], [2], [3, 4, 8], [5]:
        pairs = [PAIRS[index] for index in batch]
        tokens.append(forward.computed(pairs))
        got[batch] = forward.logits(pairs)
    assert difference(got, wanted) < BOUND
    if name == "gpt2":  # its layers are transformers' own
        assert tokens == [25 + 20, 40 + 95, 25 + 30, 25 + 91 + 62, 25 + 1]
    else:
        assert tokens == [25 + 20, 40 + 95, 30, 91 + 62, 1]
        assert forward.computed(PAIRS) == ONCE - 25 - 40
        assert difference(forward.logits(PAIRS), wanted) < BOUND


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_either_dtype_gives_the_scores_of_one_batch(dtype):
    one, several = (packed(build(DECODERS["qwen3"]), dtype=dtype, **CAUSAL) for _ in range(2))
    wanted = one.logits(PAIRS)
    several.logits(PAIRS[:2])
    several.logits(PAIRS[6:7])
    got = several.logits(PAIRS)
    bound = BOUND if dtype == torch.float32 else 3e-2
    assert float(np.abs(got - wanted).max()) <= bound * max(1.0, float(np.ptp(wanted)))


@torch.inference_mode()
def test_in_integers_a_score_is_the_same_to_the_last_bit():
    model, head, recipe = parts(build(DECODERS["qwen3"]), torch.float32, **CAUSAL)
    forward = PackedForward(model, head, recipe, torch.device("cpu"), torch.int8)
    forward.to_integers(PAIRS)
    wanted = forward.logits(PAIRS)
    assert forward.computed(PAIRS[:1]) == len(PAIRS[0].ids) - 25
    for index, pair in enumerate(PAIRS):
        assert forward.logits([pair])[0] == wanted[index]
    forward._prefix_cache.cached = {}
    assert np.array_equal(forward.logits(PAIRS[::-1])[::-1], wanted)


class OneShort(PrefixStates):
    """The last token of every prefix has another value."""

    def next_layer(self, key, value):
        states = super().next_layer(key, value)
        return [(k, torch.cat((v[:, :-1], 0 * v[:, -1:]), 1)) for k, v in states]


class OfTheFirstLayer(PrefixStates):
    """All layers get what the first one computed."""

    def next_layer(self, key, value):
        self._layer = 0
        return super().next_layer(key, value)


@pytest.mark.parametrize("mutant", [OneShort, OfTheFirstLayer])
def test_the_bound_notices(mutant, monkeypatch):
    model = build(DECODERS["llama"])
    wanted = logits(model, PAIRS)
    forward = packed(model, **CAUSAL)
    forward.logits(PAIRS)
    monkeypatch.setattr("podium.models.network.packed.PrefixStates", mutant)
    assert forward.computed(PAIRS) < ONCE
    assert difference(forward.logits(PAIRS), wanted) > 10 * BOUND


def test_segments_of_which_a_decoder_has_none_change_nothing():
    model = build({**DECODERS["llama"], "type_vocab_size": 2})
    wanted = logits(model, PAIRS)
    forward = packed(model, **CAUSAL, segments=True)
    for _ in range(2):
        assert difference(forward.logits(PAIRS), wanted) < BOUND


def test_a_prefix_of_the_same_length_but_other_tokens_is_another():
    model = build(DECODERS["qwen3"])
    batches = [prefixed([7, 9], 30, seed=seed) for seed in range(3)]
    wanted = [logits(model, pairs) for pairs in batches]
    forward = packed(model, **CAUSAL)
    for pairs, each in zip(batches, wanted, strict=True):
        assert forward.computed(pairs) == 30 + 16
        assert difference(forward.logits(pairs), each) < BOUND


def test_what_failed_is_not_kept(monkeypatch):
    model = build(DECODERS["qwen3"])
    wanted = logits(model, PAIRS)
    forward = packed(model, **CAUSAL)
    last = [module for module in forward._base.modules() if isinstance(module, Layer)][-1]
    with monkeypatch.context() as broken:
        broken.setattr(last.down, "forward", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            forward.logits(PAIRS)
    assert forward.computed(PAIRS) == ONCE
    assert difference(forward.logits(PAIRS), wanted) < BOUND


def states(tokens):
    return [(torch.zeros(1, tokens, 2), torch.zeros(1, tokens, 2))]


def test_those_seen_last_are_kept_within_the_bound():
    cache = PrefixCache()
    half = CACHED_TOKENS // 2
    a, b, c = ((half, name) for name in (b"a", b"b", b"c"))
    for key in a, b:
        cache.see([], {key: states(half)})
    before = cache.cached
    cache.see([a], {c: states(half)})
    assert list(cache.cached) == [a, c]
    assert list(before) == [a, b]  # whoever reads it meanwhile sees what was
    cache.see([], {(CACHED_TOKENS + 1, b"long"): states(CACHED_TOKENS + 1)})
    assert list(cache.cached) == [a, c]


def test_of_a_batch_of_many_prefixes_only_what_is_kept_is_copied(monkeypatch):
    made = []

    class Counted(PrefixStates):
        def __init__(self, continued, computed, keep):
            made.append(keep)
            super().__init__(continued, computed, keep)

    monkeypatch.setattr("podium.models.network.packed.PrefixStates", Counted)
    forward = packed(build(DECODERS["qwen3"]), **CAUSAL)
    most = prefixed([4] * 5, CACHED_TOKENS // 2, seed=50)
    others = [pair for seed in range(8) for pair in prefixed([5, 6], 100 + seed, seed=seed)]
    forward.logits([*others[:8], *most, *others[8:], *prefixed([5, 6], CACHED_TOKENS + 1, seed=60)])
    [keep] = made
    assert sum(tokens for tokens, _ in keep) <= CACHED_TOKENS
    assert keep[-1][0] == CACHED_TOKENS // 2  # whose documents most likely go on in the next batch
    assert list(forward._prefix_cache.cached) == keep


def test_the_states_kept_hold_no_more_than_their_own_tokens():
    product = torch.randn(5_000, 4, 8)
    prefix_states = PrefixStates([], {(10, b"x"): (3, 13)}, [(10, b"x")])
    prefix_states.next_layer(product[:, :2].transpose(0, 1), product[:, 2:].transpose(0, 1))
    [[(key, value)]] = prefix_states.found.values()
    assert key.untyped_storage().nbytes() == 2 * 10 * 8 * 4
    assert torch.equal(key, product[3:13, :2].transpose(0, 1))
    assert torch.equal(value, product[3:13, 2:].transpose(0, 1))
