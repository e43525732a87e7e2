"""A proxy before the API server that fails on demand: answers of its own, silence, cut and deaf watches."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from cluster.harness import ControlPlane

HOP_BY_HOP = ("transfer-encoding", "connection", "content-length", "content-encoding")


@dataclass
class Faults:
    """What goes wrong now; a test sets and clears it."""

    refuse: dict[str, Any] | None = None
    """Answer requests with this Status instead of asking the API server; `times` of them, or for ever."""
    times: int = 1_000_000_000
    verbs: tuple[str, ...] = ("PATCH", "POST", "DELETE")
    silent: bool = False
    """Take requests and never answer."""
    slow_s: float = 0.0
    """Seconds after which a write is passed on."""
    deaf: bool = False
    """Keep watches open and swallow what they would deliver."""
    cut: int = 0
    """Number of the generation of watches; those of an older one are closed."""
    expired_before: int = 0
    """Watches that ask for what came after an older version than this are told that it is too old."""
    after_write: Callable[[int], None] | None = None
    """Called with the number of each write that the API server has taken."""
    writes: list[tuple[str, str]] = field(default_factory=list)


class Proxy:
    """Runs in a thread with an event loop of its own."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane, self.faults = plane, Faults()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self.port}"

    async def _start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=False, limit=0), timeout=timeout, auto_decompress=False
        )
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()  # silent requests and watches would wait for ever
        await asyncio.gather(*others, return_exceptions=True)
        await self._runner.cleanup()
        await self._client.close()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        faults = self.faults
        if faults.silent:
            await asyncio.sleep(3600)
        if faults.refuse and request.method in faults.verbs and faults.times > 0:
            faults.times -= 1
            code = faults.refuse["code"]
            headers = {"Retry-After": "1"} if code == 429 else {}
            return web.json_response(
                {"kind": "Status", "apiVersion": "v1", **faults.refuse}, status=code, headers=headers
            )
        body = await request.read()
        if request.method != "GET":
            await asyncio.sleep(faults.slow_s)
        headers = {
            key: value
            for key, value in request.headers.items()
            if key.lower() not in ("host", "accept-encoding", "content-length")
        }
        try:
            answer = await self._client.request(
                request.method, self.plane.url + str(request.rel_url), headers=headers, data=body or None
            )
        except aiohttp.ClientConnectionError:
            assert request.transport is not None
            request.transport.close()  # the API server is not there, so neither is this
            return web.Response(status=502)
        async with answer:
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in HOP_BY_HOP}
            if request.query.get("watch") in ("true", "1"):
                if int(request.query.get("resourceVersion") or 0) < faults.expired_before:
                    return web.json_response({"type": "ERROR", "object": status(410, "Expired")})
                return await self._watch(request, answer, kept)
            content = await answer.read()
        if request.method in ("PATCH", "POST", "DELETE") and answer.status < 300:
            faults.writes.append((request.method, request.path))
            if faults.after_write:
                faults.after_write(len(faults.writes))
        return web.Response(status=answer.status, headers=kept, body=content)

    async def _watch(
        self, request: web.Request, answer: aiohttp.ClientResponse, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Hand a watch through, piece by piece."""
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        generation = self.faults.cut
        reading = asyncio.ensure_future(answer.content.readany())
        while generation == self.faults.cut:
            await asyncio.wait({reading}, timeout=0.2)
            if not reading.done():
                continue
            if reading.exception() or not reading.result():
                break
            piece = reading.result()
            if not self.faults.deaf:
                await response.write(piece)
            reading = asyncio.ensure_future(answer.content.readany())
        reading.cancel()
        if request.transport:
            request.transport.close()
        return response


def status(code: int, reason: str) -> dict[str, Any]:
    """Return an error as the API server writes it."""
    return {"status": "Failure", "code": code, "reason": reason, "message": f"injected {reason}"}
