"""Fields that another manager keeps taking back: counted, contested, and left alone for longer and longer."""

import msgspec

from podium_operator.seen.observed import Contest

WINDOW_S, TIMES, QUIET_S = 300.0, 3, 600.0
"""The third time within five minutes is a contest; ten quiet minutes end it."""
_FIRST_HOLD_S, _LONGEST_HOLD_S = 20.0, 300.0


class Taken(msgspec.Struct, frozen=True):
    """One field found taken by another manager at `at`, in seconds of a monotonic clock."""

    contest: Contest
    at: float


def remember(history: tuple[Taken, ...], found: Contest, now: float) -> tuple[Taken, ...]:
    """Return the history with one more finding; what is older than the quiet time is forgotten."""
    return (*(taken for taken in history if now - taken.at < QUIET_S), Taken(found, now))


def contested(history: tuple[Taken, ...], now: float) -> tuple[Contest, ...]:
    """Return the fields that are contested now, the one that was taken last first.

    A contest begins with the third finding within the window and ends with the quiet time.
    """
    recent = [taken for taken in reversed(history) if now - taken.at < QUIET_S]
    fields = dict.fromkeys(taken.contest for taken in recent)
    return tuple(field for field in fields if _began(_times(history, field)))


def _times(history: tuple[Taken, ...], field: Contest) -> list[float]:
    return [taken.at for taken in history if taken.contest == field]


def _began(times: list[float]) -> bool:
    return any(times[i + TIMES - 1] - times[i] <= WINDOW_S for i in range(len(times) - TIMES + 1))


def hold_s(history: tuple[Taken, ...], field: Contest, now: float) -> float:
    """Return the seconds for which a contested field is not put right again; 0: put it right now."""
    if field not in contested(history, now):
        return 0.0
    times = _times(history, field)
    wait: float = min(_LONGEST_HOLD_S, _FIRST_HOLD_S * 2 ** min(len(times) - TIMES, 10))
    return max(0.0, times[-1] + wait - now)


def due_s(history: tuple[Taken, ...], field: Contest, now: float) -> float:
    """Return the seconds until a contested field may be put right, or else until its contest is over."""
    return hold_s(history, field, now) or _times(history, field)[-1] + QUIET_S - now
