"""What the rank routes answer to bodies that are not as they should be, over a real socket."""

import json
import threading

import pytest
from fakes import FakeModel
from serving import Answer, Serving, request, serving, until

from podium.dialects.table import ROUTES

GOOD = {"query": "q", "documents": ["score=1", "score=3", "score=2"]}
ORDER = [1, 2, 0]


@pytest.fixture(scope="module")
def server():
    with serving(FakeModel(), max_body_bytes=32 * 2**20, max_documents=10_000) as running:
        yield running


def assert_alive(server: Serving) -> None:
    answer = server.post("/v2/rerank", GOOD)
    assert [result["index"] for result in answer.body["results"]] == ORDER


def assert_superset(answer: Answer, status: int, words: str) -> None:
    assert answer.status == status
    assert words in answer.body["message"]
    assert answer.body["detail"] == answer.body["error"]["message"] == answer.body["message"]
    assert answer.headers["content-type"] == "application/json"


DEEP = b"[" * 10_000 + b"]" * 10_000


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank", "/api/v1/rerank"])
@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        pytest.param(b"", 400, "the body is not JSON", id="empty"),
        pytest.param(b"query=q&documents=d", 400, "the body is not JSON", id="form"),
        pytest.param(b'{"query": "q", "documents": ["d"]', 400, "the body is not JSON", id="cut short"),
        pytest.param('{"query": "ä", "documents": ["d"]}'.encode("latin-1"), 400, "UTF-8", id="Latin-1"),
        pytest.param('{"query": "q", "documents": ["d"]}'.encode("utf-16"), 400, "body is not", id="UTF-16"),
        pytest.param(b'{"query": "q", "documents": ["a\x00b"]}', 400, "not JSON", id="a NUL byte"),
        pytest.param(b"[]", None, "must be of type object, not array", id="an array"),
        pytest.param(b'"text"', None, "must be of type object, not string", id="a string"),
        pytest.param(b"null", None, "must be of type object, not null", id="null"),
        pytest.param(DEEP, None, "", id="10,000 deep"),
        pytest.param(
            b'{"query": "q", "documents": ["d"], "ignored": ' + DEEP + b"}", 400, "nested too deep",
            id="10,000 deep under an ignored key",
        ),
        pytest.param(b'{"query": "q", "documents": ' + DEEP + b"}", None, "", id="10,000 deep documents"),
        pytest.param(b"{}", None, "`query` is missing", id="nothing in it"),
        pytest.param(b'{"query": "q"}', None, "`documents` is missing", id="no documents"),
        pytest.param(b'{"query": " \\n", "documents": ["d"]}', None, "`query` is blank", id="blank query"),
        pytest.param(b'{"query": 1, "documents": ["d"]}', None, "`query` must be of type", id="query: 1"),
        pytest.param(b'{"query": "q", "documents": []}', None, "`documents` is empty", id="documents: []"),
        pytest.param(b'{"query": "q", "documents": "d"}', None, "`documents` must be", id="documents: text"),
        pytest.param(b'{"query": "q", "documents": null}', None, "`documents` must be", id="documents: null"),
        pytest.param(b'{"query": "q", "documents": ["d", 7]}', None, "`documents[1]`", id="a number in them"),
        pytest.param(b'{"query": "q", "documents": ["d", null]}', None, "`documents[1]`", id="null in them"),
        pytest.param(b'{"query": "q", "documents": ["d", ["e"]]}', None, "`documents[1]`", id="a list"),
        pytest.param(
            b'{"query": "q", "documents": ["d", {"text": 1}]}', None, "`documents[1]", id="text: 1 in them"
        ),
        pytest.param(
            json.dumps({"query": "q", "documents": ["d"] * 10_001}).encode(), None,
            "10001 documents, at most 10000 are accepted", id="10,001 documents",
        ),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_used_is_a_4xx_that_says_why(server, path, body, status, words):
    answer = server.post(path, body)
    assert status in (None, answer.status)
    assert 400 <= answer.status < 500
    assert words in json.dumps(answer.body)
    assert_alive(server)


def test_too_many_documents_are_refused_under_no_name_that_was_not_sent(server):
    answer = server.post("/v1/reranking", {"query": "q", "input": ["d"] * 10_001})
    assert_superset(answer, 400, "10001 documents, at most 10000 are accepted")
    assert answer.body["error"]["param"] is None


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        pytest.param('"true"', True, id="the string true"),
        pytest.param('"false"', False, id="the string false"),
        pytest.param("true", True, id="true"),
        pytest.param("null", False, id="null"),
        pytest.param('"yes"', None, id="the string yes"),
        pytest.param("1", None, id="1"),
    ],
)
def test_return_documents(server, flag, expected):
    answer = server.post("/v1/rerank", (json.dumps(GOOD)[:-1] + f', "return_documents": {flag}}}').encode())
    if expected is None:
        assert answer.status in (400, 422)
        assert "return_documents" in answer.body["message"]
    else:
        assert all(("document" in result) == expected for result in answer.body["results"])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"query": "q", "documents": ["score=1 \\ud83d", "score=2"]}', id="half an emoji"),
        pytest.param(b'{"query": "\\udc00", "documents": ["score=1", "score=2"]}', id="its other half"),
        pytest.param(b'{"query": "q", "documents": ["score=1 \\u0000", "score=2"]}', id="NUL, escaped"),
        pytest.param(b'{"query": "a", "query": "b", "documents": ["score=1", "score=2"]}', id="a key twice"),
        pytest.param(
            b'{"query": "q", "documents": ["z"], "documents": ["score=1", "score=2"]}', id="documents twice"
        ),
        pytest.param(
            b'{"query": "q", "documents": ["score=1", "score=2"], "stream": {"a": [1e400, -0, null]}}',
            id="an unknown key",
        ),
        pytest.param(b' \r\n\t{"query": "q", "documents": ["score=1", "score=2"]} \n ', id="white space"),
    ],
)
def test_odd_bodies_are_ranked(server, body):
    answer = server.post("/v1/rerank", body)
    assert [result["index"] for result in answer.body["results"]] == [1, 0]


def test_an_empty_document_is_a_document(server):
    answer = server.post("/v1/rerank", {"query": "q", "documents": ["", "score=-1", "score=1"]})
    assert [result["index"] for result in answer.body["results"]] == [2, 0, 1]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "nonsense", ""])
def test_the_content_type_is_ignored(server, kind):
    assert server.post("/v1/rerank", GOOD, content_type=kind).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "x" * 500])
def test_a_content_encoding_is_refused(server, encoding):
    answer = server.post("/v1/rerank", GOOD, content_encoding=encoding)
    assert_superset(answer, 415, f"Content-Encoding `{encoding[:40]}` is not supported")


def test_the_content_encoding_identity_is_none(server):
    assert server.post("/v1/rerank", GOOD, content_encoding="Identity").status == 200


def test_cut_documents_are_counted_in_a_header(server):
    documents = ["short", "w " * 100, "v " * 100]
    assert server.post("/v1/rerank", GOOD).headers["x-podium-truncated-documents"] == "0"
    answer = server.post("/v1/rerank", {"query": "q", "documents": documents})
    assert answer.headers["x-podium-truncated-documents"] == "2"


def test_a_10_mb_document_of_one_word_is_ranked(server):
    documents = ["w" * 10_000_000, "score=1"]
    answer = server.post("/v1/rerank", {"query": "q", "documents": documents})
    assert [result["index"] for result in answer.body["results"]] == [1, 0]


def test_a_small_request_passes_a_large_one_with_a_10_mb_document():
    gate = threading.Semaphore(1_000)  # for the start
    model = FakeModel(gate=gate)
    with serving(model, max_batch_tokens=64) as server, server.client() as large, server.client() as small:
        while gate.acquire(blocking=False):
            pass
        started = len(model.batches)
        documents = ["w" * 10_000_000, *(f"large {n} of many" for n in range(1_000))]
        large.send(request("POST", "/v2/rerank", {"query": "q", "documents": documents}))
        until(lambda: len(model.batches) > started)
        small.send(request("POST", "/v2/rerank", {"query": "q", "documents": [f"s{n}" for n in range(10)]}))
        until(lambda: any("s9" in texts for texts in model.slices))
        while not small.readable():
            gate.release()
        assert small.receive().status == 200
        behind = next(n for n, batch in enumerate(model.batches) if "s0" in batch) - started
        assert behind <= 3  # the batch that ran, and one that may have been taken with the last slice
        gate.release(10_000)
        assert large.receive().body["results"][0]["index"] == 0


def _concrete(path: str) -> str:
    return path.replace("{model:path}", "org/model").replace("{organisation}", "org").replace("{model}", "m")


def test_a_header_of_the_vendor_tells_its_api(server):
    answer = server.post("/v1/rerank", GOOD, x_pinecone_api_version="2025-10")
    assert [item["index"] for item in answer.body["data"]] == ORDER


@pytest.mark.parametrize("path", [pytest.param(path, id=path) for path in ROUTES])
def test_every_path_answers_what_is_not_json_in_json(server, path):
    answer = server.post(_concrete(path), b"not json")
    assert 400 <= answer.status < 500
    assert isinstance(answer.body, dict)


# Failures of the model, in each dialect's own shape.


@pytest.mark.parametrize(
    ("path", "body", "status", "shape"),
    [
        pytest.param(
            "/v2/rerank", {"documents": ["raise"]}, 500, {"message", "detail", "error"}, id="Cohere"
        ),
        pytest.param("/rerank", {"texts": ["raise"]}, 424, {"error", "error_type"}, id="TEI"),
        pytest.param("/v1/rerank", {"documents": ["nan"]}, 500, {"message", "detail", "error"}, id="a NaN"),
        pytest.param("/v1/rerank", {"documents": ["oom"]}, 500, {"message", "detail", "error"}, id="memory"),
        pytest.param(
            "/v1/rerank",
            {"documents": ["untokenizable"]},
            500,
            {"message", "detail", "error"},
            id="tokenizer",
        ),
    ],
)
def test_a_failing_model_is_told_in_the_dialect_and_shows_no_internals(server, path, body, status, shape):
    answer = server.post(path, {"query": "q", **body})
    assert answer.status == status
    assert shape <= set(answer.body)
    assert "secret" not in answer.raw.decode()
    assert_alive(server)


def test_a_request_that_runs_out_of_time_is_a_504():
    model = FakeModel()
    with serving(model, request_timeout_s=0.1) as server:
        answer = server.post("/v2/rerank", {"query": "q", "documents": ["block"]})
        assert_superset(answer, 504, "request_timeout_s (0.1 s)")
        model.unblock()


def test_a_full_queue_is_a_429_that_says_when_to_come_back():
    model = FakeModel()
    with serving(model, max_queue_pairs=3) as server, server.client() as ahead, server.client() as waiting:
        ahead.send(request("POST", "/v2/rerank", {"query": "q", "documents": ["block"]}))
        until(model.blocked.is_set)
        waiting.send(request("POST", "/v2/rerank", {"query": "q", "documents": list("abc")}))
        until(lambda: server.metric("podium_queue_pairs") == 3)
        for path, body in (("/v2/rerank", {"documents": ["d"]}), ("/rerank", {"texts": ["d"]})):
            answer = server.post(path, {"query": "q", **body})
            assert answer.status == 429
            assert int(answer.headers["retry-after"]) >= 1
            assert "3 pairs are waiting and this request has 1, the limit is 3" in answer.raw.decode()
        model.unblock()
        assert ahead.receive().status == waiting.receive().status == 200


def test_the_setting_document_holds_on_its_paths_only():
    with serving(FakeModel(), document="string") as server:
        for path, expected in (("/rerank", "score=3"), ("/api/v1/rerank", "score=3"), ("/v2/rerank", None)):
            best = server.post(path, GOOD).body["results"][0]
            assert best.get("document") == expected


def test_the_model_is_echoed_and_else_the_served_name():
    with serving(FakeModel(), served_model_name="mine") as server:
        assert server.post("/v1/rerank", {**GOOD, "model": "theirs"}).body["model"] == "theirs"
        assert server.post("/v1/rerank", GOOD).body["model"] == "mine"
