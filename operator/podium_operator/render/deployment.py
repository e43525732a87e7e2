"""The Deployment: its pods, how they are rolled, and who sets their number."""

from typing import Any

from podium_operator.render.pinned import Pods, annotations
from podium_operator.render.pod import labels, selector
from podium_operator.render.replacing import REPLACING_ALL
from podium_operator.resource.names import REPLICAS_ANNOTATION, ROLL_ANNOTATION
from podium_operator.resource.reranker import Reranker
from podium_operator.seen.observed import Body

FIXED, AUTOSCALED = "fixed", "autoscaled"


def deployment(
    reranker: Reranker,
    pods: Pods,
    live: Body | None,
    *,
    scales: bool = True,
    parked: bool = False,
    replaces: str | None = None,
) -> dict[str, Any]:
    """Return the Deployment of a Reranker whose model is ready.

    `scales`: an autoscaler is there, where one is asked for. `parked`: no pod runs for now. `replaces`: how
    old pods go before new ones come, whatever `rollout` says.
    """
    rollout = reranker.spec.rollout
    number, mode = (0, FIXED) if parked else replicas(reranker, live, scales=scales)
    gpu = reranker.spec.gpu is not None
    gap = "100%" if replaces == REPLACING_ALL else 1
    optional = {
        "minReadySeconds": rollout.min_ready_seconds or None,
        # False only where someone paused it: a default that is left out of an answer would look like drift.
        "paused": rollout.paused or (False if (live or {}).get("spec", {}).get("paused") else None),
        "replicas": number,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": reranker.name,
            "labels": labels(reranker),
            "annotations": {
                **annotations(reranker, pods),
                REPLICAS_ANNOTATION: mode,
                **({ROLL_ANNOTATION: replaces} if replaces else {}),
            },
        },
        "spec": {
            "selector": {"matchLabels": selector(reranker)},
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": reranker.progress_deadline_s,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {
                    # A surge pod would wait for the GPU that the old pod holds.
                    "maxSurge": 0 if replaces else _default(rollout.max_surge, 0 if gpu else 1),
                    "maxUnavailable": gap if replaces else _default(rollout.max_unavailable, 1 if gpu else 0),
                },
            },
            "template": pods.template,
            **{key: value for key, value in optional.items() if value is not None},
        },
    }


def replicas(reranker: Reranker, live: Body | None, *, scales: bool = True) -> tuple[int | None, str]:
    """Return the number to apply and who sets it; None leaves the number to the autoscaler.

    A Deployment begins with `minReplicas`, and one of 0, after `suspend` or by someone's hand, is raised to
    it first: an autoscaler leaves it alone. Where none is there it has that many, or more by another's hand.
    """
    least = reranker.desired_replicas
    if reranker.spec.autoscaling is None or reranker.spec.suspend:
        return least, FIXED
    if live is None:
        # One pod is what a number that is left out means: no handover for the many that begin with it.
        return (None, AUTOSCALED) if least == 1 and scales else (least, FIXED)
    number = int(live["spec"].get("replicas", 1))
    if scales and number:
        return None, AUTOSCALED
    return (max(number, least) if _is_anothers(live) else least), FIXED


def _is_anothers(live: Body) -> bool:
    """Whether another manager set the number of pods."""
    fields = (entry["fieldsV1"] for entry in live.get("foreignManagers", ()))
    return any("f:replicas" in each.get("f:spec", {}) for each in fields)


def is_zeroed(reranker: Reranker, live: Body | None) -> bool:
    """Whether someone else scaled the Deployment to 0 that an autoscaler looks after."""
    if live is None or reranker.spec.autoscaling is None or reranker.spec.suspend or is_fixed(live):
        return False
    return bool(live["spec"].get("replicas") == 0)


def handover(reranker: Reranker, wanted: Body, live: Body | None) -> dict[str, Any] | None:
    """Return what a second manager applies before the operator leaves `replicas` out, or None.

    A field that its last manager leaves out falls back to its default: 1 pod, at once.
    """
    leaves = wanted["metadata"]["annotations"][REPLICAS_ANNOTATION] == AUTOSCALED
    if not leaves or live is None or not is_fixed(live):
        return None
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": reranker.name, "uid": live["metadata"]["uid"]},
        "spec": {"replicas": live["spec"].get("replicas", 1)},
    }


def is_fixed(live: Body) -> bool:
    """Whether the live Deployment's number was last set by the operator."""
    return bool(live["metadata"].get("annotations", {}).get(REPLICAS_ANNOTATION, FIXED) == FIXED)


def _default(value: int | str | None, default: int) -> int | str:
    return default if value is None else value
