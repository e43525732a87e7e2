"""Degraded: what is less than was asked for while pods answer, by name."""

import copy

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
        pytest.param({"replicas": 2}, {"pods": (pod(), CRASHING)}, "CrashLoopBackOff", id="new-pod-crashes"),
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


def test_claims_of_devices_that_the_api_server_drops_are_told() -> None:
    resource = body(gpu={"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]})
    seen = serving(settle(resource))
    assert condition_of(status_of(resource, seen), "Degraded")[0] == "False"
    live = copy.deepcopy(seen.children["Deployment", "demo"])
    del live["spec"]["template"]["spec"]["resourceClaims"]
    older = msgspec.structs.replace(seen, children={**seen.children, ("Deployment", "demo"): live})
    told = condition_of(status_of(resource, older), "Degraded")
    assert told[:2] == ("True", "APINotInstalled")
    assert "the API server left gpu.resourceClaims out" in told[2]


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


def test_the_way_out_of_a_claim_that_cannot_grow_is_one_that_the_rules_admit() -> None:
    """cache.size cannot be set back: a claim never shrinks."""
    before = downloaded(body(model={"uri": HUB}))
    key = ("PersistentVolumeClaim", "demo-cache")
    larger = body(model={"uri": HUB}, cache={"size": "900Gi"}, suspend=True)
    refused = msgspec.structs.replace(before, refusals={key: Refusal(code=403, message="no growth")})
    told = condition_of(status_of(larger, refused), "Degraded")[2]
    assert "set suspend to true, delete the claim and set suspend back" in told
    assert "cache.size back" not in told
    gone = {name: child for name, child in before.children.items() if name != key}
    made = settle(larger, children=gone)
    assert made.children[key]["spec"]["resources"]["requests"]["storage"] == "900Gi"
    assert made.children["Deployment", "demo"]["spec"]["replicas"] == 0


EVICTED = {
    **pod("demo-abc-0"),
    "status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"},
}
NODE_SHUT_DOWN = pod("demo-abc-0", phase="Failed", state=ended(137))


@pytest.mark.parametrize(
    ("gone", "reason"),
    [(EVICTED, "Evicted"), (NODE_SHUT_DOWN, "CrashLoopBackOff")],
    ids=["evicted", "its node was shut down"],
)
def test_a_pod_that_ended_and_was_replaced_is_no_trouble_for_ever(gone: dict, reason: str) -> None:
    """Kubernetes keeps it until there are 12,500 of them."""
    resource = body(replicas=2)
    whole = serving(settle(resource), 2)
    pods = (gone, pod("demo-abc-1", ready=True), pod("demo-abc-2", ready=True))
    assert condition_of(status_of(resource, with_pods(whole, *pods)), "Degraded")[0] == "False"
    fewer = numbers(whole, replicas=2, readyReplicas=1, updatedReplicas=2, availableReplicas=1)
    status = status_of(resource, with_pods(fewer, gone, pod("demo-abc-1", ready=True)))
    assert condition_of(status, "Degraded")[:2] == ("True", reason)
    assert "pod demo-abc-0 " in condition_of(status, "Degraded")[2]
    waits = pod("demo-abc-2", state=waiting("ImagePullBackOff", "no such image"))
    message = condition_of(status_of(resource, with_pods(fewer, gone, waits)), "Degraded")[2]
    assert "pod demo-abc-2 cannot get image" in message, "what lives speaks first"


KILLED = ended(137, reason="OOMKilled")
MISJUDGES = ended(42, {"reason": "SelfTestFailed", "message": "0.1 < 0.9"})


@pytest.mark.parametrize(
    ("third", "reason"),
    [
        pytest.param({"state": {"running": {}}, "last": KILLED, "restarts": 1}, "OOMKilled", id="memory"),
        pytest.param({"state": CRASH, "last": KILLED, "restarts": 1}, "OOMKilled", id="memory, waits"),
        pytest.param({"state": CRASH, "last": MISJUDGES, "restarts": 1}, "SelfTestFailed", id="self-test"),
        pytest.param({"state": {"running": {}}}, "PartiallyAvailable", id="no word"),
    ],
)
def test_a_pod_in_trouble_gives_degraded_its_reason_while_others_answer(third: dict, reason: str) -> None:
    resource = body(replicas=3)
    whole = serving(settle(resource), 3)
    fewer = numbers(whole, replicas=3, readyReplicas=2, updatedReplicas=3, availableReplicas=2)
    pods = (pod("demo-abc-1", ready=True), pod("demo-abc-2", ready=True), pod("demo-abc-3", **third))
    told = condition_of(status_of(resource, with_pods(fewer, *pods)), "Degraded")
    assert told[:2] == ("True", reason)
    assert told[2].startswith("2 of 3 pods answer")
