"""One HTTP exchange: its id, its trace, its log line and its metrics, around everything else."""

import logging
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import msgspec
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send
from opentelemetry.trace import SpanKind

from podium.dialects.base import superset
from podium.telemetry.metrics import Metrics
from podium.telemetry.tracing import TRACER, remote_context, trace_id

log = logging.getLogger("podium.access")

_ID = re.compile(r"[!-~]{1,128}")
_SLASHES = re.compile("/{2,}")

CLIENT_GONE = 499
"""nginx's status for a caller who left before the answer; it is counted and logged, nobody reads it."""


@dataclass
class Exchange:
    """What a handler tells of its request, for the log line and the metrics."""

    request_id: str
    started: float = field(default_factory=time.monotonic)
    dialect: str | None = None
    """Name of the API, "unknown" where a rank request could not be told; None where nothing was ranked."""
    documents: int | None = None
    status: int = 500


def exchange_of(scope: Any) -> Exchange:
    """Return the exchange that a handler is in."""
    exchange: Exchange = scope["podium.exchange"]
    return exchange


class Border:
    """The ASGI application around Litestar's: nothing passes it uncounted, unlogged or unanswered."""

    def __init__(self, app: ASGIApp, metrics: Metrics, root_path: str) -> None:
        self._app, self._metrics = app, metrics
        self._root_path = root_path.rstrip("/")

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request; `make_server` turns websockets and lifespan off, so there is nothing else."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        sent_id = headers.get("x-request-id", "")
        exchange = Exchange(sent_id if _ID.fullmatch(sent_id) else uuid.uuid4().hex)
        scope["podium.exchange"] = exchange  # type: ignore[typeddict-unknown-key]
        scope["path"] = self._path(scope["path"])
        scope["raw_path"] = scope["path"].encode()
        started = False

        async def tagged_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                exchange.status = message["status"]
                tag = (b"x-request-id", exchange.request_id.encode())
                message = {**message, "headers": [*message["headers"], tag]}
            await send(message)

        name = f"{scope['method']} {scope['path']}"
        with TRACER.start_as_current_span(name, remote_context(headers), SpanKind.SERVER) as span:
            try:
                await self._app(scope, receive, tagged_send)
            except Exception:
                log.exception("a request failed", extra={"request_id": exchange.request_id})
                if not started:
                    await _internal_error(tagged_send)
            finally:
                span.set_attribute("http.response.status_code", exchange.status)
                span.set_attribute("podium.dialect", exchange.dialect or "")
                self._account(scope["method"], scope["path"], exchange)

    def _path(self, path: str) -> str:
        """Return the path as the routes know it: no prefix of a proxy, no doubled or trailing slash."""
        if self._root_path and path.startswith(self._root_path + "/"):
            path = path[len(self._root_path) :]
        return _SLASHES.sub("/", path).rstrip("/") or "/"

    def _account(self, method: str, path: str, exchange: Exchange) -> None:
        seconds = time.monotonic() - exchange.started
        if exchange.dialect is not None:
            self._metrics.requests.labels(exchange.dialect, str(exchange.status)).inc()
            self._metrics.request_duration_seconds.labels(exchange.dialect).observe(seconds)
        probe = exchange.dialect is None and exchange.status < 400
        log.log(
            logging.DEBUG if probe else logging.INFO,
            "%s %s %d",
            method,
            path[:200],
            exchange.status,
            extra={
                "ms": round(seconds * 1000, 2),
                "dialect": exchange.dialect,
                "documents": exchange.documents,
                "request_id": exchange.request_id,
                "trace_id": trace_id(),
            },
        )


async def _internal_error(send: Send) -> None:
    status, content = superset(RuntimeError())
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(content), "more_body": False})
