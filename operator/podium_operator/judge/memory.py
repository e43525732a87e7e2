"""What the operator remembers of a Reranker between two looks; all of it may be lost at any time."""

from collections.abc import Mapping, Set

import msgspec

from podium_operator.judge.contest import Taken, contested, due_s, hold_s, remember
from podium_operator.judge.drift import granted, lacks
from podium_operator.judge.plan import Apply, digest_of
from podium_operator.resource.names import APPLIED_ANNOTATION, ROLLED_ANNOTATION
from podium_operator.resource.status import RerankerStatus
from podium_operator.seen.observed import Body, Contest, Granted, ObjectKey, Refusal

_SOON_S, _FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 5.0, 300.0


_MOMENT = frozenset({ROLLED_ANNOTATION, APPLIED_ANNOTATION})
"""Annotations that hold it: itself, and the digest of all."""


class _Refused(msgspec.Struct, frozen=True):
    refusal: Refusal
    request: object
    tries: int
    retry_at: float


class Memory:
    """What was granted and refused, and contested fields, of one Reranker.

    Times are seconds of a monotonic clock.
    """

    def __init__(self) -> None:
        self.granted: dict[ObjectKey, Granted] = {}
        self.status: RerankerStatus | None = None
        """What the API server made of the status that was written last; None before."""
        self._refused: dict[ObjectKey, _Refused] = {}
        self._history: tuple[Taken, ...] = ()
        self.zeroed_by: str | None = None
        """The manager that scaled an autoscaled Deployment to 0, until a pod answers again."""

    def refusals(self, now: float) -> Mapping[ObjectKey, Refusal]:
        """Return what was refused last time; a foreign object is asked for again after a while."""
        return {
            key: refused.refusal
            for key, refused in self._refused.items()
            if not refused.refusal.foreign or now < refused.retry_at
        }

    def refuse(
        self, key: ObjectKey, request: object, refusal: Refusal, now: float, *, at_least_s: float = 0.0
    ) -> None:
        """Remember a refusal; the same request is made again later and later, another one at once.

        What may be taken next time (no answer, too many requests, an error of the server) is tried sooner.
        """
        known, request = self._refused.get(key), _words(request)
        tries = known.tries + 1 if known and known.request == request else 1
        first_s = _SOON_S if refusal.code in (0, 429) or refusal.code >= 500 else _FIRST_RETRY_S
        # What a webhook wishes may be years.
        wait_s = min(_LONGEST_RETRY_S, max(at_least_s, first_s * 2 ** min(tries - 1, 10)))
        self._refused[key] = _Refused(refusal, request, tries, now + wait_s)

    def is_foreign(self, key: ObjectKey) -> bool:
        """Whether the object of that name was found to be someone else's."""
        refused = self._refused.get(key)
        return refused is not None and refused.refusal.foreign

    def accept(self, key: ObjectKey, manifest: Body, answer: Body) -> None:
        """Remember what the API server made of an object that it took, and forget that it was refused."""
        self._refused.pop(key, None)
        # As a rule it took our words as they were: then they need not be kept twice.
        expected = granted(answer, manifest) if next(lacks(answer, manifest), None) else None
        self.granted[key] = Granted(answer["metadata"]["uid"], digest_of(manifest), expected)

    def forget(self, key: ObjectKey) -> None:
        """Forget an object that was deleted."""
        self._refused.pop(key, None)
        self.granted.pop(key, None)

    def forget_others(self, concerns: Set[ObjectKey]) -> bool:
        """Forget refusals where nothing is to be done any more; return whether there were any."""
        others = self._refused.keys() - concerns
        for key in others:
            del self._refused[key]
        return bool(others)

    def is_refused(self, key: ObjectKey, request: object, now: float) -> bool:
        """Whether this very request was refused a moment ago and is not to be made now."""
        refused = self._refused.get(key)
        return refused is not None and refused.request == _words(request) and now < refused.retry_at

    def is_withheld(self, apply: Apply, key: ObjectKey, now: float) -> bool:
        """Whether an object is not to be written now: refused as it is, or contested, a moment ago."""
        if self.is_refused(key, apply.manifest, now):
            return True
        return apply.taken is not None and self.held(apply.taken, now)

    def taken(self, contest: Contest, now: float) -> None:
        """Remember that a manager took a field."""
        self._history = remember(self._history, contest, now)

    def contests(self, now: float) -> tuple[Contest, ...]:
        """Return the fields that are contested now, the one that was taken last first."""
        return contested(self._history, now)

    def held(self, contest: Contest, now: float) -> bool:
        """Whether a field is contested and was put right a moment ago."""
        return hold_s(self._history, contest, now) > 0

    def wake_s(self, now: float) -> float | None:
        """Return the seconds until something here is due, or None."""
        times = [refused.retry_at - now for refused in self._refused.values()]
        times += [due_s(self._history, field, now) for field in contested(self._history, now)]
        return max(0.5, min(times)) if times else None


def _words(request: object) -> object:
    """Return a request without the moment at which an upgrade moves the pods, which each look says anew."""
    if not isinstance(request, Mapping):
        return request
    metadata = request["metadata"]
    said = {key: value for key, value in metadata.get("annotations", {}).items() if key not in _MOMENT}
    return {**request, "metadata": {**metadata, "annotations": said}}
