"""A roll that the claim's node has no room for: whether old pods have to go before new ones come. Pure."""

from collections.abc import Iterator
from decimal import Decimal

from podium_operator.resource.names import ROLL_ANNOTATION, SERVING
from podium_operator.resource.quantity import parse_quantity
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import model_source
from podium_operator.seen.observed import Body, Observed, condition, is_rolled_out
from podium_operator.seen.scheduler_words import lacks_room
from podium_operator.seen.volumes import one_node, waits_for_attachment

REPLACING = "replacing"


def replaces_first(reranker: Reranker, observed: Observed) -> bool:
    """Whether a roll that stands still is to go on by replacing old pods, with a gap.

    New pods are made beside old ones as long as they can be. Where a claim of one node keeps them together
    and there is no room for both, the roll would never end: once its deadline is over the old ones go first,
    until the roll is over (an annotation remembers it). An old pod is never given up for one that could not
    take its place: one that asks for more, or one that no node takes.
    """
    live = observed.get("Deployment", reranker.name)
    if live is None:
        return False
    if is_replacing(live):
        return not is_rolled_out(live)
    late = (condition(live, "Progressing") or {}).get("reason") == "ProgressDeadlineExceeded"
    if not late or str(live["spec"]["strategy"]["rollingUpdate"]["maxSurge"]) in ("0", "0%"):
        return False
    return one_node(reranker, model_source(reranker), observed.claim) and any(_without_room(observed))


def is_replacing(live: Body) -> bool:
    """Whether the Deployment's old pods go first now."""
    return bool(live["metadata"].get("annotations", {}).get(ROLL_ANNOTATION) == REPLACING)


def _without_room(observed: Observed) -> Iterator[bool]:
    """Yield for each new pod that waits and old one that runs whether the one can replace the other."""
    pods = [pod for pod in observed.pods_of(SERVING) if not pod["metadata"].get("deletionTimestamp")]
    running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
    for new in pods:
        for old in running:
            if _revision(new) == _revision(old):
                continue
            if waits_for_attachment(new, observed):
                yield True
            elif lacks_room(new):
                yield _fits(_requests(new), _requests(old))


def _revision(pod: Body) -> str:
    return str(pod["metadata"]["labels"].get("pod-template-hash", ""))


def _fits(new: dict[str, Decimal], old: dict[str, Decimal]) -> bool:
    return all(amount <= old.get(name, Decimal(0)) for name, amount in new.items())


def _requests(pod: Body) -> dict[str, Decimal]:
    """Return what a pod's containers ask for together, by resource."""
    total: dict[str, Decimal] = {}
    for container in pod.get("spec", {}).get("containers", ()):
        for name, amount in container.get("resources", {}).get("requests", {}).items():
            total[name] = total.get(name, Decimal(0)) + parse_quantity(amount)
    return total
