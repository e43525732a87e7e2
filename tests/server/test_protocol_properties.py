"""However bytes are cut into reads, and whatever surrounds a body: the same requests, the same bounds."""

import asyncio
from typing import Any

import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from podium.errors import Overloaded
from podium.server.body import Budget
from podium.server.protocol import _PIECE_BYTES, MAX_FRAMING, MAX_HEADER_BYTES, MAX_HEADERS, protocol

HEAD = b"POST /x HTTP/1.1\r\nhost: podium\r\ntransfer-encoding: chunked\r\n\r\n"
SLACK = 2 * _PIECE_BYTES
"""Bytes by which a bound may be passed before it is seen."""


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Application:
    """Reads each body whole and answers with its length."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, int]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body, more = body + message["body"], message["more_body"]
        self.seen.append((body, len(scope["headers"])))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def feed(*reads: bytes) -> tuple[Application, Transport, int]:
    """Hand reads to a connection until it is closed; return how many bytes it took."""

    async def run() -> tuple[Application, Transport, int]:
        application, transport, taken = Application(), Transport(), 0
        config = uvicorn.Config(application, ws="none", lifespan="off", log_config=None, access_log=False)
        config.load()
        connection = protocol(60)(config, ServerState(), {})
        connection.connection_made(transport)
        for read in reads:
            if transport.closed:
                break
            connection.data_received(read)
            taken += len(read)
            for _ in range(5):
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        closed = transport.closed
        connection.connection_lost(None)
        transport.closed = closed
        return application, transport, taken

    return asyncio.run(run())


def chunk(content: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(content), extension, content)


CONTENT = st.binary(min_size=1, max_size=40)
TOKEN = st.text("abcXYZ-", min_size=1, max_size=8).map(str.encode)
TRAILER = st.tuples(TOKEN, TOKEN).map(lambda pair: b"%b: %b\r\n" % pair)
EXTENSION = st.just(b"") | TOKEN.map(lambda name: b";" + name)
REQUEST = st.tuples(st.lists(st.tuples(CONTENT, EXTENSION), max_size=6), st.lists(TRAILER, max_size=4))


@settings(deadline=None, max_examples=40)
@given(st.lists(REQUEST, min_size=1, max_size=3), st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_requests_are_the_same_however_they_are_cut_into_reads(requests, sizes):
    raw = b"".join(
        HEAD + b"".join(chunk(*each) for each in chunks) + b"0\r\n" + b"".join(trailers) + b"\r\n"
        for chunks, trailers in requests
    )
    reads, at = [], 0
    while at < len(raw):
        size = sizes[len(reads) % len(sizes)]
        reads.append(raw[at : at + size])
        at += size
    application, transport, _ = feed(*reads)
    bodies = [b"".join(content for content, _ in chunks) for chunks, _ in requests]
    assert application.seen == [(body, 2) for body in bodies]  # no trailer among the headers
    assert transport.written.count(b"HTTP/1.1 200 OK") == len(requests)
    assert not transport.closed


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([HEAD[:-2] + b"x: ", HEAD + b"0\r\n", HEAD + b"0\r\nx: ", HEAD + chunk(b"a") + b"1;"]),
    st.integers(2_000, 70_000),
    st.sampled_from([b"z", b"z: y\r\n", b"long-name: " + b"y" * 500 + b"\r\n"]),
)
def test_what_is_no_body_ends_the_connection_before_it_is_much(start, size, piece):
    if start.endswith((b": ", b";")):
        piece = b"z"
    read = (piece * (size // len(piece) + 1))[: max(size, len(piece))]
    application, transport, taken = feed(start, *([read] * (4 * MAX_HEADER_BYTES // len(read) + 4)))
    assert transport.closed
    assert b"HTTP/1.1 400" in transport.written
    assert taken <= len(start) + MAX_HEADER_BYTES + SLACK + len(read)
    assert application.seen == []


@settings(deadline=None, max_examples=40)
@given(st.integers(MAX_HEADERS - 5, MAX_HEADERS + 5), st.booleans())
def test_headers_and_trailers_count_together(count, trailing):
    lines = b"x: y\r\n" * (count - 2)
    raw = HEAD + b"0\r\n" + lines + b"\r\n" if trailing else HEAD[:-2] + lines + b"\r\n0\r\n\r\n"
    application, transport, _ = feed(raw)
    assert (b"HTTP/1.1 400" in transport.written) == (count > MAX_HEADERS)
    assert bool(application.seen) == (count <= MAX_HEADERS)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, MAX_FRAMING - 5), st.integers(1, 3_000))
def test_extensions_in_proportion_to_a_body_pass_for_ever(extension, chunks):
    raw = HEAD + chunk(b"a", b";" + b"x" * (extension - 1)) * chunks + b"0\r\n\r\n"
    application, transport, _ = feed(*[raw[at : at + 4096] for at in range(0, len(raw), 4096)])
    assert [len(body) for body, _ in application.seen] == [chunks]
    assert not transport.closed


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 1_000), st.lists(st.lists(st.integers(1, 400), max_size=6), max_size=8))
def test_bodies_in_flight_never_hold_more_than_their_budget_and_give_all_of_it_back(limit, bodies):
    budget = Budget(limit)
    shares = [budget.share() for _ in bodies]
    takes = [share.__enter__() for share in shares]
    for turn in range(6):
        for take, sizes in zip(takes, bodies, strict=True):
            if turn < len(sizes):
                before = budget.used
                try:
                    take(sizes[turn])
                except Overloaded:
                    assert before + sizes[turn] > limit
                    assert budget.used == before
                assert budget.used <= limit
    for share in shares:
        share.__exit__(None, None, None)
    assert budget.used == 0
