"""Degraded: what is less than was asked for while pods answer, by name."""

import msgspec
import pytest
from rerankers import (
    CRASH,
    HUB,
    body,
    condition_of,
    downloaded,
    ended,
    numbers,
    pod,
    serving,
    settle,
    status_of,
    waiting,
    with_pods,
)

from podium_operator.seen.observed import Contest, Refusal

CONTEST = Contest(manager="argocd", kind="Service", name="demo", field="spec.type")
MONITORED = {"monitoring": {"serviceMonitor": {"enabled": True}}}
CRASHING = pod("demo-new-1", state=CRASH, last=ended(1))


@pytest.mark.parametrize(
    ("spec", "change", "reason"),
    [
        pytest.param({}, {"contests": (CONTEST,)}, "ConflictingFieldManager", id="contest"),
        pytest.param(MONITORED, {}, "APINotInstalled", id="no-api"),
        pytest.param(
            {"replicas": 2}, {"pods": (pod(), CRASHING)}, "PartiallyAvailable", id="new-pod-crashes"
        ),
    ],
)
def test_less_than_asked_for_while_pods_answer_is_degraded(spec: dict, change: dict, reason: str) -> None:
    resource = body(**spec)
    seen = msgspec.structs.replace(serving(settle(resource), spec.get("replicas", 1)), **change)
    status = status_of(resource, seen)
    assert condition_of(status, "Degraded")[:2] == ("True", reason)
    assert condition_of(status, "Ready")[0] == "True"
    if reason == "ConflictingFieldManager":
        message = condition_of(status, "Degraded")[2]
        assert "manager argocd keeps taking back spec.type of Service demo" in message


def test_a_claim_that_cannot_grow_and_one_without_room_are_degraded() -> None:
    resource = body(model={"uri": HUB}, replicas=2)
    seen = serving(downloaded(resource), 2)
    refusals = {
        ("PersistentVolumeClaim", "demo-cache"): Refusal(code=403, message="only dynamically provisioned")
    }
    refused = msgspec.structs.replace(seen, refusals=refusals)
    larger = body(model={"uri": HUB}, replicas=2, cache={"size": "900Gi"})
    assert condition_of(status_of(larger, refused), "Degraded")[:2] == ("True", "ClaimNotResizable")
    other = body(model={"uri": HUB}, replicas=2, cache={"accessModes": ["ReadWriteMany"]})
    assert condition_of(status_of(other, refused), "Degraded")[:2] == ("False", "AsExpected")
    told = condition_of(status_of(other, refused), "Progressing")
    assert told[:2] == ("False", "Refused")
    assert "PersistentVolumeClaim demo-cache was not taken: only dynamically provisioned" in told[2]
    one = numbers(seen, replicas=2, readyReplicas=1, updatedReplicas=2, availableReplicas=1)
    bound = "1 node(s) didn't match PersistentVolume's node affinity"
    words = f"0/2 nodes are available: 1 Insufficient cpu, {bound}."
    crowded = status_of(resource, with_pods(one, pod(ready=True), pod("demo-abc-2", scheduled=words)))
    status, reason, message = condition_of(crowded, "Degraded")
    assert (status, reason) == ("True", "ReadWriteOnceNoRoom")
    assert message.startswith("node node-1 has the volume of claim demo-cache, pod demo-abc-2: 0/2 nodes")
    assert "ReadWriteMany" in message


EVICTED = {
    **pod("demo-abc-0"),
    "status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"},
}
NODE_SHUT_DOWN = pod("demo-abc-0", phase="Failed", state=ended(137))


@pytest.mark.parametrize("gone", [EVICTED, NODE_SHUT_DOWN], ids=["evicted", "its node was shut down"])
def test_a_pod_that_ended_and_was_replaced_is_no_trouble_for_ever(gone: dict) -> None:
    """Kubernetes keeps it until there are 12,500 of them."""
    resource = body(replicas=2)
    whole = serving(settle(resource), 2)
    pods = (gone, pod("demo-abc-1", ready=True), pod("demo-abc-2", ready=True))
    assert condition_of(status_of(resource, with_pods(whole, *pods)), "Degraded")[0] == "False"
    fewer = numbers(whole, replicas=2, readyReplicas=1, updatedReplicas=2, availableReplicas=1)
    status = status_of(resource, with_pods(fewer, gone, pod("demo-abc-1", ready=True)))
    assert condition_of(status, "Degraded")[:2] == ("True", "PartiallyAvailable")
    assert "pod demo-abc-0 " in condition_of(status, "Degraded")[2]
    waits = pod("demo-abc-2", state=waiting("ImagePullBackOff", "no such image"))
    message = condition_of(status_of(resource, with_pods(fewer, gone, waits)), "Degraded")[2]
    assert "pod demo-abc-2 cannot get image" in message, "what lives speaks first"
