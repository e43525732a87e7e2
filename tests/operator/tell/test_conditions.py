"""Conditions: each cause has its reason and remedy, Ready carries the first failing one and does not flap."""

import msgspec
import pytest
from rerankers import (
    CRASH,
    HUB,
    NO_GPU,
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

from podium_operator.resource.remedies import REMEDIES
from podium_operator.seen.observed import WarningEvent

SLOW = {"startedAt": "2026-03-01T11:00:00Z", "finishedAt": "2026-03-01T11:15:00Z"}
TAINTED = "1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }"


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
    for kind, said in (("Available", "False"), ("Ready", "Unknown")):
        assert condition_of(status, kind)[:2] == (said, reason)
        assert f"To mend it: {REMEDIES[reason]}" in condition_of(status, kind)[2]
        assert "demo-abc-12345" in condition_of(status, kind)[2]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (NO_GPU, "InsufficientGPU"),
        (
            "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. no new claims to deallocate, "
            "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
            "InsufficientGPU",
        ),
        ("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.", "NoMatchingNode"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: x}.", "UntoleratedTaint"),
        (
            "0/2 nodes: 1 Insufficient nvidia.com/gpu, 1 node(s) had volume node affinity conflict.",
            "VolumeNodeAffinityConflict",
        ),
        ("0/1 nodes are available: 1 Insufficient cpu.", "NoMatchingNode"),
        (
            "0/3 nodes are available: 1 node(s) had untolerated taint {a: b}, "
            "2 node(s) had untolerated taint {c: d}. "
            "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
            "UntoleratedTaint",
        ),
        ("0/2 nodes are available: 2 node(s) had untolerated taint(s).", "UntoleratedTaint"),
        (f"0/2 nodes are available: 1 Insufficient cpu, {TAINTED}.", "NoMatchingNode"),
        (f"0/2 nodes are available: 1 Too many pods, {TAINTED}.", "NoMatchingNode"),
        (f"0/2 nodes are available: 1 node(s) were unschedulable, {TAINTED}.", "NoMatchingNode"),
        (
            "0/2 nodes are available: 1 Insufficient memory, 1 node(s) had volume node affinity conflict.",
            "NoMatchingNode",
        ),
    ],
)
def test_a_pod_without_a_node_gives_scheduled_its_reason(message: str, reason: str) -> None:
    resource = body(gpu={})
    seen = numbers(with_pods(settle(resource), pod(scheduled=message)), replicas=1, updatedReplicas=1)
    status = status_of(resource, seen)
    assert condition_of(status, "Scheduled")[:2] == ("False", reason)
    assert condition_of(status, "Ready")[:2] == ("Unknown", reason)
    assert message.rstrip(".") in condition_of(status, "Ready")[2]


def test_a_claim_that_waits_for_a_gpu_shows_in_scheduled() -> None:
    resource = body(model={"uri": HUB}, gpu={})
    claim = {"metadata": {"name": "demo-cache"}, "status": {"phase": "Pending"}}
    binder = pod("demo-bind-x", application="reranker-binder", scheduled=NO_GPU)
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


def test_what_the_scheduler_said_before_is_no_trouble_of_a_pod_that_has_a_node() -> None:
    creating = pod(state=waiting("ContainerCreating"), phase="Pending")
    event = WarningEvent(
        kind="Pod", name="demo-abc-12345", reason="FailedScheduling", message="0/2 nodes are available: …"
    )
    seen = msgspec.structs.replace(with_pods(settle(body()), creating), warnings=(event,))
    assert condition_of(status_of(body(), seen), "Available")[:2] == ("False", "NoReadyReplicas")


def test_ready_carries_the_first_failing_condition_in_the_stated_order() -> None:
    crash = pod(state=CRASH, last=ended(1))
    tainted = "0/1 nodes are available: 1 node(s) had untolerated taint {a: b}."
    unplaced = pod("demo-abc-99999", scheduled=tainted)
    everything = numbers(with_pods(settle(body()), crash, unplaced), replicas=2)
    invalid = body(generation=2, podTemplate={"overlay": {"hostPID": True}})
    assert condition_of(status_of(invalid, everything), "Ready")[1] == "OverlayRefused"
    assert condition_of(status_of(body(), everything), "Ready")[1] == "UntoleratedTaint"
    assert condition_of(status_of(body(), with_pods(everything, crash)), "Ready")[1] == "CrashLoopBackOff"


def test_available_does_not_flap_while_a_roll_goes_well_and_ready_waits_for_its_end() -> None:
    resource = body(replicas=2)
    seen = settle(resource)
    steps = [(2, 2, 2), (3, 2, 1), (3, 3, 1), (3, 2, 2), (2, 2, 2)]
    for replicas, ready, updated in steps:
        counts = {"replicas": replicas, "readyReplicas": ready, "updatedReplicas": updated}
        status = status_of(resource, numbers(seen, **counts, availableReplicas=ready))
        assert condition_of(status, "Available")[0] == "True"
        assert condition_of(status, "Degraded")[0] == "False"
        ended_ = (replicas, ready, updated) == (2, 2, 2)
        assert condition_of(status, "Ready")[0] == ("True" if ended_ else "Unknown")
    assert condition_of(status, "Progressing")[:2] == ("False", "RolloutComplete")


def test_a_newer_spec_that_downloads_or_fails_leaves_available_true_and_ready_not() -> None:
    old = serving(downloaded(body(model={"uri": HUB}, replicas=2)), 2)
    newer = body(generation=2, model={"uri": "hf://org/other"}, replicas=2)
    status = status_of(newer, settle(newer, children=old.children, claim=old.claim))
    assert condition_of(status, "Available")[0] == "True"
    assert condition_of(status, "Ready")[:2] == ("Unknown", "Downloading")
    assert condition_of(status, "CacheReady")[:2] == ("False", "Downloading")
    assert condition_of(status, "Progressing")[:2] == ("True", "Downloading")
    invalid = body(generation=3, model={"uri": HUB}, engine={"settings": {"nonsense": "1"}})
    status = status_of(invalid, old)
    assert condition_of(status, "Available")[0] == "True"
    assert condition_of(status, "Ready")[:2] == ("False", "InvalidSpec")
    assert condition_of(status, "Stalled")[:2] == ("True", "InvalidSpec")
    assert condition_of(status, "Accepted")[:2] == ("False", "InvalidSpec")
    assert condition_of(status, "Progressing")[:2] == ("False", "NotAccepted")


def test_suspended_and_scaled_to_zero_are_told_apart_from_trouble() -> None:
    suspended = serving(settle(body(suspend=True)), 0)
    assert condition_of(status_of(body(suspend=True), suspended), "Ready")[:2] == ("False", "Suspended")
    none = serving(settle(body(replicas=0)), 0)
    assert condition_of(status_of(body(replicas=0), none), "Ready")[:2] == ("False", "NoReadyReplicas")


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
    status = status_of(resource, with_pods(rolling, pod(ready=True), pod("demo-new", scheduled=NO_GPU)))
    assert condition_of(status, "Progressing")[:2] == ("False", "WaitingForGPU")
    assert condition_of(status, "Ready")[0] == "Unknown"
    late = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    counts = {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    stuck = numbers(rolling, **counts, conditions=late)
    status = status_of(resource, with_pods(stuck, pod(ready=True), pod("demo-new", scheduled=NO_GPU)))
    assert condition_of(status, "Progressing")[:2] == ("False", "WaitingForGPU")
    assert condition_of(status, "Ready")[:2] == ("False", "InsufficientGPU"), "its deadline is over"
    single = body(gpu={})
    status = status_of(single, numbers(settle(single), replicas=1, updatedReplicas=0))
    assert "no surge none answers meanwhile" in condition_of(status, "Progressing")[2]


@pytest.mark.parametrize("job", ["demo-bind", "a-bind-b-dl-1"])
def test_only_a_binder_that_is_not_let_in_is_a_pod_without_a_node(job: str) -> None:
    resource = body(model={"uri": HUB}, gpu={})
    seen = settle(resource, claim={"metadata": {"name": "demo-cache"}, "status": {"phase": "Pending"}})
    names = [name for kind, name in seen.children if kind == "Job" and name.startswith(job)] or [job]
    event = WarningEvent(kind="Job", name=names[0], reason="FailedCreate", message="exceeded quota: pods")
    status = status_of(resource, msgspec.structs.replace(seen, warnings=(event,)))
    assert (condition_of(status, "Scheduled")[1] == "Refused") is (job == "demo-bind")
