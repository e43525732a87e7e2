"""A hub on loopback that speaks what huggingface_hub 2.4 asks for, and misbehaves on command.

`/api/models/<repository>[/revision/<revision>]` lists the files; `/<repository>/resolve/<commit>/<file>`
gives them. As on the real hub, what is kept in LFS is redirected to another host (a second server here) by an
answer that carries `X-Linked-Etag` (sha256) and `X-Linked-Size`; the rest has its git blob id as `ETag`.
"""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_MIB = 2**20


class Request(NamedTuple):
    """What a client sent; the tests assert on it."""

    method: str
    path: str
    range: str | None
    authorization: str | None


class Refusal(NamedTuple):
    """An answer in place of the right one, to requests whose path contains `path`."""

    status: int
    path: str = "/"
    headers: Mapping[str, str] = {}
    content_host_only: bool = False


class Hub:
    """One repository, `org/model`, with its files in memory; use it as a context manager."""

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        repository: str = "org/model",
        branches: Mapping[str, str] = {},
        hangs: Mapping[str, int] = {},
        pause_s: float = 0.0,
    ) -> None:
        self.files = dict(files)
        self.repository = repository
        self.branches = {"main": COMMIT, **branches}
        self.requests: list[Request] = []
        self.refusals: list[Refusal] = []
        self.cuts: list[tuple[str, int]] = []
        """Each entry cuts one answer with that file after so many bytes."""
        self.hangs = dict(hangs)
        """Paths whose answers stop after so many bytes, with the connection open, until the hub ends."""
        self.forged: dict[str, bytes] = {}
        """File to the content that is served in place of the one that is announced."""
        self.token: str | None = None
        """Where set, every request but those to the content host needs it."""
        self.ignores_ranges = False
        self.pause_s = pause_s
        """Seconds before each MiB of a file's content."""
        self._ended = threading.Event()
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, cdn)) for cdn in (False, True)]
        self.endpoint, self.content_host = (
            f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers
        )

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def wait_for_the_end(self) -> None:
        """Return when the hub is shut down."""
        self._ended.wait()

    def served(self, file: str) -> list[Request]:
        """Return the requests for a file's content (GET), in order."""
        return [
            request
            for request in self.requests
            if request.method == "GET" and request.path.endswith(f"/{file}") and "/api/" not in request.path
        ]


@contextlib.contextmanager
def downloading(hub: Hub, folder: Path) -> Iterator[int]:
    """Run `podium fetch` as a Job does, until the block ends; yield the port where it tells how far it is."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder), "PODIUM_METRICS_PORT": str(port)}
    command = [Path(sys.executable).with_name("podium"), "fetch", hub.repository, "--to", folder / "model"]
    with subprocess.Popen(command, env={**os.environ, **own}, stderr=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.kill()


def in_lfs(name: str) -> bool:
    """Whether the hub keeps a file in LFS."""
    return name.endswith((".safetensors", ".bin"))


def etag(name: str, content: bytes) -> str:
    """Return the digest that the hub announces for a file."""
    if in_lfs(name):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _handler(hub: Hub, cdn: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            authorization = self.headers.get("Authorization")
            hub.requests.append(Request(self.command, path, self.headers.get("Range"), authorization))
            refusal = next((refusal for refusal in hub.refusals if self._concerns(refusal, path)), None)
            if refusal:
                self._send(refusal.status, b"", refusal.headers)
            elif cdn:
                self._content(path.removeprefix("/"), {})
            elif hub.token and authorization != f"Bearer {hub.token}":
                self._send(401, b"", {"X-Error-Message": "Invalid username or password."})
            elif path.startswith("/api/models/"):
                self._listing(path.removeprefix("/api/models/"))
            else:
                self._resolve(path)

        def _concerns(self, refusal: Refusal, path: str) -> bool:
            return refusal.path in path and (cdn or not refusal.content_host_only)

        def _listing(self, path: str) -> None:
            repository, _, revision = path.partition("/revision/")
            commit = hub.branches.get(revision or "main", revision if len(revision) == 40 else None)
            if repository != hub.repository:
                self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
            elif commit is None:
                self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            else:
                siblings = [{"rfilename": name} for name in hub.files]
                answer = {"id": repository, "sha": commit, "siblings": siblings}
                self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def _resolve(self, path: str) -> None:
            commit, _, name = path.removeprefix(f"/{hub.repository}/resolve/").partition("/")
            content = hub.files.get(name)
            if content is None:
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            headers = {"X-Repo-Commit": commit, "ETag": f'"{etag(name, content)}"'}
            if in_lfs(name):
                linked = {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
                self._send(
                    302, b"", headers | linked | {"Location": f"{hub.content_host}/{name}?signature=x"}
                )
            else:
                self._content(name, headers)

        def _content(self, name: str, headers: Mapping[str, str]) -> None:
            content = hub.forged.get(name, hub.files[name])
            begin = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
            if not begin or hub.ignores_ranges:
                self._send(200, content, headers, name)
                return
            if int(begin) >= len(content):
                self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            where = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            self._send(206, content[int(begin) :], {**headers, "Content-Range": where}, name)

        def _send(self, status: int, body: bytes, headers: Mapping[str, str], name: str = "") -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            path = unquote(urlsplit(self.path).path)
            if path in hub.hangs:
                self.wfile.write(body[: hub.hangs[path]])
                self.wfile.flush()
                hub.wait_for_the_end()
                self.close_connection = True
                return
            cut = next((cut for cut in hub.cuts if cut[0] == name), None)
            if cut:
                hub.cuts.remove(cut)
                body, self.close_connection = body[: cut[1]], True
            for begin in range(0, len(body), _MIB):
                time.sleep(hub.pause_s)
                self.wfile.write(body[begin : begin + _MIB])

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    return Handler
