"""Ready, Reconciling and Stalled, as kstatus, Flux, Argo CD and `kubectl wait` read them. Pure.

Stalled: no waiting heals it. Reconciling: accepted, and being downloaded, applied or rolled out. Neither: the
change is out; Ready says whether its pods answer.
"""

from podium_operator.resource.remedies import with_remedy
from podium_operator.resource.status import ConditionType
from podium_operator.tell.rolling import is_late, is_out
from podium_operator.tell.view import Verdict, View, pod_troubles

_FAILING = (ConditionType.CACHE_READY, ConditionType.SCHEDULED, ConditionType.AVAILABLE)
_Found = dict[ConditionType, Verdict]


def readiness(view: View, found: _Found) -> _Found:
    """Return the three verdicts that sum the others up."""
    accepted, progressing = found[ConditionType.ACCEPTED], found[ConditionType.PROGRESSING]
    stalled = accepted.status == "False"
    late = is_late(view, progressing)
    under_way = not stalled and not late and not is_out(view)
    if stalled:
        ready = Verdict("False", accepted.reason, accepted.message)
    elif under_way:
        why = _why(view, found)
        ready = Verdict("Unknown", why.reason, why.message)
    elif found[ConditionType.AVAILABLE].status == "True" and not late:
        ready = Verdict("True", "Ready", found[ConditionType.AVAILABLE].message)
    else:
        why = _why(view, found)
        ready = Verdict("False", why.reason, why.message)
    return {
        ConditionType.RECONCILING: Verdict("True", ready.reason, ready.message)
        if under_way
        else Verdict("False", progressing.reason, "no change is on its way"),
        ConditionType.STALLED: Verdict("True", accepted.reason, accepted.message)
        if stalled
        else Verdict("False", "Accepted", "nothing is wrong that no waiting heals"),
        ConditionType.READY: ready,
    }


def _why(view: View, found: _Found) -> Verdict:
    """Return what stands in the way: a refusal, what fails first, a new pod's trouble, or the roll itself."""
    progressing = found[ConditionType.PROGRESSING]
    if progressing.reason == "Refused" or view.leaving:
        return progressing
    for kind in _FAILING:
        if found[kind].status == "False":
            return found[kind]
    cause = next(pod_troubles(view), None)
    return Verdict("", cause.reason, with_remedy(cause.reason, cause.message)) if cause else progressing
