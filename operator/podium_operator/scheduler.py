"""What the scheduler says of a pod that has no node, as one reason and one sentence."""

import re

from podium_operator.causes import Cause, clean
from podium_operator.observed import Body, condition

_COMPLAINT = re.compile(r"[:,] \d+ (.+?)(?=, \d+ |\.?\s*$)")
"""What a number of nodes lacks: "0/3 nodes are available: 2 Insufficient cpu, 1 Too many pods."."""


def schedule_cause(pod: Body, gpu_resource: str | None) -> Cause | None:
    """Return why a pod has no node, by the scheduler's words; None where it has one.

    The scheduler looks at taints first, at resources after that and at volumes last, and tells each node's
    first hindrance. So a node that lacks a resource has no other fault known by then, and a taint is the
    cause only where every node has one: most clusters have nodes that are not meant for these pods.
    """
    scheduled = condition(pod, "PodScheduled")
    if scheduled is None or scheduled["status"] == "True" or not scheduled.get("message"):
        return None
    message = scheduled["message"]
    complaints = _COMPLAINT.findall(message.partition(". ")[0])  # then what preemption would bring
    lacking = {text.removeprefix("Insufficient ") for text in complaints if text.startswith("Insufficient ")}
    reasons = (
        (
            "VolumeNodeAffinityConflict",
            "volume node affinity conflict" in message and lacking <= {gpu_resource},
        ),
        ("InsufficientGPU", gpu_resource in lacking),
        ("UntoleratedTaint", complaints and all("untolerated taint" in text for text in complaints)),
        ("NoMatchingNode", True),
    )
    reason = next(name for name, matches in reasons if matches)
    return Cause(reason, f"pod {pod['metadata']['name']}: {clean(message)}")
