from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.batching import (
    BATCH_S,
    LOOKED_AT,
    MAX_PRIORITY,
    PATIENCE,
    PREFIX_SHARE,
    Waiting,
    cost,
    cut,
    due_at,
    learn_speed,
    most_tokens,
    next_budget,
    plan_batch,
)


class Piece(NamedTuple):
    tokens: int
    shared: int = 0
    prefix: bytes = b""


def plain(lengths: Sequence[int]) -> list[Piece]:
    return [Piece(length) for length in lengths]


def behind(prefix: bytes, shared: int, documents: Sequence[int]) -> list[Piece]:
    return [Piece(shared + length, shared, prefix) for length in documents]


LENGTHS = st.lists(st.integers(1, 8192), min_size=1, max_size=40).map(lambda each: sorted(each, reverse=True))
PREFIXED = st.lists(
    st.builds(
        behind,
        st.sampled_from([b"a", b"bb", b"ccc", b"dddd"]),
        st.just(0),
        st.lists(st.integers(1, 500), min_size=1, max_size=20),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda run: run[0].prefix,
).map(lambda runs: [piece for run in runs for piece in behind(run[0].prefix, 90, [p.tokens for p in run])])
ORDER = st.floats(0, 1e6)
WAITING = st.lists(
    st.builds(Waiting, ORDER, LENGTHS.map(plain) | PREFIXED),
    min_size=1,
    max_size=12,
)


def named_apart(waiting: Sequence[Waiting]) -> list[Waiting]:
    """Return the same with prefixes that two requests never share, as two queries have them."""
    return [
        Waiting(each.order, [piece._replace(prefix=b"%d%s" % (i, piece.prefix)) for piece in each.pairs])
        for i, each in enumerate(waiting)
    ]


def taken_of(waiting: Sequence[Waiting], plan: Sequence[Sequence[int]]) -> list[Piece]:
    return [group.pairs[i] for group, positions in zip(waiting, plan, strict=True) for i in positions]


def computed(pieces: Sequence[Piece], *, padded: bool) -> int:
    if padded:
        return max(piece.tokens for piece in pieces) * len(pieces)
    prefixes = {piece.prefix: piece.shared for piece in pieces if piece.shared}
    return sum(piece.tokens - piece.shared for piece in pieces) + sum(prefixes.values())


@given(WAITING, st.integers(1, 20_000), st.booleans())
def test_a_batch_is_within_its_budget_or_holds_one_pair(waiting, budget, padded):
    pieces = taken_of(waiting, plan_batch(waiting, budget, padded=padded))
    assert computed(pieces, padded=padded) <= budget or len(pieces) == 1
    assert cost(pieces, padded=padded) == computed(pieces, padded=padded)


@given(WAITING.map(named_apart), st.integers(1, 2_000), st.integers(0, 5_000))
def test_a_batch_passes_its_budget_only_for_one_prefix_and_never_what_the_device_holds(waiting, budget, more):
    most = budget + more
    pieces = taken_of(waiting, plan_batch(waiting, budget, most=most))
    tokens = computed(pieces, padded=False)
    assert tokens <= most or len(pieces) == 1
    if tokens > budget and len(pieces) > 1:
        (prefix,) = {piece.prefix for piece in pieces}
        assert prefix
        assert tokens <= pieces[0].shared / PREFIX_SHARE


@given(WAITING.map(named_apart), st.integers(1, 5_000), st.integers(0, 5_000))
def test_what_a_batch_computes_of_prefixes_that_the_next_one_computes_again_is_little(waiting, budget, more):
    most = budget + more
    plan = plan_batch(waiting, budget, most=most)
    first = min(range(len(waiting)), key=lambda index: waiting[index].order)
    for index, (group, positions) in enumerate(zip(waiting, plan, strict=True)):
        for prefix in {group.pairs[i].prefix for i in positions if group.pairs[i].shared}:
            run = [i for i, piece in enumerate(group.pairs) if piece.prefix == prefix]
            here = [i for i in run if i in positions]
            if here == run or (index == first and run[0] == 0):
                continue
            shared = group.pairs[run[0]].shared
            assert shared <= PREFIX_SHARE * computed([group.pairs[i] for i in here], padded=False)


@given(WAITING, st.integers(1, 20_000), st.booleans())
def test_the_first_pair_of_the_request_that_is_due_first_is_in_every_batch(waiting, budget, padded):
    plan = plan_batch(waiting, budget, padded=padded)
    first = min(range(len(waiting)), key=lambda index: waiting[index].order)
    assert plan[first][0] == 0


@given(st.lists(st.builds(Waiting, ORDER, LENGTHS.map(plain)), min_size=1), st.integers(1, 20_000))
def test_no_pair_of_the_request_that_is_due_first_is_left_where_it_would_fit(waiting, budget):
    plan = plan_batch(waiting, budget)
    first = min(range(len(waiting)), key=lambda index: waiting[index].order)
    lengths = [piece.tokens for piece in waiting[first].pairs]
    left = [length for position, length in enumerate(lengths) if position not in plan[first]]
    room = budget - sum(lengths[position] for position in plan[first])
    assert all(length > room for length in left)


@given(WAITING.map(named_apart), st.integers(1, 20_000), st.integers(0, 5_000), st.booleans())
def test_repeated_batches_take_every_pair_once(waiting, budget, more, padded):
    groups = [list(enumerate(group.pairs)) for group in waiting]
    seen = []
    while any(groups):
        left = [index for index, group in enumerate(groups) if group]
        rest = [Waiting(waiting[i].order, [piece for _, piece in groups[i]]) for i in left]
        plan = plan_batch(rest, budget, most=budget + more, padded=padded)
        assert any(plan)
        for index, positions in zip(left, plan, strict=True):
            assert positions == sorted(set(positions))
            seen += [(index, groups[index][position][0]) for position in positions]
            groups[index] = [each for i, each in enumerate(groups[index]) if i not in positions]
    assert sorted(seen) == [(i, j) for i, group in enumerate(waiting) for j in range(len(group.pairs))]


def counts(
    waiting: Sequence[Waiting], budget: int, *, padded: bool = False, most: int | None = None
) -> list[int]:
    return [len(positions) for positions in plan_batch(waiting, budget, padded=padded, most=most)]


def test_a_small_request_runs_before_a_large_one_that_came_a_little_earlier():
    large = Waiting(due_at(0.0, 100_000, 1_000.0), plain([100] * 1_000))
    small = Waiting(due_at(5.0, 1_000, 1_000.0), plain([100] * 10))
    assert counts([large, small], 2_000) == [0, 10]


def test_a_batch_that_ends_a_request_is_filled_only_where_it_would_be_tiny_or_ends_another_one():
    large = Waiting(3, plain([100] * 1_000))
    small = Waiting(1, plain([100] * 5))
    assert counts([large, small], 2_000) == [0, 5]
    assert counts([large, small], 2_001) == [15, 5]
    assert counts([large, small, Waiting(2, plain([100] * 15))], 2_000) == [0, 5, 15]
    assert counts([large, small, Waiting(2, plain([100] * 16))], 2_000) == [0, 5, 0]


def test_a_large_request_comes_before_small_ones_that_arrive_after_it_is_due():
    large = Waiting(due_at(0.0, 1_000, 1_000.0), plain([100] * 10))
    small = Waiting(due_at(PATIENCE * 1.0 + 0.1, 100, 1_000.0), plain([100]))
    assert counts([small, large], 500) == [0, 5]


@given(st.integers(), st.floats(0, 1e6), st.integers(0, 10**6))
def test_a_priority_shifts_when_a_request_is_due_by_seconds_and_no_more_than_ten(priority, arrival, tokens):
    shift = due_at(arrival, tokens, 1_000.0, priority) - due_at(arrival, tokens, 1_000.0)
    assert shift == pytest.approx(max(-10, min(10, priority)), abs=1e-6)


def test_no_stream_of_the_highest_priority_holds_a_request_up_for_longer_than_that():
    waits = due_at(100.0, 1_000, 1_000.0)
    assert due_at(100.0 + MAX_PRIORITY + 0.1, 1_000, 1_000.0, priority=-1_000_000) > waits


def test_a_pair_that_does_not_fit_leaves_its_room_to_other_requests():
    assert counts([Waiting(1, plain([60, 60])), Waiting(2, plain([50])), Waiting(3, plain([40]))], 100) == [
        1,
        0,
        1,
    ]


def test_a_pair_that_does_not_fit_leaves_its_room_to_shorter_ones_of_its_request():
    assert plan_batch([Waiting(1, plain([60, 50, 30, 20, 10]))], 100) == [[0, 2, 4]]


def test_a_padded_batch_counts_its_longest_pair_for_every_pair():
    assert counts([Waiting(1, plain([50, 10, 10, 10]))], 100, padded=True) == [2]
    assert counts([Waiting(1, plain([50, 10, 10, 10]))], 100) == [4]


def test_the_pairs_of_one_prefix_stay_together_beyond_a_budget_that_the_prefix_would_fill():
    request = Waiting(1, behind(b"q", 100, [60] * 30))
    assert counts([request], 100) == [1]
    assert counts([request], 100, most=4_096) == [18]  # 100 + 18 · 60 ≤ 100 ÷ PREFIX_SHARE
    assert counts([request], 100, most=500) == [6]
    assert counts([request], 2_000, most=4_096) == [30]


def test_two_requests_with_long_prefixes_take_turns_and_neither_waits_for_all_of_the_other():
    groups = {0: 30, 1: 30}
    batches = []
    while any(groups.values()):
        waiting = [Waiting(index, behind(b"%d" % index, 100, [60] * left)) for index, left in groups.items()]
        waiting[1] = waiting[1]._replace(order=0.5 if groups[0] < 30 else 1)
        taken = counts(waiting, 100, most=4_096)
        batches.append(taken)
        for index, count in enumerate(taken):
            groups[index] -= count
    assert batches[:3] == [[18, 0], [12, 0], [0, 18]]


def test_another_prefix_joins_a_batch_whole_or_where_it_is_little_of_what_joins():
    first = Waiting(1, behind(b"a", 100, [60] * 5))
    assert counts([first, Waiting(2, behind(b"b", 100, [60] * 8))], 1_000) == [5, 8]
    assert counts([first, Waiting(2, behind(b"b", 100, [60] * 9))], 1_000) == [5, 0]
    longer = Waiting(1, behind(b"a", 100, [60] * 50 + [450]))
    assert counts([longer, Waiting(2, behind(b"b", 20, [60] * 9))], 3_500) == [50, 6]
    assert counts([longer, Waiting(2, behind(b"b", 60, [60] * 9))], 3_500) == [50, 0]


def test_a_padding_model_computes_prefixes_anew_for_every_pair():
    assert counts([Waiting(1, behind(b"a", 100, [60] * 5))], 500, padded=True, most=4_096) == [3]


def test_one_request_is_cut_into_batches_that_hold_every_pair_once():
    assert cut(plain([4_097, 2_048, 2_048, 5, 3, 1]), 4_096) == [[0], [1, 2], [3, 4, 5]]
    assert cut(behind(b"a", 100, [60] * 5), 300) == [[0, 1, 2], [3, 4]]
    assert cut([], 4_096) == []


def test_planning_looks_at_no_more_of_a_long_queue_than_it_needs():
    class Counted(list):
        looked = 0

        def __getitem__(self, index):
            Counted.looked += 1
            return super().__getitem__(index)

    waiting = [Waiting(0, plain([90]))]
    waiting += [Waiting(1 + i, Counted(plain([50] * 100))) for i in range(200)]
    assert counts(waiting, 100) == [1] + [0] * 200
    assert Counted.looked <= 4 * LOOKED_AT < 200 * 100


@pytest.mark.parametrize(("speed", "budget"), [(100_000.0, 4_096), (8_000.0, 2_000), (1.0, 1)])
def test_a_batch_takes_a_quarter_of_a_second_and_no_more_than_the_limit(speed, budget):
    assert BATCH_S == 0.25
    assert next_budget(speed, 4_096) == budget


def test_a_slow_device_may_aim_at_more_than_fits_the_time_but_not_at_more_than_the_limit():
    assert next_budget(100.0, 4_096, least_tokens=256) == 256
    assert next_budget(100.0, 200, least_tokens=256) == 200
    assert next_budget(8_000.0, 4_096, least_tokens=256) == 2_000


@pytest.mark.parametrize(("speed", "most"), [(1.0, 10), (0.01, 1), (100.0, 1_000), (1e6, 4_096)])
def test_a_batch_is_stretched_to_ten_seconds_of_work_at_most(speed, most):
    assert most_tokens(speed, 4_096) == most


def test_a_device_that_is_fast_in_small_batches_aims_at_them():
    assert next_budget(400_000.0, 65_536, 0.02) == 8_000
    # 20 ms are no short batch there, though they are less than a quarter of a second
    assert learn_speed(400_000, 1_000, 0.02, 8_000, 0.02) == 225_000


def test_the_speed_follows_full_batches_and_slow_ones():
    assert learn_speed(1_000, 250, 0.5, 250) == 750
    assert learn_speed(1_000, 10, 1.0, 250) == 505


def test_a_small_quick_batch_says_nothing_of_the_speed():
    assert learn_speed(1_000, 10, 0.1, 250) == 1_000
