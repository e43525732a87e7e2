"""One HTTP exchange: its id, its trace, its log line and its metrics, around everything else."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send
from opentelemetry.trace import SpanKind

from podium.dialects.base import Dialect, superset
from podium.dialects.table import dialect_of
from podium.errors import Unavailable
from podium.server.state import Phase, Service
from podium.telemetry.tracing import TRACER, exemplar, remote_context, tell, trace_id

log = logging.getLogger("podium.access")

_ID = re.compile(r"[!-~]{1,128}")
_SLASHES = re.compile("/{2,}")

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
"""Control characters of a path, so that no request writes lines of its own into the log."""

NOT_FOUND, REQUEST_TIMEOUT = 404, 408
CLIENT_GONE = 499
"""nginx's status for a caller who left before the answer; it is counted and logged, nobody reads it."""


@dataclass
class Exchange:
    """What a handler tells of its request, for the log line and the metrics."""

    request_id: str
    started: float = field(default_factory=time.monotonic)
    dialect: str | None = None
    """Name of the API, "unknown" where a rank request could not be told; None where nothing was ranked."""
    spoken: Dialect | None = None
    """The API once it is known; its failures are told in its own words."""
    key: str | None = None
    """Name of the API key, where it has one."""
    documents: int | None = None
    model: str | None = None
    tokens: int | None = None
    """Tokens that the model reads of its pairs, and its name, where they were ranked."""
    status: int = 500

    @property
    def told(self) -> dict[str, str | int | None]:
        """What its span tells of it."""
        return {name: getattr(self, name) for name in ("dialect", "documents", "model", "tokens")}


def exchange_of(scope: Any) -> Exchange:
    """Return the exchange that a handler is in."""
    exchange: Exchange = scope["podium.exchange"]
    return exchange


class Border:
    """The ASGI application around Litestar's: nothing passes it uncounted, unlogged or unanswered."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service, self._metrics = app, service, service.metrics
        self._root_path = service.settings.root_path.rstrip("/")

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request; `make_server` turns websockets and lifespan off, so there is nothing else."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        sent_id = headers.get("x-request-id", "")
        exchange = Exchange(sent_id if _ID.fullmatch(sent_id) else uuid.uuid4().hex)
        method, path = scope["method"], self._path(scope["path"])
        # A copy: uvicorn leaves the body of an answer to HEAD out by looking at its own.
        inner: Any = {
            **scope,
            "method": "GET" if method == "HEAD" else method,
            "path": path,
            "raw_path": path.encode(),
            "podium.exchange": exchange,
        }
        started = False

        async def tagged_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                exchange.status = message["status"]
                added = [(b"x-request-id", exchange.request_id.encode())]
                if self._is_last(exchange.status, headers):
                    added.append((b"connection", b"close"))
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        with TRACER.start_as_current_span(method, remote_context(headers), SpanKind.SERVER) as span:
            try:
                await self._app(inner, receive, tagged_send)
            except asyncio.CancelledError:
                # uvicorn at the end of its patience with a body that does not come to an end
                if not started:
                    await _refuse(path, tagged_send)
            except Exception:
                log.exception("a request failed", extra={"request_id": exchange.request_id})
                if not started:
                    await _answer(tagged_send, *superset(RuntimeError()))
            finally:
                route = None if exchange.status == NOT_FOUND else path
                tell(span, method, route, exchange.status, **exchange.told)
                self._account(method, path, exchange)

    def _is_last(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether a connection ends with an answer of this status.

        While draining, so that its next request goes to another replica. After a body that did not come: what
        comes may be the rest of it, or the next request, which nobody can tell. So, too, after a refusal of a
        body that waits for our consent to come.
        """
        return (
            self._service.phase is Phase.DRAINING
            or status == REQUEST_TIMEOUT
            or (status >= 400 and "expect" in headers)
        )

    def _path(self, path: str) -> str:
        """Return the path as the routes know it: no prefix of a proxy, no doubled or trailing slash."""
        if self._root_path and (path + "/").startswith(self._root_path + "/"):
            path = path[len(self._root_path) :]
        return _SLASHES.sub("/", path).rstrip("/") or "/"

    def _account(self, method: str, path: str, exchange: Exchange) -> None:
        seconds = time.monotonic() - exchange.started
        if exchange.dialect is not None:
            self._metrics.requests.labels(exchange.dialect, str(exchange.status)).inc()
            if exchange.key is not None:
                self._metrics.key_requests.labels(exchange.key, str(exchange.status)).inc()
            self._metrics.request_duration_seconds.labels(exchange.dialect).observe(seconds, exemplar())
        probe = exchange.dialect is None and exchange.status < 400
        log.log(
            logging.DEBUG if probe else logging.INFO,
            "%s %s %d",
            method,
            path[:200].translate(_ESCAPED),
            exchange.status,
            extra={
                "ms": round(seconds * 1000, 2),
                "dialect": exchange.dialect,
                "documents": exchange.documents,
                "request_id": exchange.request_id,
                "trace_id": trace_id(),
            },
        )


async def _refuse(path: str, send: Send) -> None:
    error = Unavailable("the server shut down before the whole request had arrived; send it again", 1)
    dialect = dialect_of(path)
    status, content = dialect.fail(error) if dialect else superset(error)
    await _answer(send, status, content, (b"retry-after", b"1"))


async def _answer(send: Send, status: int, content: object, *headers: tuple[bytes, bytes]) -> None:
    body = msgspec.json.encode(content)
    about = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": about})
    await send({"type": "http.response.body", "body": body, "more_body": False})
