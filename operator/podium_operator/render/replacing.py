"""A roll that the claim's node has no room for: whether old pods have to go before new ones come. Pure."""

from collections.abc import Iterator
from decimal import Decimal

from podium_operator.resource.names import ROLL_ANNOTATION, SERVING
from podium_operator.resource.quantity import parse_quantity
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import model_source
from podium_operator.seen.observed import Body, Observed, condition, condition_is, is_rolled_out
from podium_operator.seen.scheduler_words import lacks_room
from podium_operator.seen.volumes import one_node, waits_for_attachment

REPLACING, REPLACING_ALL = "replacing", "replacing-all"


def replaces_first(reranker: Reranker, observed: Observed) -> str | None:
    """Return how a roll that stands still is to go on by replacing old pods, with a gap; None: it is not.

    New pods are made beside old ones as long as they can be. Where a claim of one node keeps them together
    and there is no room for both, the roll would never end: once its deadline is over old ones go first, one
    at a time, until the roll is over (an annotation remembers it). An old pod is never given up for one that
    could not take its place: one that asks for more, or one that no node takes. A disk that another node has
    is let go by the last pod there, so that all of them go.
    """
    live = observed.get("Deployment", reranker.name)
    if live is None:
        return None
    mode = replacing(live)
    if mode and is_rolled_out(live):
        return None
    late = (condition(live, "Progressing") or {}).get("reason") == "ProgressDeadlineExceeded"
    if not (mode or late) or not one_node(reranker, model_source(reranker), observed.claim):
        return mode
    pairs = list(_beside_old_ones(observed))
    if mode == REPLACING_ALL or any(waits_for_attachment(new, observed) for new, _ in pairs):
        return REPLACING_ALL
    # Without a surge, or with the type Recreate, which has no numbers, an old pod has gone already.
    surge = live["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", 0)
    if mode or str(surge) in ("0", "0%"):
        return mode
    fit = any(lacks_room(new) and _fits(_requests(new), _requests(old)) for new, old in pairs)
    return REPLACING if fit else None


def replacing(live: Body) -> str | None:
    """Return how the Deployment's old pods go first now; None where they do not."""
    mode = live["metadata"].get("annotations", {}).get(ROLL_ANNOTATION)
    return mode if mode in (REPLACING, REPLACING_ALL) else None


def is_past_deadline(live: Body) -> bool:
    """Whether the roll got no further within the deadline, by the Deployment's own condition.

    What made the roll go on by replacing is such a condition too, which stays until the first old pod has
    gone (the surge with it), or all of them. From then on it speaks of the new pods.
    """
    mode, numbers = replacing(live), live.get("status", {})
    if not condition_is(live, "Progressing", "False"):
        return False
    pods, updated = (int(numbers.get(key, 0)) for key in ("replicas", "updatedReplicas"))
    if mode == REPLACING_ALL:
        return pods == updated
    return mode is None or pods <= int(live["spec"].get("replicas", 1))


def _beside_old_ones(observed: Observed) -> Iterator[tuple[Body, Body]]:
    """Yield each new pod with each old one that runs."""
    pods = [pod for pod in observed.pods_of(SERVING) if not pod["metadata"].get("deletionTimestamp")]
    running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
    for new in pods:
        for old in running:
            if _revision(new) != _revision(old):
                yield new, old


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
