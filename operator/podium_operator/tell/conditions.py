"""Each condition of a Reranker as a verdict: does it hold, one word, one sentence. Pure."""

from collections.abc import Iterator

from podium_operator.render.autoscaling import prometheus_address
from podium_operator.resource.remedies import with_remedy
from podium_operator.resource.status import ConditionType
from podium_operator.seen.observed import Body, condition, condition_is
from podium_operator.tell.degraded import degraded
from podium_operator.tell.view import Verdict, View, pod_troubles, unplaced_pods


def verdicts(view: View) -> dict[ConditionType, Verdict]:
    """Return all conditions in their order; AutoscalingReady only where something scales."""
    found = {
        ConditionType.ACCEPTED: accepted(view),
        ConditionType.CACHE_READY: cache_ready(view),
        ConditionType.SCHEDULED: scheduled(view),
        ConditionType.AVAILABLE: available(view),
        ConditionType.PROGRESSING: progressing(view),
    }
    if view.reranker.spec.autoscaling:
        found[ConditionType.AUTOSCALING_READY] = autoscaling_ready(view)
    found[ConditionType.DEGRADED] = degraded(view)
    found[ConditionType.READY] = ready(view, found)
    return found


def accepted(view: View) -> Verdict:
    """Whether the spec is carried out."""
    if view.problem:
        return Verdict("False", view.problem.reason, view.problem.message)
    if view.conflicts:
        names = ", ".join(f"{kind} {name}" for kind, name in view.conflicts)
        message = f"{names} exists and does not belong to this Reranker; nothing is written"
        return Verdict("False", "NameConflict", with_remedy("NameConflict", message))
    return Verdict("True", "Accepted", "the spec is carried out")


def cache_ready(view: View) -> Verdict:
    """Whether the model's files are there."""
    progress = view.progress
    if progress.ready:
        return Verdict("True", progress.reason, progress.message)
    return Verdict("False", progress.reason, with_remedy(progress.reason, progress.message))


def scheduled(view: View) -> Verdict:
    """Whether every pod has a node, the one that binds the claim included."""
    if view.reranker.spec.suspend:
        return Verdict("True", "Suspended", "no pod is wanted")
    refused = next(_refusals(view), None)
    if refused:
        return Verdict("False", "Refused", with_remedy("Refused", refused))
    unplaced = unplaced_pods(view)
    if unplaced:
        count = f"{len(unplaced)} pods have no node; " if len(unplaced) > 1 else ""
        return Verdict(
            "False", unplaced[0].reason, with_remedy(unplaced[0].reason, count + unplaced[0].message)
        )
    if not view.pods:
        return Verdict("Unknown", "NoPods", "no pod exists yet")
    if any(not pod.get("spec", {}).get("nodeName") for pod in view.pods):
        return Verdict("Unknown", "Scheduling", "a pod waits for the scheduler")
    return Verdict("True", "Placed", "every pod has a node")


def _refusals(view: View) -> Iterator[str]:
    """Yield why pods or their Deployment are not let in: quotas, limits, Pod Security."""
    refusal = view.observed.refusals.get(("Deployment", view.reranker.name))
    if refusal:
        yield f"the Deployment was refused: {refusal.message}"
    failure = condition(view.deployment, "ReplicaFailure")
    if failure and failure["status"] == "True":
        yield f"pods are refused: {failure.get('message', '')}"
    for warning in view.observed.warnings:
        if warning.reason == "FailedCreate" and "-bind-" in warning.name:
            yield f"{warning.kind} {warning.name}: {warning.message}"


def available(view: View) -> Verdict:
    """Whether enough pods answer."""
    if view.reranker.spec.suspend:
        message = "suspended: no pod runs, cache and Service stay; set suspend to false to go on"
        return Verdict("False", "Suspended", message)
    if view.deployment and view.desired == 0:
        return Verdict("False", "NoReadyReplicas", "replicas is 0; set it to 1 or more to go on")
    if view.ready >= view.needed:
        return Verdict("True", "Answering", f"{view.ready} of {view.desired} pods answer")
    cause = next(pod_troubles(view), None)
    if cause:
        return Verdict("False", cause.reason, with_remedy(cause.reason, cause.message))
    return Verdict("False", "NoReadyReplicas", f"{view.ready} of {view.desired} pods answer")


def progressing(view: View) -> Verdict:
    """Whether a change is on its way; False with RolloutComplete: it is fully out."""
    live, rollout = view.deployment, view.reranker.spec.rollout
    if view.problem or view.conflicts:
        return Verdict("False", "NotAccepted", "the newest spec is not carried out, see Accepted")
    if not view.progress.ready:
        return Verdict(
            "True", "Downloading", "the pods change when the model's files are there, see CacheReady"
        )
    if live is None:
        return Verdict("True", "Starting", "the Deployment is being made")
    if rollout.paused:
        return Verdict(
            "False", "Paused", "rollout.paused holds changes of the pods back; set it to false to go on"
        )
    numbers, wanted = view.numbers, int(live["spec"].get("replicas", 1))
    updated = int(numbers.get("updatedReplicas", 0))
    if int(numbers.get("observedGeneration", 0)) >= int(live["metadata"].get("generation", 0)):
        counts = {int(numbers.get(key, 0)) for key in ("replicas", "updatedReplicas", "availableReplicas")}
        if counts == {wanted} and view.waits_for:
            message = f"newer pods wait until those of Reranker {view.waits_for}, moved before, are ready"
            return Verdict("False", "WaitingForTurn", with_remedy("WaitingForTurn", message))
        if counts == {wanted}:
            return Verdict(
                "False", "RolloutComplete", f"{wanted} of {wanted} pods are as the spec wants them"
            )
        if any(cause.reason == "InsufficientGPU" for cause in unplaced_pods(view)):
            message = f"{updated} of {wanted} pods are new, the next one waits for a GPU"
            return Verdict("False", "WaitingForGPU", with_remedy("InsufficientGPU", message))
        if condition_is(live, "Progressing", "False"):
            message = f"{updated} of {wanted} pods are new; no progress within the deadline"
            reason = "ProgressDeadlineExceeded"
            return Verdict("False", reason, with_remedy(reason, message))
    gap = "; with one GPU pod and no surge none answers meanwhile" if _has_gap(view) else ""
    return Verdict("True", "RollingOut", f"{updated} of {wanted} pods are new{gap}")


def _has_gap(view: View) -> bool:
    spec = view.reranker.spec
    surge = str(spec.rollout.max_surge) if spec.rollout.max_surge is not None else "0"
    return spec.gpu is not None and view.desired == 1 and surge in ("0", "0%")


def autoscaling_ready(view: View) -> Verdict:
    """Whether the number of pods follows the load."""
    autoscaling = view.reranker.spec.autoscaling
    assert autoscaling is not None
    if view.reranker.spec.suspend:
        return Verdict("False", "Suspended", "nothing scales while suspend is true")
    if autoscaling.engine == "HPA":
        return _scaler_verdict(
            view.observed.get("HorizontalPodAutoscaler", view.reranker.name), "ScalingActive"
        )
    if "ScaledObject" not in view.observed.addons:
        message = "the API keda.sh/v1alpha1 is not installed or the operator's setting keda is off"
        return Verdict("False", "KEDAMissing", with_remedy("KEDAMissing", message))
    if not prometheus_address(autoscaling, view.settings):
        reason = "PrometheusAddressMissing"
        return Verdict("False", reason, with_remedy(reason, "KEDA has no Prometheus to ask"))
    return _scaler_verdict(view.observed.get("ScaledObject", view.reranker.name), "Ready")


def _scaler_verdict(scaler: Body | None, kind: str) -> Verdict:
    found = condition(scaler, kind)
    if found is None or found["status"] == "Unknown":
        return Verdict("Unknown", "Starting", "the autoscaler has not reported yet")
    if found["status"] == "False":
        return Verdict(
            "False", "MetricsUnavailable", with_remedy("MetricsUnavailable", found.get("message", ""))
        )
    return Verdict("True", "Scaling", "the number of pods follows the waiting tokens")


_BEFORE_READY = (
    ConditionType.ACCEPTED,
    ConditionType.CACHE_READY,
    ConditionType.SCHEDULED,
    ConditionType.AVAILABLE,
)


def ready(view: View, found: dict[ConditionType, Verdict]) -> Verdict:
    """Whether the last accepted spec is served; else the first failing condition's reason and message."""
    if found[ConditionType.AVAILABLE].status == "True":
        return Verdict("True", "Ready", found[ConditionType.AVAILABLE].message)
    first = next(found[kind] for kind in _BEFORE_READY if found[kind].status == "False")
    return Verdict("False", first.reason, first.message)
