"""Every API over a real socket: each failure with its own status, in the vendor's own shape."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dialects.checks import EACH, QUERY, assert_ranked, each, rank
from dialects.speech import SPEECHES, Speech
from fakes import FakeModel
from serving import Answer, Serving, request, serving, until

from podium.dialects import table

RANKS_MANY = [speech for speech in SPEECHES if speech.most > 1]
GOLDEN = {
    file.stem: json.loads(file.read_text()) for file in Path(__file__).with_name("golden").glob("*.json")
}
SUPERSET = GOLDEN["results"]["overloaded"]


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(FakeModel()) as running:
        yield running


def alike(body: Any, golden: Any) -> bool:
    """Whether a body has the golden one's shape; `param` may be null, a list may have more items or fewer."""
    if isinstance(golden, dict):
        return (
            isinstance(body, dict)
            and body.keys() == golden.keys()
            and all(
                (key == "param" and None in (body[key], golden[key])) or alike(body[key], golden[key])
                for key in golden
            )
        )
    if isinstance(golden, list):
        return isinstance(body, list) and bool(body) and all(alike(item, golden[0]) for item in body)
    return type(body) is type(golden)


def assert_failed(speech: Speech, answer: Answer, kind: str, words: str, *, known: bool = True) -> None:
    """Check a failure's status, shape and sentence.

    `known`: whether the request's body could be read; else the path alone has to tell the dialect.
    """
    own = known or table.dialect_of(speech.path) is not None
    golden = GOLDEN[speech.dialect if own else "results"]
    assert answer.status == golden["statuses"][kind], answer.raw
    shapes = {one["status"]: one["body"] for one in golden["exchanges"]}
    assert alike(answer.body, shapes.get(answer.status, golden["overloaded"])), answer.raw
    assert words in answer.raw.decode()
    assert answer.headers["content-type"] == "application/json"


@EACH
@pytest.mark.parametrize("body", [b"", b"{", b"query=q", b"\xff"], ids=repr)
def test_what_is_no_json_is_refused(server: Serving, speech: Speech, body: bytes) -> None:
    assert_failed(speech, server.post(speech.path, body), "MalformedBody", "the body is not", known=False)


@EACH
def test_a_blank_query_is_refused(server: Serving, speech: Speech) -> None:
    answer = server.post(speech.path, speech.ask(" \n", ["d"]))
    assert_failed(speech, answer, "InvalidRequest", "is blank; send the text to look for")


@EACH
def test_a_document_that_is_no_text_is_refused(server: Serving, speech: Speech) -> None:
    wrong: list[Any] = ["d", 7][-speech.most :]
    assert_failed(speech, server.post(speech.path, speech.ask("q", wrong)), "InvalidRequest", "string")


UNTOLD = {"rankings": "results", "similarity": "jina"}
"""Dialects that only a first document tells, and which one is spoken where there is none."""


@each(RANKS_MANY)
def test_no_documents_are_refused(server: Serving, speech: Speech) -> None:
    answer = server.post(speech.path, speech.ask("q", []))
    spoken = speech._replace(dialect=UNTOLD.get(speech.dialect, speech.dialect))
    assert_failed(spoken, answer, "EmptyDocuments", "is empty; send at least one")


UNCUT: dict[str, dict[str, Any]] = {
    "jina": {"truncation": False},
    "nim": {"truncate": "NONE"},
    "pinecone": {"parameters": {"truncate": "NONE"}},
    "results": {"truncate": False},
    "tei": {"truncate": False},
    "voyage": {"truncation": False},
}
"""What asks a dialect to refuse what does not fit."""


@each(one for one in SPEECHES if one.dialect in UNCUT)
def test_a_pair_that_does_not_fit_is_refused_where_it_must_not_be_cut(
    server: Serving, speech: Speech
) -> None:
    answer = rank(server, speech, ["short", "w " * 1000], **UNCUT[speech.dialect])
    assert_failed(speech, answer, "PairTooLong", "document 1 and the query need")


@EACH
def test_a_model_that_fails_is_told_and_shows_nothing_of_itself(server: Serving, speech: Speech) -> None:
    answer = rank(server, speech, ["raise"])
    assert_failed(speech, answer, "ModelFailed", "model")
    assert b"secret" not in answer.raw


@pytest.fixture(scope="module")
def full() -> Iterator[Serving]:
    """Serve with a queue that is full."""
    model = FakeModel()
    with serving(model, max_queue_pairs=1) as running, running.client() as ahead, running.client() as waiting:
        ahead.send(request("POST", "/v2/rerank", {"query": "q", "documents": ["block"]}))
        until(model.blocked.is_set)
        waiting.send(request("POST", "/v2/rerank", {"query": "q", "documents": ["a"]}))
        until(lambda: running.metric("podium_queue_pairs") == 1)
        yield running
        model.unblock()
        assert ahead.receive().status == waiting.receive().status == 200


@EACH
def test_a_full_queue_says_when_to_come_back(full: Serving, speech: Speech) -> None:
    answer = rank(full, speech, ["b"])
    assert_failed(speech, answer, "Overloaded", "pairs are waiting")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.fixture(scope="module")
def loading() -> Iterator[Serving]:
    """Serve while the model loads."""
    loaded = threading.Event()

    def load() -> FakeModel:
        loaded.wait()
        return FakeModel()

    try:
        with serving(load, ready=False) as running:
            yield running
            loaded.set()
            until(running.starting.done)
    finally:
        loaded.set()


@EACH
def test_a_server_that_is_not_ready_says_when_to_come_back(loading: Serving, speech: Speech) -> None:
    answer = rank(loading, speech, ["d"])
    assert_failed(speech, answer, "Unavailable", "the model is loading")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.fixture(scope="module")
def slow() -> Iterator[Serving]:
    """Serve with a model that never ends, and no patience."""
    model = FakeModel()
    with serving(model, request_timeout_s=0.05) as running:
        yield running
        model.unblock()


@EACH
def test_a_request_that_takes_too_long_is_told_so(slow: Serving, speech: Speech) -> None:
    assert_failed(speech, rank(slow, speech, ["block"]), "DeadlineExceeded", "request_timeout_s (0.05 s)")


@pytest.fixture(scope="module")
def strict() -> Iterator[Serving]:
    """Serve small bodies that come in time, to those who have a key."""
    with serving(FakeModel(), api_keys="k", max_body_bytes=2048, body_timeout_s=0.3) as running:
        yield running


@EACH
def test_a_caller_without_a_key_is_refused(strict: Serving, speech: Speech) -> None:
    answer = rank(strict, speech, ["d"])
    assert_failed(speech, answer, "Unauthorized", "API key", known=False)
    assert answer.headers["www-authenticate"] == "Bearer"


@EACH
@pytest.mark.parametrize("header", [{"authorization": "Bearer k"}, {"authorization": "k"}, {"api_key": "k"}])
def test_a_caller_with_a_key_is_served(strict: Serving, speech: Speech, header: dict[str, str]) -> None:
    answer = strict.post(speech.path, speech.ask(QUERY, ["score=1"]), **header)
    assert_ranked(speech, answer, [1.0])


@EACH
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_method_is_refused(strict: Serving, speech: Speech, method: str) -> None:
    answer = strict.get(speech.path, method, authorization="k")
    assert_failed(speech, answer, "MethodNotAllowed", f"does not take {method}", known=False)


@EACH
def test_a_body_beyond_the_limit_is_refused(strict: Serving, speech: Speech) -> None:
    answer = strict.post(speech.path, speech.ask(QUERY, ["d" * 4096]), authorization="k")
    assert_failed(speech, answer, "BodyTooLarge", "max_body_bytes (2048)", known=False)


@EACH
def test_a_body_that_does_not_come_is_not_waited_for(strict: Serving, speech: Speech) -> None:
    with strict.client() as client:
        head = request("POST", speech.path, None, authorization="k", content_length="9")
        client.send(head + b"{")
        assert_failed(speech, client.receive(), "BodyTimeout", "body_timeout_s (0.3 s)", known=False)


@pytest.mark.parametrize("path", ["/v3/rerank", "/cohere/v3/rerank", "/v1/chat/completions"])
def test_an_unknown_path_is_told_so_in_a_body_that_every_client_reads(server: Serving, path: str) -> None:
    answer = server.post(path, {"query": "q", "documents": ["d"]})
    assert answer.status == 404
    assert alike(answer.body, SUPERSET)
    assert answer.body["message"] == f"no API on {path}; GET /docs lists all"


@each(one for one in SPEECHES if one.path.split("/")[1] in table.PREFIXES)
def test_an_unknown_path_below_a_prefix_is_told_so_in_the_vendors_shape(
    strict: Serving, speech: Speech
) -> None:
    path = f"/{speech.path.split('/')[1]}/nope"
    answer = strict.post(path, speech.ask(QUERY, ["d"]), authorization="k")
    assert_failed(speech, answer, "NotFound", f"no API on {path}; GET /docs lists all")


@pytest.mark.parametrize("path", ["/tei/info", "/weaviate/meta"])
def test_a_question_below_a_prefix_is_refused_in_the_vendors_shape(strict: Serving, path: str) -> None:
    answer = strict.get(path)
    assert answer.status == 401
    assert isinstance(answer.body["error"], str)


@pytest.mark.parametrize("path", ["/tei/health", "/vllm/health", "/infinity/health"])
def test_health_below_a_prefix_needs_no_key_either(strict: Serving, path: str) -> None:
    assert strict.get(path).status == 200
