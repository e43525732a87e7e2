"""Large bodies: probes are answered meanwhile, and memory holds little more than the texts."""

import gc
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from fakes import FakeModel
from serving import Serving, request, serving, until

from podium.dialects import base, scanning
from podium.server import routes
from podium.settings import Settings

MIB = 1024 * 1024
EMOJI = "😀".encode()


def body(*documents: bytes, query: bytes = b"q", more: bytes = b"") -> bytes:
    return b'{"query": "%b"%b, "documents": [%b]}' % (
        query,
        more,
        b",".join(b'"%b"' % each for each in documents),
    )


def many(count: int, text: bytes) -> list[bytes]:
    return [b"%d %b" % (number, text) for number in range(count)]


LARGE = {
    "texts": body(*many(10_000, b"x" * 1580)),
    "one emoji each": body(*many(10_000, EMOJI + b"x" * 1560)),
    "half an emoji each": body(*many(10_000, rb"\ud83d" + b"x" * 1560)),
    "emoji behind half a one": body(rb"\ud83d" + rb"\ud83d\ude00" * 1_390_000),
    "objects": b'{"query": "q", "documents": [%b]}' % b",".join([b'{"":0}'] * 2_390_000),
    "empty texts": body(*[b""] * 5_500_000),
}


def test_the_largest_body_by_default_is_16_mib():
    assert Settings().max_body_bytes == 16 * MIB
    assert all(14 * MIB < len(large) <= 16 * MIB for large in LARGE.values())


class Prober(threading.Thread):
    """Asks /livez again and again on one connection; `worst_s` is the longest that an answer took."""

    def __init__(self, server: Serving) -> None:
        super().__init__()
        self._client, self._ended = server.client(), threading.Event()
        self.worst_s, self.answers = 0.0, 0

    def run(self) -> None:
        with self._client as client:
            while not self._ended.wait(0.002):
                asked = time.monotonic()
                assert client.get("/livez").status == 200
                self.worst_s = max(self.worst_s, time.monotonic() - asked)
                self.answers += 1

    def __enter__(self) -> "Prober":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


@pytest.fixture
def frozen() -> Iterator[None]:
    """What `podium serve` does once it has started."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("large", LARGE.values(), ids=LARGE)
def test_probes_are_answered_while_a_large_body_is_read_and_admitted(large):
    """A quarter of a second is what an idle machine keeps within by far; here others may be at work."""
    with serving(FakeModel()) as server, server.client() as client, Prober(server) as prober:
        until(lambda: prober.answers > 0)
        client.send(request("POST", "/v2/rerank", large))
        assert client.receive().status in (200, 400)
    assert prober.worst_s < 1


# In operations: who does the work, and how much of it at a time.


@pytest.fixture
def readers(monkeypatch) -> Iterator[list[tuple[str, str]]]:
    """Who began and ended to look at a large body."""
    seen: list[tuple[str, str]] = []

    def check(raw: bytes) -> None:
        seen.append(("begins", threading.current_thread().name))
        time.sleep(0.02)
        scanning.check_values(raw)

    def decode(kind: type, raw: bytes) -> object:
        found = base.decode(kind, raw)
        if len(raw) > routes.READ_AT_ONCE:
            seen.append(("ends", threading.current_thread().name))
        return found

    monkeypatch.setattr(routes, "check_values", check)
    monkeypatch.setattr(routes, "decode", decode)
    return seen


def test_large_bodies_are_read_one_at_a_time_in_one_thread(readers):
    large = body(b"x" * MIB)
    with serving(FakeModel()) as server:
        clients = [server.client() for _ in range(5)]
        for client in clients:
            client.send(request("POST", "/v2/rerank", large))
        for client in clients:
            assert client.receive().status == 200
            client.close()
    assert [what for what, _ in readers] == ["begins", "ends"] * 5
    assert {thread for _, thread in readers} == {"podium-decoding_0"}


def test_small_bodies_wait_for_no_thread(readers):
    with serving(FakeModel()) as server:
        assert server.post("/v2/rerank", body(b"x" * (MIB - 100))).status == 200
    assert readers == []


def test_a_caller_who_leaves_while_its_body_waits_to_be_read_is_not_read(readers, monkeypatch):
    held = threading.Event()
    monkeypatch.setattr(routes, "check_values", lambda raw: (readers.append(("begins", "")), held.wait(20)))
    with serving(FakeModel()) as server, server.client() as first, server.client() as second:
        for client in (first, second):
            client.send(request("POST", "/v2/rerank", body(b"x" * MIB)))
            until(lambda: readers)
        until(lambda: server.service.in_flight.used > 2 * MIB)
        second.close()
        until(lambda: server.metric("podium_requests_total", dialect="cohere", status="499") == 1)
        held.set()
        assert first.receive().status == 200
    assert [what for what, _ in readers] == ["begins", "ends"]


# Memory.


class Held(FakeModel):
    """Notes how many bytes are held when the first text with a mark is tokenized: from then on it holds more
    itself, each text that it has seen."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self._mark, self.held = mark, 0

    def documents(self, texts, **options):
        if not self.held and any(self._mark in text for text in texts):
            time.sleep(0.5)  # the thread that has read the body lets go of it when it gets its turn
            self.held, _ = tracemalloc.get_traced_memory()
        return super().documents(texts, **options)


@pytest.mark.parametrize("emoji", [b"", EMOJI], ids=["", "one emoji each"])
@pytest.mark.parametrize("shape", ["many", "one"])
@pytest.mark.parametrize("path", ["/v2/rerank", "/rerank", "/score", "/v1/ranking"])
def test_a_request_that_waits_holds_its_texts_once_however_they_were_written(path, shape, emoji):
    texts = (
        [emoji + b"x" * 2_000 + b"%d" % n for n in range(2_000)]
        if shape == "many"
        else [emoji + (b"x" * 60 + b" ") * 68_000]
    )
    key = {"/rerank": b'"texts"', "/score": b'"documents"', "/v1/ranking": b'"passages"'}.get(
        path, b'"documents"'
    )
    query = {"/score": b'"queries": "q"', "/v1/ranking": b'"query": {"text": "q"}'}.get(path, b'"query": "q"')
    listed = b",".join((b'{"text": "%b"}' if path == "/v1/ranking" else b'"%b"') % text for text in texts)
    large = request("POST", path, b"{%b, %b: [%b]}" % (query, key, listed))
    model = Held("xxx")
    with serving(model, cache_bytes=0) as server, server.client() as ahead, server.client() as client:
        ahead.send(request("POST", "/v2/rerank", {"query": "q", "documents": ["block"]}))
        until(model.blocked.is_set)
        tracemalloc.start()
        client.send(large)
        until(lambda: model.held)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        model.unblock()
        assert client.receive().status == 200
    assert peak <= 6 * len(large) + 32 * MIB
    assert model.held <= 2 * len(large)


def test_a_large_request_whose_texts_are_answered_waits_as_its_bytes():
    model, texts = Held("🐼"), [f"🐼 {n} " + "x" * 20_000 for n in range(400)]
    raw = request("POST", "/v1/rerank", {"query": "q", "documents": texts, "return_documents": True})
    with serving(model, cache_bytes=0) as server, server.client() as ahead, server.client() as client:
        ahead.send(request("POST", "/v2/rerank", {"query": "q", "documents": ["block"]}))
        until(model.blocked.is_set)
        tracemalloc.start()
        client.send(raw)
        until(lambda: model.held)
        tracemalloc.stop()
        model.unblock()
        results = client.receive().body["results"]
    assert {each["index"]: each["document"]["text"] for each in results} == dict(enumerate(texts))
    assert model.held <= 2.5 * len(raw)  # a text of one emoji takes four bytes a character as a value


def test_bodies_in_flight_share_a_budget_and_give_it_back():
    model = FakeModel()
    with (
        serving(model, max_body_bytes=MIB, max_in_flight_bytes=3 * MIB // 2) as server,
        server.client() as first,
        server.client() as second,
    ):
        first.send(request("POST", "/v2/rerank", body(b"block", b"x" * 900_000)))
        until(model.blocked.is_set)
        answer = second.post("/v2/rerank", body(b"x" * 900_000))
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert "the limit is 1572864 (max_in_flight_bytes)" in answer.body["message"]
        assert second.post("/v2/rerank", body(b"score=1 block")[:10]).status == 400
        model.unblock()
        assert first.receive().status == 200
        assert second.post("/v2/rerank", body(b"x" * 900_000)).status == 200
        assert server.on_loop(lambda: server.service.in_flight.used) == 0


LISTS = b'{"text": "block", "x": [%b]}' % b",".join([b"[]"] * 300_000)
"""0.9 MB that Python stores in 34."""


def lists(more: bytes = b"", query: bytes = b'"q"', documents: bytes = b'"block"') -> bytes:
    return request("POST", "/v1/rerank", b'{"query": %b, "documents": [%b]%b}' % (query, documents, more))


@pytest.mark.parametrize("returned", [b"", b', "return_documents": true'], ids=["left out", "answered"])
@pytest.mark.parametrize("where", ["query", "documents"])
def test_a_body_s_values_are_let_go_before_the_request_waits(where, returned):
    model = FakeModel()
    texts = {"query": LISTS} if where == "query" else {"documents": LISTS}
    with serving(model) as server, server.client() as client:
        raw = lists(returned, **texts)
        tracemalloc.start()
        client.send(raw)
        until(model.blocked.is_set)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        model.unblock()
        assert client.receive().status == 200
    assert held < 4 * len(raw)


@pytest.mark.parametrize("leave", ["in the body", "too large", "no JSON", "after the body"])
def test_a_request_that_fails_or_leaves_gives_its_bytes_back(leave):
    model = FakeModel()
    with serving(model, max_body_bytes=2048, max_in_flight_bytes=4096) as server, server.client() as client:
        raw = request("POST", "/v2/rerank", body(b"block " + b"x" * 1_000))
        match leave:
            case "in the body":
                client.send(raw[:-100])
                until(lambda: server.service.in_flight.used > 0)
                client.close()
            case "after the body":
                client.send(raw)
                until(model.blocked.is_set)
                client.close()
            case "too large":
                assert client.post("/v2/rerank", b" " * 4096).status == 413
            case "no JSON":
                assert client.post("/v2/rerank", b" " * 2048).status == 400
        until(lambda: server.on_loop(lambda: server.service.in_flight.used) == 0)
        model.unblock()
