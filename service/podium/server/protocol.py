"""uvicorn with some habits changed.

It waits for headers, trailers and leftovers for ever, however many bytes they are; it takes trailers for
headers; it loses the body where an upgrade was offered; it refuses in text; and it dies of SIGTERM.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httptools
import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from podium.dialects.base import superset
from podium.errors import BodyTimeout, MalformedBody, PodiumError

MAX_HEADER_BYTES = 64 * 1024
"""Of headers, of trailers, and of what else stands around a body, such as chunks' extensions."""
MAX_HEADERS = 256
"""Of headers and trailers together."""
MAX_FRAMING = 16
"""Bytes around each byte of a body that are not counted: a chunk of one byte takes five."""
_PIECE_BYTES = 16 * 1024
_LAST_CALL_S = 1.0
"""Seconds at the end in which who has connected can still send a first request, to be told 503."""


class Server(uvicorn.Server):
    """A server whose owner handles the signals: uvicorn would raise them again at its end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; who waits in the kernel's queue is let in first: closing the socket would reset them."""
        last = [asyncio.create_task(self._let_in(each)) for each in _waiting(sockets or [])]
        await super().shutdown(sockets)
        await asyncio.gather(*last, return_exceptions=True)  # who has left by now is no reason not to end

    async def _let_in(self, connection: socket.socket) -> None:
        make: Any = self.config.http_protocol_class
        _, met = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state),
            connection,
        )
        met.shutdown()


def _waiting(sockets: Iterable[socket.socket]) -> Iterator[socket.socket]:
    """Yield the connections that nobody has accepted yet."""
    for listening in sockets:
        listening.setblocking(False)
        with contextlib.suppress(OSError):
            while True:
                yield listening.accept()[0]


def protocol(timeout_s: float) -> type[HttpToolsProtocol]:
    """Return an HTTP protocol that gives a caller so many seconds for the headers of each request.

    As many again for what is left of a body after its answer: until then it is read and dropped, because
    closing with bytes unread would reset the connection, and the reset overtakes the answer. The clock runs
    only while the caller is owed no answer: who sends requests ahead is not read meanwhile.

    What is no body is bounded in bytes and in count, before a body, within it and behind it.
    """

    class Protocol(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _begun = False
        """Whether a byte of the request came whose headers we wait for."""
        _arriving = False
        """Whether the request's body is on its way."""
        _bare_bytes = 0
        """Bytes since the request began, or since the last byte of its body."""
        _spent_bytes = 0
        """Bytes around a body so far, beyond what MAX_FRAMING allows for those in it."""
        _header_count = 0
        _refusal: PodiumError | None = None
        """What a broken request gets when those before it have their answers."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._run_clock()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def shutdown(self) -> None:
            if self.cycle is None:
                self._stop()  # type: ignore[unreachable]  # it is None before the first request
                self._start(self.transport.close, _LAST_CALL_S)
            else:
                super().shutdown()

        def data_received(self, data: bytes) -> None:
            try:
                # In pieces, so that no single read passes the bounds by more than one.
                for start in range(0, len(data), _PIECE_BYTES):
                    self._feed(data[start : start + _PIECE_BYTES])
            except httptools.HttpParserError:
                self._refuse(self._too_many() or MalformedBody("the request is not HTTP/1.1"))
            except MalformedBody as error:
                self._refuse(error)
            self._run_clock()

        def _feed(self, data: bytes) -> None:
            self._bare_bytes += len(data)
            self._spent_bytes += len(data)
            while data:
                try:
                    self.parser.feed_data(data)
                    data = b""
                except httptools.HttpParserUpgrade as offer:
                    data = self._without_offer(data[offer.args[0] :]) if self._should_upgrade() else b""
            if too_many := self._too_many():
                raise too_many
            if self._begun and self._bare_bytes > MAX_HEADER_BYTES:
                raise MalformedBody(f"the headers are larger than {MAX_HEADER_BYTES} bytes")
            if self._arriving and max(self._bare_bytes, self._spent_bytes) > MAX_HEADER_BYTES:
                raise MalformedBody(f"what surrounds the body is larger than {MAX_HEADER_BYTES} bytes")

        def _should_upgrade(self) -> bool:
            """Whether a request that offers an upgrade is to wait until it is read without the offer."""
            return self.parser.get_method() != b"CONNECT"

        def _without_offer(self, rest: bytes) -> bytes:
            """Return a request without its offer to upgrade; `rest` is what came behind its headers.

            Java's client offers HTTP/2 with its requests, and behind an offer httptools reads nothing more:
            neither the body nor the next request.
            """
            line = b"%b %b HTTP/%b" % (
                self.parser.get_method(),
                self.url,
                self.parser.get_http_version().encode(),
            )
            headers = [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            return b"\r\n".join([line, *headers, b"", rest])

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._begun, self._arriving = True, False
            self._bare_bytes = self._header_count = 0

        def on_header(self, name: bytes, value: bytes) -> None:
            self._header_count += 1
            # Beyond the bound it is only counted, and so is a trailer: it must not pass for a header.
            if self._header_count <= MAX_HEADERS and not self._arriving:
                super().on_header(name, value)

        def _too_many(self) -> MalformedBody | None:
            if self._header_count <= MAX_HEADERS:
                return None
            return MalformedBody(f"the request has more than {MAX_HEADERS} headers")

        def on_headers_complete(self) -> None:
            if too_many := self._too_many():
                raise too_many  # the parser stops, and no request begins with some of its headers
            super().on_headers_complete()
            self._begun, self._arriving = False, True
            self._bare_bytes = self._spent_bytes = 0

        def on_body(self, body: bytes) -> None:
            self._bare_bytes = 0
            self._spent_bytes = max(0, self._spent_bytes - (1 + MAX_FRAMING) * len(body))
            super().on_body(body)

        def on_message_complete(self) -> None:
            if too_many := self._too_many():
                raise too_many
            self._arriving = False
            if not self._owing:
                self._stop()  # the clock of a body that was left
            super().on_message_complete()

        def on_response_complete(self) -> None:
            last = not self.pipeline
            super().on_response_complete()
            if last and self._refusal is not None:
                self._say(self._refusal)
            self._run_clock()

        @property
        def _owing(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _run_clock(self) -> None:
            """Let the clock run while the next bytes are the caller's to send, else stop it.

            A request whose body we wait for has a clock of its own, see `read_body`. A connection at rest has
            uvicorn's, which only a request stops: line ends do not, which the parser passes over.
            """
            if self._owing or self._arriving or self._begun or self.cycle is None:
                self._unset_keepalive_if_required()
            elif self.timeout_keep_alive_task is None and not self.transport.is_closing():
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
            if self._owing or self.transport.is_closing():
                self._stop()
            elif self._timer is None and self._arriving:
                self._start(self.transport.close)
            elif self._timer is None and (self._begun or self.cycle is None):
                self._start(self._headers_late)

        def _start(self, late: Callable[[], None], after_s: float = timeout_s) -> None:
            self._timer = self.loop.call_later(after_s, late)

        def _stop(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _headers_late(self) -> None:
            if self._begun:
                self._refuse(BodyTimeout(timeout_s))
            else:  # a connection opened in advance: an answer would be taken for that of its first request
                self.transport.close()

        def _refuse(self, error: PodiumError) -> None:
            """End the connection over what cannot be read, after the answers that are owed."""
            if self._refusal is not None or self.transport.is_closing():
                return
            if not self._owing and not self._arriving:
                self._say(error)
            elif not self._arriving:  # behind a whole request, whose answer is the last one
                self.cycle.keep_alive = False
            elif self.cycle.response_started:  # within a body whose answer is out
                self.transport.close()
            elif self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
                self._refusal = error
            else:
                self._say(error)

        def _say(self, error: PodiumError) -> None:
            status, content = superset(error)
            body = msgspec.json.encode(content)
            head = (
                f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()

    return Protocol


_PHRASES: dict[int, str] = {400: "Bad Request", 408: "Request Timeout"}


def make_server(app: Any, *, headers_timeout_s: float, keep_alive_timeout_s: float) -> Server:
    """Return a server of an ASGI application; it serves the sockets that it is given."""
    config = uvicorn.Config(
        app,
        http=protocol(headers_timeout_s),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on the caller's address
        timeout_keep_alive=keep_alive_timeout_s,  # type: ignore[arg-type]  # it is handed to call_later
        timeout_graceful_shutdown=5,
    )
    return Server(config)
