"""What stands around a body is bounded in bytes, count and time; requests that are sent ahead are read on."""

import pytest
from fakes import FakeModel
from serving import request, serving, until

from podium.server.protocol import MAX_HEADER_BYTES, MAX_HEADERS

GOOD = {"query": "q", "documents": ["score=1", "score=2"]}
HEAD = b"POST /v2/rerank HTTP/1.1\r\nhost: podium\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
BODY = b'{"query": "q", "documents": ["score=1", "score=2"]}'
SURROUNDED = f"what surrounds the body is larger than {MAX_HEADER_BYTES} bytes"


@pytest.fixture(scope="module")
def server():
    with serving(FakeModel(), body_timeout_s=0.5) as running:
        yield running


@pytest.fixture
def client(server):
    with server.client() as connection:
        yield connection


def chunk(content: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(content), extension, content)


def assert_reusable(client):
    assert client.post("/v2/rerank", GOOD).status == 200


def send_without_end(client, piece: bytes, most: int) -> int:
    """Send until an answer comes, or `most` bytes are out; return how many were."""
    sent = 0
    while sent < most and not client.readable():
        client.send(piece)
        sent += len(piece)
    return sent


# Trailers and chunks.


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(b"0\r\n", b"x-y: " + b"z" * 2000 + b"\r\n", id="many trailers"),
        pytest.param(b"0\r\nx-y: ", b"z" * 2000, id="one trailer"),
        pytest.param(b"0\r\n", b"x" * 2000, id="a trailer's name"),
        pytest.param(b"1;", b"z" * 2000, id="an extension"),
        pytest.param(b"", chunk(b" ", b";" + b"z" * 2000), id="extensions of many chunks"),
    ],
)
def test_what_surrounds_a_body_is_bounded_in_bytes(client, start, piece):
    client.send(CHUNKED + chunk(BODY) + start)
    assert send_without_end(client, piece, 16 * MAX_HEADER_BYTES) < 16 * MAX_HEADER_BYTES
    answer = client.receive()
    assert (answer.status, answer.headers["connection"], answer.body["message"]) == (400, "close", SURROUNDED)


@pytest.mark.parametrize("place", ["headers", "trailers"])
def test_headers_and_trailers_are_bounded_in_count(client, place):
    lines = b"".join(b"x-%d: y\r\n" % number for number in range(MAX_HEADERS + 1))
    client.send(HEAD + lines if place == "headers" else CHUNKED + chunk(BODY) + b"0\r\n" + lines)
    answer = client.receive()
    assert (answer.status, answer.body["message"]) == (
        400,
        f"the request has more than {MAX_HEADERS} headers",
    )
    assert client.closed()


def test_trailers_are_bounded_in_time(client):
    client.send(CHUNKED + chunk(BODY) + b"0\r\nx-y: ")
    assert client.receive().status == 408
    assert client.closed()


def test_a_few_trailers_and_extensions_are_passed_over(client):
    client.send(CHUNKED + chunk(BODY, b";a=b") + b"0\r\nx-checksum: 1\r\n\r\n")
    assert client.receive().status == 200
    assert_reusable(client)


def test_a_trailer_is_no_header(client):
    client.send(CHUNKED + chunk(BODY) + b"0\r\nx-request-id: from-a-trailer\r\n\r\n")
    assert client.receive().headers["x-request-id"] != "from-a-trailer"


@pytest.mark.parametrize("size", [1, 7])
def test_a_body_in_tiny_chunks_is_read_however_long_it_is(client, size):
    body = BODY + b" " * 100_000
    client.send(
        CHUNKED + b"".join(chunk(body[at : at + size]) for at in range(0, len(body), size)) + b"0\r\n\r\n"
    )
    assert client.receive().status == 200
    assert_reusable(client)


@pytest.mark.parametrize("digits", ["0" * 5000, "0" * 5000 + "2", "9" * 5000])
def test_a_length_of_thousands_of_digits_is_a_4xx(client, digits):
    client.send(HEAD + f"content-length: {digits}\r\n\r\n".encode())
    assert client.receive().status == 400


# Requests that are sent ahead.


@pytest.fixture
def slow():
    """A server whose first answer takes longer than headers and bodies may."""
    model = FakeModel()
    with serving(model, body_timeout_s=0.3) as running, running.client() as connection:
        connection.send(request("POST", "/v2/rerank", {"query": "q", "documents": ["sleep=0.6 score=3"]}))
        until(lambda: ["sleep=0.6 score=3"] in model.batches)
        yield connection


NEXT = request("POST", "/v2/rerank", {**GOOD, "model": "next"})


@pytest.mark.parametrize("come", [0, 3, 60, len(NEXT) - 5, len(NEXT)])
def test_a_request_that_straddles_the_previous_answer_is_answered(slow, come):
    slow.send(NEXT[:come])
    assert slow.receive().status == 200
    slow.send(NEXT[come:])
    assert slow.receive().body["model"] == "next"
    assert_reusable(slow)


def test_the_rest_of_a_request_that_was_sent_ahead_has_its_time_from_the_previous_answer_on(slow):
    slow.send(NEXT[:-5])
    assert slow.receive().status == 200
    assert slow.receive().status == 408
    assert slow.closed()


def test_the_rest_of_headers_that_were_sent_ahead_have_their_time_from_the_previous_answer_on(slow):
    slow.send(NEXT + NEXT[:30])
    assert [slow.receive().status for _ in range(3)] == [200, 200, 408]
    assert slow.closed()


def test_what_is_not_http_does_not_take_the_place_of_an_answer_that_is_owed(slow):
    slow.send(b"nonsense\r\n\r\n")
    answer = slow.receive()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert slow.closed()


def test_a_broken_body_behind_an_answer_that_is_owed_is_refused_after_it(slow):
    slow.send(NEXT + CHUNKED + b"nonsense\r\n")
    assert [slow.receive().status for _ in range(3)] == [200, 200, 400]
    assert slow.closed()
