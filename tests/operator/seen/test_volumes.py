"""A claim that one node can use at a time: which pods wait for it, and which node has it."""

from typing import Any

import msgspec
import pytest
from rerankers import (
    HUB,
    body,
    condition_of,
    downloaded,
    look,
    numbers,
    pod,
    serving,
    settle,
    status_of,
    waiting,
    with_pods,
)

from podium_operator.seen.observed import Observed, WarningEvent

CACHED = body(model={"uri": HUB})
CORDONED = (
    "0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, "
    "1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/2 nodes are available: "
    "2 Preemption is not helpful for scheduling."
)


def observed(*pods: dict, resource: dict = CACHED, warnings: tuple[WarningEvent, ...] = ()) -> Observed:
    seen = numbers(downloaded(resource), replicas=1, updatedReplicas=1)
    return msgspec.structs.replace(with_pods(seen, *pods), warnings=warnings)


def degraded(seen: Observed, resource: dict = CACHED) -> tuple[str, str, str]:
    return condition_of(status_of(resource, seen), "Degraded")


def attaching(message: str) -> tuple[dict, WarningEvent]:
    """Return a pod on another node whose volume cannot be attached there, and its Event."""
    waits = pod("demo-new-1", node="node-2", state=waiting("ContainerCreating"), phase="Pending")
    return waits, WarningEvent(kind="Pod", name="demo-new-1", reason="FailedAttachVolume", message=message)


@pytest.mark.parametrize(
    "message",
    [
        'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) demo-old-1',
        'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node',
        "AttachVolume.Attach failed: disk(/subscriptions/x/disks/pvc-1) already attached to node(node-1)",
        "AttachVolume.Attach failed: VolumeInUse: vol-1 is already attached to an instance",
        "AttachVolume.Attach failed: the disk resource 'pvc-1' is already being used by 'instances/node-1'",
    ],
)
def test_a_pod_whose_volume_another_node_has_is_told_from_its_event(message: str) -> None:
    waits, event = attaching(message)
    status, reason, told = degraded(observed(pod("demo-old-1", ready=True), waits, warnings=(event,)))
    assert (status, reason) == ("True", "ReadWriteOnceNoRoom")
    assert told.startswith("node node-1 has the volume of claim demo-cache, pod demo-new-1: ")
    assert "ReadWriteMany" in told
    assert "out-of-service" not in told


def test_a_download_that_waits_for_the_disk_of_the_old_pods_is_told_with_the_way_out() -> None:
    newer = body(model={"uri": HUB, "revision": "v2"})
    seen = serving(downloaded(CACHED))
    seen = settle(newer, claim=seen.claim, children=seen.children)
    (job,) = [child for (kind, _), child in seen.children.items() if kind == "Job"]
    waits, event = attaching('Multi-Attach error for volume "pvc-1" Volume is already used by pod(s)')
    waits["metadata"]["labels"]["app.kubernetes.io/name"] = "reranker-download"
    waits["metadata"]["ownerReferences"] = [{"uid": job["metadata"]["uid"]}]
    seen = msgspec.structs.replace(with_pods(seen, pod(ready=True), waits), warnings=(event,))
    status = status_of(newer, seen)
    for kind, stands in (("Degraded", "True"), ("CacheReady", "False")):
        *verdict, told = condition_of(status, kind)
        assert verdict == [stands, "ReadWriteOnceNoRoom"]
        assert told.startswith("node node-1 has the volume of claim demo-cache, pod demo-new-1: Multi-Attach")
        assert "set suspend to true meanwhile" in told
        assert "provisioner" not in told
    newer["spec"]["suspend"] = True
    (deployment,) = [apply.manifest for apply in look(newer, seen).plan.applies]
    assert deployment["spec"]["replicas"] == 0, "the way out lets the disk go while the download is wanted"


def test_pods_and_status_of_the_claim_before_do_not_tell_where_this_one_is() -> None:
    before: dict[str, Any] = {"cache": {"claimName": "a", "node": "node-1"}}
    resource = body(model={"uri": "pvc://b/m"}, status=before)
    claim = {"metadata": {"name": "b", "uid": "c"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    seen = numbers(settle(resource, claim={**claim, "status": {"phase": "Bound"}}), replicas=1)
    old, new = pod("demo-old-1", ready=True, claim="a"), pod("demo-new-1", scheduled=CORDONED, claim="b")
    status = status_of(resource, with_pods(seen, old, new))
    assert status.cache is not None
    assert (status.cache.claim_name, status.cache.node) == ("b", None)
    assert condition_of(status, "Degraded")[2].startswith("claim b is bound to a node, pod demo-new-1: ")


def test_another_failure_to_attach_is_not_taken_for_a_volume_in_use() -> None:
    waits, event = attaching("AttachVolume.Attach failed: rpc error: code = Internal desc = quota exceeded")
    assert degraded(observed(waits, warnings=(event,)))[1] != "ReadWriteOnceNoRoom"


@pytest.mark.parametrize(
    "words",
    [
        CORDONED,
        CORDONED.replace(
            "didn't match PersistentVolume's node affinity", "had volume node affinity conflict"
        ),
    ],
)
def test_a_pod_that_a_cordon_keeps_from_its_volume_is_told_though_none_answers(words: str) -> None:
    resource: dict[str, Any] = {**CACHED, "status": {"cache": {"claimName": "demo-cache", "node": "node-9"}}}
    status, reason, told = degraded(observed(pod(scheduled=words), resource=resource), resource)
    assert (status, reason) == ("True", "ReadWriteOnceNoRoom")
    assert "node node-9 has the volume" in told, "status remembers the node when no pod tells"
    assert "uncordon it" in told


def test_a_node_that_does_not_report_and_holds_an_attached_volume_needs_the_out_of_service_taint() -> None:
    lost = pod("demo-old-1", ready=True)
    lost["status"]["conditions"][0] = {"type": "Ready", "status": "False"}
    lost["metadata"]["deletionTimestamp"] = "2026-03-01T11:59:00Z"
    waits, event = attaching("Multi-Attach error: Volume is already used by pod(s) demo-old-1")
    told = degraded(observed(lost, waits, warnings=(event,)))[2]
    assert "kubectl taint node node-1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute" in told


def test_the_node_is_remembered_and_the_size_told_as_it_is() -> None:
    seen = serving(downloaded(CACHED))
    claim = {
        "metadata": {"name": "demo-cache", "uid": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "40Gi"}}},
        "status": {"phase": "Bound", "capacity": {"storage": "39Gi"}},
    }
    cache = status_of(CACHED, msgspec.structs.replace(with_pods(seen, pod(ready=True)), claim=claim)).cache
    assert cache is not None
    assert (cache.node, cache.size) == ("node-1", "39Gi")


def test_pods_that_a_drain_moves_together_say_so_and_name_the_way_out() -> None:
    resource = body(model={"uri": HUB}, replicas=2)
    pods = (pod("demo-a-1", ready=True), pod("demo-a-2", ready=True))
    seen = with_pods(serving(downloaded(resource), 2), *pods)
    message = condition_of(status_of(resource, seen), "Scheduled")[2]
    assert "a drain of that node moves them all at once, ReadWriteMany would spread them" in message
    many = body(model={"uri": HUB}, replicas=2, cache={"accessModes": ["ReadWriteMany"]})
    seen = with_pods(serving(downloaded(many), 2), *pods)
    assert condition_of(status_of(many, seen), "Scheduled")[2] == "every pod has a node"
