"""Attention by products on the CPU: in parts, with masks that are kept, and where exponentials overflow."""

import pytest
import torch
from models.attention.expected import (
    CAUSAL,
    FULL,
    HEADS,
    KV,
    LENGTHS,
    WIDTH,
    close,
    expected,
    layout,
    states,
)

from podium.models import layout as layouts
from podium.models.attention import products
from podium.models.attention.attend import attend
from podium.models.attention.rule import Rule
from podium.models.grouping import Grouping


@pytest.mark.parametrize("rule", [FULL, Rule(0.25, window=30), CAUSAL], ids=["full", "window", "causal"])
@pytest.mark.parametrize("prefixed", [False, True])
@pytest.mark.parametrize("room", [2_000, 200_000], ids=["cut by queries", "cut by heads"])
def test_one_long_span_is_computed_in_parts(dtype, room, rule, prefixed, monkeypatch):
    monkeypatch.setattr(products, "GROUP_BYTES", room)
    monkeypatch.setattr(layouts, "ON_CPU", Grouping(bytes=room))
    lengths, prefixes = ([40, 190], [-1, 0]) if prefixed else ([190], None)
    given = states(lengths, dtype, kv=KV)
    got = attend(*given, layout(lengths, dtype, prefixes), rule)
    assert close(got[: sum(lengths)], expected(*given, rule, lengths, prefixes), dtype)


def test_layers_of_one_batch_share_masks_and_each_has_those_of_its_own_rule(dtype):
    given, laid = states(LENGTHS, dtype), layout(LENGTHS, dtype)
    for rule in [CAUSAL, Rule(0.25, window=7), CAUSAL, Rule(0.25, window=65)]:
        got = attend(*given, laid, rule)[: sum(LENGTHS)]
        assert close(got, expected(*given, rule, LENGTHS), dtype)


@pytest.mark.parametrize("lengths", [[4096], [160] * 26, [8] * 512], ids=["one", "some", "many"])
def test_masks_that_are_kept_are_bounded_in_bytes(dtype, lengths):
    given, laid = states(lengths, dtype), layout(lengths, dtype)
    for rule in (CAUSAL, Rule(0.25, window=7)):
        attend(*given, laid, rule)
    kept = [mask for group in laid.groups for mask in group.masks.values() if mask is not None]
    assert sum(mask.nbytes for mask in kept) < 16 << 20


@pytest.mark.parametrize("scale", [100.0, 1e4])
def test_logits_too_large_for_plain_exponentials_are_still_attended(scale):
    lengths = [9, 17, 30]
    given, laid = states(lengths, torch.float32, scale), layout(lengths, torch.float32)
    out = torch.empty(sum(lengths), HEADS, WIDTH)
    assert not products.attend_group(*given, out, laid.groups[0], FULL)
    got = attend(*given, laid, FULL)[: sum(lengths)]
    assert close(got, expected(*given, FULL, lengths), torch.float32)


def test_logits_that_all_vanish_are_still_attended():
    query, key, value = states([20], torch.float32)
    query = torch.full_like(query, 40.0)
    key = torch.full_like(key, -40.0)
    got = attend(query, key, value, layout([20], torch.float32), FULL)[:20]
    # all keys are alike, so each token sees the mean
    assert torch.allclose(got, value.mean(1).expand(20, HEADS, WIDTH), atol=1e-5)


def test_the_keys_of_a_prefix_are_multiplied_once_with_the_queries_of_all_its_branches(monkeypatch):
    seen = []
    weights = products._weights
    monkeypatch.setattr(products, "_weights", lambda q, k, rule: seen.append((q, k)) or weights(q, k, rule))
    lengths, prefixes = [60, *[24] * 10], [-1, *[0] * 10]
    attend(*states(lengths, torch.float32, kv=KV), layout(lengths, torch.float32, prefixes), CAUSAL)
    of_prefix = [q.shape for q, k in seen if k.shape == (KV, WIDTH, 60)]
    # its own, then those of all branches, of 32 places each
    assert of_prefix == [(KV, 60 * HEADS // KV, WIDTH), (KV, 10 * 32 * HEADS // KV, WIDTH)]
