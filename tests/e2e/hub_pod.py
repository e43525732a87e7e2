"""Runs inside a pod, beside tests/hub.py: that hub, with the built-in model's files, for the whole cluster.

Port 8080 is the hub and 8081 its content host. Port 8082 is the tests': POST sets how the hub behaves, GET
tells what it was asked.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import hub

import podium

CHUNK_BYTES = 64 * 1024


class Throttled:
    """A file that takes no more than `rate` bytes a second."""

    def __init__(self, file: Any, rate: int) -> None:
        self._file, self._rate = file, rate

    def write(self, content: bytes) -> None:
        """Write in pieces, with pauses."""
        for begin in range(0, len(content), CHUNK_BYTES):
            self._file.write(content[begin : begin + CHUNK_BYTES])
            if self._rate:
                time.sleep(CHUNK_BYTES / self._rate)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class State:
    """The hub and how it behaves now."""

    def __init__(self, content_host: str) -> None:
        folder = Path(podium.__path__[0]) / "builtin"
        self.files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        branches = {"v2": "f" * 40, **{f"branch-{digit}": digit * 40 for digit in "abcde"}}
        self.hub = hub.Hub(self.files, branches=branches)
        self.hub.content_host = content_host
        self.rate = 0

    def behave(self, order: dict[str, Any]) -> None:
        """Forget what was asked and what was ordered before, then follow the order."""
        self.hub.requests.clear()
        self.hub.token = order.get("token")
        refuse = order.get("refuse", {})
        self.hub.refusals[:] = [
            hub.Refusal(status, f"/revision/{branch}") for branch, status in refuse.items()
        ]
        self.hub.forged = {name: content.encode() for name, content in order.get("forge", {}).items()}
        self.rate = order.get("rate", 0)


def serve(state: State, port: int, *, content: bool) -> None:
    """Serve one of the hub's two hosts in a thread."""

    class Handler(hub._handler(state.hub, content)):  # type: ignore[misc]  # Hub itself listens on loopback
        def setup(self) -> None:
            super().setup()
            self.wfile = Throttled(self.wfile, state.rate)

    start(port, Handler)


def control(state: State) -> type[BaseHTTPRequestHandler]:
    """Return the handler of the tests' own port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.behave(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer([])

        def do_GET(self) -> None:
            self._answer([request._asdict() for request in state.hub.requests])

        def _answer(self, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


def start(port: int, handler: type[BaseHTTPRequestHandler]) -> None:
    """Serve in a thread."""
    server = ThreadingHTTPServer(("", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


if __name__ == "__main__":
    served = State(content_host=sys.argv[1])
    serve(served, 8080, content=False)
    serve(served, 8081, content=True)
    start(8082, control(served))
    threading.Event().wait()
