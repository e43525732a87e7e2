"""Conditions: each cause has its reason and remedy, Ready carries the first failing one and does not flap."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rerankers import (
    HUB,
    NOW,
    SETTINGS,
    body,
    condition_of,
    downloaded,
    look,
    numbers,
    pod,
    serving,
    settle,
    status_of,
)

from podium_operator.api import ConditionType, RerankerStatus
from podium_operator.observed import Contest, Observed, Refusal, WarningEvent
from podium_operator.remedies import REMEDIES
from podium_operator.status import make_status, transitions

GPU_MESSAGE = (
    "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {a: b}."
)


def with_pods(observed: Observed, *pods: dict) -> Observed:
    return msgspec.structs.replace(observed, pods=pods)


def waiting(reason: str, message: str = "") -> dict:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int = 1, message: Any = "", **more: Any) -> dict:
    text = message if isinstance(message, str) else json.dumps(message)
    return {"terminated": {"exitCode": code, "message": text, **more}}


CRASH = waiting("CrashLoopBackOff")
SLOW = {"startedAt": "2026-03-01T11:00:00Z", "finishedAt": "2026-03-01T11:15:00Z"}


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        pytest.param(
            pod(state=waiting("ImagePullBackOff", "manifest unknown")), "ImagePullFailed", id="image"
        ),
        pytest.param(pod(state=waiting("InvalidImageName")), "ImagePullFailed", id="image-name"),
        pytest.param(
            pod(state=waiting("CreateContainerConfigError", 'secret "keys" not found')),
            "SecretNotFound",
            id="secret",
        ),
        pytest.param(pod(state=CRASH, last=ended(1), restarts=3), "CrashLoopBackOff", id="crash"),
        pytest.param(
            pod(state=CRASH, last=ended(137, reason="OOMKilled"), restarts=1), "OOMKilled", id="memory"
        ),
        pytest.param(
            pod(
                state=CRASH, last=ended(42, {"reason": "SelfTestFailed", "message": "0.1 < 0.9"}), restarts=1
            ),
            "SelfTestFailed",
            id="self-test",
        ),
        pytest.param(
            pod(state=CRASH, last=ended(42, {"reason": "ModelLoadFailed", "message": "no head"}), restarts=1),
            "ModelLoadFailed",
            id="load",
        ),
        pytest.param(pod(last=ended(143, **SLOW), restarts=1), "StartupTimeout", id="slow"),
    ],
)
def test_a_pod_that_does_not_run_gives_available_its_reason_and_remedy(trouble: dict, reason: str) -> None:
    seen = numbers(with_pods(settle(body()), trouble), replicas=1, updatedReplicas=1)
    status = status_of(body(), seen)
    for kind in ("Available", "Ready"):
        assert condition_of(status, kind)[:2] == ("False", reason)
        assert f"To mend it: {REMEDIES[reason]}" in condition_of(status, kind)[2]
        assert "demo-abc-12345" in condition_of(status, kind)[2]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (GPU_MESSAGE, "InsufficientGPU"),
        ("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.", "NoMatchingNode"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: x}.", "UntoleratedTaint"),
        (
            "0/2 nodes: 1 Insufficient nvidia.com/gpu, 1 node(s) had volume node affinity conflict.",
            "VolumeNodeAffinityConflict",
        ),
        ("0/1 nodes are available: 1 Insufficient cpu.", "NoMatchingNode"),
    ],
)
def test_a_pod_without_a_node_gives_scheduled_its_reason(message: str, reason: str) -> None:
    resource = body(gpu={})
    seen = numbers(with_pods(settle(resource), pod(scheduled=message)), replicas=1, updatedReplicas=1)
    status = status_of(resource, seen)
    assert condition_of(status, "Scheduled")[:2] == ("False", reason)
    assert condition_of(status, "Ready")[:2] == ("False", reason)
    assert message.rstrip(".") in condition_of(status, "Ready")[2]


def test_a_claim_that_waits_for_a_gpu_shows_in_scheduled() -> None:
    resource = body(model={"uri": HUB}, gpu={})
    claim = {"metadata": {"name": "demo-cache"}, "status": {"phase": "Pending"}}
    binder = pod("demo-bind-x", application="reranker-binder", scheduled=GPU_MESSAGE)
    status = status_of(resource, with_pods(settle(resource, claim=claim), binder))
    assert condition_of(status, "Scheduled")[:2] == ("False", "InsufficientGPU")
    assert condition_of(status, "CacheReady")[:2] == ("False", "PVCPending")


def test_a_node_that_went_away_is_named() -> None:
    lost = pod(ready=True)
    lost["status"]["conditions"][0] = {"type": "Ready", "status": "False"}
    seen = numbers(with_pods(settle(body()), lost), replicas=1, updatedReplicas=1)
    status, reason, message = condition_of(status_of(body(), seen), "Available")
    assert (status, reason) == ("False", "NodeNotReady")
    assert "node node-1" in message


def test_a_quota_or_pod_security_refusal_shows_in_scheduled() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity restricted"}
    seen = numbers(settle(body()), conditions=[failure])  # type: ignore[arg-type]
    status, reason, message = condition_of(status_of(body(), seen), "Scheduled")
    assert (status, reason) == ("False", "Refused")
    assert "violates PodSecurity" in message


def test_a_mount_that_fails_is_read_from_the_event() -> None:
    creating = pod(state=waiting("ContainerCreating"), phase="Pending")
    event = WarningEvent(
        kind="Pod", name="demo-abc-12345", reason="FailedAttachVolume", message="Multi-Attach error"
    )
    seen = msgspec.structs.replace(with_pods(settle(body()), creating), warnings=(event,))
    status, reason, message = condition_of(status_of(body(), seen), "Available")
    assert (status, reason) == ("False", "FailedAttachVolume")
    assert "Multi-Attach" in message


def test_ready_carries_the_first_failing_condition_in_the_stated_order() -> None:
    crash = pod(state=CRASH, last=ended(1))
    unplaced = pod("demo-abc-99999", scheduled=GPU_MESSAGE)
    everything = numbers(with_pods(settle(body()), crash, unplaced), replicas=2)
    invalid = body(generation=2, podTemplate={"overlay": {"hostPID": True}})
    assert condition_of(status_of(invalid, everything), "Ready")[1] == "OverlayRefused"
    assert condition_of(status_of(body(), everything), "Ready")[1] == "UntoleratedTaint"
    assert condition_of(status_of(body(), with_pods(everything, crash)), "Ready")[1] == "CrashLoopBackOff"


COUNTS = st.fixed_dictionaries(
    {key: st.integers(0, 4) for key in ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")}
)
PODS = st.lists(
    st.sampled_from(
        [
            pod(ready=True),
            pod(state=CRASH, last=ended(1)),
            pod(scheduled=GPU_MESSAGE),
            pod(state=waiting("ErrImagePull")),
        ]
    ),
    max_size=3,
)
SPECS = st.sampled_from(
    [
        {},
        {"replicas": 3},
        {"gpu": {}},
        {"suspend": True},
        {"autoscaling": {"maxReplicas": 3}},
        {"replicas": 0},
        {"model": {"uri": HUB}},
        {"podTemplate": {"overlay": {"hostIPC": True}}},
        {"engine": {"settings": {"x": "y"}}},
    ]
)


@given(SPECS, COUNTS, PODS)
def test_every_look_has_all_conditions_in_order_and_ready_follows_from_them(
    spec: dict, counts: dict, pods: list
) -> None:
    resource = body(**spec)
    seen = with_pods(settle(resource), *pods)
    if ("Deployment", "demo") in seen.children:
        seen = numbers(seen, **counts)
    status = status_of(resource, seen)
    kinds = [condition.type for condition in status.conditions]
    wanted = [kind for kind in ConditionType if kind != "AutoscalingReady" or "autoscaling" in spec]
    assert kinds == wanted
    found = {condition.type: condition for condition in status.conditions}
    assert (found["Ready"].status == "True") == (found["Available"].status == "True")
    if found["Ready"].status == "False":
        order = ("Accepted", "CacheReady", "Scheduled", "Available")
        first = next(found[kind] for kind in order if found[kind].status == "False")
        assert (found["Ready"].reason, found["Ready"].message) == (first.reason, first.message)


@given(SPECS, COUNTS, PODS)
def test_the_same_look_writes_the_same_status_and_no_event(spec: dict, counts: dict, pods: list) -> None:
    resource = body(**spec)
    seen = with_pods(settle(resource), *pods)
    if ("Deployment", "demo") in seen.children:
        seen = numbers(seen, **counts)
    first = status_of(resource, seen)
    again = {**resource, "status": msgspec.to_builtins(first)}
    decision = look(again, seen)
    second = make_status(decision.view, first, 1, decision.pinned, NOW + timedelta(hours=1))
    assert second == first
    assert transitions(first, second) == []


def test_ready_does_not_flap_while_a_roll_goes_well() -> None:
    resource = body(replicas=2)
    seen = settle(resource)
    steps = [(2, 2, 2), (3, 2, 1), (3, 3, 1), (3, 2, 2), (2, 2, 2)]
    for replicas, ready, updated in steps:
        counts = {"replicas": replicas, "readyReplicas": ready, "updatedReplicas": updated}
        status = status_of(resource, numbers(seen, **counts, availableReplicas=ready))
        assert condition_of(status, "Ready")[0] == "True"
        assert condition_of(status, "Degraded")[0] == "False"
    assert condition_of(status, "Progressing")[:2] == ("False", "RolloutComplete")


def test_a_newer_spec_that_downloads_or_fails_leaves_ready_true() -> None:
    old = serving(downloaded(body(model={"uri": HUB}, replicas=2)), 2)
    newer = body(generation=2, model={"uri": "hf://org/other"}, replicas=2)
    status = status_of(newer, settle(newer, children=old.children, claim=old.claim))
    assert condition_of(status, "Ready")[0] == "True"
    assert condition_of(status, "CacheReady")[:2] == ("False", "Downloading")
    assert condition_of(status, "Progressing")[:2] == ("True", "Downloading")
    invalid = body(generation=3, model={"uri": HUB}, engine={"settings": {"nonsense": "1"}})
    status = status_of(invalid, old)
    assert condition_of(status, "Ready")[0] == "True"
    assert condition_of(status, "Accepted")[:2] == ("False", "InvalidSpec")
    assert condition_of(status, "Progressing")[:2] == ("False", "NotAccepted")


def test_suspended_and_scaled_to_zero_are_told_apart_from_trouble() -> None:
    suspended = serving(settle(body(suspend=True)), 0)
    assert condition_of(status_of(body(suspend=True), suspended), "Ready")[:2] == ("False", "Suspended")
    none = serving(settle(body(replicas=0)), 0)
    assert condition_of(status_of(body(replicas=0), none), "Ready")[:2] == ("False", "NoReadyReplicas")


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
    unplaced = pod(
        "demo-abc-2", scheduled="0/2 nodes are available: 2 node(s) didn't match pod affinity rules."
    )
    crowded = status_of(resource, with_pods(one, pod(ready=True), unplaced))
    status, reason, message = condition_of(crowded, "Degraded")
    assert (status, reason) == ("True", "ReadWriteOnceNoRoom")
    assert "ReadWriteMany" in message


@pytest.mark.parametrize(
    ("scaling", "addons", "reason"),
    [
        ({"engine": "KEDA"}, frozenset(), "KEDAMissing"),
        ({"engine": "KEDA"}, frozenset({"ScaledObject"}), "PrometheusAddressMissing"),
    ],
)
def test_an_autoscaler_that_cannot_be_made_says_what_is_missing(
    scaling: dict, addons: frozenset, reason: str
) -> None:
    resource = body(autoscaling={"maxReplicas": 3, **scaling})
    status = status_of(resource, settle(resource, addons=addons))
    assert condition_of(status, "AutoscalingReady")[:2] == ("False", reason)
    assert condition_of(status, "Accepted")[0] == "True", "a missing add-on never touches Accepted"


def test_metrics_that_are_missing_are_the_autoscalers_own_words() -> None:
    resource = body(autoscaling={"maxReplicas": 3})
    seen = settle(resource)
    hpa = seen.children["HorizontalPodAutoscaler", "demo"]
    trouble = {"type": "ScalingActive", "status": "False", "message": "no metrics returned"}
    children = {
        **seen.children,
        ("HorizontalPodAutoscaler", "demo"): {**hpa, "status": {"conditions": [trouble]}},
    }
    status = status_of(resource, msgspec.structs.replace(seen, children=children))
    assert condition_of(status, "AutoscalingReady")[:2] == ("False", "MetricsUnavailable")


def test_a_gpu_roll_that_waits_and_one_that_leaves_a_gap_say_so() -> None:
    resource = body(gpu={}, replicas=2)
    rolling = numbers(settle(resource), replicas=2, readyReplicas=1, updatedReplicas=1, availableReplicas=1)
    status = status_of(resource, with_pods(rolling, pod(ready=True), pod("demo-new", scheduled=GPU_MESSAGE)))
    assert condition_of(status, "Progressing")[:2] == ("False", "WaitingForGPU")
    single = body(gpu={})
    status = status_of(single, numbers(settle(single), replicas=1, updatedReplicas=0))
    assert "no surge none answers meanwhile" in condition_of(status, "Progressing")[2]


def test_a_condition_keeps_its_time_until_its_status_turns() -> None:
    starting = status_of(body(), numbers(settle(body()), replicas=1))
    resource = {**body(), "status": msgspec.to_builtins(starting)}
    decision = look(resource, serving(settle(body())))
    later = make_status(decision.view, starting, 1, decision.pinned, NOW + timedelta(minutes=5))
    times = {condition.type: condition.last_transition_time for condition in later.conditions}
    assert times["Accepted"] == "2026-03-01T12:00:00Z"
    assert times["Ready"] == times["Available"] == "2026-03-01T12:05:00Z"


def test_events_tell_of_turns_in_both_directions_and_of_new_trouble_once() -> None:
    starting = status_of(body(), numbers(settle(body()), replicas=1))
    assert transitions(RerankerStatus(), starting) == [], "a new Reranker that starts is no news"
    crashing = status_of(
        body(), numbers(with_pods(settle(body()), pod(state=CRASH, last=ended(1))), replicas=1)
    )
    found = transitions(starting, crashing)
    assert [(event.type, event.reason, event.action) for event in found] == [
        ("Warning", "CrashLoopBackOff", "Available")
    ]
    answering = status_of(body(), serving(settle(body())))
    found = transitions(crashing, answering)
    assert {(event.type, event.action) for event in found} >= {("Normal", "Available"), ("Normal", "Ready")}
    found = transitions(answering, crashing)
    assert ("Warning", "Ready") in {(event.type, event.action) for event in found}
    assert transitions(crashing, crashing) == []


def test_settings_decide_nothing_about_status_but_the_prometheus() -> None:
    assert SETTINGS.prometheus_address is None
    settings = msgspec.structs.replace(SETTINGS, prometheus_address="http://prometheus:9090")
    resource = body(autoscaling={"engine": "KEDA", "maxReplicas": 3})
    addons = frozenset({"ScaledObject"})
    status = status_of(resource, settle(resource, settings, addons=addons), settings)
    assert condition_of(status, "AutoscalingReady")[:2] == ("Unknown", "Starting")
