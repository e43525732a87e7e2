"""The Lease that one process of a release holds: it alone writes, the others watch and stand by."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from podium_operator.run.cluster import ApiError, Cluster, Unreachable
from podium_operator.run.metrics import LEADER
from podium_operator.seen.kinds import LEASE

logger = logging.getLogger(__name__)

DURATION_S = 14
"""Seconds without a renewal after which another process takes the Lease."""
_RENEW_S, _RETRY_S, _ANSWER_S = 3.0, 2.0, 10.0
_MARGIN_S = 1.0
"""Seconds before the end of its time in which a holder that could not renew it writes no more."""


class Lease:
    """Holds one Lease or waits for it; `changed` is called with each turn, True where this process leads."""

    def __init__(
        self,
        cluster: Cluster,
        place: str,
        holder: str,
        *,
        changed: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._holder, self._changed, self._clock = cluster, holder, changed, clock
        self._namespace, _, self._name = place.partition("/")
        self._until = float("-inf")
        self._led, self._turned = False, asyncio.Event()
        self._seen, self._expires = "", float("inf")
        self._body: Mapping[str, Any] | None = None
        self.transitions = -1
        """How often the Lease had gone to another holder when this process held it last."""
        self.trouble: str | None = f"the Lease {place} was not read yet"
        """Why it is not known who holds the Lease, or None."""
        LEADER.set(0)

    @property
    def leading(self) -> bool:
        """Whether this process may write now."""
        return self._clock() < self._until

    async def may_write(self) -> bool:
        """Whether this process leads; one whose renewal is late waits for it, as long as it may take."""
        if not self.leading and self._led:
            with suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_S):
                    await self._turned.wait()
        return self.leading

    async def run(self) -> None:
        """Take the Lease when it is free and renew it, until cancelled."""
        while True:
            began = self._clock()
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await self._turn()
                self.trouble = None
            except (ApiError, Unreachable, TimeoutError) as error:
                self._body = None
                if not (isinstance(error, ApiError) and error.status == 409):
                    self.trouble = f"the Lease {self._namespace}/{self._name} cannot be had: {error}"
                    logger.warning(self.trouble)
            self._tell()
            self._turned.set()  # wakes who waits for the end of this turn
            self._turned.clear()
            if self.leading:
                # An API server that takes long for a write leaves no time between two.
                await asyncio.sleep(max(0.0, began + _RENEW_S - self._clock()))
            else:
                await asyncio.sleep(min(_RETRY_S, max(0.1, self._expires - self._clock())))

    async def release(self) -> None:
        """Let go of the Lease, so that another process takes it at once."""
        leading, self._until = self.leading, float("-inf")
        self._tell()
        if leading and self._body is not None:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await self._write(self._body, "")
            except (ApiError, Unreachable, TimeoutError) as error:
                logger.warning("the Lease was not handed over: %s", error)

    async def _turn(self) -> None:
        """Renew the Lease, take it, or look who has it."""
        asked = self._clock()
        if self._body is None or not self.leading:
            self._body = await self._cluster.lease("GET", self._namespace, self._name)
        if self._body is None:
            empty = {"apiVersion": LEASE.api_version, "kind": LEASE.name, "spec": {}}
            metadata = {"name": self._name, "namespace": self._namespace}
            self._body = await self._write({**empty, "metadata": metadata}, self._holder)
        elif self._is_free(self._body):
            self._body = await self._write(self._body, self._holder)
        else:
            return
        self.transitions = int(self._body["spec"].get("leaseTransitions", 0))
        self._until = asked + DURATION_S - _MARGIN_S

    def _is_free(self, body: Mapping[str, Any]) -> bool:
        """Whether it is ours, nobody's, or its holder has not renewed it for its time, by our own clock."""
        spec, version = body.get("spec", {}), body["metadata"]["resourceVersion"]
        if version != self._seen:
            self._seen = version
            self._expires = self._clock() + spec.get("leaseDurationSeconds", DURATION_S)
        ours = (spec.get("holderIdentity") or self._holder) == self._holder
        return ours or self._clock() >= self._expires

    async def _write(self, body: Mapping[str, Any], holder: str) -> Mapping[str, Any]:
        spec, now = body.get("spec", {}), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        turned = spec.get("holderIdentity") != holder
        renewed = {
            **spec,
            "holderIdentity": holder,
            "leaseDurationSeconds": DURATION_S,
            "renewTime": now,
            "acquireTime": now if turned else spec.get("acquireTime", now),
            "leaseTransitions": int(spec.get("leaseTransitions", 0)) + (turned and bool(holder)),
        }
        exists = "resourceVersion" in body["metadata"]
        where = self._name if exists else ""
        answer = await self._cluster.lease(
            "PUT" if exists else "POST", self._namespace, where, {**body, "spec": renewed}
        )
        assert answer is not None
        return answer

    def _tell(self) -> None:
        if self.leading != self._led:
            self._led = self.leading
            LEADER.set(self._led)
            logger.info("this process %s", "leads" if self._led else "stands by")
            self._changed(self._led)
