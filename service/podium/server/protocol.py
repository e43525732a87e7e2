"""uvicorn with some habits changed.

It waits for headers and leftovers for ever, however many bytes they are; it loses the body where an upgrade
was offered; it refuses in text; and it dies of SIGTERM.
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
    closing with bytes unread would reset the connection, and the reset overtakes the answer.
    """

    class Protocol(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _begun = False
        """Whether a byte of the request came whose headers we wait for."""
        _header_bytes = 0
        _arriving = False
        """Whether the request's body is on its way."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._start(self._headers_late)

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
            self._unset_keepalive_if_required()
            waiting = self._begun
            try:
                self._feed(data)
            except httptools.HttpParserError:
                self._refuse(MalformedBody("the request is not HTTP/1.1"))
            if waiting and self._begun:
                self._header_bytes += len(data)
                if self._header_bytes > MAX_HEADER_BYTES:
                    self._refuse(MalformedBody(f"the headers are larger than {MAX_HEADER_BYTES} bytes"))

        def _feed(self, data: bytes) -> None:
            while data:
                try:
                    self.parser.feed_data(data)
                    data = b""
                except httptools.HttpParserUpgrade as offer:
                    data = self._without_offer(data[offer.args[0] :]) if self._should_upgrade() else b""

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
            self._begun, self._header_bytes = True, 0
            if self._timer is None:  # a further request on an open connection
                self._start(self._headers_late)

        def on_headers_complete(self) -> None:
            self._stop()
            self._begun, self._arriving = False, True
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            if self._arriving and self.cycle is not None and self.cycle.response_complete:
                self._stop()
            self._arriving = False
            super().on_message_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._arriving:
                self._start(self.transport.close)

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
            if self.transport.is_closing():
                return
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


def make_server(app: Any, *, headers_timeout_s: float) -> Server:
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
        # Longer than the idle time of usual proxies (60 s), so that they close first and no request is lost.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    return Server(config)
