"""Metrics and logs: what is promised in docs/metrics.md, and values after known requests."""

import json
import logging
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes import FakeModel
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from serving import serving, until

from podium.telemetry import logs
from podium.telemetry.metrics import SECONDS, DownloadMetrics, Metrics

DOCUMENT = Path(__file__).parents[1] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ?([\w/]*) \|( [^|]*|)\| (.+) \|$", re.MULTILINE)


# The list.


def test_the_document_lists_every_metric_with_its_type_labels_and_meaning():
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text)
        for name, kind, _, labels, text in ROW.findall(DOCUMENT.read_text())
    }
    told = {**vars(Metrics()), **vars(DownloadMetrics())}
    instruments = [value for value in told.values() if hasattr(value, "_labelnames")]
    defined = {
        each._name + ("_total" if each._type == "counter" else ""): (
            each._type, tuple(each._labelnames), each._documentation,
        )
        for each in instruments
        if each._name.startswith("podium_")
    }  # fmt: skip
    assert documented == defined


def test_the_unit_of_a_metric_stands_in_its_name():
    for name, _, unit, _, _ in ROW.findall(DOCUMENT.read_text()):
        if unit in ("pairs", "documents") and name in (
            "podium_cache_hits_total",
            "podium_documents_truncated_total",
        ):
            continue  # words that the scaler and the dashboards know
        assert unit in name if unit else name.endswith("_info")


def test_the_document_names_what_is_told_of_the_process():
    text = DOCUMENT.read_text()
    for family in Metrics().registry.collect():
        if family.name.startswith("process_") and family.samples:
            assert family.samples[0].name in text


def test_each_request_label_is_a_dialect_or_unknown():
    with serving(FakeModel(), max_body_bytes=1000) as server:
        for path in ("/nothing", "/v1/rerank", "/v2/rerank"):
            server.post(path, b"nonsense")
            server.post(path, b"too long " * 200)
        page = server.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    labels = re.findall(rb'podium_requests_total\{dialect="(\w+)",status="(\d+)"\} (\S+)', page.raw)
    assert sorted(labels) == [
        (b"cohere", b"400", b"1.0"),
        (b"cohere", b"413", b"1.0"),
        (b"unknown", b"400", b"1.0"),
        (b"unknown", b"404", b"2.0"),
        (b"unknown", b"413", b"1.0"),
    ]


# Values. The fake model's tokens are words; a pair has one more, the separator.


@pytest.fixture
def server():
    with serving(FakeModel(), cache_bytes=2**20) as running:
        yield running


class Change:
    """What metrics have changed by since this was made."""

    def __init__(self, server) -> None:
        self._server, self._before = server, {}
        self._before = self._all()

    def _all(self) -> dict[str, float]:
        families = self._server.service.metrics.registry.collect()
        return {
            sample.name: sample.value for family in families for sample in family.samples if not sample.labels
        }

    def __getitem__(self, name: str) -> float:
        return self._all()[name] - self._before[name]


def rerank(server, *documents: str) -> None:
    assert server.post("/v2/rerank", {"query": "two words", "documents": documents}).status == 200


def test_pairs_and_tokens_are_counted_as_the_model_computes_them(server):
    change = Change(server)
    rerank(server, "a", "b c", "d e f")
    assert change["podium_pairs_total"] == 3
    assert change["podium_tokens_total"] == 4 + 5 + 6
    assert change["podium_padding_avoided_tokens_total"] == 3 * 6 - 15
    assert change["podium_batch_tokens_count"] == change["podium_inference_seconds_count"] == 1
    assert change["podium_batch_tokens_sum"] == 15
    assert change["podium_tokenization_seconds_count"] == 1
    assert change["podium_cache_hits_total"] == change["podium_documents_truncated_total"] == 0


def test_hits_and_cut_documents_are_counted(server):
    rerank(server, "a", "w " * 100)
    change = Change(server)
    rerank(server, "a", "w " * 100, "new")
    assert change["podium_cache_hits_total"] == 2
    assert change["podium_pairs_total"] == 1
    assert change["podium_documents_truncated_total"] == 1


def test_requests_are_counted_by_dialect_and_status_and_timed(server):
    rerank(server, "a")
    status = str(server.post("/rerank", {"query": "q", "texts": []}).status)
    until(lambda: server.metric("podium_requests_total", dialect="cohere", status="200") == 1)
    until(lambda: server.metric("podium_requests_total", dialect="tei", status=status) == 1)
    assert server.metric("podium_request_duration_seconds_count", dialect="cohere") == 1
    assert server.metric("podium_request_duration_seconds_sum", dialect="cohere") > 0


def test_the_queue_is_empty_when_nothing_waits_and_the_start_is_told(server):
    rerank(server, "a")
    assert server.metric("podium_queue_pairs") == server.metric("podium_queue_tokens") == 0
    assert server.metric("podium_startup_seconds") > 0
    assert server.metric("process_resident_memory_bytes") > 2**20
    assert server.metric("process_threads") > 2


def test_a_wait_for_the_first_batch_is_measured_and_what_waits_is_seen(server):
    model = server.service.reranker.model
    with ThreadPoolExecutor() as callers:
        first = callers.submit(rerank, server, "block")
        until(model.blocked.is_set)
        second = callers.submit(rerank, server, "later")
        until(lambda: server.metric("podium_requests_in_flight") == 2)
        until(lambda: server.metric("podium_queue_pairs") == 1)
        assert server.metric("podium_queue_oldest_seconds") > 0
        before = server.metric("podium_request_queue_seconds_count")
        model.unblock()
        first.result()
        second.result()
    until(lambda: server.metric("podium_requests_in_flight") == 0)
    assert server.metric("podium_request_queue_seconds_count") == before + 2
    assert server.metric("podium_queue_oldest_seconds") == 0
    assert server.metric("podium_request_timeout_seconds") == 300


def test_a_request_that_the_cache_answers_waits_for_no_batch(server):
    rerank(server, "a")
    change = Change(server)
    rerank(server, "a")
    assert change["podium_request_queue_seconds_count"] == 0
    assert server.metric("podium_cache_bytes") > 0


def test_batches_are_counted_by_what_ended_them(server):
    before = server.metric("podium_batches_total", reason="empty")
    rerank(server, "a", "b")
    assert server.metric("podium_batches_total", reason="empty") == before + 1


def test_what_memory_and_the_device_fail_of_is_counted(server):
    model, change = server.service.reranker.model, Change(server)
    model.oom_pairs = 1
    rerank(server, "oom", "b")
    assert (change["podium_split_batches_total"], change["podium_failed_batches_total"]) == (1, 0)
    server.post("/v2/rerank", {"query": "q", "documents": ["raise"]})
    assert change["podium_failed_batches_total"] == 1
    assert change["podium_device_failures_total"] == 0, "the self-test behind it passes"


# Formats.


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=x", "a;b;;=", "\xe9"])
def test_an_accept_that_means_nothing_gets_the_plain_format(server, accept):
    answer = server.get("/metrics", accept=accept)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_device_that_is_lost_leaves_the_other_metrics():
    def lost() -> tuple[int, int]:
        raise RuntimeError("CUDA error: device-side assert triggered")

    metrics = Metrics()
    metrics.follow_device_memory(lost)
    metrics.device_failures.inc()
    text = metrics.exposition()[0].decode()
    assert "podium_device_failures_total 1.0" in text
    assert 'podium_device_memory_bytes{state="free"} NaN' in text


def test_what_a_start_ranks_is_no_request(server):
    assert server.metric("podium_tokens_per_second") > 0
    assert server.metric("podium_request_queue_seconds_count") == 0


def test_openmetrics_is_told_on_request_with_exemplars_that_bear_the_callers_trace(server):
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    sent = {"traceparent": f"00-{trace}-{parent}-01"}
    server.post("/v2/rerank", {"query": "q", "documents": ["new"]}, **sent)
    until(lambda: server.metric("podium_requests_total", dialect="cohere", status="200") == 1)
    asked = server.get("/metrics", accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert asked.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert asked.raw.endswith(b"# EOF\n")
    for name in ("podium_request_duration_seconds", "podium_request_queue_seconds"):
        assert re.search(
            rb'%s_bucket\{.*\} 1.0 # \{.*trace_id="%s"' % (name.encode(), trace.encode()), asked.raw
        )
    families = {family.name: family for family in openmetrics_families(asked.raw.decode())}
    assert families["podium_requests"].type == "counter"
    assert b"# {" not in server.get("/metrics").raw, "the older format knows no exemplars"


def test_a_trace_that_nobody_keeps_is_no_exemplar(server):
    sent = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}
    server.post("/v2/rerank", {"query": "q", "documents": ["new"]}, **sent)
    until(lambda: server.metric("podium_requests_total", dialect="cohere", status="200") == 1)
    assert b"trace_id" not in server.get("/metrics", accept="application/openmetrics-text").raw


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.1, 1, 10, 60])
def test_histograms_of_seconds_have_a_bound_at_each_decade(seconds):
    assert seconds in SECONDS


# Logs.


def record(message: str = "hello", **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "podium.x", "levelname": "INFO", "msg": message, "created": 0.0})
    vars(made).update(extra)
    return made


def test_json_is_an_object_a_line_with_extra_fields():
    line = logs.JSONFormatter().format(record("two\nlines", request_id="r", ms=1.5, odd=Path("x"), none=None))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.000+00:00", "level": "info", "logger": "podium.x",
        "message": "two\nlines", "request_id": "r", "ms": 1.5, "odd": "x", "none": None,
    }  # fmt: skip


def test_text_that_is_no_unicode_is_logged_all_the_same():
    assert "a" in logs.JSONFormatter().format(record("a \ud800", path="\udcff"))


def test_a_line_for_people_leaves_out_what_is_not_known():
    line = logs.ConsoleFormatter().format(record("POST /rerank 200", ms=1.5, trace_id=None))
    assert re.fullmatch(r"\d\d:\d\d:\d\d info    POST /rerank 200 ms=1.5", line)


@pytest.mark.parametrize("formatter", [logs.JSONFormatter(), logs.ConsoleFormatter()])
def test_an_exception_is_logged_with_its_traceback(formatter):
    try:
        int("x")
    except ValueError:
        line = formatter.format(record(exc_info=sys.exc_info()))
    assert "ValueError: invalid literal" in line
    assert "Traceback" in line


@pytest.mark.parametrize(
    ("level", "format", "expected"),
    [
        pytest.param("info", "auto", '"message":"shown"', id="JSON where it is no terminal"),
        pytest.param("info", "console", "info    shown", id="console"),
        pytest.param("error", "json", "", id="below the level"),
    ],
)
def test_configure_sets_level_and_format(level, format, expected):
    program = f"""
import logging
from podium.telemetry import logs
logs.configure("{level}", "{format}")
logging.getLogger("podium.x").info("shown")
logging.getLogger("other").info("hidden")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert expected in done.stderr
    assert "hidden" not in done.stderr
    assert bool(done.stderr) == bool(expected)
