"""What the bare loop of the benchmark sends: Rerankers, and what the operator would apply for each."""

import asyncio
import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
from cluster.harness import ADMIN, ControlPlane
from cluster.space import Space

from podium_operator.decision import decide
from podium_operator.judge.plan import key_of
from podium_operator.resource.names import API_VERSION
from podium_operator.resource.status import RerankerStatus
from podium_operator.run.reporting import wire_status
from podium_operator.seen.kinds import BY_NAME
from podium_operator.seen.observed import Observed
from podium_operator.settings import Settings
from podium_operator.tell.status import make_status

IN_FLIGHT = 16
_SPECS: tuple[dict[str, Any], ...] = (
    {"model": {"uri": "builtin"}, "autoscaling": {"minReplicas": 1, "maxReplicas": 2}},
    {"model": {"uri": "hf://org/model"}, "replicas": 2},
)


def spec_of(number: int) -> dict[str, Any]:
    """Return the spec of one Reranker: half are served at once and scaled, half are downloaded first."""
    more = {"networkPolicy": {"enabled": True}, "monitoring": {"serviceMonitor": {"enabled": True}}}
    return {**_SPECS[number % len(_SPECS)], **more}


def applied(body: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the children and the status that the operator applies for one Reranker that has nothing yet."""
    observed = Observed(addons=frozenset({"ServiceMonitor", "PodMonitor", "ScaledObject"}))
    found: list[dict[str, Any]] = []
    now = datetime.now(UTC)
    while True:
        decision = decide(body, observed, Settings(), now)
        if decision.plan.empty:
            status = make_status(decision.view, RerankerStatus(), 1, decision.pinned, now)
            # each once: a Deployment that is autoscaled is applied again, when its number is handed over
            return list({key_of(each): each for each in found}.values()), wire_status(status)
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


async def in_flight(plane: ControlPlane, bodies: Iterable[tuple[str, bytes]]) -> float:
    """Send server-side applies, 16 at a time; return the seconds."""
    headers = {
        "Authorization": f"Bearer {plane.tokens[ADMIN]}",
        "Content-Type": "application/apply-patch+yaml",
    }
    work = iter(list(bodies))
    start = time.monotonic()
    connector = aiohttp.TCPConnector(ssl=False, limit=IN_FLIGHT)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def worker() -> None:
            for path, body in work:
                async with session.patch(plane.url + path, data=body) as response:
                    await response.read()
                    response.raise_for_status()

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return time.monotonic() - start


def resources(space: Space, count: int) -> list[tuple[str, bytes]]:
    """Return the Rerankers to apply."""
    found = []
    for number in range(count):
        body = {
            "apiVersion": API_VERSION,
            "kind": "Reranker",
            "metadata": {"name": f"r{number:04d}"},
            "spec": spec_of(number),
        }
        path = space.path("rerankers", f"r{number:04d}") + "?fieldManager=bench&force=true"
        found.append((path, json.dumps(body).encode()))
    return found


def applies(space: Space) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """Return the children and the statuses of all Rerankers in a namespace."""
    children, statuses = [], []
    query = "?fieldManager=podium-operator&force=true"
    for item in space.list("rerankers"):
        manifests, status = applied({**item, "kind": "Reranker"})
        for manifest in manifests:
            path = BY_NAME[manifest["kind"]].path(space.name, manifest["metadata"]["name"])
            children.append((path + query, msgspec.json.encode(manifest)))
        name = item["metadata"]["name"]
        body = {
            "apiVersion": API_VERSION,
            "kind": "Reranker",
            "metadata": {"name": name, "uid": item["metadata"]["uid"]},
            "status": status,
        }
        statuses.append((f"{space.path('rerankers', name)}/status{query}", msgspec.json.encode(body)))
    return children, statuses
