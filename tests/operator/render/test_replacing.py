"""A roll that one node's volume has no room for is ended by old pods going first, and by nothing less."""

from typing import Any

import msgspec
import pytest
from rerankers import HUB, body, condition_of, downloaded, look, numbers, pod, settle, status_of

from podium_operator.seen.observed import Observed, WarningEvent

CACHED = body(model={"uri": HUB})
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
FULL = (
    "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match PersistentVolume's node affinity. "
    "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
    "1 Preemption is not helpful for scheduling."
)
SMALL, LARGE = {"cpu": "500m", "memory": "1Gi"}, {"cpu": "2", "memory": "1Gi"}
ATTACHED = WarningEvent(
    kind="Pod", name="demo-new-1", reason="FailedAttachVolume", message="Multi-Attach error for volume"
)


def one(name: str, requests: dict[str, str] = SMALL, **more: Any) -> dict:
    """Return a pod of a revision (the second part of its name) that asks for this."""
    made = pod(name, **more)
    made["metadata"]["labels"]["pod-template-hash"] = name.split("-")[1]
    made["spec"]["containers"] = [{"resources": {"requests": requests}}]
    return made


def rolling(*pods: dict, resource: dict = CACHED, late: bool = True, **more: Any) -> Observed:
    """Return a roll in progress: one old pod answers, one new pod waits."""
    conditions: Any = [LATE] if late else []
    counts = {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    seen = numbers(downloaded(resource), **counts, conditions=conditions)
    return msgspec.structs.replace(seen, pods=pods, **more)


def strategy(seen: Observed, resource: dict = CACHED) -> dict | None:
    """Return what the next look makes of the roll, None where it leaves it alone."""
    applies = [item.manifest for item in look(resource, seen).plan.applies]
    found = [item for item in applies if item["kind"] == "Deployment"]
    return found[0]["spec"]["strategy"]["rollingUpdate"] if found else None


OLD = one("demo-old-1", ready=True)
CORDONED = FULL.replace("1 Insufficient cpu", "1 node(s) were unschedulable")
TOO_SMALL = (
    "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: "
    "2 Preemption is not helpful for scheduling."
)
SHARED = body(model={"uri": HUB}, cache={"accessModes": ["ReadWriteMany"]})


def test_without_room_for_both_the_old_pod_goes_first_once_the_deadline_is_over() -> None:
    pods = (OLD, one("demo-new-1", scheduled=FULL))
    assert strategy(rolling(*pods, late=False)) is None
    assert strategy(rolling(*pods)) == {"maxSurge": 0, "maxUnavailable": 1}


@pytest.mark.parametrize("more", [{}, {"gpu": {}}], ids=["a-surge", "none"])
def test_of_a_disk_that_another_node_has_all_old_pods_go_as_the_last_one_lets_it_go(more: dict) -> None:
    """With one of two gone the other would still hold it, and the new pod wait for ever."""
    resource = body(model={"uri": HUB}, replicas=2, **more)
    new = one("demo-new-1", node="node-2", phase="Pending")
    seen = rolling(OLD, one("demo-old-2", ready=True), new, resource=resource, warnings=(ATTACHED,))
    everything = {"maxSurge": 0, "maxUnavailable": "100%"}
    assert strategy(seen, resource) == everything
    switched = settle(resource, **msgspec.structs.asdict(seen))
    rest: Any = {"pods": (new,), "warnings": ()}
    assert strategy(msgspec.structs.replace(switched, **rest), resource) is None, "until the roll is over"
    message = condition_of(status_of(resource, switched), "Progressing")[2]
    assert "old pods hold claim demo-cache on another node, so all of them go first: none answers" in message


def test_a_strategy_without_numbers_is_put_right_like_any_other() -> None:
    """`kubectl patch` to Recreate takes them out; the apply names the type beside them."""
    seen = rolling(OLD, one("demo-new-1", scheduled=FULL))
    live = seen.children["Deployment", "demo"]
    children = {**seen.children, ("Deployment", "demo"): {**live, "spec": {**live["spec"]}}}
    children["Deployment", "demo"]["spec"]["strategy"] = {"type": "Recreate"}
    decision = look(CACHED, msgspec.structs.replace(seen, children=children))
    assert decision.view.problem is None
    (apply,) = decision.plan.applies
    assert apply.manifest["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


@pytest.mark.parametrize(
    ("old", "new", "resource"),
    [
        pytest.param(OLD, one("demo-new-1", LARGE, scheduled=FULL), CACHED, id="the-new-one-asks-for-more"),
        pytest.param(OLD, one("demo-new-1", scheduled=CORDONED), CACHED, id="a-cordon"),
        pytest.param(OLD, one("demo-new-1", scheduled=TOO_SMALL), CACHED, id="no-node-is-large-enough"),
        pytest.param(OLD, one("demo-new-1", phase="Running"), CACHED, id="the-new-one-crashes"),
        pytest.param(one("demo-new-2"), one("demo-new-1", scheduled=FULL), CACHED, id="no-old-one"),
        pytest.param(OLD, one("demo-new-1", scheduled=FULL), SHARED, id="no-claim-of-one-node"),
    ],
)
def test_an_old_pod_is_not_given_up_where_that_would_not_end_the_roll(
    old: dict, new: dict, resource: dict
) -> None:
    assert strategy(rolling(old, new, resource=resource), resource) is None


def test_the_switch_lasts_until_the_roll_is_over_and_tells_of_its_gap() -> None:
    switched = settle(CACHED, **msgspec.structs.asdict(rolling(OLD, one("demo-new-1", scheduled=FULL))))
    live = switched.children["Deployment", "demo"]
    assert live["metadata"]["annotations"]["podium.sh/roll"] == "replacing"
    status, reason, message = condition_of(status_of(CACHED, switched), "Progressing")
    assert (status, reason) == ("True", "RollingOut"), "what was late is the roll before the switch"
    assert "the node of claim demo-cache has no room for more, so old pods go first: none answers" in message
    moved: Any = [{**LATE, "status": "True", "reason": "ReplicaSetUpdated"}]
    going = numbers(switched, replicas=1, updatedReplicas=1, conditions=moved)
    assert strategy(going) is None, "the old pod is gone, the new one starts: nothing is switched back yet"
    assert condition_of(status_of(CACHED, going), "Progressing")[:2] == ("True", "RollingOut")
    over = numbers(switched, replicas=1, updatedReplicas=1, readyReplicas=1, availableReplicas=1)
    assert strategy(over) == {"maxSurge": 1, "maxUnavailable": 0}
    ended = settle(CACHED, **msgspec.structs.asdict(over))
    assert "podium.sh/roll" not in ended.children["Deployment", "demo"]["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("mode", "replicas", "updated", "late"),
    [
        pytest.param("replacing", 4, 1, False, id="no-old-pod-has-gone"),
        pytest.param("replacing", 3, 1, True, id="one-has-gone"),
        pytest.param("replacing-all", 3, 1, False, id="some-have-gone"),
        pytest.param("replacing-all", 3, 3, True, id="all-have-gone"),
    ],
)
def test_a_roll_that_fails_after_the_switch_is_late_once_more(
    mode: str, replicas: int, updated: int, late: bool
) -> None:
    resource = body(model={"uri": HUB}, replicas=3)
    conditions: Any = [LATE]
    seen = numbers(downloaded(resource), replicas=replicas, updatedReplicas=updated, conditions=conditions)
    live = seen.children["Deployment", "demo"]
    annotations = {**live["metadata"]["annotations"], "podium.sh/roll": mode}
    live = {**live, "metadata": {**live["metadata"], "annotations": annotations}}
    children = {**seen.children, ("Deployment", "demo"): live}
    status = status_of(resource, msgspec.structs.replace(seen, children=children))
    progressing, ready = (condition_of(status, kind) for kind in ("Progressing", "Ready"))
    told = ("False", "ProgressDeadlineExceeded") if late else ("True", "RollingOut")
    assert progressing[:2] == told
    assert ready[0] == ("False" if late else "Unknown")


def test_a_claim_of_the_users_that_one_pod_can_use_is_handed_on_the_same_way() -> None:
    words = (
        "1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use"
    )
    new = one("demo-new-1", scheduled=f"0/2 nodes are available: {words} by another pod, 1 Insufficient cpu.")
    resource = body(model={"uri": "pvc://mine/model"})
    mine = {"metadata": {"name": "mine", "uid": "c"}, "spec": {"accessModes": ["ReadWriteOncePod"]}}
    claim = {**mine, "status": {"phase": "Bound"}}
    conditions: Any = [LATE]
    seen = numbers(settle(resource, claim=claim), replicas=2, updatedReplicas=1, conditions=conditions)
    assert strategy(msgspec.structs.replace(seen, pods=(OLD, new)), resource) == {
        "maxSurge": 0,
        "maxUnavailable": 1,
    }
