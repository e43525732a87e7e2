import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.device import FAILURES, WELL, Health, Room, is_lost


class AcceleratorError(RuntimeError):
    """As torch names it."""


class SubclassError(AcceleratorError): ...


# How much fits.


def test_a_moment_without_memory_halves_the_larger_of_batch_and_budget():
    room = Room(4_096)
    room.exceeded(6, budget=2_000)
    assert room.tokens == 1_000
    room.exceeded(3_000, budget=500)
    assert room.tokens == 1_500


def test_it_grows_back_after_batches_that_fit():
    room = Room(4_096)
    room.exceeded(4_096, budget=4_096)
    for _ in range(10 * WELL):
        room.held(room.tokens)
    assert room.tokens == 4_096


def test_batches_far_below_the_limit_say_nothing_of_it():
    room = Room(4_096)
    room.exceeded(4_096, budget=4_096)
    for _ in range(10 * WELL):
        room.held(100)
    assert room.tokens == 2_048


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 10_000), st.integers(1, 10_000))), st.integers(1, 10_000)
)
def test_it_stays_between_one_and_what_was_set(events, most):
    room = Room(most)
    for exceeded, batch, budget in events:
        if exceeded:
            room.exceeded(min(batch, most), budget)
        else:
            room.held(batch)
        assert 1 <= room.tokens <= most


@given(st.integers(1, 10_000))
def test_from_whatever_it_shrank_to_it_comes_back(shrinks):
    room = Room(4_096)
    for _ in range(min(shrinks, 40)):
        room.exceeded(1, budget=room.tokens)
    for _ in range(60 * WELL):
        room.held(max(1, room.tokens))
    assert room.tokens == 4_096


# Whether it works.


def fails() -> None:
    raise RuntimeError("the self-test")


def behind(cause: Exception) -> Exception:
    error = ValueError("x")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        pytest.param(AcceleratorError("CUDA error: device-side assert triggered"), True, id="an assertion"),
        pytest.param(SubclassError("x"), True, id="a kind of it"),
        pytest.param(behind(AcceleratorError("x")), True, id="behind another error"),
        pytest.param(AcceleratorError("CUDA error: out of memory"), False, id="memory"),
        pytest.param(RuntimeError("CUDA error"), False, id="another error"),
    ],
)
def test_a_device_is_lost_by_torchs_errors_for_it(error, lost):
    assert is_lost(error) is lost


def test_torch_names_them_so():
    torch = pytest.importorskip("torch")
    assert is_lost(torch.AcceleratorError("x"))
    assert not is_lost(torch.OutOfMemoryError("x"))


def test_a_lost_device_is_lost_at_once_and_needs_no_test():
    health = Health()
    health.failed(AcceleratorError("CUDA error: device-side assert triggered\nmore"), pytest.fail)
    assert health.lost == "the device is lost; the process must be started anew"
    assert health.cause == "CUDA error: device-side assert triggered"


def test_three_failures_in_a_row_with_their_self_tests_are_fatal():
    health = Health()
    for _ in range(FAILURES - 1):
        health.failed(RuntimeError(), fails)
        assert health.lost is None
    health.failed(RuntimeError(), fails)
    assert health.lost.startswith("3 batches in a row and the self-tests behind them failed; the process")
    assert health.cause == "RuntimeError"


@pytest.mark.parametrize("between", ["a batch that worked", "a self-test that worked"])
def test_failures_that_are_not_in_a_row_are_not_fatal(between):
    health = Health()
    for _ in range(10):
        health.failed(RuntimeError(), fails)
        health.failed(RuntimeError(), fails)
        if between == "a batch that worked":
            health.worked()
        else:
            health.failed(RuntimeError(), lambda: None)
    assert health.lost is None


def test_no_caller_can_end_the_service_with_texts_that_make_the_model_fail():
    health = Health()
    for _ in range(100):
        health.failed(RuntimeError(), lambda: None)
    assert health.lost is None


def test_a_self_test_that_finds_the_device_lost_counts_at_once():
    def lost() -> None:
        raise AcceleratorError("gone")

    health = Health()
    health.failed(RuntimeError(), lost)
    assert (health.lost.partition(";")[0], health.cause) == ("the device is lost", "gone")
