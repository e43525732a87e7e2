"""A fake cluster, and a reconciler that looks at one Reranker in it."""

from collections.abc import Mapping
from typing import Any

from rerankers import NOW, SETTINGS, body

from podium_operator.run.cluster import ApiError
from podium_operator.run.reconcile import Reconciler
from podium_operator.seen.kinds import Kind
from podium_operator.seen.store import Store

KEY = ("search", "demo")


class FakeCluster:
    """Keeps what is applied; `refusals` maps a kind to the error that its applies get."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.log: list[str] = []
        self.refusals: dict[str, Exception] = {}
        self.events: list[Mapping[str, Any]] = []
        self._version = 100

    def keep(self, manifest: Mapping[str, Any], uid: str | None = None) -> dict[str, Any]:
        self._version += 1
        key = (manifest["kind"], manifest["metadata"]["name"])
        metadata = {
            **manifest["metadata"],
            "uid": uid or f"uid-{key[0]}-{key[1]}",
            "resourceVersion": str(self._version),
            "creationTimestamp": "2026-03-01T12:00:00Z",
        }
        self.objects[key] = {**manifest, "metadata": metadata}
        return self.objects[key]

    async def apply(
        self, manifest: Mapping[str, Any], *, uid: str | None, manager: str = "podium-operator"
    ) -> Any:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        self.log.append(f"apply {kind}")
        if kind in self.refusals:
            raise self.refusals[kind]
        live = self.objects.get((kind, name))
        if (live["metadata"]["uid"] if live else None) != uid:
            raise ApiError(409, "the object has been modified")
        return self.keep(manifest, uid)

    async def apply_status(self, resource: Mapping[str, Any], status: Mapping[str, Any]) -> Any:
        self.log.append("status")
        if "status" in self.refusals:
            raise self.refusals["status"]
        return self.keep({**resource, "status": status}, resource["metadata"]["uid"])

    async def patch_spec(self, kind: Kind, live: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        self.log.append(f"patch {kind.name} {spec}")
        del self.refusals[kind.name]
        self.keep({**live, "spec": {**live["spec"], **spec}}, live["metadata"]["uid"])

    async def find(self, kind: Kind, namespace: str, name: str) -> Any | None:
        return self.objects.get((kind.name, name))

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        self.log.append(f"delete {kind.name}")
        del self.objects[kind.name, name]

    async def warnings(self, namespace: str, kind: str, name: str, uid: str) -> list[Any]:
        return []

    async def post_event(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)


class World:
    """A store, a fake cluster and a reconciler whose clock stands still until it is moved."""

    def __init__(self, **spec: Any) -> None:
        self.cluster, self.store, self.now = FakeCluster(), Store(), 0.0
        self.reconciler = Reconciler(
            self.store,
            self.cluster,  # type: ignore[arg-type]
            SETTINGS,
            wall=lambda: NOW,
            clock=lambda: self.now,
        )
        self.ask(**spec)

    def ask(self, generation: int = 1, **spec: Any) -> None:
        resource = body(generation=generation, **spec)
        resource["status"] = (self.store.reranker(KEY) or {}).get("status", {})
        self.store.put(self.cluster.keep(resource, resource["metadata"]["uid"]))

    async def look(self) -> float | None:
        """Look once, or twice where the first look at all leaves status to the next."""
        self.cluster.log.clear()
        again_s = await self.reconciler(KEY)
        resource = self.store.reranker(KEY)
        return again_s if resource is None or resource.get("status") else await self.reconciler(KEY)

    def condition(self, kind: str) -> tuple[str, str]:
        resource = self.store.reranker(KEY)
        assert resource is not None
        found = next(item for item in resource["status"]["conditions"] if item["type"] == kind)
        return found["status"], found["reason"]
