"""The same metrics over OTLP, pushed now and then: for who has a collector and no Prometheus.

Off unless OTEL_METRICS_EXPORTER asks for `otlp`; every other OTEL_… variable means what OpenTelemetry says it
means. Names are those of /metrics without a counter's `_total`, which is how OpenTelemetry tells Prometheus'.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from time import time_ns
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family

from podium.settings import SettingError
from podium.telemetry.tracing import resource

log = logging.getLogger(__name__)

INTERVAL_MS = 60_000
"""OpenTelemetry's default of OTEL_METRIC_EXPORT_INTERVAL."""
SHUTDOWN_S = 2
"""What the end of the process waits for the last metrics to be taken."""
_UNITS = {"seconds": "s", "bytes": "By"}


def pushing(environment: Mapping[str, str], registry: CollectorRegistry) -> Callable[[], None]:
    """Begin to push what the registry holds, where the environment asks for it; return what ends that.

    At the end the newest numbers are pushed once more. Raises SettingError for an interval that is none.
    """
    wanted = [each.strip() for each in environment.get("OTEL_METRICS_EXPORTER", "").split(",")]
    if "otlp" not in wanted or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return lambda: None
    interval_s = _interval_s(environment.get("OTEL_METRIC_EXPORT_INTERVAL") or str(INTERVAL_MS))
    # Imported here, as traces are.
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter, ended, started = OTLPMetricExporter(), threading.Event(), time_ns()
    sender = resource()

    def push() -> None:
        last = False
        while not last:
            last = ended.wait(interval_s)
            try:
                exporter.export(metrics_data(registry, started, sender))
            except Exception:
                log.exception("metrics were not pushed")
        exporter.shutdown()

    thread = threading.Thread(target=push, name="podium-otlp", daemon=True)
    thread.start()

    def end() -> None:
        ended.set()
        thread.join(SHUTDOWN_S)

    return end


def _interval_s(said: str) -> float:
    try:
        seconds = float(said) / 1000
    except ValueError:
        seconds = 0
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise SettingError(f"OTEL_METRIC_EXPORT_INTERVAL is `{said[:40]}`; give milliseconds, such as 60000")
    return seconds


def metrics_data(registry: CollectorRegistry, started: int, sender: Any) -> Any:
    """Return what the registry holds now as OpenTelemetry's MetricsData; `started` in ns since 1970,
    `sender` as `tracing.resource` has it.
    """
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    now = time_ns()
    metrics = [_metric(family, started, now) for family in registry.collect() if family.samples]
    scope = ScopeMetrics(InstrumentationScope("podium"), metrics, "")
    return MetricsData([ResourceMetrics(sender, [scope], "")])


def _metric(family: Family, started: int, now: int) -> Any:
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        Histogram,
        Metric,
        NumberDataPoint,
        Sum,
    )

    numbers = [NumberDataPoint(sample.labels, started, now, sample.value) for sample in family.samples]
    data: Gauge | Histogram | Sum
    if family.type == "histogram":
        data = Histogram(list(_points(family, started, now)), AggregationTemporality.CUMULATIVE)
    elif family.type == "counter":
        data = Sum(numbers, AggregationTemporality.CUMULATIVE, True)
    else:
        data = Gauge(numbers)
    unit = next((unit for word, unit in _UNITS.items() if family.name.endswith(word)), "")
    return Metric(family.name, family.documentation, unit, data)


def _points(family: Family, started: int, now: int) -> Iterator[Any]:
    """Yield a point for each set of labels; Prometheus' buckets are sums of all below, OTLP's are not."""
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    series: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for sample in family.samples:
        labels = dict(sample.labels)
        bound = labels.pop("le", sample.name.removeprefix(family.name))
        series.setdefault(tuple(labels.items()), {})[bound] = sample.value
    unknown: Any = None  # Prometheus knows neither least nor most, and OTLP may do without
    for key, values in series.items():
        total, count = values.pop("_sum"), int(values.pop("_count"))
        below = [int(value) for value in values.values()]
        yield HistogramDataPoint(
            attributes=dict(key),
            start_time_unix_nano=started,
            time_unix_nano=now,
            count=count,
            sum=total,
            bucket_counts=[high - low for low, high in zip([0, *below], below, strict=False)],
            explicit_bounds=[float(bound) for bound in values if bound != "+Inf"],
            min=unknown,
            max=unknown,
        )
