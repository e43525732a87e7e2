"""A real server on a loopback socket, in a thread with a model of the test's choice, and a client for it."""

import asyncio
import contextlib
import http.client
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

import uvloop

from podium.models.base import Model
from podium.reranker import Reranker
from podium.server.app import create_app
from podium.server.protocol import Server, make_server
from podium.server.startup import start
from podium.server.state import Service
from podium.settings import Settings

T = TypeVar("T")
PATIENCE_S = 20
"""What a test waits for something that happens at once; only a failure takes as long."""


class Answer(NamedTuple):
    """What a server answered; header names in lower case."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The JSON."""
        return json.loads(self.raw)


class Client:
    """One connection, kept open; `sock` is there for tests that write bytes of their own."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._stream = self.sock.makefile("rb")

    def send(self, raw: bytes) -> None:
        """Write bytes as they are."""
        self.sock.sendall(raw)

    def receive(self, method: str = "POST") -> Answer:
        """Read one answer; raises ConnectionError where there is none."""
        line = self._stream.readline()
        if not line:
            raise ConnectionError("the server closed the connection without an answer")
        headers = {name.lower(): value for name, value in http.client.parse_headers(self._stream).items()}
        length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
        return Answer(int(line.split()[1]), headers, self._stream.read(length))

    def post(self, path: str, body: Any = b"", **headers: str) -> Answer:
        """Send a body, bytes as they are and anything else as JSON, and read the answer."""
        self.send(request("POST", path, body, **headers))
        return self.receive()

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request without a body and read the answer."""
        self.send(request(method, path, None, **headers))
        return self.receive(method)

    def closed(self) -> bool:
        """Wait until the server closes the connection; whether it did so in good order, with no reset."""
        try:
            return self._stream.read() == b""
        except ConnectionError:
            return False

    def readable(self) -> bool:
        """Whether an answer, or the connection's end, has come."""
        return bool(select.select([self.sock], [], [], 0.001)[0])

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
        self.sock.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def request(method: str, path: str, body: Any, **headers: str) -> bytes:
    """Return a request in the words of HTTP/1.1; `_` in a header's name stands for `-`."""
    lines = [f"{method} {path} HTTP/1.1", "host: podium"]
    content = b""
    if body is not None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines.append(f"content-length: {len(content)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


class Serving:
    """A server that runs; everything of the service is to be touched by `on_loop` only."""

    def __init__(self, service: Service, port: int, starting: asyncio.Task[None]) -> None:
        self.service, self.port, self.starting = service, port, starting
        self._loop = starting.get_loop()

    def client(self) -> Client:
        """Open a connection."""
        return Client(self.port)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        """Send a body on a connection of its own."""
        with self.client() as client:
            return client.post(path, body, **headers)

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request without a body on a connection of its own."""
        with self.client() as client:
            return client.get(path, method, **headers)

    def on_loop(self, work: Callable[[], T]) -> T:
        """Call a function on the server's event loop."""

        async def call() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(PATIENCE_S)

    def metric(self, name: str, **labels: str) -> float | None:
        """Return a sample of the service's metrics."""
        return self.service.metrics.registry.get_sample_value(name, labels)

    @property
    def reranker(self) -> Reranker:
        """The service's reranker."""
        assert self.service.reranker is not None
        return self.service.reranker


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait until something holds that is bound to hold soon."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


@contextlib.contextmanager
def serving(
    model: Model | Callable[[], Model], /, *, ready: bool = True, **settings: Any
) -> Iterator[Serving]:
    """Serve a model, or what a function returns that loads one, on a free port until the block ends.

    Started as `podium serve` starts, but for the signals. `ready`: wait until it is.
    """
    running: Future[Serving] = Future()
    stop: Future[None] = Future()
    thread = threading.Thread(
        target=lambda: _run(model, Settings(**{"self_test": "off", **settings}), running, stop),
        name="serving",
    )
    thread.start()
    try:
        server = running.result(PATIENCE_S)
        if ready:
            until(server.starting.done)
            server.starting.result()
        yield server
    finally:
        stop.set_result(None)
        thread.join(PATIENCE_S)


def _run(
    model: Model | Callable[[], Model], settings: Settings, running: Future[Serving], stop: Future[None]
) -> None:
    async def main() -> None:
        service = Service(settings)
        server: Server = make_server(
            create_app(service),
            headers_timeout_s=settings.body_timeout_s,
            keep_alive_timeout_s=settings.keep_alive_timeout_s,
        )
        listening = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        starting = asyncio.create_task(start(service, lambda _: model() if callable(model) else model))
        running.set_result(Serving(service, listening.getsockname()[1], starting))
        await asyncio.wrap_future(stop)
        starting.cancel()
        service.close()
        if service.reranker is not None:
            await service.reranker.drain(0)
        server.should_exit = True
        await serving

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except BaseException as error:
        if running.done():
            raise
        running.set_exception(error)
