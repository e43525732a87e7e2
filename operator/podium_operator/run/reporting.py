"""Writing what is found: status where it changed, and Events of what turned."""

import logging
import re
from collections.abc import Callable, Mapping, Set
from datetime import datetime
from typing import Any

import msgspec

from podium_operator.decision import Decision
from podium_operator.resource.remedies import with_remedy
from podium_operator.resource.status import RerankerStatus, read_status
from podium_operator.run.cluster import ApiError, Cluster, Unreachable
from podium_operator.run.metrics import FLEET, UNDECLARED_FIELDS, WRITES
from podium_operator.seen.kinds import RERANKER
from podium_operator.seen.store import Key, Store
from podium_operator.tell.events import Transition, event_body, transitions
from podium_operator.tell.status import make_status

logger = logging.getLogger(__name__)

_UNDECLARED = re.compile(r"\.status\.(\w+)[^:]*: field not declared in schema")


class Reporter:
    """Writes status and Events; remembers which fields of status the CRD of the cluster does not have."""

    def __init__(self, store: Store, cluster: Cluster, wall: Callable[[], datetime]) -> None:
        self._store, self._cluster, self._wall = store, cluster, wall
        self._undeclared: frozenset[str] = frozenset()
        self._told: set[Key] = set()

    async def report(self, key: Key, body: Mapping[str, Any], decision: Decision) -> None:
        """Write the status of a Reranker where it is another than before, and post what turned."""
        before = read_status(body)
        generation = body["metadata"].get("generation", 0)
        after = make_status(decision.view, before, generation, decision.pinned, self._wall())
        FLEET.set(decision.view.reranker, after)
        if after == before:
            return
        try:
            patched = await self._write(key, body, wire_status(after))
        except ApiError as error:
            if error.status == 404 or (error.status in (409, 422) and "uid" in error.message):
                self._store.forget((RERANKER.name, *key))  # deleted meanwhile; its watch says so too
                return
            raise
        WRITES.labels(what="status").inc()
        self._store.put(patched, watched=False)
        for transition in transitions(before, after):
            await self._post(key, body, transition)

    async def _write(self, key: Key, body: Mapping[str, Any], status: Mapping[str, Any]) -> Any:
        """Write status without the fields that an older CRD does not declare; return the object.

        All are tried each time, so that a CRD that is renewed needs no restart.
        """
        declared = dict(status)
        while True:
            try:
                patched = await self._cluster.apply_status(body, declared)
                break
            except ApiError as error:
                refused = declared.keys() & set(_UNDECLARED.findall(error.message))
                if not refused:
                    raise
                declared = {name: value for name, value in declared.items() if name not in refused}
        await self._tell(key, body, status.keys() - declared.keys(), known=declared.keys())
        return patched

    async def _tell(self, key: Key, body: Mapping[str, Any], missing: Set[str], *, known: Set[str]) -> None:
        """Say once that the CRD is too old: in the log, in a metric, and in an Event of each Reranker."""
        before, self._undeclared = self._undeclared, (self._undeclared - known) | missing
        UNDECLARED_FIELDS.set(len(self._undeclared))
        if not self._undeclared:
            self._told.clear()
        names = ", ".join(f"status.{name}" for name in sorted(missing))
        message = with_remedy(
            "OutdatedCRD", f"the CRD of {RERANKER.api_version} is older than the operator: it lacks {names}"
        )
        if missing - before:
            logger.error(message)
        if missing and key not in self._told:
            self._told.add(key)
            event = Transition(type="Warning", reason="OutdatedCRD", message=message, action="Status")
            await self._post(key, body, event)

    async def _post(self, key: Key, body: Mapping[str, Any], transition: Transition) -> None:
        try:
            await self._cluster.post_event(event_body(body, transition, self._wall()))
            WRITES.labels(what="event").inc()
        except (ApiError, Unreachable) as error:
            # Status or the log has the same words; an Event is not worth another pass.
            logger.warning("Event %s of %s/%s was not posted: %s", transition.reason, *key, error)


def wire_status(status: RerankerStatus) -> dict[str, Any]:
    """Return status as it is written; the numbers that people read are there also when they are 0."""
    numbers = {
        "replicas": status.replicas,
        "readyReplicas": status.ready_replicas,
        "desiredReplicas": status.desired_replicas,
    }
    written: dict[str, Any] = msgspec.to_builtins(status)
    return {**numbers, **written}
