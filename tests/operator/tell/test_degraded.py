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
    with_pods,
)

from podium_operator.seen.observed import Contest, Refusal

CONTEST = Contest(manager="argocd", kind="Service", name="demo", field="spec.type")
MONITORED = {"monitoring": {"serviceMonitor": {"enabled": True}}}
CRASHING = pod("demo-new-1", state=CRASH, last=ended(1))


@pytest.mark.parametrize(
    ("spec", "change", "reason"),
    [
        pytest.param({}, {"contest": CONTEST}, "ConflictingFieldManager", id="contest"),
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
    stuck = status_of(resource, msgspec.structs.replace(seen, refusals=refusals))
    assert condition_of(stuck, "Degraded")[:2] == ("True", "ClaimNotResizable")
    one = numbers(seen, replicas=2, readyReplicas=1, updatedReplicas=2, availableReplicas=1)
    bound = "1 node(s) didn't match PersistentVolume's node affinity"
    words = f"0/2 nodes are available: 1 Insufficient cpu, {bound}."
    crowded = status_of(resource, with_pods(one, pod(ready=True), pod("demo-abc-2", scheduled=words)))
    status, reason, message = condition_of(crowded, "Degraded")
    assert (status, reason) == ("True", "ReadWriteOnceNoRoom")
    assert message.startswith("node node-1 has the volume of claim demo-cache, pod demo-abc-2: 0/2 nodes")
    assert "ReadWriteMany" in message
