"""The operator's own HTTP server: /healthz, /readyz, /metrics."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from podium_operator.run.metrics import REGISTRY

HUNG_AFTER_S = 45.0
"""Seconds in which a look at a Reranker must end one request: each has its own, shorter limit."""

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""


async def serve(host: str, port: int, *, healthy: Check, ready: Check) -> tuple[web.AppRunner, int]:
    """Start the server; return it and its port."""

    async def healthz(_: web.Request) -> web.Response:
        return _answer(healthy())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(ready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    # None: every address, of IPv6 and of IPv4, whichever the machine has.
    site = web.TCPSite(runner, None if host == "::" else host.strip("[]"), port)
    await site.start()
    return runner, runner.addresses[0][1]


def _answer(trouble: str | None) -> web.Response:
    return web.Response(text=trouble or "ok", status=503 if trouble else 200)
