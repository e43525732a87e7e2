"""A field that is taken back for the third time within five minutes is contested, for ten quiet minutes."""

from podium_operator.judge.contest import QUIET_S, Taken, contested, due_s, hold_s, remember
from podium_operator.seen.observed import Contest

FIELD = Contest(manager="argocd", kind="Service", name="demo", field="spec.type")
OTHER = Contest(manager="argocd", kind="Service", name="demo", field="spec.selector")


def history(*times: float, field: Contest = FIELD) -> tuple[Taken, ...]:
    found: tuple[Taken, ...] = ()
    for time in times:
        found = remember(found, field, time)
    return found


def test_the_third_time_within_five_minutes_is_a_contest() -> None:
    assert contested(history(0, 10), 11) == ()
    assert contested(history(0, 10, 20), 21) == (FIELD,)
    assert contested(history(0, 200, 400), 401) == ()


def test_two_fields_are_counted_apart() -> None:
    mixed = remember(remember(history(0, 10), OTHER, 12), OTHER, 13)
    assert contested(mixed, 14) == ()
    assert contested(remember(remember(mixed, FIELD, 15), OTHER, 16), 17) == (OTHER, FIELD)


def test_corrections_come_later_and_later_but_for_other_fields_at_once() -> None:
    assert hold_s(history(0, 10), FIELD, 11) == 0
    assert hold_s(history(0, 10, 20), FIELD, 25) == 15
    assert hold_s(history(0, 10, 20, 40), FIELD, 40) == 40
    assert hold_s(history(0, 10, 20), OTHER, 25) == 0


def test_ten_quiet_minutes_end_a_contest() -> None:
    assert contested(history(0, 10, 20), 619) == (FIELD,)
    assert contested(history(0, 10, 20), 621) == ()
    assert len(history(0, 10, 20, 700)) == 1


def test_a_contested_field_is_looked_at_when_it_may_be_put_right_and_when_it_is_over() -> None:
    assert due_s(history(0, 10, 20), FIELD, 25) == 15
    assert due_s(history(0, 10, 20), FIELD, 50) == 20 + QUIET_S - 50, "not every second until then"
