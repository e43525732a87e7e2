"""Bytes on a raw socket: whatever a caller sends, or does not send, there is an answer and no reset."""

import time

import pytest
from fakes import FakeModel
from serving import Client, request, serving

from podium.server.protocol import MAX_HEADER_BYTES

GOOD = {"query": "q", "documents": ["score=1", "score=2"]}
LIMIT = 4096
HEAD = b"POST /v2/rerank HTTP/1.1\r\nhost: podium\r\n"


@pytest.fixture(scope="module")
def server():
    with serving(FakeModel(), max_body_bytes=LIMIT, body_timeout_s=0.5) as running:
        yield running


@pytest.fixture
def client(server):
    with server.client() as connection:
        yield connection


def assert_reusable(client: Client) -> None:
    answer = client.post("/v2/rerank", GOOD)
    assert [result["index"] for result in answer.body["results"]] == [1, 0]


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


# A body over the limit.


def test_a_body_over_the_limit_is_refused_and_the_connection_goes_on(client):
    answer = client.post("/v2/rerank", b"x" * (LIMIT + 1))
    assert answer.status == 413
    assert answer.body["message"].startswith(f"the body is larger than max_body_bytes ({LIMIT})")
    assert_reusable(client)


def test_a_body_of_just_the_limit_is_read(client):
    assert client.post("/v2/rerank", b" " * LIMIT).status == 400
    assert_reusable(client)


def test_a_body_far_over_the_limit_is_refused_with_no_reset(client):
    assert client.post("/v2/rerank", b"x" * 8_000_000).status == 413
    assert_reusable(client)


def test_a_body_is_refused_by_its_announced_length_before_it_comes(client):
    client.send(HEAD + b"content-length: 99999999999\r\n\r\n")
    assert client.receive().status == 413


@pytest.mark.parametrize("size", [1, 100, LIMIT, 1_000_000])
def test_a_chunked_body_over_the_limit_is_refused_and_the_connection_goes_on(client, size):
    client.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(LIMIT // size + 1):
        client.send(chunk(b"x" * size))
    assert client.receive().status == 413
    client.send(chunk(b"x" * 100_000) + b"0\r\n\r\n")
    assert_reusable(client)


def test_a_chunked_body_is_ranked(client):
    client.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    for piece in (b'{"query": "q", ', b'"documents": ', b'["score=1"]}'):
        client.send(chunk(piece))
    client.send(b"0\r\n\r\n")
    assert client.receive().status == 200
    assert_reusable(client)


# A body that lies about its length.


def test_a_body_longer_than_announced_is_a_4xx(client):
    client.send(HEAD + b"content-length: 10\r\n\r\n" + b"x" * 500)
    assert client.receive().status == 400
    assert client.closed()


def test_a_body_shorter_than_announced_is_a_408_and_a_closed_connection(client):
    client.send(HEAD + b"content-length: 500\r\n\r\n" + b"{}")
    answer = client.receive()
    assert (answer.status, answer.body["message"]) == (
        408,
        "the request did not arrive whole within body_timeout_s (0.5 s)",
    )
    assert answer.headers["connection"] == "close"
    assert client.closed()


def test_a_chunked_body_that_never_ends_is_a_408(client):
    client.send(HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk(b"{}"))
    assert client.receive().status == 408
    assert client.closed()


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "²", "١", "9" * 400, "5, 6", "+5", ""])
def test_a_length_that_is_no_number_is_a_4xx(client, length):
    client.send(HEAD + f"content-length: {length}\r\n\r\n{{}}".encode())
    assert 400 <= client.receive().status < 500


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"content-length: 2\r\ncontent-length: 3\r\n", id="two lengths"),
        pytest.param(b"content-length: 2\r\ntransfer-encoding: chunked\r\n", id="length and chunked"),
        pytest.param(b"transfer-encoding: gzip\r\n", id="a coding that nobody knows"),
        pytest.param(b"transfer-encoding: chunked, identity\r\n", id="chunked, but not last"),
    ],
)
def test_headers_that_contradict_themselves_are_a_4xx(client, headers):
    client.send(HEAD + headers + b"\r\n{}")
    assert 400 <= client.receive().status < 500
    assert client.closed()


def test_a_chunk_size_that_is_no_number_is_a_4xx(client):
    client.send(HEAD + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n")
    assert client.receive().status == 400
    assert client.closed()


# Headers.


def test_headers_that_never_end_are_a_408(client):
    client.send(HEAD)
    answer = client.receive()
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert answer.body["message"] == "the request did not arrive whole within body_timeout_s (0.5 s)"
    assert client.closed()


def test_headers_that_never_end_on_a_connection_in_use_are_a_408(client):
    assert_reusable(client)
    client.send(b"POS")
    assert client.receive().status == 408
    assert client.closed()


def test_a_connection_on_which_nothing_comes_is_closed_without_an_answer(client):
    assert client.closed()


def test_a_connection_in_use_may_rest_longer_than_headers_may_take():
    with serving(FakeModel(), body_timeout_s=0.05) as server, server.client() as client:
        for _ in range(3):
            assert_reusable(client)
            client.sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.sock.recv(1)
            client.sock.settimeout(20)


@pytest.mark.parametrize(
    "piece", [pytest.param(b"x-y: " + b"z" * 1000 + b"\r\n", id="many"), pytest.param(b"z" * 1000, id="one")]
)
def test_headers_without_end_are_a_400_and_a_closed_connection(client, piece):
    client.send(HEAD + b"x-a: ")
    sent = 0
    while sent <= 2 * MAX_HEADER_BYTES and not client.readable():
        client.send(piece)
        sent += len(piece)
    answer = client.receive()
    assert (answer.status, answer.body["message"]) == (400, "the headers are larger than 65536 bytes")


def test_large_headers_are_read(client):
    cookies = "".join(f"cookie-{n}=" + "c" * 100 for n in range(300))
    assert client.get("/readyz", cookie=cookies).status == 200
    assert_reusable(client)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"nonsense\r\n\r\n", id="nonsense"),
        pytest.param(b"GET\r\n\r\n", id="half a line"),
        pytest.param(b"GET /readyz HTTP/9.9\r\n\r\n", id="HTTP/9.9"),
        pytest.param(b"GET /readyz HTTP/1.1\r\nno colon\r\n\r\n", id="a header without a colon"),
        pytest.param(b"GET /readyz HTTP/1.1\r\na: b\r\n c: d\r\n\r\n", id="a folded header"),
        pytest.param(b"GET /readyz HTTP/1.1\r\na\x00b: c\r\n\r\n", id="NUL in a name"),
        pytest.param(b"BREW /coffee HTTP/1.1\r\n\r\n", id="an unknown method"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 by prior knowledge"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200, id="TLS"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", id="no path"),
        pytest.param("GET /é HTTP/1.1\r\nhost: a\r\n\r\n".encode(), id="a path that is not ASCII"),
        pytest.param(b"CONNECT podium:80 HTTP/1.1\r\nhost: a\r\n\r\n", id="CONNECT"),
    ],
)
def test_what_is_not_http_is_a_4xx_in_json(client, raw):
    client.send(raw)
    answer = client.receive()
    assert 400 <= answer.status < 500
    assert answer.body["message"]


def test_a_header_in_latin_1_is_passed_over(client):
    client.send(HEAD + b"x-name: M\xfcller\r\ncontent-length: 2\r\n\r\n{}")
    assert client.receive().status == 400
    assert_reusable(client)


# HTTP/1.0, pipelining, upgrades, consent.


def test_http_1_0_is_answered_and_closed(client):
    client.send(b"GET /readyz HTTP/1.0\r\n\r\n")
    assert client.receive().status == 200
    assert client.closed()


def test_requests_that_are_sent_ahead_are_answered_in_order(client):
    client.send(b"".join(request("POST", "/v2/rerank", {**GOOD, "model": f"m{n}"}) for n in range(5)))
    assert [client.receive().body["model"] for _ in range(5)] == [f"m{n}" for n in range(5)]


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0"])
@pytest.mark.parametrize("split", [pytest.param(False, id="at once"), pytest.param(True, id="in pieces")])
def test_an_offer_to_upgrade_is_passed_over(client, upgrade, split):
    raw = request("POST", "/v2/rerank", GOOD, connection="Upgrade, HTTP2-Settings", upgrade=upgrade)
    for _ in range(2):
        for piece in (raw[:20], raw[20:-30], raw[-30:]) if split else (raw,):
            client.send(piece)
            time.sleep(0.01 if split else 0)
        assert client.receive().body["results"][0]["index"] == 1
    assert_reusable(client)


def test_requests_that_are_sent_ahead_may_offer_to_upgrade(client):
    raw = request("POST", "/v2/rerank", GOOD, connection="Upgrade, HTTP2-Settings", upgrade="h2c")
    client.send(raw * 300)
    assert [client.receive().status for _ in range(300)] == [200] * 300


def assert_nothing_comes(client: Client) -> None:
    client.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.sock.recv(1)
    client.sock.settimeout(20)


def test_an_offer_to_upgrade_without_a_body_is_passed_over(client):
    assert client.get("/readyz", connection="Upgrade", upgrade="websocket").status == 200
    assert_reusable(client)


def test_a_body_that_waits_for_consent_gets_it(client):
    raw = request("POST", "/v2/rerank", GOOD, expect="100-continue")
    head, _, body = raw.partition(b"\r\n\r\n")
    client.send(head + b"\r\n\r\n")
    assert client.receive().status == 100
    client.send(body)
    assert client.receive().status == 200
    assert_reusable(client)


def test_a_body_that_waits_for_consent_is_refused_unsent_when_too_large(client):
    client.send(HEAD + b"expect: 100-continue\r\ncontent-length: 999999\r\n\r\n")
    answer = client.receive()
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert client.closed()


def test_what_is_left_of_a_refused_body_may_come_late_but_not_for_ever(client):
    client.send(HEAD + b"content-length: 10000\r\n\r\n" + b"x" * 100)
    assert client.receive().status == 413
    assert_nothing_comes(client)
    client.send(b"x" * 9900)
    assert_reusable(client)
    client.send(HEAD + b"content-length: 10000\r\n\r\n" + b"x" * 100)
    assert client.receive().status == 413
    assert client.closed()
