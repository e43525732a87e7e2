"""What is told of each Reranker: its conditions, pods, model, image and download, read from its status."""

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from podium_operator.resource.reranker import Reranker
from podium_operator.resource.status import RerankerStatus
from podium_operator.resource.workload import Gpu

_OF = "podium_operator_reranker_"
_WHO = ["namespace", "reranker"]


class Fleet(Collector):
    """The series of all Rerankers; each look at one replaces its own."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[Reranker, RerankerStatus, dict[str, float]]] = {}
        """What was seen of each, and when the status of each of its conditions changed, in Unix seconds."""

    def set(self, reranker: Reranker, status: RerankerStatus) -> None:
        """Remember a Reranker as it was last seen."""
        moved = {
            each.type: datetime.fromisoformat(each.last_transition_time).timestamp()
            for each in status.conditions
            if each.last_transition_time
        }
        self._known[reranker.namespace, reranker.name] = reranker, status, moved

    def forget(self, namespace: str, name: str) -> None:
        """Drop a Reranker that is gone."""
        self._known.pop((namespace, name), None)

    def clear(self) -> None:
        """Drop all: another process tells of them now."""
        self._known.clear()

    def collect(self) -> Iterable[Metric]:
        """Yield the families. May run in another thread than the rest.

        A copy is made in one step; a list of items is not, as each of them may set off a garbage collection.
        """
        condition = _family("condition", "The conditions of each Reranker; always 1.", "condition", "status")
        reason = _family("reason", "The reason of each condition; always 1.", "condition", "reason")
        moved = _family(
            "condition_timestamp_seconds", "When the status of a condition last changed.", "condition"
        )
        info = _family("info", "What each Reranker runs; always 1.", "model", "revision", "image", "gpu")
        current = _family(
            "up_to_date",
            "0 where pods run an older template or image than the operator would give them today.",
        )
        replicas = _family("replicas", "Pods that exist.")
        ready = _family("ready_replicas", "Pods that answer.")
        desired = _family("desired_replicas", "Pods that should run now.")
        most = _family("max_replicas", "Pods at most: `maxReplicas`, else those that should run now.")
        deadline = _family("progress_deadline_seconds", "Seconds without progress until a roll is stuck.")
        attempts = _family("download_attempts", "Jobs that were started for the model's source.")
        for who, (reranker, status, times) in self._known.copy().items():
            spec = reranker.spec
            for each in status.conditions:
                condition.add_metric([*who, each.type, each.status], 1)
                reason.add_metric([*who, each.type, each.reason], 1)
            for kind, moment in times.items():
                moved.add_metric([*who, kind], moment)
            revision = status.model.resolved_revision if status.model else None
            gpu = _asked_for(spec.gpu) if spec.gpu else ""
            info.add_metric([*who, spec.model.uri, revision or "", status.image or "", gpu], 1)
            if status.up_to_date is not None:
                current.add_metric(who, status.up_to_date)
            replicas.add_metric(who, status.replicas)
            ready.add_metric(who, status.ready_replicas)
            desired.add_metric(who, status.desired_replicas)
            scaled = spec.autoscaling.max_replicas if spec.autoscaling else status.desired_replicas
            most.add_metric(who, scaled)
            deadline.add_metric(who, reranker.progress_deadline_s)
            if status.download is not None:
                attempts.add_metric(who, status.download.attempts)
        yield from (condition, reason, moved, info, current)
        yield from (replicas, ready, desired, most, deadline, attempts)


def _asked_for(gpu: Gpu) -> str:
    return "resourceClaims" if gpu.resource_claims else gpu.resource_name


def _family(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(_OF + name, documentation, labels=[*_WHO, *labels])
