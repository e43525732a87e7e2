"""Traces, received by a collector on loopback."""

import gzip
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import CollectorRegistry

from podium.telemetry import tracing
from podium.telemetry.metrics import SECONDS
from podium.telemetry.otlp import pushing


class Collector(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.received: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []


class _Receive(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            sent = gzip.decompress(sent)
        if self.path == "/v1/metrics":
            self.server.metrics.append(ExportMetricsServiceRequest.FromString(sent))
        else:
            self.server.received.append(ExportTraceServiceRequest.FromString(sent))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def collector():
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


SERVED = """
from fakes import FakeModel
from serving import serving
with serving(FakeModel(), cache_bytes=2**20) as server:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = {"query": "q", "documents": ["secret", "secret two"]}
    assert server.post("/v2/rerank", body, traceparent=trace).status == 200
    assert server.post("/v2/rerank", body).status == 200
    assert server.post("/nothing/secret", body).status == 404
"""
TOGETHER = """
from concurrent.futures import ThreadPoolExecutor
from fakes import FakeModel
from serving import serving, until
model = FakeModel()
with serving(model) as server, ThreadPoolExecutor() as callers:
    def ask(document, trace):
        parent = f"00-{trace * 32}-b7ad6b7169203331-01"
        return server.post("/v2/rerank", {"query": "q", "documents": [document]}, traceparent=parent).status
    first = callers.submit(ask, "block", "1")
    until(model.blocked.is_set)
    others = [callers.submit(ask, "waits", "2"), callers.submit(ask, "too", "3")]
    until(lambda: server.metric("podium_queue_pairs") == 2)
    model.unblock()
    assert [each.result() for each in (first, *others)] == [200] * 3
"""
PUSHED = """
from fakes import FakeModel
from podium.telemetry.otlp import pushing
from serving import serving, until
with serving(FakeModel()) as server:
    end = pushing(os.environ, server.service.metrics.registry)
    assert server.post("/v2/rerank", {"query": "q", "documents": ["secret", "two"]}).status == 200
    until(lambda: server.metric("podium_requests_total", dialect="cohere", status="200") == 1)
    end()
"""
ONE_SPAN = """
with tracing.TRACER.start_as_current_span("one"):
    pass
"""


def run_traced(collector: Collector, what: str, **environment: str) -> list[ExportTraceServiceRequest]:
    """Run a program with tracing in a process of its own; return what the collector received of it."""
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from podium.telemetry import tracing
tracing.configure(os.environ)
{what}
tracing.shutdown()
"""
    collector.received.clear()
    collector.metrics.clear()
    url = f"http://127.0.0.1:{collector.server_port}"
    told = {name: value.format(url=url) for name, value in environment.items()}
    subprocess.run([sys.executable, "-c", program], env={**os.environ, **told}, check=True, timeout=120)
    return list(collector.received)


def spans(received: list[ExportTraceServiceRequest]) -> list:
    return [
        span for each in received for resource in each.resource_spans
        for scope in resource.scope_spans for span in scope.spans
    ]  # fmt: skip


def values(span) -> dict[str, object]:
    """The attributes of a span."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@pytest.fixture(scope="module")
def served(collector):
    """The spans of three requests: one that is scored, one that the cache answers, one that is a 404."""
    return spans(run_traced(collector, SERVED, OTEL_EXPORTER_OTLP_ENDPOINT="{url}"))


def test_a_request_is_one_trace_with_spans_for_tokenization_queue_and_inference(served):
    mine = [span for span in served if span.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"]
    by_name = {span.name: span for span in mine}
    assert set(by_name) == {"POST /v2/rerank", "tokenization", "queue", "inference", "batch"}
    server, batch = by_name.pop("POST /v2/rerank"), by_name.pop("batch")
    assert batch.parent_span_id == by_name["inference"].span_id
    assert values(batch) == {"podium.pairs": 2, "podium.tokens": 7}
    assert values(by_name["inference"]) == {"podium.batches": 1}
    assert server.parent_span_id.hex() == "b7ad6b7169203331"
    for span in by_name.values():
        assert span.parent_span_id == server.span_id
        assert server.start_time_unix_nano - 1e6 <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= server.end_time_unix_nano + 1e6
    assert by_name["queue"].end_time_unix_nano == by_name["inference"].start_time_unix_nano
    assert values(server) == {
        "http.request.method": "POST",
        "http.route": "/v2/rerank",
        "url.path": "/v2/rerank",
        "http.response.status_code": 200,
        "podium.dialect": "cohere",
        "podium.documents": 2,
        "gen_ai.operation.name": "rerank",
        "gen_ai.response.model": "builtin",
        "gen_ai.usage.input_tokens": 7,
    }


def test_cached_and_unknown_requests_are_traces_of_one_span_and_none_holds_texts(served):
    names = sorted(span.name for span in served)
    stages = ["batch", "inference", "queue", "tokenization"]
    assert names == ["POST", "POST /v2/rerank", "POST /v2/rerank", *stages]
    assert len({span.trace_id for span in served}) == 3
    assert "secret" not in str(served)


def test_a_batch_links_to_the_other_requests_in_it(collector):
    found = spans(run_traced(collector, TOGETHER, OTEL_EXPORTER_OTLP_ENDPOINT="{url}"))
    server = {span.trace_id.hex()[0]: span for span in found if span.name.startswith("POST")}
    batches = {span.trace_id.hex()[0]: span for span in found if span.name == "batch"}
    linked = {trace: [link.span_id for link in span.links] for trace, span in batches.items()}
    assert linked == {"1": [], "2": [server["3"].span_id], "3": [server["2"].span_id]}
    assert values(batches["2"])["podium.pairs"] == 2


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}"}, "podium", id="by default"),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{url}/v1/traces", "OTEL_SERVICE_NAME": "mine"}, "mine",
            id="OTEL_SERVICE_NAME",
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}", "OTEL_RESOURCE_ATTRIBUTES": "service.name=its"}, "its",
            id="OTEL_RESOURCE_ATTRIBUTES",
        ),
    ],
)  # fmt: skip
def test_the_service_has_the_name_that_the_variables_give_it(collector, environment, name):
    received = run_traced(collector, ONE_SPAN, **environment)
    assert [span.name for span in spans(received)] == ["one"]
    attributes = received[0].resource_spans[0].resource.attributes
    assert {each.key: each.value.string_value for each in attributes}["service.name"] == name


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="no endpoint"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}", "OTEL_SDK_DISABLED": "true"}, id="disabled"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}", "OTEL_TRACES_EXPORTER": "none"}, id="none"),
    ],
)
def test_traces_are_off_unless_an_endpoint_is_set(collector, environment):
    assert run_traced(collector, ONE_SPAN, **environment) == []


@pytest.fixture(scope="module")
def pushed(collector):
    """The metrics that came last, and by name, of a service that ranked two documents."""
    run_traced(collector, PUSHED, OTEL_EXPORTER_OTLP_ENDPOINT="{url}", OTEL_METRICS_EXPORTER="otlp")
    (told,) = collector.metrics[-1].resource_metrics
    assert {each.key: each.value.string_value for each in told.resource.attributes}[
        "service.name"
    ] == "podium"
    return {metric.name: metric for metric in told.scope_metrics[0].metrics}


def test_metrics_are_pushed_where_the_variable_asks_for_them_at_the_end_too(pushed):
    (point,) = pushed["podium_requests"].sum.data_points
    assert pushed["podium_requests"].sum.is_monotonic
    assert values(point) == {"dialect": "cohere", "status": "200"}
    assert point.as_double == 1
    assert pushed["podium_queue_pairs"].gauge.data_points[0].as_double == 0
    assert "secret" not in str(pushed)


def test_a_pushed_histogram_counts_each_observation_in_one_bucket(pushed):
    metric = pushed["podium_request_duration_seconds"]
    (point,) = metric.histogram.data_points
    assert metric.unit == "s"
    assert values(point) == {"dialect": "cohere"}
    assert (point.count, sum(point.bucket_counts)) == (1, 1)
    assert list(point.explicit_bounds) == list(SECONDS)
    assert len(point.bucket_counts) == len(SECONDS) + 1
    assert point.sum > 0


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="by default"),
        pytest.param({"OTEL_METRICS_EXPORTER": "prometheus"}, id="another"),
        pytest.param({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, id="disabled"),
    ],
)
def test_no_metrics_are_pushed_unless_asked_for(environment):
    before = threading.active_count()
    pushing(environment, CollectorRegistry())()
    assert threading.active_count() == before


def test_a_collector_that_is_away_is_nobodys_trouble(collector):
    assert run_traced(collector, ONE_SPAN, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") == []


def test_outside_of_a_trace_there_is_no_id():
    assert tracing.trace_id() is None
