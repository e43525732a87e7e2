"""How far the last change of the spec is: the condition Progressing. Pure."""

from collections.abc import Iterable

from podium_operator.render.pinned import is_made_for
from podium_operator.render.replacing import REPLACING_ALL, is_past_deadline, replacing
from podium_operator.resource.remedies import with_remedy
from podium_operator.resource.status import ConditionType
from podium_operator.seen.observed import (
    OPERATOR_FIELD,
    Body,
    ObjectKey,
    condition,
    is_rolled_out,
)
from podium_operator.seen.volumes import one_pod
from podium_operator.tell.view import Verdict, View, unplaced_pods

_OUT = "RolloutComplete"
_SERVE = ("Deployment", "Service")
"""Children without which nobody is served as the spec says."""


def is_out(view: View) -> bool:
    """Whether all of the newest spec was taken and its pods have all been there: they may fail later."""
    live = view.deployment
    if view.problem or view.conflicts or view.leaving or view.going or view.observed.refusals:
        return False
    if not view.progress.ready or live is None:
        return False
    return _anothers(view, live) is None and (is_rolled_out(live) or _was_out(view, live))


def _anothers(view: View, live: Body) -> str | None:
    """Return the kind of what another manager has as it likes, until it is put right: the pods, or the way
    to them.
    """
    for contest in view.observed.contests:
        kind, name = contest.kind, contest.name
        if kind not in _SERVE or name != view.reranker.name or (kind, name) not in view.open:
            continue
        if contest.field.startswith("spec"):
            return kind
        if (kind, contest.field) == ("Deployment", OPERATOR_FIELD) and not _is_as_asked(view, live):
            return kind
    return None


def _is_as_asked(view: View, live: Body) -> bool:
    """Whether another operator's Deployment is what the spec asks for; its settings may be others.

    Asked in this way both operators say the same: else they would take turns at writing status.
    """
    number = view.reranker.spec.autoscaling is not None or live["spec"].get("replicas") == view.desired
    return number and is_made_for(view.reranker, live)


def _was_out(view: View, live: Body) -> bool:
    """Whether status says so of this generation, or of the Deployment's, which many an edit leaves as it is,
    and the Deployment has not begun another roll since.

    An autoscaler's new number is no roll either: the Deployment's own condition keeps its reason.
    """
    generation = int(live["metadata"].get("generation", 0))
    known = next(
        (item for item in view.reranker.status.conditions if item.type == ConditionType.PROGRESSING), None
    )
    told = known is not None and (
        known.reason in (_OUT, "WaitingForTurn") and known.observed_generation == view.reranker.generation
    )
    if not told and view.reranker.status.rolled_out_generation != generation:
        return False
    observed = int(view.numbers.get("observedGeneration", 0)) >= generation
    reason = (condition(live, "Progressing") or {}).get("reason")
    return observed and reason in ("NewReplicaSetAvailable", "DeploymentPaused")


def is_late(view: View, told: Verdict) -> bool:
    """Whether a roll got no further within the deadline, for whatever reason."""
    live = view.deployment
    waits = told.reason == "WaitingForGPU" and live is not None and is_past_deadline(live)
    return waits or told.reason == "ProgressDeadlineExceeded"


def progressing(view: View) -> Verdict:
    """Whether a change is on its way; False with RolloutComplete: it is fully out."""
    live, refusals = view.deployment, view.observed.refusals
    if view.problem or view.conflicts:
        return Verdict("False", "NotAccepted", "the newest spec is not carried out, see Accepted")
    if refusals:
        told = (
            f"{kind} {name} was not taken: {refusal.message}" for (kind, name), refusal in refusals.items()
        )
        return Verdict("False", "Refused", with_remedy("Refused", "; ".join(told)))
    if view.leaving:
        message = f"objects of an earlier Reranker of this name are going: {_names(view.leaving)}"
        return Verdict("True", "WaitingForDeletion", with_remedy("WaitingForDeletion", message))
    if not view.progress.ready:
        gap = ""
        if live is not None and one_pod(view.reranker, view.source, view.observed.claim):
            gap = "; until then none runs: ReadWriteOncePod gives the claim to the download"
        return Verdict(
            "True", "Downloading", f"the pods change when the model's files are there, see CacheReady{gap}"
        )
    if live is None:
        return Verdict("True", "Starting", "the Deployment is being made")
    if view.going:
        message = f"someone deletes {_names(view.going)}: made anew when gone"
        return Verdict("True", "WaitingForDeletion", with_remedy("WaitingForDeletion", message))
    return _roll(view, live)


def _names(keys: Iterable[ObjectKey]) -> str:
    return ", ".join(f"{kind} {name}" for kind, name in keys)


def _roll(view: View, live: Body) -> Verdict:
    if view.reranker.spec.rollout.paused:
        return Verdict(
            "False", "Paused", "rollout.paused holds changes of the pods back; set it to false to go on"
        )
    taken = _anothers(view, live)
    if taken:
        message = f"another manager changed the {taken}, which is put right, see Degraded"
        return Verdict("True", "RollingOut", message)
    numbers, wanted = view.numbers, int(live["spec"].get("replicas", 1))
    updated = int(numbers.get("updatedReplicas", 0))
    if is_rolled_out(live) and view.waits_for:
        message = f"newer pods wait until those of Reranker {view.waits_for}, moved before, are ready"
        return Verdict("False", "WaitingForTurn", with_remedy("WaitingForTurn", message))
    if is_rolled_out(live):
        return Verdict("False", _OUT, f"{wanted} of {wanted} pods are as the spec wants them")
    if _was_out(view, live):
        return Verdict("False", _OUT, "the last change is fully out, see Available for its pods")
    if int(numbers.get("observedGeneration", 0)) >= int(live["metadata"].get("generation", 0)):
        if any(cause.reason == "InsufficientGPU" for cause in unplaced_pods(view)):
            message = f"{updated} of {wanted} pods are new, the next one waits for a GPU"
            return Verdict("False", "WaitingForGPU", with_remedy("InsufficientGPU", message))
        if is_past_deadline(live):
            message = f"{updated} of {wanted} pods are new; no progress within the deadline"
            reason = "ProgressDeadlineExceeded"
            return Verdict("False", reason, with_remedy(reason, message))
    return Verdict("True", "RollingOut", f"{updated} of {wanted} pods are new{_gap(view, live)}")


def _gap(view: View, live: Body) -> str:
    """Return what a roll costs where pods go before their successors come."""
    spec = view.reranker.spec
    mode = replacing(live)
    one = view.desired == 1 or mode == REPLACING_ALL
    none = "none answers meanwhile" if one else "fewer answer meanwhile"
    if mode == REPLACING_ALL:
        return f"; old pods hold claim {view.source.claim} on another node, so all of them go first: {none}"
    if mode:
        return f"; the node of claim {view.source.claim} has no room for more, so old pods go first: {none}"
    surge = str(spec.rollout.max_surge) if spec.rollout.max_surge is not None else "0"
    if spec.gpu is not None and view.desired == 1 and surge in ("0", "0%"):
        return "; with one GPU pod and no surge none answers meanwhile"
    return ""
