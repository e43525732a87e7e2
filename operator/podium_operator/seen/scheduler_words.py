"""What the scheduler says of a pod that has no node, as one reason and one sentence."""

import re

from podium_operator.seen.observed import Body, condition
from podium_operator.seen.pod_causes import Cause, clean

_NODES = re.compile(r"0/(\d+) ")
_COMPLAINT = re.compile(r"[:,] (\d+) (.+?)(?=, \d+ |\.?\s*$)")
"""What a number of nodes lacks: "0/3 nodes are available: 2 Insufficient cpu, 1 Too many pods."."""
_LEFT_OUT = (
    "nodes whose taint the pods do not tolerate are left out: if one of them would do, add its taint to "
    "scheduling.tolerations"
)
_OTHERS_HAVE_NONE = (
    "the nodes without such a taint have too few GPUs, taken or free: if those with it do too, add a node or "
    "ask for fewer"
)
_CORDONED = "were unschedulable"
_MAY_BE_CORDONED = "a node is cordoned, maybe the one that would do: uncordon it"

BOUND_ELSEWHERE = re.compile(
    "volume node affinity conflict|PersistentVolume's node affinity|ReadWriteOncePod access mode"
)
"""A volume that is not where a node is (before 1.35, and from then on), or that another pod has to itself."""


def lacks_room(pod: Body) -> bool:
    """Whether a pod has no node because a node's room is taken, by what runs there and not by its own size.

    While a node is cordoned nothing is known: it may be the claim's, and another one the one without room.
    The words name no node, and a cordon hides whatever else its node lacks.
    """
    scheduled = condition(pod, "PodScheduled") or {}
    message = scheduled.get("message", "") if scheduled.get("status") == "False" else ""
    complaints, _, preemption = message.partition(". ")
    if _CORDONED in complaints:
        return False
    if "ReadWriteOncePod access mode" in complaints:
        return True
    full = "Insufficient " in complaints or "Too many pods" in complaints
    # From Kubernetes 1.34 on preemption is no help either where a node is too small with nothing on it.
    hopeless = re.search(r"0/(\d+) nodes are available: \1 Preemption is not helpful", preemption)
    return full and hopeless is None


def schedule_cause(pod: Body, gpu_resource: str | None) -> Cause | None:
    """Return why a pod has no node, by the scheduler's words; None where it has one.

    The operator reads no nodes (a role in some namespaces cannot), so what these words leave open about a
    GPU pod is said too.
    """
    scheduled = condition(pod, "PodScheduled")
    if scheduled is None or scheduled["status"] == "True" or not scheduled.get("message"):
        return None
    reason, doubt = _reason(scheduled["message"], gpu_resource)
    words = f"pod {pod['metadata']['name']}: {clean(scheduled['message'])}"
    hints = [doubt, _MAY_BE_CORDONED if _CORDONED in scheduled["message"] else ""]
    told = [hint for hint in hints if hint]
    return Cause(reason, "; ".join([words.rstrip("."), *told]) if told else words)


def _reason(message: str, gpu_resource: str | None) -> tuple[str, str]:
    """Return the reason, and for a GPU pod what taints may hide.

    The scheduler looks at taints first, at resources after that and at volumes last, and tells each node's
    first hindrance. So a node that lacks a resource has no other fault known by then, and a taint is the
    cause only where every node has one: most clusters have nodes that are not meant for these pods. For a
    GPU pod those without GPUs are not meant either.
    """
    complaints, _, preemption = message.partition(". ")
    counts = {text: int(number) for number, text in _COMPLAINT.findall(complaints)}
    total = _NODES.match(message)
    nodes = int(total[1]) if total else 0
    lacking = {text.removeprefix("Insufficient ") for text in counts if text.startswith("Insufficient ")}
    tainted = sum(number for text, number in counts.items() if "untolerated taint" in text)
    short = counts.get(f"Insufficient {gpu_resource}", 0)
    # From Kubernetes 1.34 on this is said also of a node that would be short of them with nothing on it
    # (kubernetes#131345); said of every node, it means that none is short because its GPUs are taken.
    without = short if f" {nodes} Preemption is not helpful" in preemption else 0
    reasons = (
        (
            "VolumeNodeAffinityConflict",
            BOUND_ELSEWHERE.search(message) and lacking <= {gpu_resource},
        ),
        ("UntoleratedTaint", 0 < tainted == nodes - without),
        ("InsufficientGPU", (short and without in (0, nodes)) or "cannot allocate all claims" in message),
        ("NoMatchingNode", True),
    )
    reason = next(name for name, matches in reasons if matches)
    if not gpu_resource or tainted in (0, nodes):
        return reason, ""
    return reason, _OTHERS_HAVE_NONE if reason == "UntoleratedTaint" else _LEFT_OUT
