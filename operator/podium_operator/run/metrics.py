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
WATCH_BEHIND = Gauge(
    "podium_operator_watch_behind", "Objects whose newest version a watch has not delivered.", ["kind"],
    registry=REGISTRY,
)  # fmt: skip


class ConditionCollector(Collector):
    """One series a condition of each Reranker: its status as a label, value 1."""

    def __init__(self) -> None:
        self._statuses: dict[tuple[str, str], Mapping[str, str]] = {}

    def set(self, namespace: str, name: str, statuses: Mapping[str, str]) -> None:
        """Remember the conditions of a Reranker: type to status."""
        self._statuses[namespace, name] = statuses

    def forget(self, namespace: str, name: str) -> None:
        """Drop a Reranker that is gone."""
        self._statuses.pop((namespace, name), None)

    def collect(self) -> Iterable[Metric]:
        """Yield the family."""
        labels = ["namespace", "reranker", "condition", "status"]
        family = GaugeMetricFamily(
            "podium_operator_reranker_condition", "Conditions of Rerankers.", labels=labels
        )
        for (namespace, name), statuses in self._statuses.items():
            for condition, status in statuses.items():
                family.add_metric([namespace, name, condition, status], 1)
        yield family


CONDITIONS = ConditionCollector()
REGISTRY.register(CONDITIONS)
