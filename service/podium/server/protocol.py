"""uvicorn with three habits changed: it waits for headers for ever, refuses in text, dies of SIGTERM."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from podium.dialects.base import superset
from podium.errors import BodyTimeout, MalformedBody, PodiumError


class Server(uvicorn.Server):
    """A server whose owner handles the signals: uvicorn would raise them again at its end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def protocol(headers_timeout_s: float) -> type[HttpToolsProtocol]:
    """Return an HTTP protocol that gives a caller so many seconds for the headers of each request."""

    class Protocol(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait_for_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._timer is None:  # a further request on an open connection
                self._wait_for_headers()

        def on_headers_complete(self) -> None:
            self._stop_waiting()
            super().on_headers_complete()

        def send_400_response(self, msg: str) -> None:
            self._refuse(MalformedBody("the request is not HTTP/1.1"))

        def _wait_for_headers(self) -> None:
            self._timer = self.loop.call_later(
                headers_timeout_s, self._refuse, BodyTimeout(headers_timeout_s)
            )

        def _stop_waiting(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

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
        # Longer than the idle time of usual proxies (60 s), so that they close first and no request is lost.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    return Server(config)
