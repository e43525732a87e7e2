import pytest

from podium.admission import admit, retry_after_s
from podium.errors import InvalidRequest, Overloaded, Unavailable


@pytest.mark.parametrize(
    ("pairs", "waiting", "limit"),
    [
        pytest.param(10, 0, 100, id="an empty queue"),
        pytest.param(10, 90, 100, id="what just fits"),
        pytest.param(1_000, 0, 100, id="more than the queue holds, when nothing waits"),
    ],
)
def test_a_request_that_fits_or_finds_nothing_waiting_is_admitted(pairs, waiting, limit):
    room = {"waiting_pairs": waiting, "max_queue_pairs": limit}
    admit(pairs, windows=pairs, waiting_tokens=1, tokens_per_s=1, **room)


def test_a_request_that_does_not_fit_is_refused_whole_with_its_numbers():
    with pytest.raises(Overloaded) as refused:
        admit(
            12, windows=12, waiting_pairs=412, waiting_tokens=9_000, tokens_per_s=1_000, max_queue_pairs=420
        )
    assert refused.value.message == (
        "412 pairs are waiting and this request has 12, the limit is 420 (max_queue_pairs); "
        "try again later or send fewer documents"
    )


def test_more_windows_than_may_wait_are_refused_even_by_an_empty_queue():
    with pytest.raises(InvalidRequest) as refused:
        admit(10, windows=421, waiting_pairs=0, waiting_tokens=0, tokens_per_s=1_000, max_queue_pairs=420)
    assert refused.value.message == (
        "10 documents may become 421 windows, the limit is 420 (max_queue_pairs); "
        "send fewer documents a request, or lower `max_chunks_per_doc`"
    )


@pytest.mark.parametrize(
    ("tokens", "speed", "seconds"),
    [
        pytest.param(9_001, 1_000.0, 10, id="rounded up"),
        pytest.param(9_001, 100_000.0, 1, id="a faster model, at least a second"),
        pytest.param(0, 1.0, 1, id="never zero"),
        pytest.param(8_183_000, 1_000.0, 60, id="never more than a minute"),
        pytest.param(10**15, 1e-300, 60, id="a device that stands still"),
    ],
)
def test_retry_after_is_the_waiting_tokens_over_the_speed(tokens, speed, seconds):
    assert Overloaded("full", retry_after_s(tokens, speed)).retry_after_s == seconds


def test_a_stuck_device_sends_nobody_away_for_longer_either():
    assert Unavailable("stuck", 121).retry_after_s == 60
