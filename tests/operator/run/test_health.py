"""The operator's own pages."""

import time
from typing import Any, cast

import aiohttp
from rerankers import body, reranker, status_of

from podium_operator.run.health import HUNG_AFTER_S, serve
from podium_operator.run.metrics import FLEET
from podium_operator.run.program import Program
from podium_operator.settings import Settings


async def get(port: int, path: str, accept: str = "*/*") -> tuple[int, str]:
    async with (
        aiohttp.ClientSession(headers={"Accept": accept}) as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.text()


async def test_health_and_readiness_say_what_is_wrong_and_metrics_tell_each_condition() -> None:
    trouble: dict[str, str | None] = {"healthy": None, "ready": "not everything is listed"}
    runner, port = await serve(
        "127.0.0.1", 0, healthy=lambda: trouble["healthy"], ready=lambda: trouble["ready"]
    )
    try:
        assert await get(port, "/healthz") == (200, "ok")
        assert await get(port, "/readyz") == (503, "not everything is listed")
        trouble["healthy"] = "the watch is silent for Service"
        assert await get(port, "/healthz") == (503, "the watch is silent for Service")
        FLEET.set(reranker(), status_of(body()))
        series = (
            "podium_operator_reranker_condition"
            '{condition="Ready",namespace="search",reranker="demo",status="Unknown"} 1.0'
        )
        assert series in (await get(port, "/metrics"))[1]
        assert (await get(port, "/metrics", "application/openmetrics-text"))[1].endswith("# EOF\n")
        assert (await get(port, "/metrics", "application/openmetrics-text; version=x"))[0] == 200
        FLEET.forget("search", "demo")
        assert series not in (await get(port, "/metrics"))[1]
    finally:
        await runner.cleanup()


async def test_a_worker_that_hangs_turns_health_and_an_operator_without_rerankers_is_well() -> None:
    program = Program(Settings(), cast(Any, None))
    assert program._trouble() is None
    program._queue._running[("search", "demo")] = time.monotonic() - HUNG_AFTER_S - 1
    assert program._trouble() == "a worker has got no further with one Reranker for 46 s"
    runner, port = await serve("127.0.0.1", 0, healthy=program._trouble, ready=program._trouble)
    try:
        assert "\npodium_operator_stuck_seconds 46." in (await get(port, "/metrics"))[1]
    finally:
        await runner.cleanup()
