"""The bare loop of the benchmark: the operator's client sends what the operator would send, 16 at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from cluster.harness import ADMIN, ControlPlane
from cluster.space import Space
from kubernetes.aio.client import Configuration

from podium_operator.api import API_VERSION, RerankerStatus
from podium_operator.cluster import Cluster
from podium_operator.decision import decide
from podium_operator.observed import Observed
from podium_operator.plan import key_of
from podium_operator.reporting import wire_status
from podium_operator.settings import Settings
from podium_operator.status import make_status

IN_FLIGHT = 16
_SPECS: tuple[dict[str, Any], ...] = (
    {"model": {"uri": "builtin"}, "autoscaling": {"minReplicas": 1, "maxReplicas": 2}},
    {"model": {"uri": "hf://org/model"}, "replicas": 2},
)

Send = Callable[[Cluster], Awaitable[object]]


async def in_flight(plane: ControlPlane, sends: Iterable[Send]) -> float:
    """Send all, 16 at a time; return the seconds."""
    configuration = Configuration(host=plane.url, api_key={"BearerToken": f"Bearer {plane.tokens[ADMIN]}"})
    configuration.verify_ssl = False
    configuration.connection_pool_maxsize = IN_FLIGHT
    configuration.client_session_kwargs = {"trust_env": False}
    cluster = Cluster(configuration, timeout_s=30)
    work = iter(list(sends))

    async def worker() -> None:
        for send in work:
            await send(cluster)

    try:
        start = time.monotonic()
        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        return time.monotonic() - start
    finally:
        await cluster.close()


def rerankers(space: Space, number: int) -> list[Send]:
    """Return the applies of so many Rerankers, as their owner sends them."""
    return [
        partial(Cluster.apply, manifest=_reranker(space, index), uid=None, manager="bench")
        for index in range(number)
    ]


def _reranker(space: Space, index: int) -> dict[str, Any]:
    """Return one Reranker: half are served at once and scaled, half are downloaded first."""
    more = {"networkPolicy": {"enabled": True}, "monitoring": {"serviceMonitor": {"enabled": True}}}
    return {
        "apiVersion": API_VERSION,
        "kind": "Reranker",
        "metadata": {"name": f"r{index:04d}", "namespace": space.name},
        "spec": {**_SPECS[index % len(_SPECS)], **more},
    }


def children_and_statuses(space: Space) -> tuple[list[Send], list[Send]]:
    """Return the applies of the children and of the statuses of all Rerankers in a namespace."""
    children: list[Send] = []
    statuses: list[Send] = []
    for item in space.list("rerankers"):
        manifests, status = _applied({**item, "kind": "Reranker"})
        children += [partial(Cluster.apply, manifest=manifest, uid=None) for manifest in manifests]
        statuses.append(partial(Cluster.apply_status, body=item, status=status))
    return children, statuses


def _applied(body: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the children and the status that the operator applies for one Reranker that has nothing yet."""
    observed = Observed(addons=frozenset({"ServiceMonitor", "ScaledObject"}))
    found: list[dict[str, Any]] = []
    now = datetime.now(UTC)
    while True:
        decision = decide(body, observed, Settings(), now)
        if decision.plan.empty:
            status = make_status(decision.view, RerankerStatus(), 1, decision.pinned, now)
            return found, wire_status(status)
        found += [apply.manifest for apply in decision.plan.applies]
        live = {
            key_of(m): {
                **m,
                "metadata": {**m["metadata"], "uid": "x", "creationTimestamp": "2026-01-01T00:00:00Z"},
            }
            for m in found
        }
        claim = live.get(("PersistentVolumeClaim", f"{body['metadata']['name']}-cache"))
        observed = msgspec.structs.replace(observed, children=live, claim=claim)
