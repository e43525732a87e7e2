"""One look at a Reranker: observe, decide, carry out, say how it is. It may run at any time."""

import logging
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from podium_operator.decision import Decision, decide, read
from podium_operator.judge.memory import Memory
from podium_operator.render.pinned import held
from podium_operator.resource.names import KIND
from podium_operator.resource.source import Source, model_source
from podium_operator.resource.status import read_status
from podium_operator.run.cluster import ApiError, Cluster, Unreachable
from podium_operator.run.metrics import FLEET, RECONCILE_SECONDS, RECONCILES
from podium_operator.run.reporting import Reporter
from podium_operator.run.turns import Turns
from podium_operator.run.writing import Writer
from podium_operator.seen.kinds import BY_NAME
from podium_operator.seen.observed import (
    Body,
    Contest,
    Observed,
    WarningEvent,
)
from podium_operator.seen.store import Key, Store
from podium_operator.seen.stuck import PATIENCE_S, Suspect, may_become_suspect, suspects
from podium_operator.settings import Settings

logger = logging.getLogger(__name__)

_ROUNDS = 6
"""Looks in one pass: what was made leads to what is made next, and status is written once at the end."""
_FIRST_STATUS_S = 1.0
"""Seconds from the first children to the first status: what controllers say of them meanwhile is in it, where
a status written at once would be written again, two or three times."""
_POLL_S = 10.0
"""Seconds between looks at a claim that bears no label of ours, so that no watch tells of it."""


class Reconciler:
    """Does one Reranker at a time per key; call it from a work queue."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        settings: Settings,
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._cluster, self._settings = store, cluster, settings
        self._wall, self._clock = wall, clock
        self._writer = Writer(store, cluster, clock)
        self._reporter = Reporter(store, cluster, wall)
        self._memories: dict[Key, Memory] = {}
        self.turns = Turns(store)
        self.addons: frozenset[str] = frozenset()
        """Kinds of add-ons that the API server has and the settings allow."""

    async def __call__(self, key: Key) -> float | None:
        """Look at a Reranker; return the seconds until the next look, None where it is gone."""
        with RECONCILE_SECONDS.time():
            try:
                again_s = await self._look(key)
            except Exception:
                RECONCILES.labels(result="error").inc()
                raise
            finally:
                self.turns.end(key)
            RECONCILES.labels(result="success").inc()
            return again_s

    def forget(self) -> None:
        """Forget what was remembered of all Rerankers."""
        self._memories.clear()

    async def _look(self, key: Key) -> float | None:
        memory = self._memories.setdefault(key, Memory())
        claim: Body | None = None
        made = False
        for round_ in range(_ROUNDS):
            body = self._store.reranker(key)
            if body is None or body["metadata"].get("deletionTimestamp"):
                self._memories.pop(key, None)
                FLEET.forget(*key)
                return None
            source = self._source(key, body)
            if round_ == 0:
                claim = await self._foreign_claim(key, source)
            observed = await self._observe(key, source, memory, claim)
            decision = decide(body, observed, self._settings, self._wall())
            self.turns.take(key, decision)
            try:
                if not await self._writer.carry_out(key, decision, memory):
                    break
            except Unreachable:
                # If the API server is away, so it is for status; if webhooks of children hang, status tells.
                observed = await self._observe(key, source, memory, claim)
                decision, made = decide(body, observed, self._settings, self._wall()), False
                break
            made = True
        else:
            return 1.0
        if made and not body.get("status"):
            return _FIRST_STATUS_S
        await self._report(key, body, decision, memory)
        if self._is_edited(key, body):
            return 0.0
        return self._again_s(decision, memory)

    def _is_edited(self, key: Key, body: Body) -> bool:
        """Whether the spec is another one since: the answer to a status may be the first to bear it, and
        the watch then brings nothing that the store does not have.
        """
        now = self._store.reranker(key)
        return now is not None and now["metadata"].get("generation") != body["metadata"].get("generation")

    async def _report(self, key: Key, body: Mapping[str, Any], decision: Decision, memory: Memory) -> None:
        """Write status; one that someone else keeps writing is held back as a contested field is."""
        now, contest = self._clock(), Contest(manager="unknown", kind=KIND, name=key[1], field="status")
        if memory.status is not None and memory.status != read_status(body):
            if memory.held(contest, now):
                return
            memory.taken(contest, now)
        await self._reporter.report(key, body, decision)
        memory.status = read_status(self._store.reranker(key) or body)

    def _source(self, key: Key, body: Mapping[str, Any]) -> Source:
        """Return where the model of the pods lies: of those that run, where the newest spec is refused."""
        reranker, problem = read(body, self._settings)
        running = held(reranker, self._store.observe(key).get("Deployment", key[1])) if problem else None
        return model_source(running or reranker)

    async def _foreign_claim(self, key: Key, source: Source) -> Body | None:
        """Return a claim that the user named: it bears no label of ours, so the store does not have it."""
        if source.claim is None or source.own_claim:
            return None
        claim: Body | None = await self._cluster.find(BY_NAME["PersistentVolumeClaim"], key[0], source.claim)
        return claim

    async def _observe(
        self, key: Key, source: Source, memory: Memory, foreign_claim: Body | None
    ) -> Observed:
        now = self._clock()
        observed = self._store.observe(key)
        own = source.claim is not None and source.own_claim
        claim = observed.get("PersistentVolumeClaim", source.claim or "") if own else foreign_claim
        warnings = [await self._warnings(key, suspect) for suspect in suspects(observed, self._wall())]
        return msgspec.structs.replace(
            observed,
            claim=claim,
            warnings=tuple(warning for found in warnings for warning in found),
            addons=self.addons,
            refusals=memory.refusals(now),
            contests=memory.contests(now),
            zeroed_by=memory.zeroed_by,
            granted=memory.granted,
            rolling=self.turns.before(key),
        )

    async def _warnings(self, key: Key, about: Suspect) -> list[WarningEvent]:
        """Return the Warning Events about an object; without them status says less, and is written."""
        try:
            return await self._cluster.warnings(key[0], *about)
        except ApiError as error:
            logger.warning("no Events about %s %s of %s/%s: %s", about.kind, about.name, *key, error)
            return []

    def _again_s(self, decision: Decision, memory: Memory) -> float:
        """Return when to look again though nothing may change: the sooner of all that is due."""
        view, now = decision.view, self._wall()
        due = [self._settings.resync_s * random.uniform(0.8, 1.2)]  # noqa: S311  spreads load
        if view.progress.retry_at:
            due.append(max(0.0, (view.progress.retry_at - now).total_seconds()) + 0.5)
        named = view.source.claim is not None and not view.source.own_claim
        if named and not (view.progress.ready and view.ready):
            due.append(_POLL_S)
        if view.observed.warnings or suspects(view.observed, now):
            due.append(_POLL_S * 3)  # it may wait for hours, in a queue or for a large image
        elif may_become_suspect(view.observed, now):
            due.append(PATIENCE_S)
        wake_s = memory.wake_s(self._clock())
        return min(due if wake_s is None else [*due, wake_s])
