"""Every metric of the operator."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

API_REQUESTS = Counter(
    "podium_operator_api_requests", "Requests to the API server; code `none`: no answer.", ["verb", "code"],
    registry=REGISTRY,
)  # fmt: skip
RECONCILES = Counter(
    "podium_operator_reconciles", "Looks at a Reranker: success, or error (it is tried again).", ["result"],
    registry=REGISTRY,
)  # fmt: skip
RECONCILE_SECONDS = Histogram(
    "podium_operator_reconcile_seconds", "Seconds of one look at a Reranker.", registry=REGISTRY,
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 30),
)  # fmt: skip
WRITES = Counter(
    "podium_operator_writes", "Writes to the API server: apply, patch, delete, status, event.", ["what"],
    registry=REGISTRY,
)  # fmt: skip
QUEUE_DEPTH = Gauge(
    "podium_operator_queue_depth", "Rerankers that are due and wait for a worker.", registry=REGISTRY
)
UNDECLARED_FIELDS = Gauge(
    "podium_operator_undeclared_status_fields", "Fields of status that the cluster's CRD lacks: it is older.",
    registry=REGISTRY,
)  # fmt: skip
LEADER = Gauge(
    "podium_operator_leader", "1 where this process holds the release's Lease and writes.", registry=REGISTRY
)
WATCH_BEHIND = Gauge(
    "podium_operator_watch_behind", "Objects whose newest version a watch has not delivered.", ["kind"],
    registry=REGISTRY,
)  # fmt: skip


class ConditionCollector(Collector):
    """One series a condition of each Reranker: its status as a label, value 1; one of its pods' age."""

    def __init__(self) -> None:
        self._statuses: dict[tuple[str, str], Mapping[str, str]] = {}
        self._up_to_date: dict[tuple[str, str], bool] = {}

    def set(self, namespace: str, name: str, statuses: Mapping[str, str], up_to_date: bool | None) -> None:
        """Remember the conditions of a Reranker, type to status, and whether its pods are today's."""
        self._statuses[namespace, name] = statuses
        self._up_to_date.pop((namespace, name), None)
        if up_to_date is not None:
            self._up_to_date[namespace, name] = up_to_date

    def forget(self, namespace: str, name: str) -> None:
        """Drop a Reranker that is gone."""
        self._statuses.pop((namespace, name), None)
        self._up_to_date.pop((namespace, name), None)

    def collect(self) -> Iterable[Metric]:
        """Yield the families."""
        labels = ["namespace", "reranker", "condition", "status"]
        family = GaugeMetricFamily(
            "podium_operator_reranker_condition", "Conditions of Rerankers.", labels=labels
        )
        for (namespace, name), statuses in self._statuses.items():
            for condition, status in statuses.items():
                family.add_metric([namespace, name, condition, status], 1)
        yield family
        age = GaugeMetricFamily(
            "podium_operator_reranker_up_to_date",
            "0 where pods run an older template or image than the operator would give them today.",
            labels=labels[:2],
        )
        for (namespace, name), current in self._up_to_date.items():
            age.add_metric([namespace, name], current)
        yield age


CONDITIONS = ConditionCollector()
REGISTRY.register(CONDITIONS)
