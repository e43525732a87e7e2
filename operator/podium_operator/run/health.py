"""The operator's own HTTP server: /healthz, /readyz, /metrics."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from prometheus_client.exposition import choose_encoder

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

    async def metrics(request: web.Request) -> web.Response:
        try:
            encode, media_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # a version that is none
            encode, media_type = choose_encoder("")
        # thousands of Rerankers take seconds, in which the Lease must be renewed
        body = await asyncio.to_thread(encode, REGISTRY)
        return web.Response(body=body, headers={"Content-Type": media_type})

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
