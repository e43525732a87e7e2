"""A claim that one node, or one pod, can use at a time: its node, and the pods that wait for it. Pure."""

import re
from collections.abc import Iterable, Iterator

import msgspec

from podium_operator.resource.names import DOWNLOAD, SERVING
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import Source, model_source
from podium_operator.seen.observed import Body, Observed, condition
from podium_operator.seen.pod_causes import Cause, clean, lost_node
from podium_operator.seen.scheduler_words import BOUND_ELSEWHERE

_MANY = frozenset({"ReadWriteMany", "ReadOnlyMany"})
_ONE_POD = "ReadWriteOncePod"
_IN_USE = re.compile(
    r"Multi-Attach|(already|currently|exclusively|is) attached|already (being )?used|\bin use\b|VolumeInUse"
)
"""What attach controllers and drivers of clouds say of a disk that another node has."""


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


def claim_node(observed: Observed) -> str | None:
    """Return the node where a pod has the claim's volume now, or had it last; None where no pod tells."""
    pods = [*observed.pods_of(DOWNLOAD), *observed.pods_of(SERVING)]
    placed = [pod for pod in pods if pod.get("status", {}).get("phase") in ("Running", "Succeeded")]
    nodes = [pod.get("spec", {}).get("nodeName") for pod in placed]
    return next((str(node) for node in reversed(nodes) if node), None)


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


def volume_waits(observed: Observed, claim: str | None, node: str | None) -> Iterator[Cause]:
    """Yield one cause for each serving pod that waits for the claim's volume, which `node` has."""
    where = f"node {node} has the volume of claim {claim}" if node else f"claim {claim} is bound to a node"
    gone = f"; {_out_of_service(node)}" if node and node in _lost_nodes(observed.pods) else ""
    for pod in observed.pods_of(SERVING):
        if pod["metadata"].get("deletionTimestamp"):
            continue
        words = waits_for_node(pod) or waits_for_attachment(pod, observed)
        if words:
            said = f"pod {pod['metadata']['name']}: {words.rstrip('.')}"
            yield Cause("ReadWriteOnceNoRoom", f"{where}, {said}{gone}")


def _out_of_service(node: str) -> str:
    """An attached volume is let go only when the node's kubelet says so, or an administrator."""
    return (
        f"the node does not report: if it is shut down, `kubectl taint node {node} "
        "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute` lets the volume go"
    )


def _lost_nodes(pods: Iterable[Body]) -> set[str]:
    return {node for node in map(lost_node, pods) if node}
