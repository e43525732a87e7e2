"""What a GPU pod without a node is told, from no more than the scheduler's words.

The words are those of the real scheduler (`tests/cluster/test_scheduler.py` asks one): each node's first
hindrance, taints before resources, and after that what preemption would bring.
"""

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rerankers import pod

from podium_operator.seen.pod_causes import Cause
from podium_operator.seen.scheduler_words import lacks_room, schedule_cause

GPU = "nvidia.com/gpu"
Node = tuple[int, bool, bool]
"""GPUs, whether all are taken, whether a taint keeps the pod out."""
CPU, FREE, TAKEN = (0, False, False), (1, False, False), (1, True, False)
CONTROL_PLANE, TAINTED, TAINTED_TAKEN = (0, False, True), (1, False, True), (1, True, True)
NODES = st.lists(st.tuples(st.sampled_from((0, 1, 4)), st.booleans(), st.booleans()), min_size=1, max_size=12)


def words(nodes: list[Node], asked: int = 1, *, taint: str = "(s)", tells_capacity: bool = True) -> str:
    """Return what the scheduler says. `tells_capacity`: whether preemption heeds it, as from 1.34 on."""
    complaints: Counter[str] = Counter()
    helpless = 0
    for gpus, _, tainted in nodes:
        too_small = gpus < asked and tells_capacity
        helpless += tainted or too_small
        complaints[f"node(s) had untolerated taint{taint}" if tainted else f"Insufficient {GPU}"] += 1
    outcomes = {
        "No preemption victims found for incoming pod": len(nodes) - helpless,
        "Preemption is not helpful for scheduling": helpless,
    }
    head = f"0/{len(nodes)} nodes are available: "
    return f"{head}{_listed(complaints)}. preemption: {head}{_listed(outcomes)}."


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(sorted(f"{number} {text}" for text, number in counts.items() if number))


def cause_of(message: str) -> Cause:
    """Return what a GPU pod is told."""
    cause = schedule_cause(pod(scheduled=message), GPU)
    assert cause is not None
    return cause


@pytest.mark.parametrize(
    ("nodes", "asked", "reason"),
    [
        pytest.param([CPU, TAINTED], 1, "UntoleratedTaint", id="a-taint-only"),
        pytest.param([CPU, TAKEN], 1, "InsufficientGPU", id="all-taken"),
        pytest.param([CONTROL_PLANE, TAKEN], 1, "InsufficientGPU", id="all-taken-and-a-control-plane"),
        pytest.param([CPU, TAINTED_TAKEN], 1, "UntoleratedTaint", id="tainted-and-taken"),
        pytest.param([CPU, TAINTED, TAKEN], 1, "InsufficientGPU", id="one-tainted-one-full"),
        pytest.param([CPU, CONTROL_PLANE, TAINTED], 1, "UntoleratedTaint", id="two-taints"),
        pytest.param([CPU, FREE], 4, "InsufficientGPU", id="more-than-any-node-has"),
        pytest.param([CPU, CPU], 1, "InsufficientGPU", id="no-gpu-anywhere"),
    ],
)
def test_a_taint_before_the_gpus_is_told_from_gpus_that_are_taken(
    nodes: list[Node], asked: int, reason: str
) -> None:
    cause = cause_of(words(nodes, asked))
    assert cause.reason == reason
    assert ("taint" in cause.message) == any(tainted for _, _, tainted in nodes)


@given(NODES, st.sampled_from((1, 2)))
def test_gpus_are_taken_only_where_a_node_that_the_pod_may_use_has_so_many(
    nodes: list[Node], asked: int
) -> None:
    assume(all(taken or tainted or gpus < asked for gpus, taken, tainted in nodes))
    full = any(gpus >= asked and not tainted for gpus, _, tainted in nodes)
    barred = any(tainted for _, _, tainted in nodes)
    assert cause_of(words(nodes, asked)).reason == (
        "UntoleratedTaint" if barred and not full else "InsufficientGPU"
    )


@given(NODES, st.booleans())
def test_where_the_words_leave_it_open_both_ways_out_are_named(
    nodes: list[Node], tells_capacity: bool
) -> None:
    cause = cause_of(words(nodes, taint=" {maintenance: true}", tells_capacity=tells_capacity))
    barred = {tainted for _, _, tainted in nodes}
    if barred == {True, False}:
        assert "{maintenance: true}" in cause.message
        remedy = "add a node" if cause.reason == "UntoleratedTaint" else "scheduling.tolerations"
        assert remedy in cause.message
    else:
        assert ";" not in cause.message


@pytest.mark.parametrize(
    ("nodes", "taint"),
    [
        pytest.param([CPU, TAINTED], " {maintenance: true}", id="a-taint-only"),
        pytest.param([TAKEN, CONTROL_PLANE], " {node-role.kubernetes.io/control-plane: }", id="all-taken"),
    ],
)
def test_an_older_scheduler_does_not_tell_them_apart(nodes: list[Node], taint: str) -> None:
    cause = cause_of(words(nodes, taint=taint, tells_capacity=False))
    assert cause.reason == "InsufficientGPU"
    assert cause.message.endswith("if one of them would do, add its taint to scheduling.tolerations")


@pytest.mark.parametrize(
    ("complaints", "reason"),
    [
        pytest.param(["1 node(s) were unschedulable"], "NoMatchingNode", id="cordoned"),
        pytest.param(
            ["1 node(s) didn't match Pod's node affinity/selector"], "NoMatchingNode", id="other-labels"
        ),
        pytest.param(["1 Insufficient cpu"], "NoMatchingNode", id="more-cpu-than-it-has"),
        pytest.param(
            ["1 Insufficient cpu", "1 node(s) had untolerated taint(s)"],
            "UntoleratedTaint",
            id="the-cpu-node-is-small-too",
        ),
    ],
)
def test_a_node_without_gpus_does_not_hide_what_keeps_the_pod_from_the_one_with_gpus(
    complaints: list[str], reason: str
) -> None:
    told = ", ".join(sorted([f"1 Insufficient {GPU}", *complaints]))
    helpless = "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    assert cause_of(f"0/2 nodes are available: {told}. {helpless}").reason == reason


def test_a_cordoned_node_is_named_since_a_roll_that_waits_for_room_waits_for_it() -> None:
    full = (
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match PersistentVolume's node affinity"
    )
    cordoned = pod(scheduled=f"{full}, 1 node(s) were unschedulable.")
    assert lacks_room(pod(scheduled=f"{full}."))
    assert not lacks_room(cordoned), "the cordoned node may be the claim's"
    told = schedule_cause(cordoned, None)
    assert told is not None
    assert told.message.endswith("; a node is cordoned, maybe the one that would do: uncordon it")


def test_a_pod_without_a_gpu_is_told_of_no_gpu() -> None:
    message = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s)."
    cause = Cause("NoMatchingNode", f"pod demo-abc-12345: {message}")
    assert schedule_cause(pod(scheduled=message), None) == cause
