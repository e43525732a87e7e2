"""Which way is the fastest is measured."""

import time

from podium.models.timing import fastest


def test_which_is_faster_is_measured_in_turns_and_the_first_of_each_does_not_count():
    done, waits = [], iter([0.03, 0.0, *[0.0, 0.002] * 5])

    def work(name):
        done.append(name)
        time.sleep(next(waits))

    first, second = fastest(lambda: work("a"), lambda: work("b"))
    assert done == ["a", "b"] * 6
    assert first < 0.03
    assert second >= 0.002
