"""Own Jobs and pods that do not move and do not say why: only then are Warning Events read. Pure."""

from datetime import datetime, timedelta
from typing import NamedTuple

from podium_operator.seen.observed import Body, Observed, condition_is

PATIENCE_S = 5.0
"""Seconds for which a Job may have no pod and a placed pod no container before its Events are read."""
_STARTING = ("ContainerCreating", "PodInitializing")


class Suspect(NamedTuple):
    """What does not move. Its Events are those of its uid: another of its name may have been there before."""

    kind: str
    name: str
    uid: str


def suspects(observed: Observed, now: datetime) -> list[Suspect]:
    """Return what does not move."""
    owners = {owner["uid"] for pod in observed.pods for owner in pod["metadata"].get("ownerReferences", ())}
    jobs = [
        Suspect(*key, body["metadata"]["uid"])
        for key, body in sorted(observed.children.items())
        if key[0] == "Job" and body["metadata"]["uid"] not in owners and _is_open(body) and _is_old(body, now)
    ]
    pods = [
        Suspect("Pod", pod["metadata"]["name"], pod["metadata"]["uid"])
        for pod in observed.pods
        if _is_stuck(pod) and _is_old(pod, now)
    ]
    return jobs + pods


def may_become_suspect(observed: Observed, now: datetime) -> bool:
    """Whether something that is too young now must be looked at again."""
    return bool(suspects(observed, now + timedelta(seconds=PATIENCE_S)))


def _is_open(job: Body) -> bool:
    return not condition_is(job, "Complete") and not condition_is(job, "Failed")


def _is_old(body: Body, now: datetime) -> bool:
    made = datetime.fromisoformat(body["metadata"]["creationTimestamp"])
    return (now - made).total_seconds() >= PATIENCE_S


def _is_stuck(pod: Body) -> bool:
    status = pod.get("status", {})
    if status.get("phase") != "Pending" or not pod.get("spec", {}).get("nodeName"):
        return False
    containers = status.get("containerStatuses", ())
    waiting = [container.get("state", {}).get("waiting", {}).get("reason") for container in containers]
    return not waiting or any(reason in _STARTING for reason in waiting)
