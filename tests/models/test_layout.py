import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from podium.models.grouping import (
    GROUP_BYTES,
    GROUP_GROWTH,
    GROUP_PAIRS,
    MULTIPLE,
    ON_ACCELERATORS,
    group,
)
from podium.models.layout import Layout

CPU = torch.device("cpu")

sorted_lengths = st.lists(st.integers(1, 2000), min_size=1, max_size=60).map(sorted)


@given(lengths=sorted_lengths, score_bytes=st.sampled_from([24, 48, 64]))
def test_groups_hold_every_pair_once_and_keep_to_their_limits(lengths, score_bytes):
    first = 0
    for size, padded in group(lengths, score_bytes):
        members = lengths[first : first + size]
        assert 1 <= size <= GROUP_PAIRS
        assert padded % MULTIPLE == 0
        assert padded - MULTIPLE < members[-1] <= padded
        assert members[-1] <= members[0] * GROUP_GROWTH
        assert size == 1 or size * padded * padded * score_bytes <= GROUP_BYTES
        first += size
    assert first == len(lengths)


@given(lengths=sorted_lengths, before=st.sampled_from([0, 150, 4_000]), score_bytes=st.sampled_from([48, 64]))
def test_groups_on_an_accelerator_count_the_prefix_that_is_copied_for_each_span(lengths, before, score_bytes):
    for size, padded in group(lengths, score_bytes, ON_ACCELERATORS, before):
        assert size == 1 or size * padded * (before + padded) * score_bytes <= ON_ACCELERATORS.bytes
        assert size == 1 or size * (before + padded) <= ON_ACCELERATORS.tokens


def test_the_branches_of_a_long_prefix_are_several_groups_on_an_accelerator():
    lengths, prefixes = np.array([4_000, *[16] * 3_800]), np.array([-1, *[0] * 3_800])
    groups = Layout(lengths, torch.device("meta"), 64, prefixes).groups
    assert max(len(group.spans) * (4_000 + group.padded) for group in groups if group.prefix) <= 32_768


@pytest.mark.parametrize(
    ("alone_above", "sizes"),
    [
        pytest.param(None, [1, 3, 2, 2], id="none"),
        pytest.param(60, [1, 3, 1, 1, 2], id="long ones, but for the branches of a prefix"),
        pytest.param(0, [1] * 8, id="every one"),
    ],
)
def test_spans_that_are_attended_to_by_themselves_are_groups_of_their_own(alone_above, sizes):
    lengths, prefixes = np.array([40, 60, 60, 60, 70, 70, 90, 90]), np.array([-1] * 6 + [0] * 2)
    groups = Layout(lengths, CPU, 48, prefixes, alone_above=alone_above).groups
    assert [len(group.spans) for group in groups] == sizes


@given(lengths=sorted_lengths)
def test_what_is_gathered_and_kept_is_the_batch_in_its_order(lengths):
    layout = Layout(np.array(lengths), CPU, 24)
    tokens = torch.arange(layout.total)
    kept = torch.cat([tokens[group.rows][group.kept] for group in layout.groups])
    assert kept.tolist() == tokens.tolist()


@given(lengths=sorted_lengths)
def test_sequences_on_the_cpu_have_few_shapes(lengths):
    layout = Layout(np.array(lengths), CPU, 24)
    assert layout.rows % MULTIPLE == 0
    assert 0 <= layout.rows - layout.total < MULTIPLE
    assert layout.filled(np.full(layout.total, 7)).tolist() == [7] * layout.total + [0] * (
        layout.rows - layout.total
    )


def test_a_place_that_no_token_fills_repeats_the_first_of_its_pair():
    (only,) = Layout(np.array([3, 3]), CPU, 24).groups
    assert only.padded == 16
    assert only.rows.view(2, 16).tolist() == [[0, 1, 2, *[0] * 13], [3, 4, 5, *[3] * 13]]


def test_positions_restart_at_each_pair():
    layout = Layout(np.array([1, 2, 4]), CPU, 24)
    assert layout.positions.tolist() == [0, 0, 1, 0, 1, 2, 3, *[0] * 9]
    assert layout.firsts.tolist() == [0, 1, 3]
    assert layout.offsets.tolist() == [0, 1, 3, 7]
    assert layout.longest == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_means_are_of_each_pair_and_in_float32(dtype):
    states = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 60.0]], dtype=dtype)
    means = Layout(np.array([1, 2]), CPU, 24).means(states)
    assert means.dtype == torch.float32
    assert means.tolist() == [[1.0, 10.0], [3.0, 40.0]]
