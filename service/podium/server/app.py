"""The application, and its life from the first setting to the last answer."""

import asyncio
import logging
import os
import signal
import socket
from typing import Any

import uvloop
from litestar import Litestar, Request, Response
from litestar.config.cors import CORSConfig
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.handlers.base import BaseRouteHandler

from podium.dialects.table import dialect_of
from podium.errors import InvalidRequest, MethodNotAllowed, NotFound
from podium.server.docs import docs_routes
from podium.server.exchange import Border, exchange_of
from podium.server.probes import OPEN, probe_routes
from podium.server.protocol import Server, make_server
from podium.server.routes import failure, rank_routes
from podium.server.startup import load_model, start
from podium.server.state import Phase, Service
from podium.settings import SettingError, Settings
from podium.telemetry import logs, tracing

log = logging.getLogger(__name__)


def create_app(service: Service) -> Border:
    """Return the ASGI application of a service."""
    origins = [origin.strip() for origin in service.settings.cors_origins.split(",") if origin.strip()]

    def need_key(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if connection.scope["path"] not in OPEN or connection.scope.get("method") == "POST":
            headers = connection.headers
            service.check_key(headers.get("authorization", ""), headers.get("api-key", ""))

    litestar = Litestar(
        [rank_routes(service), *probe_routes(service), *docs_routes(service)],
        guards=[need_key],
        exception_handlers={Exception: _answer_exception},
        cors_config=CORSConfig(allow_origins=origins, expose_headers=_TOLD) if origins else None,
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
    )
    return Border(litestar, service)


_TOLD = ["Retry-After", "X-Request-Id", "X-Podium-Truncated-Documents"]
"""Headers that scripts of other origins may read."""


def _answer_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer what no handler answered: unknown paths, wrong methods, missing keys, and what went wrong."""
    path = request.scope["path"]
    dialect = dialect_of(path)
    exchange = exchange_of(request.scope)
    if request.scope["method"] == "POST" and exchange.dialect is None:
        exchange.dialect = dialect.name if dialect else "unknown"
    allow = {}
    match error:
        case NotFoundException():
            error = NotFound(f"no API on {path[:200]}; GET /docs lists all")
        case MethodNotAllowedException():
            allow = dict(error.headers or {})
            error = MethodNotAllowed(f"{path} does not take {request.scope['method']}; GET /docs lists all")
        case HTTPException(status_code=status) if status < 500:
            error = InvalidRequest(f"the request cannot be read: {error.detail}")
    status, content, headers = failure(error, dialect, exchange)
    return Response(content, status_code=status, headers=headers | allow, media_type="application/json")


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; returns when every admitted request was answered.

    Raises StartError where the model cannot be loaded or fails its self-test, SettingError where the port is
    taken or a file of a setting cannot be read.
    """
    logs.configure(settings.log_level, settings.log_format)
    tracing.configure(os.environ)
    listening = _bind(settings.host, settings.port)
    with listening, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(settings, listening))
        finally:
            tracing.shutdown()


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before the minutes of loading; it opens when uvicorn listens on it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise SettingError(
            f"PODIUM_HOST, PODIUM_PORT: cannot listen on {host}:{port}: {error.strerror}; choose another port"
        ) from None
    return listening


async def _serve(settings: Settings, listening: socket.socket) -> None:
    service = Service(settings)
    server = make_server(create_app(service), headers_timeout_s=settings.body_timeout_s)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    starting = asyncio.create_task(start(service, load_model))
    stop = asyncio.create_task(stopping.wait())
    try:
        if settings.preload:
            await asyncio.wait((starting, stop), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
        if not stop.done():
            await _run(service, server, listening, starting, stop)
    finally:
        for task in (starting, stop):
            task.cancel()
        if service.reranker is not None:
            service.reranker.close()


async def _run(
    service: Service,
    server: Server,
    listening: socket.socket,
    starting: asyncio.Task[None],
    stop: asyncio.Task[Any],
) -> None:
    """Serve until told to stop or until starting fails, then drain."""
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    log.info("listening on http://%s:%d", *listening.getsockname()[:2])
    watching = asyncio.create_task(_watch(service, starting))
    await asyncio.wait((serving, watching, stop), return_when=asyncio.FIRST_COMPLETED)
    service.phase = Phase.DRAINING
    log.info("draining: /readyz says 503, admitted requests are answered")
    if service.reranker is not None:
        await service.reranker.drain(service.settings.drain_timeout_s)
    server.should_exit = True
    await serving
    if watching.done():
        watching.result()
    watching.cancel()


async def _watch(service: Service, starting: asyncio.Task[None]) -> None:
    """Wait for the start, then watch the device. Ends only by raising what the start raised."""
    await starting
    if service.reranker is not None:
        await service.reranker.watch()
