from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.batching import (
    BATCH_S,
    MAX_PRIORITY,
    PATIENCE,
    Waiting,
    due_at,
    learn_speed,
    next_budget,
    plan_batch,
)

WAITING = st.lists(
    st.builds(
        Waiting,
        st.floats(0, 1e6),
        st.lists(st.integers(1, 8192), min_size=1, max_size=40).map(
            lambda lengths: sorted(lengths, reverse=True)
        ),
    ),
    min_size=1,
    max_size=12,
)


@given(WAITING, st.integers(1, 20_000), st.booleans())
def test_a_batch_is_within_its_budget_or_holds_one_pair(waiting, budget, padded):
    plan = plan_batch(waiting, budget, padded=padded)
    taken = [group.lengths[i] for group, positions in zip(waiting, plan, strict=True) for i in positions]
    cost = max(taken) * len(taken) if padded else sum(taken)
    assert cost <= budget or len(taken) == 1


@given(WAITING, st.integers(1, 20_000), st.booleans())
def test_the_first_pair_of_the_request_that_is_due_first_is_in_every_batch(waiting, budget, padded):
    plan = plan_batch(waiting, budget, padded=padded)
    first = min(range(len(waiting)), key=lambda index: waiting[index].order)
    assert plan[first][0] == 0


@given(WAITING, st.integers(1, 20_000))
def test_no_pair_of_the_request_that_is_due_first_is_left_where_it_would_fit(waiting, budget):
    plan = plan_batch(waiting, budget)
    first = min(range(len(waiting)), key=lambda index: waiting[index].order)
    lengths = waiting[first].lengths
    left = [length for position, length in enumerate(lengths) if position not in plan[first]]
    room = budget - sum(lengths[position] for position in plan[first])
    assert all(length > room for length in left)


@given(WAITING, st.integers(1, 20_000), st.booleans())
def test_repeated_batches_take_every_pair_once(waiting, budget, padded):
    groups = [list(group.lengths) for group in waiting]
    taken = 0
    while any(groups):
        left = [index for index, group in enumerate(groups) if group]
        plan = plan_batch([Waiting(waiting[i].order, groups[i]) for i in left], budget, padded=padded)
        assert any(plan)
        for index, positions in zip(left, plan, strict=True):
            groups[index] = [
                length for position, length in enumerate(groups[index]) if position not in positions
            ]
            taken += len(positions)
    assert taken == sum(len(group.lengths) for group in waiting)


def counts(waiting: Sequence[Waiting], budget: int, *, padded: bool = False) -> list[int]:
    return [len(positions) for positions in plan_batch(waiting, budget, padded=padded)]


def test_a_small_request_runs_before_a_large_one_that_came_a_little_earlier():
    large = Waiting(due_at(0.0, 100_000, 1_000.0), [100] * 1_000)
    small = Waiting(due_at(5.0, 1_000, 1_000.0), [100] * 10)
    assert counts([large, small], 2_000) == [0, 10]


def test_a_batch_that_ends_a_request_is_filled_only_where_it_would_be_tiny_or_ends_another_one():
    large = Waiting(3, [100] * 1_000)
    small = Waiting(1, [100] * 5)
    assert counts([large, small], 2_000) == [0, 5]
    assert counts([large, small], 2_001) == [15, 5]
    assert counts([large, small, Waiting(2, [100] * 15)], 2_000) == [0, 5, 15]
    assert counts([large, small, Waiting(2, [100] * 16)], 2_000) == [0, 5, 0]


def test_a_large_request_comes_before_small_ones_that_arrive_after_it_is_due():
    large = Waiting(due_at(0.0, 1_000, 1_000.0), [100] * 10)
    small = Waiting(due_at(PATIENCE * 1.0 + 0.1, 100, 1_000.0), [100])
    assert counts([small, large], 500) == [0, 5]


@given(st.integers(), st.floats(0, 1e6), st.integers(0, 10**6))
def test_a_priority_shifts_when_a_request_is_due_by_seconds_and_no_more_than_ten(priority, arrival, tokens):
    shift = due_at(arrival, tokens, 1_000.0, priority) - due_at(arrival, tokens, 1_000.0)
    assert shift == pytest.approx(max(-10, min(10, priority)), abs=1e-6)


def test_no_stream_of_the_highest_priority_holds_a_request_up_for_longer_than_that():
    waits = due_at(100.0, 1_000, 1_000.0)
    assert due_at(100.0 + MAX_PRIORITY + 0.1, 1_000, 1_000.0, priority=-1_000_000) > waits


def test_a_pair_that_does_not_fit_leaves_its_room_to_other_requests():
    assert counts([Waiting(1, [60, 60]), Waiting(2, [50]), Waiting(3, [40])], 100) == [1, 0, 1]


def test_a_pair_that_does_not_fit_leaves_its_room_to_shorter_ones_of_its_request():
    assert plan_batch([Waiting(1, [60, 50, 30, 20, 10])], 100) == [[0, 2, 4]]


def test_a_padded_batch_counts_its_longest_pair_for_every_pair():
    assert counts([Waiting(1, [50, 10, 10, 10])], 100, padded=True) == [2]
    assert counts([Waiting(1, [50, 10, 10, 10])], 100) == [4]


@pytest.mark.parametrize(("speed", "budget"), [(100_000.0, 4_096), (8_000.0, 2_000), (1.0, 1)])
def test_a_batch_takes_a_quarter_of_a_second_and_no_more_than_the_limit(speed, budget):
    assert BATCH_S == 0.25
    assert next_budget(speed, 4_096) == budget


def test_the_speed_follows_full_batches_and_slow_ones():
    assert learn_speed(1_000, 250, 0.5, 250) == 750
    assert learn_speed(1_000, 10, 1.0, 250) == 505


def test_a_small_quick_batch_says_nothing_of_the_speed():
    assert learn_speed(1_000, 10, 0.1, 250) == 1_000
