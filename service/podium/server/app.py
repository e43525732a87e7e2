"""The application, and its life from the first setting to the last answer."""

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import uvloop
from litestar import Litestar, Request, Response
from litestar.config.cors import CORSConfig
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.handlers.base import BaseRouteHandler

from podium.dialects.table import dialect_of
from podium.errors import InvalidRequest, MethodNotAllowed, NotFound
from podium.loading import load_model
from podium.server.docs import docs_routes
from podium.server.exchange import Border, exchange_of
from podium.server.pages import PAGES, file_routes
from podium.server.probes import OPEN, probe_routes
from podium.server.protocol import Server, make_server
from podium.server.routes import failure, rank_routes
from podium.server.startup import start
from podium.server.state import Phase, Service
from podium.settings import SettingError, Settings
from podium.telemetry import logs, tracing
from podium.telemetry.otlp import pushing

log = logging.getLogger(__name__)

THREADS_S = 1
"""What the end waits for the running batch; it aims at a quarter of it."""


def create_app(service: Service) -> Border:
    """Return the ASGI application of a service."""
    origins = [origin.strip() for origin in service.settings.cors_origins.split(",") if origin.strip()]

    # Litestar runs a guard that is not async in a thread: measured, a third of what a request costs here.
    async def need_key(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if connection.scope["path"] not in _KEYLESS or connection.scope.get("method") == "POST":
            headers = connection.headers
            name = service.check_key(headers.get("authorization", ""), headers.get("api-key", ""))
            exchange_of(connection.scope).key = name

    litestar = Litestar(
        [rank_routes(service), *probe_routes(service), *docs_routes(service), *file_routes(service)],
        guards=[need_key],
        exception_handlers={Exception: _answer_exception},
        cors_config=CORSConfig(allow_origins=origins, expose_headers=_TOLD) if origins else None,
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
    )
    return Border(litestar, service)


_KEYLESS = OPEN | PAGES
_TOLD = ["Retry-After", "Server-Timing", "X-Request-Id", "X-Podium-Truncated-Documents"]
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


def serve(settings: Settings, warnings: Sequence[str] = ()) -> None:
    """Serve until SIGTERM or SIGINT; returns when every admitted request was answered.

    `warnings` are logged first.
    Where a thread is busy beyond that, with a batch or with loading, it ends the process, with exit code 0.
    Raises StartError where the model cannot be loaded or fails its self-test, SettingError where the port is
    taken or a file of a setting cannot be read.
    """
    logs.configure(settings.log_level, settings.log_format)
    for warning in warnings:
        log.warning(warning)
    tracing.configure(os.environ)
    listening = _bind(settings.host, settings.port)
    with listening, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(settings, listening))
        finally:
            tracing.shutdown()
    _leave_busy_threads()


def _leave_busy_threads() -> None:
    """Wait for the model's threads a little, then end the process without them.

    A thread that is inside of torch when the interpreter ends would abort the process (exit code 134).
    """
    busy = [thread for thread in threading.enumerate() if thread.name.startswith("podium-")]
    end = time.monotonic() + THREADS_S
    for thread in busy:
        thread.join(max(0, end - time.monotonic()))
    if any(thread.is_alive() for thread in busy):
        logging.shutdown()
        os._exit(0)


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before the minutes of loading; nobody is let in until `_open`."""
    host = host.removeprefix("[").removesuffix("]")  # as people write an IPv6 address beside a port
    try:
        return _bound(host, port)
    except OSError as error:
        # Any other error, such as of a port that is taken, is not mended by listening to half of the callers.
        if host != "::" or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise _taken(host, port, error) from None
    return _bind("0.0.0.0", port)  # noqa: S104 there is no IPv6 here


def _bound(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == "::":
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4, too
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


def _open(listening: socket.socket) -> None:
    """Let callers in. Another process that bound the port meanwhile, too, may have been faster."""
    host, port = listening.getsockname()[:2]
    try:
        listening.listen()  # uvloop would swallow the error and serve nobody
    except OSError as error:
        raise _taken(host, port, error) from None
    log.info("listening on http://%s", _address(host, port))


def _show_example(listening: socket.socket, settings: Settings) -> None:
    """Show people a request that works; a log for machines does without."""
    if not logs.for_people(settings.log_format) or settings.api_keys or settings.api_keys_file:
        return
    body = '{"query": "What is a panda?", "documents": ["I like cats.", "Pandas are bears of China."]}'
    port = listening.getsockname()[1]
    log.info("try: curl http://localhost:%d%s/v1/rerank -d '%s'", port, settings.root_path, body)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _taken(host: str, port: int, error: OSError) -> SettingError:
    return SettingError(
        f"PODIUM_HOST, PODIUM_PORT: cannot listen on {_address(host, port)}: {error.strerror}; "
        "choose another port"
    )


class _Signals:
    """SIGTERM and SIGINT: the first asks to answer what was admitted and end, the second to end now."""

    def __init__(self) -> None:
        self._asked, self._urged = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._came)
        self.asked = asyncio.create_task(self._asked.wait())
        self.urged = asyncio.create_task(self._urged.wait())

    def _came(self) -> None:
        (self._urged if self._asked.is_set() else self._asked).set()


async def _serve(settings: Settings, listening: socket.socket) -> None:
    signals = _Signals()
    service = Service(settings)
    server = make_server(
        create_app(service),
        headers_timeout_s=settings.body_timeout_s,
        keep_alive_timeout_s=settings.keep_alive_timeout_s,
    )
    end_pushing = pushing(os.environ, service.metrics.registry)
    starting = asyncio.create_task(_start(service))
    try:
        if settings.preload:
            await asyncio.wait((starting, signals.asked), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
        if not signals.asked.done():
            _open(listening)
            _show_example(listening, settings)
            await _run(service, server, listening, starting, signals)
    finally:
        for task in (starting, signals.asked, signals.urged):
            task.cancel()
        service.close()
        end_pushing()


async def _start(service: Service) -> None:
    await start(service, load_model)
    # What the libraries and the model made is never looked at again: a full collection took 650 ms with it,
    # for which no thread could go on.
    gc.collect()
    gc.freeze()


async def _run(
    service: Service,
    server: Server,
    listening: socket.socket,
    starting: asyncio.Task[None],
    signals: _Signals,
) -> None:
    """Serve until told to stop or until starting fails, then drain."""
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    watching = asyncio.create_task(_watch(service, starting))
    await asyncio.wait((serving, watching, signals.asked), return_when=asyncio.FIRST_COMPLETED)
    service.phase = Phase.DRAINING
    if service.reranker is not None:
        log.info("draining: /readyz says 503, %d admitted requests are answered", service.reranker.active)
        draining = asyncio.create_task(service.reranker.drain(service.settings.drain_timeout_s))
        await asyncio.wait((draining, signals.urged), return_when=asyncio.FIRST_COMPLETED)
        await service.reranker.drain(0)
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
