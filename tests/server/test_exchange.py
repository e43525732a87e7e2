"""What goes around every exchange: ids, traces, prefixes, log lines, counts, and callers who leave."""

import json
import logging
import re

import pytest
from fakes import FakeModel
from serving import request, serving, until

GOOD = {"query": "secret query", "documents": ["score=1 secret", "score=2 secret"]}
HEX = re.compile(r"[0-9a-f]{32}")


@pytest.fixture(scope="module")
def server():
    with serving(FakeModel(), api_keys="secret-key") as running:
        yield running


@pytest.fixture
def lines(caplog):
    """The log lines of requests, as mappings."""
    caplog.set_level(logging.DEBUG, "podium")

    def found() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "podium.access"]

    def written(count: int = 1) -> list[logging.LogRecord]:
        until(lambda: len(found()) >= count)
        return found()

    return written


def post(server, path="/v2/rerank", body=GOOD, **headers):
    return server.post(path, body, authorization="Bearer secret-key", **headers)


# Ids and traces.


def test_a_request_id_comes_back_and_stands_in_answer_and_log(server, lines):
    answer = post(server, x_request_id="mine-42")
    assert answer.headers["x-request-id"] == "mine-42"
    assert answer.body["id"].endswith("mine-42")
    assert lines()[-1].request_id == "mine-42"


@pytest.mark.parametrize("sent", ["", "two words", "x" * 129, "ümlaut"])
def test_a_request_id_that_is_none_is_replaced(server, sent):
    assert HEX.fullmatch(post(server, x_request_id=sent).headers["x-request-id"])


@pytest.mark.parametrize(
    ("path", "status"), [("/v2/rerank", 401), ("/nothing", 404), ("/readyz", 200), ("/readyz/x", 404)]
)
def test_every_answer_has_a_request_id(server, path, status):
    answer = server.get(path) if status == 200 else server.post(path, b"")
    assert answer.status == status
    assert HEX.fullmatch(answer.headers["x-request-id"])


def test_the_callers_trace_is_the_logs(server, lines):
    post(server, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert lines()[-1].trace_id == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("sent", ["", "00-0-0-01", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
def test_a_trace_that_is_none_is_passed_over(server, lines, sent):
    assert post(server, traceparent=sent, tracestate="=,=").status == 200
    assert lines()[-1].trace_id is None


# Log lines.


def test_a_request_is_one_line(server, lines):
    post(server)
    (line,) = lines()
    assert line.getMessage() == "POST /v2/rerank 200"
    assert (line.levelname, line.dialect, line.documents) == ("INFO", "cohere", 2)
    assert line.ms >= 0


def test_probes_that_succeed_are_lines_at_debug_level_only(server, lines):
    server.get("/readyz")
    server.get("/metrics")
    assert [line.levelname for line in lines(2)] == ["DEBUG", "DEBUG"]


@pytest.mark.parametrize("document", ["secret raise", "secret nan", "secret untokenizable", "secret score=1"])
def test_no_line_holds_a_document_a_query_or_a_key(server, caplog, document):
    caplog.set_level(logging.DEBUG)
    for path, body in (
        ("/v2/rerank", {"query": "secret query", "documents": [document]}),
        ("/rerank", {"query": "secret query", "texts": [document, 7]}),
        ("/v2/rerank", b'{"query": "secret query", "documents": ["secret'),
    ):
        post(server, path, body)
        server.post(path, body, authorization="Bearer secret-wrong")
    formatted = "\n".join(logging.Formatter().format(record) for record in caplog.records)
    assert "POST /v2/rerank" in formatted
    assert "secret" not in formatted.replace("secret details of the", "")


def test_a_path_writes_no_lines_of_its_own(server, lines):
    server.get("/a%0d%0ainjected%1b[31m")
    assert lines()[-1].getMessage() == "GET /a\\x0d\\x0ainjected\\x1b[31m 404"


# Paths.


@pytest.mark.parametrize(
    "path",
    [
        "/v2/rerank",
        "//v2//rerank",
        "/v2/rerank/",
        "/proxy/v2/rerank",
        "/proxy//v2/rerank",
        "/v2/rerank?a=b#c",
    ],
)
def test_prefixes_and_doubled_slashes_are_seen_through(path):
    with serving(FakeModel(), root_path="/proxy/") as server:
        assert server.post(path, GOOD).body["results"][0]["index"] == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [("/proxy", 200), ("/proxy/", 200), ("/proxy/readyz", 200), ("/readyz", 200), ("/proxyz", 404)],
)
def test_the_prefix_is_a_whole_segment(path, status):
    with serving(FakeModel(), root_path="/proxy") as server:
        assert server.get(path).status == status


# Callers who leave.


@pytest.mark.parametrize("stage", ["waiting", "running"])
def test_a_caller_who_leaves_takes_its_pairs_along(lines, stage):
    model = FakeModel()
    with serving(model, max_batch_tokens=16) as server, server.client() as ahead, server.client() as leaving:
        if stage == "waiting":
            ahead.send(request("POST", "/v2/rerank", {"query": "q", "documents": ["block"]}))
            until(model.blocked.is_set)
        documents = [f"block {n}" for n in range(50)]
        leaving.send(request("POST", "/v2/rerank", {"query": "q", "documents": documents}))
        until(lambda: (server.metric("podium_queue_pairs") or 0) > 40)
        leaving.close()
        until(lambda: server.metric("podium_queue_pairs") == 0)
        assert server.metric("podium_queue_tokens") == 0
        until(lambda: server.metric("podium_requests_total", dialect="cohere", status="499") == 1)
        assert lines()[-1].getMessage() == "POST /v2/rerank 499"
        model.unblock()
        if stage == "waiting":
            assert ahead.receive().status == 200


def test_a_caller_who_leaves_in_the_middle_of_its_body_is_counted(server, lines):
    with server.client() as client:
        raw = request("POST", "/v2/rerank", GOOD, authorization="secret-key")
        client.send(raw[:-5])
        client.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.sock.recv(1)
    until(lambda: server.metric("podium_requests_total", dialect="cohere", status="499") == 1)
    assert lines()[-1].getMessage() == "POST /v2/rerank 499"


# What went wrong on our side.


def test_an_error_of_our_own_is_a_500_in_json_that_shows_nothing(server, caplog):
    def broken(*_: object) -> None:
        raise RuntimeError("secret internals")

    server.service.ready_reranker = broken
    try:
        answer = post(server)
    finally:
        del server.service.ready_reranker
    assert answer.status == 500
    assert answer.body["message"].startswith("internal error; the log of the service has its cause")
    assert "secret internals" not in json.dumps(answer.body)
    record = next(record for record in caplog.records if record.getMessage() == "a request failed")
    assert record.request_id == answer.headers["x-request-id"]
