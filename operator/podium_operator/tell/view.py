"""One look at a Reranker: what conditions are made from, and what its pods say in it."""

from collections.abc import Iterator

import msgspec

from podium_operator.resource.names import BINDER, SERVING
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import Source
from podium_operator.resource.validate import Problem
from podium_operator.seen.download_progress import CacheProgress
from podium_operator.seen.observed import Body, ObjectKey, Observed
from podium_operator.seen.pod_causes import Cause, lost_node, pod_cause
from podium_operator.seen.scheduler_words import schedule_cause
from podium_operator.seen.volumes import claim_node, one_node
from podium_operator.settings import Settings


class Verdict(msgspec.Struct, frozen=True):
    """One condition: `status` is "True", "False" or "Unknown"."""

    status: str
    reason: str
    message: str


class View(msgspec.Struct, frozen=True, kw_only=True):
    """All that the verdicts are made from. `reranker` is the one that the pods serve, or the newest."""

    reranker: Reranker
    source: Source
    progress: CacheProgress
    observed: Observed
    settings: Settings
    problem: Problem | None = None
    conflicts: tuple[ObjectKey, ...] = ()
    leaving: tuple[ObjectKey, ...] = ()
    """Objects that are not the Reranker's and go by themselves: until then nothing is written."""
    going: tuple[ObjectKey, ...] = ()
    """The Reranker's own that someone deletes."""
    open: frozenset[ObjectKey] = frozenset()
    """Objects that differ from what the spec asks for and are to be applied."""
    up_to_date: bool | None = None
    waits_for: str | None = None
    """The Reranker whose pods must be ready before an upgrade moves these."""

    @property
    def deployment(self) -> Body | None:
        """The live Deployment."""
        return self.observed.get("Deployment", self.reranker.name)

    @property
    def numbers(self) -> Body:
        """Status of the live Deployment: `replicas`, `readyReplicas`, …"""
        found: Body = (self.deployment or {}).get("status", {})
        return found

    @property
    def pods(self) -> list[Body]:
        """The serving pods that are not going. Those that ended (evicted, or with their node) stay for ever:
        they come first, as the oldest, and count only until others have taken their place.
        """
        live: list[Body] = []
        ended: list[Body] = []
        for pod in self.observed.pods_of(SERVING):
            if not pod["metadata"].get("deletionTimestamp"):
                over = pod.get("status", {}).get("phase") in ("Failed", "Succeeded")
                (ended if over else live).append(pod)
        return live if len(live) >= self.desired else [*ended, *live]

    @property
    def on_one_node(self) -> bool:
        """Whether the pods' claim can be used on one node at a time."""
        return one_node(self.reranker, self.source, self.observed.claim)

    @property
    def claim_node(self) -> str | None:
        """The node that has the claim's volume, as its pods tell or status remembers."""
        return claim_node(self.reranker, self.source, self.observed)

    @property
    def desired(self) -> int:
        """Pods that should run now, as the Deployment has it where an autoscaler decides."""
        live = self.deployment
        if self.reranker.spec.autoscaling and live and not self.reranker.spec.suspend:
            return int(live["spec"].get("replicas", 1)) or self.reranker.desired_replicas
        return self.reranker.desired_replicas

    @property
    def ready(self) -> int:
        """Pods that answer."""
        return int(self.numbers.get("readyReplicas", 0))

    @property
    def needed(self) -> int:
        """Pods that must answer for Ready; never more than are wanted."""
        return max(1, min(self.reranker.spec.disruption.min_available or 1, self.desired))


def unplaced_pods(view: View) -> list[Cause]:
    """Return why pods have no node, one cause a pod; the claim's binder counts while it is wanted."""
    gpu = view.reranker.spec.gpu
    pods = [*view.pods, *(view.observed.pods_of(BINDER) if view.progress.binder else [])]
    causes = (schedule_cause(pod, gpu.resource_name if gpu else None) for pod in pods)
    return [cause for cause in causes if cause]


def pod_troubles(view: View) -> Iterator[Cause]:
    """Yield what is wrong with the serving pods, the newest first: an old pod's trouble may be mended."""
    startup_s = view.reranker.spec.probes.startup_timeout_seconds
    for pod in reversed(view.pods):
        cause = pod_cause(pod, startup_s=startup_s)
        if cause:
            yield cause
        node = lost_node(pod)
        if node:
            yield Cause("NodeNotReady", f"node {node} of pod {pod['metadata']['name']} does not report")
    names = {pod["metadata"]["name"] for pod in view.pods}
    for warning in view.observed.warnings:
        # The scheduler's words are in the pod itself; its Events outlive them.
        if (
            warning.name in names
            and warning.reason.startswith("Failed")
            and warning.reason != "FailedScheduling"
        ):
            yield Cause(warning.reason, f"pod {warning.name}: {warning.message}")
