"""Every metric of the operator."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from podium_operator.run.fleet import Fleet

disable_created_metrics()  # type: ignore[no-untyped-call]  # one series more for every other one, that nobody reads

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
for _result in ("success", "error"):
    RECONCILES.labels(result=_result)  # 0 from the start, so that the first one is an increase
RECONCILE_SECONDS = Histogram(
    "podium_operator_reconcile_seconds", "Seconds of one look at a Reranker.", registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)  # fmt: skip
WRITES = Counter(
    "podium_operator_writes", "Writes to the API server: apply, patch, delete, status, event.", ["what"],
    registry=REGISTRY,
)  # fmt: skip
for _what in ("apply", "patch", "delete", "status", "event"):
    WRITES.labels(what=_what)
QUEUE_DEPTH = Gauge(
    "podium_operator_queue_depth", "Rerankers that are due and wait for a worker.", registry=REGISTRY
)
STUCK_SECONDS = Gauge(
    "podium_operator_stuck_seconds", "Seconds since the slowest worker got on with its Reranker.",
    registry=REGISTRY,
)  # fmt: skip
UNDECLARED_FIELDS = Gauge(
    "podium_operator_undeclared_status_fields", "Fields of status that the cluster's CRD lacks: it is older.",
    registry=REGISTRY,
)  # fmt: skip
LEADER = Gauge(
    "podium_operator_leader", "1 where this process holds the release's Lease and writes.", registry=REGISTRY
)
NAMESPACES_LEFT_OUT = Gauge(
    "podium_operator_namespaces_left_out", "Watched namespaces whose Rerankers the API server refuses.",
    registry=REGISTRY,
)  # fmt: skip
WATCH_BEHIND = Gauge(
    "podium_operator_watch_behind", "Objects whose newest version a watch has not delivered.", ["kind"],
    registry=REGISTRY,
)  # fmt: skip

FLEET = Fleet()
REGISTRY.register(FLEET)
