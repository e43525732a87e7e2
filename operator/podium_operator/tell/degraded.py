"""The condition Degraded: less than was asked for, while pods answer. Pure."""

from collections.abc import Iterator

import msgspec

from podium_operator.render.pinned import is_made_for
from podium_operator.resource.quantity import parse_quantity
from podium_operator.resource.remedies import with_remedy
from podium_operator.resource.source import own_claim_name
from podium_operator.seen.observed import OPERATOR_FIELD, ObjectKey
from podium_operator.seen.pod_causes import Cause
from podium_operator.seen.volumes import asked_size, volume_waits
from podium_operator.tell.view import Verdict, View, pod_troubles


def degraded(view: View) -> Verdict:
    """Whether something is less than asked for while pods answer; the most specific reason first."""
    found = list(_degradations(view))
    if not found:
        return Verdict("False", "AsExpected", "nothing is less than asked for")
    messages = [with_remedy(cause.reason, cause.message) for cause in found]
    return Verdict("True", found[0].reason, " ".join(messages))


def _degradations(view: View) -> Iterator[Cause]:
    progress, observed = view.progress, view.observed
    # Another operator explains all the others.
    contest = min(observed.contests, key=lambda field: field.field != OPERATOR_FIELD, default=None)
    if contest and contest.field == OPERATOR_FIELD:
        # Both operators say it in the same words: else they would take turns at writing status.
        one, two = sorted((contest.manager, view.settings.lease))
        yield Cause("AnotherOperator", f"the operators {one} and {two} both look after this Reranker")
    elif contest:
        yield Cause(
            "ConflictingFieldManager",
            f"manager {contest.manager} keeps taking back {contest.field} of {contest.kind} {contest.name}",
        )
    if view.ready and progress.failure and not progress.ready:
        message = f"the old pods serve on, the new model does not come: {progress.failure.message}"
        yield Cause("DownloadFailingOldServing", message)
    claim = ("PersistentVolumeClaim", own_claim_name(view.reranker.name))
    if claim in observed.refusals and _asks_for_more(view, claim):
        yield Cause("ClaimNotResizable", f"claim {claim[1]} cannot grow: {observed.refusals[claim].message}")
    if view.reranker.spec.monitoring.service_monitor.enabled and "ServiceMonitor" not in observed.addons:
        message = "monitoring.serviceMonitor needs the API monitoring.coreos.com/v1, which is not installed"
        yield Cause("APINotInstalled", message)
    if _lost_its_claims(view):
        message = "the API server left gpu.resourceClaims out: it has no dynamic resource allocation"
        yield Cause("APINotInstalled", f"{message} (resource.k8s.io/v1, Kubernetes 1.34)")
    yield from _no_room(view)
    yield from _partial(view)


def _lost_its_claims(view: View) -> bool:
    """Whether the API server dropped the claims of devices that pods were to use; it says nothing of it."""
    gpu, live = view.reranker.spec.gpu, view.deployment
    if live is None or gpu is None or not gpu.resource_claims or not is_made_for(view.reranker, live):
        return False
    return not live["spec"]["template"]["spec"].get("resourceClaims")


def _asks_for_more(view: View, claim: ObjectKey) -> bool:
    """Whether the claim is to grow: what else it is asked for is fixed once it is made, see Progressing."""
    now = asked_size(view.observed.get(*claim))
    return now is not None and parse_quantity(view.reranker.cache_size) > parse_quantity(now)


def _no_room(view: View) -> Iterator[Cause]:
    """The pods that wait for the volume of a claim of one node; one of them speaks for all."""
    found = [cause for _, cause in volume_waits(view.reranker, view.source, view.observed)]
    if found:
        more = f" ({len(found)} pods wait)" if len(found) > 1 else ""
        yield msgspec.structs.replace(found[0], message=found[0].message + more)


def _partial(view: View) -> Iterator[Cause]:
    """Fewer pods than wanted, or new pods in trouble while old ones answer."""
    if view.ready < view.needed or view.reranker.spec.suspend:
        return
    cause = next(pod_troubles(view), None)
    rolling = int(view.numbers.get("updatedReplicas", 0)) < view.desired
    if cause:
        # The pod's own reason, which alerts look for.
        yield Cause(cause.reason, f"{view.ready} of {view.desired} pods answer; {cause.message}")
    elif view.ready < view.desired and not rolling:
        yield Cause("PartiallyAvailable", f"{view.ready} of {view.desired} pods answer")
