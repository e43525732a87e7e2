"""Which way to attend serves on a CPU: in bfloat16 torch's own function, where it was measured as faster."""

from functools import cache

import pytest
import torch
from models.attention.expected import CAUSAL, FULL, HEADS, WIDTH, layout, states
from models.attention.launches import Launches

from podium.models.attention import attend as attention
from podium.models.attention import pairwise
from podium.models.attention.attend import attend
from podium.models.attention.rule import Rule

LIBRARY = ["attend_padded", "attend_span"]


@pytest.mark.parametrize(
    ("library_s", "dtype", "rule", "prefixes", "wanted"),
    [
        pytest.param(1.0, torch.bfloat16, FULL, None, LIBRARY, id="library"),
        pytest.param(1.9, torch.bfloat16, FULL, None, ["attend_group"], id="hardly faster"),
        pytest.param(1.0, torch.float32, FULL, None, ["attend_group"], id="float32"),
        pytest.param(1.0, torch.bfloat16, CAUSAL, None, ["attend_group"], id="causal"),
        pytest.param(1.0, torch.bfloat16, Rule(0.25, softcap=2.0), None, ["attend_group"], id="softcap"),
        pytest.param(
            1.0, torch.bfloat16, FULL, [-1, 0, 0], ["attend_group", "attend_span"], id="behind a prefix"
        ),
    ],
)
def test_the_way_is_the_one_that_was_measured_as_faster(
    library_s, dtype, rule, prefixes, wanted, monkeypatch
):
    measured, ways = [], set()
    monkeypatch.setattr(attention, "fastest", lambda *_: measured.append(1) or [library_s, 2.0])
    monkeypatch.setattr(attention, "library_is_faster", cache(attention.library_is_faster.__wrapped__))
    for name in ("attend_padded", "attend_span", "attend_group"):
        real = getattr(attention, name)
        monkeypatch.setattr(
            attention, name, lambda *given, real=real, name=name: ways.add(name) or real(*given)
        )
    lengths = [40, 20, 20] if prefixes else [20, 20, 40]
    for _ in range(2):
        attend(*states(lengths, dtype), layout(lengths, dtype, prefixes), rule)
    assert sorted(ways) == wanted
    assert len(measured) <= 1


def test_either_way_is_timed_on_this_processor():
    assert attention.library_is_faster.__wrapped__() in (True, False)


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
