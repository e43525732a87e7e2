"""Each condition of a Reranker as a verdict: does it hold, one word, one sentence. Pure."""

from collections.abc import Iterator

from podium_operator.render.autoscaling import prometheus_address
from podium_operator.resource.remedies import with_remedy
from podium_operator.resource.source import binder_job_name
from podium_operator.resource.status import ConditionType
from podium_operator.seen.observed import Body, condition
from podium_operator.tell.degraded import degraded
from podium_operator.tell.readiness import readiness
from podium_operator.tell.rolling import progressing
from podium_operator.tell.view import Verdict, View, pod_troubles, unplaced_pods


def verdicts(view: View) -> dict[ConditionType, Verdict]:
    """Return all conditions in their order, their sum last; AutoscalingReady only where something scales."""
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
    return found | readiness(view, found)


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
        return Verdict("True", progress.reason, "; ".join([progress.message, *_left_as_they_are(view)]))
    return Verdict("False", progress.reason, with_remedy(progress.reason, progress.message))


def _left_as_they_are(view: View) -> Iterator[str]:
    """Yield what the own claim has otherwise than asked for: an earlier Reranker of this name left it."""
    cache, source = view.reranker.spec.cache, view.source
    live = (view.observed.claim or {}).get("spec", {}) if source.own_claim else {}
    asked = {"accessModes": cache.access_modes, "storageClassName": cache.storage_class_name}
    for field, value in asked.items():
        if value is not None and field in live and live[field] != value:
            kept, wanted = (
                ", ".join(each) if isinstance(each, list) else each for each in (live[field], value)
            )
            yield f"claim {source.claim} is an earlier one and keeps its {field} {kept}, not {wanted}"


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
    shared = ""
    if view.desired > 1 and view.on_one_node:
        shared = (
            f"; they share claim {view.source.claim}, which one node can use at a time: a drain of that node "
            "moves them all at once, ReadWriteMany would spread them"
        )
    return Verdict("True", "Placed", f"every pod has a node{shared}")


def _refusals(view: View) -> Iterator[str]:
    """Yield why pods or their Deployment are not let in: quotas, limits, Pod Security."""
    refusal = view.observed.refusals.get(("Deployment", view.reranker.name))
    if refusal:
        yield f"the Deployment was refused: {refusal.message}"
    failure = condition(view.deployment, "ReplicaFailure")
    if failure and failure["status"] == "True":
        yield f"pods are refused: {failure.get('message', '')}"
    for warning in view.observed.warnings:
        if warning.reason == "FailedCreate" and warning.name == binder_job_name(view.reranker):
            yield f"{warning.kind} {warning.name}: {warning.message}"


def available(view: View) -> Verdict:
    """Whether enough pods answer."""
    if view.reranker.spec.suspend:
        message = "suspended: no pod runs, cache and Service stay; set suspend to false to go on"
        return Verdict("False", "Suspended", message)
    if view.observed.zeroed_by and view.ready < view.needed:
        return Verdict(
            "False",
            "ScaledToZero",
            f"{view.observed.zeroed_by} scaled the autoscaled Deployment to 0, where no autoscaler acts; "
            f"it is brought back to minReplicas, {view.ready} of {view.desired} pods answer",
        )
    if view.deployment and view.desired == 0:
        return Verdict("False", "NoReadyReplicas", "replicas is 0; set it to 1 or more to go on")
    if view.ready >= view.needed:
        return Verdict("True", "Answering", f"{view.ready} of {view.desired} pods answer")
    cause = next(pod_troubles(view), None)
    if cause:
        return Verdict("False", cause.reason, with_remedy(cause.reason, cause.message))
    return Verdict("False", "NoReadyReplicas", f"{view.ready} of {view.desired} pods answer")


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
