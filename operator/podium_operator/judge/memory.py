"""What the operator remembers of a Reranker between two looks; all of it may be lost at any time."""

from collections.abc import Mapping

import msgspec

from podium_operator.judge.contest import Taken, contested, hold_s, remember
from podium_operator.judge.plan import Apply
from podium_operator.seen.observed import Contest, ObjectKey, Refusal

_FIRST_RETRY_S, _LONGEST_RETRY_S = 5.0, 300.0


class _Refused(msgspec.Struct, frozen=True):
    refusal: Refusal
    manifest: object
    tries: int
    retry_at: float


class Memory:
    """Refused objects and contested fields of one Reranker. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._refused: dict[ObjectKey, _Refused] = {}
        self._history: tuple[Taken, ...] = ()

    def refusals(self, now: float) -> Mapping[ObjectKey, Refusal]:
        """Return what was refused last time; a foreign object is asked for again after a while."""
        return {
            key: refused.refusal
            for key, refused in self._refused.items()
            if not refused.refusal.foreign or now < refused.retry_at
        }

    def refuse(self, key: ObjectKey, manifest: object, refusal: Refusal, now: float) -> None:
        """Remember a refusal; the same object is tried again later and later, another one at once."""
        known = self._refused.get(key)
        tries = known.tries + 1 if known and known.manifest == manifest else 1
        wait_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2 ** min(tries - 1, 10))
        self._refused[key] = _Refused(refusal, manifest, tries, now + wait_s)

    def accept(self, key: ObjectKey) -> None:
        """Forget a refusal: the object was taken, or is not wanted any more."""
        self._refused.pop(key, None)

    def forget_others(self, wanted: set[ObjectKey]) -> None:
        """Forget refusals of what is not wanted any more."""
        for key in set(self._refused) - wanted:
            del self._refused[key]

    def is_withheld(self, apply: Apply, key: ObjectKey, now: float) -> bool:
        """Whether an object is not to be written now: refused as it is, or contested, a moment ago."""
        refused = self._refused.get(key)
        if refused and refused.manifest == apply.manifest and now < refused.retry_at:
            return True
        return apply.taken is not None and hold_s(self._history, apply.taken, now) > 0

    def taken(self, contest: Contest, now: float) -> None:
        """Remember that a manager took a field."""
        self._history = remember(self._history, contest, now)

    def contest(self, now: float) -> Contest | None:
        """Return the field that is contested now."""
        return contested(self._history, now)

    def wake_s(self, now: float) -> float | None:
        """Return the seconds until something here is due, or None."""
        times = [refused.retry_at - now for refused in self._refused.values()]
        contest = self.contest(now)
        if contest:
            times.append(max(hold_s(self._history, contest, now), 1.0))
        return max(0.5, min(times)) if times else None
