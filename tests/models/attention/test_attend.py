"""Each way to attend gives what the definition of attention gives, pair by pair."""

from types import SimpleNamespace

import pytest
import torch
from models.attention.expected import (
    CAUSAL,
    FULL,
    HEADS,
    KV,
    LENGTHS,
    PREFIXES,
    SHARED,
    WIDTH,
    close,
    documented_varlen_attn,
    expected,
    layout,
    states,
)
from models.attention.launches import Launches
from models.networks import needs_cuda

from podium.models.attention import attend as attention
from podium.models.attention import disentangled, pairwise, varlen
from podium.models.attention.attend import attend, attend_ends, prefix_of
from podium.models.attention.rule import Rule
from podium.models.grouping import ON_ACCELERATORS, ON_CPU

RULES = [
    pytest.param(FULL, id="full"),
    pytest.param(Rule(0.25, window=7), id="window"),
    pytest.param(Rule(0.25, window=65), id="wide window"),
    pytest.param(CAUSAL, id="causal"),
    pytest.param(Rule(0.25, window=7, causal=True), id="causal window"),
    pytest.param(Rule(0.25, window=65, causal=True), id="causal wide window"),
]
CAPPED = [
    pytest.param(Rule(0.25, softcap=2.0), id="softcap"),
    pytest.param(Rule(0.25, window=30, causal=True, softcap=2.0), id="causal softcap in a window"),
]
BATCHES = [
    pytest.param(LENGTHS, None, id="pairs"),
    pytest.param(SHARED, PREFIXES, id="prefixes"),
    pytest.param([60, *[24] * 20], [-1, *[0] * 20], id="one prefix"),
    pytest.param([300, 250, 280, 300], [-1, 0, 0, 0], id="long branches"),
]
every_rule = pytest.mark.parametrize("rule", RULES + CAPPED)
every_batch = pytest.mark.parametrize(("lengths", "prefixes"), BATCHES)


@pytest.fixture(params=[True, False], ids=["by the library", "by products"])
def faster(request, monkeypatch):
    """Either way to attend in bfloat16 on a CPU, whichever is faster on this one."""
    monkeypatch.setattr(attention, "library_is_faster", lambda: request.param)
    return request.param


@every_rule
@every_batch
@pytest.mark.parametrize("kv", [HEADS, KV, 1], ids=["heads", "grouped heads", "one key"])
@pytest.mark.usefixtures("faster")
def test_attention_stays_inside_each_pair_and_its_window(dtype, rule, lengths, prefixes, kv):
    given = states(lengths, dtype, kv=kv)
    got = attend(*given, layout(lengths, dtype, prefixes), rule)
    assert close(got[: sum(lengths)], expected(*given, rule, lengths, prefixes), dtype)


@every_rule
@every_batch
def test_span_by_span_it_is_the_same(dtype, rule, lengths, prefixes, monkeypatch):
    monkeypatch.setattr(attention, "attend_group", lambda *_: False)
    monkeypatch.setattr(attention, "LONGEST_GROUPED", 0)
    monkeypatch.setattr(pairwise, "BLOCK", 50)
    given = states(lengths, dtype, kv=KV)
    got = attend(*given, layout(lengths, dtype, prefixes), rule)
    assert close(got[: sum(lengths)], expected(*given, rule, lengths, prefixes), dtype)


@every_rule
@every_batch
@pytest.mark.parametrize("kv", [HEADS, KV, 1], ids=["heads", "grouped heads", "one key"])
@pytest.mark.parametrize("grouping", [ON_CPU, ON_ACCELERATORS], ids=["like lengths", "unlike lengths"])
def test_padded_group_by_group_it_is_the_same(dtype, rule, lengths, prefixes, kv, grouping):
    given, laid = states(lengths, dtype, kv=kv), layout(lengths, dtype, prefixes)
    laid.grouping = grouping
    got = torch.full((laid.rows, HEADS, WIDTH), torch.nan, dtype=dtype)
    for group in laid.groups:
        pairwise.attend_padded(*given, got, group, rule, prefix_of(group, *given[1:]))
    assert close(got[: sum(lengths)], expected(*given, rule, lengths, prefixes), dtype)


@pytest.mark.parametrize("rule", [RULES[0], *RULES[3:], CAPPED[1]])
@every_batch
def test_the_last_token_attends_as_it_does_in_groups_of_unlike_length(dtype, rule, lengths, prefixes):
    given, laid = states(lengths, dtype, kv=KV), layout(lengths, dtype, prefixes)
    laid.grouping = ON_ACCELERATORS
    query, key, value = (x.transpose(0, 1) for x in given)
    got = attend_ends(query[laid.lasts], key, value, laid, rule)
    assert close(got, expected(*given, rule, lengths, prefixes)[laid.lasts], dtype)


def launches(lengths, rule, prefixes=None, *, ends=False) -> int:
    """How many operations a layer's attention takes on an accelerator without flash attention."""
    laid = layout(lengths, torch.float32, prefixes, "meta")
    laid.groups, laid.seen, laid.lasts  # noqa: B018 made once a batch, not once a layer
    given = [x.to("meta") for x in states(lengths, torch.float32, kv=KV)]
    with Launches() as counted:
        if ends:
            query, key, value = (x.transpose(0, 1) for x in given)
            attend_ends(query[laid.lasts], key, value, laid, rule)
        else:
            attend(*given, laid, rule)
    return counted.count


@pytest.mark.parametrize("ends", [False, True], ids=["all tokens", "last tokens"])
@every_rule
def test_launches_on_an_accelerator_do_not_grow_with_the_pairs(rule, ends):
    few, many = launches([80] * 10, rule, ends=ends), launches([80] * 400, rule, ends=ends)
    assert few == many
    mixed = sorted([20 + number % 200 for number in range(400)])
    assert launches(mixed, rule, ends=ends) <= 8 * few


def test_launches_do_not_grow_with_the_branches_of_a_prefix():
    few, many, more = (launches([60, *[24] * n], CAUSAL, [-1, *[0] * n]) for n in (10, 300, 3_000))
    assert few == many
    assert more <= 10 * few  # a group attends to so many tokens at most


def test_launches_of_disentangled_attention_do_not_grow_with_the_pairs():
    rows = [torch.empty(HEADS, 512, WIDTH, device="meta") for _ in range(2)]
    relative = disentangled.Relative(*rows, disentangled.Distances(256, 0, 0))

    def of(lengths) -> int:
        laid = layout(lengths, torch.float32, device="meta")
        given = [x.to("meta") for x in states(lengths, torch.float32)]
        disentangled.attend(*given, laid, relative, scaling=0.25)  # what is made once
        with Launches() as counted:
            disentangled.attend(*given, laid, relative, scaling=0.25)
        return counted.count

    assert of([80] * 10) == of([80] * 200)
    assert of([70, *[80] * 9]) == of([70, *[80] * 199])


@pytest.mark.parametrize(
    ("width", "taken"), [(64, True), (96, True), (256, True), (72, True), (20, False), (264, False)]
)
def test_flash_attention_is_asked_only_for_widths_of_heads_that_it_takes(width, taken, monkeypatch):
    query = SimpleNamespace(is_cuda=True, dtype=torch.bfloat16, shape=(4, 7, width), device="cuda:0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert varlen.has_varlen(query, FULL) is taken


def test_flash_attention_is_not_for_a_t4(monkeypatch):
    query = SimpleNamespace(is_cuda=True, dtype=torch.float16, shape=(4, 7, 64), device="cuda:0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert not varlen.has_varlen(query, FULL)


@pytest.mark.parametrize("rule", [RULES[0], *RULES[3:], CAPPED[1]])
@every_batch
def test_the_last_token_of_each_pair_attends_as_it_does_beside_the_others(dtype, rule, lengths, prefixes):
    given, laid = states(lengths, dtype, kv=KV), layout(lengths, dtype, prefixes)
    query, key, value = (x.transpose(0, 1) for x in given)
    got = attend_ends(query[laid.lasts], key, value, laid, rule)
    assert close(got, expected(*given, rule, lengths, prefixes)[laid.lasts], dtype)


@pytest.mark.parametrize("lengths", [LENGTHS, [1], [700], [16] * 20], ids=repr)
def test_the_first_token_of_each_pair_attends_as_it_does_beside_the_others(dtype, lengths):
    given, laid = states(lengths, dtype), layout(lengths, dtype)
    query, key, value = (x.transpose(0, 1) for x in given)
    got = attend_ends(query[laid.firsts], key, value, laid, FULL)
    assert close(got, expected(*given, FULL, lengths)[laid.firsts], dtype)


@pytest.mark.parametrize("rule", RULES)
@every_batch
def test_variable_length_attention_is_asked_for_the_same(dtype, rule, lengths, prefixes, monkeypatch):
    monkeypatch.setattr(varlen, "varlen_attn", documented_varlen_attn)
    given = states(lengths, dtype, kv=KV)
    got = varlen.attend_varlen(*given, layout(lengths, dtype, prefixes), rule)
    assert close(got, expected(*given, rule, lengths, prefixes), dtype)


@pytest.mark.parametrize("rule", [RULES[0], *RULES[3:]])
@every_batch
def test_variable_length_attention_is_asked_for_the_same_of_last_tokens(
    dtype, rule, lengths, prefixes, monkeypatch
):
    monkeypatch.setattr(varlen, "varlen_attn", documented_varlen_attn)
    given, laid = states(lengths, dtype, kv=KV), layout(lengths, dtype, prefixes)
    query, key, value = (x.transpose(0, 1) for x in given)
    got = varlen.attend_ends_varlen(query[laid.lasts], key, value, laid, rule)
    assert close(got, expected(*given, rule, lengths, prefixes)[laid.lasts], dtype)


@pytest.mark.parametrize("tokens", [3, HEADS, 9])
def test_log_sum_exps_are_read_as_the_operator_gives_them_and_as_it_is_documented(tokens):
    query, logs = torch.empty(tokens, HEADS, WIDTH), torch.randn(HEADS, tokens)
    assert torch.equal(varlen.of_tokens(logs, query), logs.T)
    if tokens != HEADS:
        assert torch.equal(varlen.of_tokens(logs.T, query), logs.T)


def test_the_operator_gives_log_sum_exps_head_by_head():
    query = torch.empty(9, HEADS, WIDTH, device="meta", dtype=torch.bfloat16)
    offsets = torch.tensor([0, 9], dtype=torch.int32, device="meta")
    aux = varlen.AuxRequest(lse=True)
    _, logs = varlen.varlen_attn(query, query, query, offsets, offsets, 9, 9, return_aux=aux)
    assert logs.shape == (HEADS, 9)


def test_variable_length_attention_has_no_softcap_and_is_not_asked_for_one():
    query = torch.empty(1, device="meta")
    assert not varlen.has_varlen(query, Rule(0.25, softcap=50.0))


@needs_cuda
@pytest.mark.parametrize("rule", RULES + CAPPED)
@every_batch
def test_attention_on_cuda_is_the_same(dtype, rule, lengths, prefixes):
    given, laid = states(lengths, dtype, kv=KV), layout(lengths, dtype, prefixes, "cuda")
    wanted = expected(*given, rule, lengths, prefixes)
    on_device = [x.to("cuda") for x in given]
    assert close(attend(*on_device, laid, rule).cpu(), wanted, dtype)
    if rule.causal or rule.window is None:
        query, key, value = (x.transpose(0, 1) for x in on_device)
        got = attend_ends(query[laid.lasts], key, value, laid, rule)
        assert close(got.cpu(), wanted[laid.lasts.cpu()], dtype)
