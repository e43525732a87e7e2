"""Which way to attend serves on a CPU: torch's own function in bfloat16 with AMX, else mostly products."""

from functools import cache

import pytest
import torch
from models.attention.expected import CAUSAL, FULL, HEADS, WIDTH, close, expected, layout, states
from models.attention.launches import Launches

from podium.models.attention import attend as attention
from podium.models.attention import pairwise
from podium.models.attention.attend import attend
from podium.models.attention.rule import Rule

LIBRARY, PRODUCTS = ["attend_padded", "attend_span"], ["attend_group"]


@pytest.mark.parametrize(
    ("instructions", "dtype", "rule", "prefixes", "wanted"),
    [
        pytest.param("AMX", torch.bfloat16, FULL, None, LIBRARY, id="AMX"),
        pytest.param("AVX512-BF16", torch.bfloat16, FULL, None, PRODUCTS, id="AVX-512"),
        pytest.param("AMX", torch.float32, FULL, None, PRODUCTS, id="float32"),
        pytest.param("AMX", torch.bfloat16, CAUSAL, None, PRODUCTS, id="causal"),
        pytest.param("AMX", torch.bfloat16, Rule(0.25, softcap=2.0), None, PRODUCTS, id="softcap"),
        pytest.param(
            "AMX", torch.bfloat16, FULL, [-1, 0, 0], ["attend_group", "attend_span"], id="behind a prefix"
        ),
    ],
)
def test_the_instructions_decide(instructions, dtype, rule, prefixes, wanted, monkeypatch):
    ways = set()
    monkeypatch.setattr(attention, "instruction_set", lambda: instructions)
    monkeypatch.setattr(attention, "library_is_faster", cache(attention.library_is_faster.__wrapped__))
    for name in (*LIBRARY, *PRODUCTS):
        real = getattr(attention, name)
        monkeypatch.setattr(
            attention, name, lambda *given, real=real, name=name: ways.add(name) or real(*given)
        )
    lengths = [40, 20, 20] if prefixes else [20, 20, 40]
    attend(*states(lengths, dtype), layout(lengths, dtype, prefixes), rule)
    assert sorted(ways) == wanted


@pytest.mark.parametrize(("tokens", "wanted"), [(1_000, True), (1_100, False)])
@pytest.mark.parametrize("causal", [True, False])
def test_products_compute_no_long_span_of_which_a_window_hides_most(tokens, wanted, causal, monkeypatch):
    monkeypatch.setattr(attention, "library_is_faster", lambda: False)
    served = []
    real = attention.attend_group
    monkeypatch.setattr(attention, "attend_group", lambda *given: served.append(1) or real(*given))
    given, laid = states([tokens], torch.bfloat16), layout([tokens], torch.bfloat16)
    rule = Rule(0.25, window=65, causal=causal)
    got = attend(*given, laid, rule)
    assert bool(served) is wanted
    assert close(got[:tokens], expected(*given, rule, [tokens]), torch.bfloat16)


def test_what_padded_spans_see_is_made_once_for_all_layers():
    lengths, rule = [35, 36, 40], Rule(0.25, window=7)
    given, laid = states(lengths, torch.bfloat16), layout(lengths, torch.bfloat16)
    [group] = laid.groups
    counts = []
    for _ in range(2):
        with Launches() as counted:
            pairwise.attend_padded(*given, torch.empty(laid.rows, HEADS, WIDTH).bfloat16(), group, rule)
        counts.append(counted.count)
    assert counts[1] <= counts[0] - 5
