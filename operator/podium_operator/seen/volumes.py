"""A claim that one node, or one pod, can use at a time: its node, and the pods that wait for it. Pure."""

import re
from collections.abc import Iterable, Iterator

import msgspec

from podium_operator.resource.names import CLAIM_LABEL, DOWNLOAD, SERVING
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import Source, claim_label, model_source
from podium_operator.seen.observed import Body, Observed, condition
from podium_operator.seen.pod_causes import Cause, clean, lost_node
from podium_operator.seen.scheduler_words import BOUND_ELSEWHERE

_MANY = frozenset({"ReadWriteMany", "ReadOnlyMany"})
_ONE_POD = "ReadWriteOncePod"
_IN_USE = re.compile(
    r"Multi-Attach|(already|currently|exclusively|is) attached|already (being )?used|\bin use\b|VolumeInUse"
)
"""What attach controllers and drivers of clouds say of a disk that another node has."""
_MOUNTED = ("Running", "Succeeded")
"""Phases of a pod that has its volumes, or had them."""
_HELD = (
    "; the old pods hold it until this download is done: set suspend to true meanwhile, or make room on "
    "their node and delete this pod, which then goes there"
)


def located(reranker: Reranker, claim: Body | None) -> Source:
    """Return the source of the Reranker's model with what its claim, where it was seen, tells of it."""
    source = model_source(reranker)
    return msgspec.structs.replace(source, one_node=one_node(reranker, source, claim))


def one_node(reranker: Reranker, source: Source, claim: Body | None) -> bool:
    """Whether the pods' claim can be used on one node at a time."""
    modes = _modes(reranker, source, claim)
    return bool(modes) and not _MANY & set(modes)


def one_pod(reranker: Reranker, source: Source, claim: Body | None) -> bool:
    """Whether the claim can be used by one pod at a time, so that a download waits for the serving pod."""
    return _ONE_POD in _modes(reranker, source, claim)


def _modes(reranker: Reranker, source: Source, claim: Body | None) -> list[str]:
    """Return the access modes of the pods' claim: as it is, else as it is going to be made; of another claim
    than the operator's own nothing is known before it is seen.
    """
    named = claim is not None and claim["metadata"].get("name") == source.claim
    live = (claim or {}).get("spec", {}).get("accessModes") if named else None
    if live:
        return list(live)
    if source.kind != "hub" or reranker.spec.cache.claim_name:
        return []
    return list(reranker.spec.cache.access_modes or ["ReadWriteOnce"])


def claim_size(claim: Body | None) -> str | None:
    """Return the size of a claim: of its volume, or what was asked for where it has none yet."""
    size = (claim or {}).get("status", {}).get("capacity", {}).get("storage")
    return asked_size(claim) if size is None else str(size)


def asked_size(claim: Body | None) -> str | None:
    """Return the size that a claim asks for; None where there is no claim."""
    size = (claim or {}).get("spec", {}).get("resources", {}).get("requests", {}).get("storage")
    return None if size is None else str(size)


def claim_node(reranker: Reranker, source: Source, observed: Observed) -> str | None:
    """Return the node where a pod has the volume of the claim (of one node) now or had it last, else the one
    that status remembers of this very claim; None where neither tells.
    """
    pods = [pod for pod in _sharing(source, observed) if pod.get("status", {}).get("phase") in _MOUNTED]
    nodes = [pod.get("spec", {}).get("nodeName") for pod in pods]
    known = reranker.status.cache
    remembered = known.node if known and known.claim_name == source.claim else None
    return next((str(node) for node in reversed(nodes) if node), remembered)


def _sharing(source: Source, observed: Observed) -> list[Body]:
    """Return the pods that mount the claim of one node, those of downloads first: of another claim, which the
    Reranker had before, they tell nothing.
    """
    pods = (*observed.pods_of(DOWNLOAD), *observed.pods_of(SERVING))
    label = claim_label(source.claim or "")
    return [pod for pod in pods if pod["metadata"]["labels"].get(CLAIM_LABEL) == label]


def waits_for_attachment(pod: Body, observed: Observed) -> str | None:
    """Return what an Event says of a placed pod whose volume another node has, or None."""
    name = pod["metadata"]["name"]
    if not pod.get("spec", {}).get("nodeName"):
        return None
    for warning in observed.warnings:
        if warning.kind == "Pod" and warning.name == name and _IN_USE.search(warning.message):
            return clean(warning.message)
    return None


def waits_for_node(pod: Body) -> str | None:
    """Return the scheduler's words about a pod whose volume is bound where it cannot be placed, or None."""
    scheduled = condition(pod, "PodScheduled")
    message = (scheduled or {}).get("message", "") if (scheduled or {}).get("status") == "False" else ""
    return clean(message) if BOUND_ELSEWHERE.search(message) else None


def volume_waits(reranker: Reranker, source: Source, observed: Observed) -> Iterator[tuple[Body, Cause]]:
    """Yield each pod that waits for the volume of a claim of one node, with the cause; downloads first."""
    if not one_node(reranker, source, observed.claim):
        return
    node, sharing = claim_node(reranker, source, observed), _sharing(source, observed)
    has = f"node {node} has the volume of claim {source.claim}"
    where = has if node else f"claim {source.claim} is bound to a node"
    gone = f"; {_out_of_service(node)}" if node and node in _lost_nodes(observed.pods) else ""
    staying = [pod for pod in sharing if not pod["metadata"].get("deletionTimestamp")]
    serves = any(not _downloads(pod) and pod.get("spec", {}).get("nodeName") for pod in staying)
    handed_on = one_pod(reranker, source, observed.claim)
    for pod in staying:
        attaching = waits_for_attachment(pod, observed)
        # A claim of one pod is given to the download as soon as the old pod has gone, see Progressing.
        words = attaching or (None if _downloads(pod) and handed_on else waits_for_node(pod))
        if words:
            said = f"pod {pod['metadata']['name']}: {words.rstrip('.')}"
            held = _HELD if attaching and serves and _downloads(pod) else ""
            yield pod, Cause("ReadWriteOnceNoRoom", f"{where}, {said}{gone or held}")


def _downloads(pod: Body) -> bool:
    return bool(pod["metadata"]["labels"].get("app.kubernetes.io/name") == DOWNLOAD)


def _out_of_service(node: str) -> str:
    """An attached volume is let go only when the node's kubelet says so, or an administrator."""
    return (
        f"the node does not report: if it is shut down, `kubectl taint node {node} "
        "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute` lets the volume go"
    )


def _lost_nodes(pods: Iterable[Body]) -> set[str]:
    return {node for node in map(lost_node, pods) if node}
