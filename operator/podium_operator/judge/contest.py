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


def contested(history: tuple[Taken, ...], now: float) -> Contest | None:
    """Return the field that is contested now, or None.

    A contest begins with the third finding within the window and ends with the quiet time.
    """
    for taken in reversed(history):
        if now - taken.at >= QUIET_S:
            break
        same = [other.at for other in history if other.contest == taken.contest]
        if any(same[i + TIMES - 1] - same[i] <= WINDOW_S for i in range(len(same) - TIMES + 1)):
            return taken.contest
    return None


def hold_s(history: tuple[Taken, ...], field: Contest, now: float) -> float:
    """Return the seconds for which a contested field is not put right again; 0: put it right now."""
    if contested(history, now) != field:
        return 0.0
    times = [taken.at for taken in history if taken.contest == field]
    wait: float = min(_LONGEST_HOLD_S, _FIRST_HOLD_S * 2 ** min(len(times) - TIMES, 10))
    return max(0.0, times[-1] + wait - now)
