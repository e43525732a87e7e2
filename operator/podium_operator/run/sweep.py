"""A second look past the watches: does the API list anything that they have not delivered?

It tells when the store is complete after a start, when a watch has gone deaf, which no silence can tell (a
quiet cluster is silent too), and what went while a watch was cut, which its next list does not say.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from podium_operator.resource.names import OWNER_LABEL
from podium_operator.run.cluster import ApiError, Cluster, Unreachable
from podium_operator.run.metrics import WATCH_BEHIND
from podium_operator.seen.kinds import RERANKER, Kind
from podium_operator.seen.observed import Listing
from podium_operator.seen.store import Key, Store

logger = logging.getLogger(__name__)

_LIST_AGAIN_S = 5.0
DEAF_AFTER_S = 15.0
"""Seconds that a version may be listed and not delivered; a busy watch lags for less."""
_TRUST_S = 60.0
"""Seconds without a list for a watch that goes on delivering. It is not deaf, and lists cost the API server
most while it has much to write; what went while the watch was cut is found at the end of this time."""


def selector_of(kind: Kind) -> str:
    """Return the label selector of a kind's watch: children and pods only where they bear our label."""
    return "" if kind is RERANKER else OWNER_LABEL


class Sweep:
    """Compares lists of metadata with the store, one kind and namespace after the other."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        kinds: Sequence[Kind],
        namespaces: Sequence[str],
        *,
        changed: Callable[[Key], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._cluster, self._changed, self._clock = store, cluster, changed, clock
        self._targets = [(kind, space) for kind in kinds for space in (namespaces or (None,))]
        self._behind: dict[tuple[str, str | None], dict[Listing, float]] = {}
        self._looked: dict[tuple[str, str | None], float] = {}
        self._delivered: dict[tuple[str, str | None], int] = {}

    def deaf(self) -> list[str]:
        """Return the kinds whose watch has not delivered something from one look to a later one."""
        return sorted(
            {
                target[0]
                for target, behind in self._behind.items()
                if any(self._looked[target] - since >= DEAF_AFTER_S for since in behind.values())
            }
        )

    async def until_complete(self) -> None:
        """Wait until the store has all that was listed; what goes meanwhile is missed by a later list too."""
        waiting = {target: await self._list(*target) for target in self._targets}
        since = self._clock()
        while waiting := {
            target: listed for target, listed in waiting.items() if self._store.behind(target[0].name, listed)
        }:
            await asyncio.sleep(0.25)
            if self._clock() - since >= _LIST_AGAIN_S:
                waiting = {target: await self._list(*target) for target in waiting}
                since = self._clock()

    async def _list(self, kind: Kind, namespace: str | None) -> list[Listing]:
        return await self._cluster.list_metadata(kind, namespace, selector_of(kind))

    async def run(self, every_s: float) -> None:
        """Look at everything once in `every_s` seconds, until cancelled."""
        while True:
            for target in self._targets:
                await asyncio.sleep(every_s / len(self._targets))
                try:
                    await self._look(*target)
                except (ApiError, Unreachable) as error:
                    # Without an answer nothing can be said about the watches.
                    self._behind.pop((target[0].name, target[1]), None)
                    logger.debug("no list of %s: %s", target[0].plural, error)

    async def _look(self, kind: Kind, namespace: str | None) -> None:
        """Compare one list with the store: drop what is gone, remember since when the watch owes what."""
        if self._delivers(kind, namespace):
            self._behind.pop((kind.name, namespace), None)
            WATCH_BEHIND.labels(kind=kind.name).set(0)
            return
        known = self._store.known(kind.name, namespace)
        listed = await self._list(kind, namespace)
        for space, name, uid in known - {(space, name, uid) for space, name, uid, _ in listed}:
            if key := self._store.forget((kind.name, space, name), uid):
                logger.debug("%s %s/%s is gone, and the watch did not say so", kind.name, space, name)
                self._changed(key)
        behind = self._store.behind(kind.name, listed)
        owed = self._behind.get((kind.name, namespace), {})
        now = self._clock()
        self._behind[kind.name, namespace] = {item: owed.get(item, now) for item in behind}
        self._looked[kind.name, namespace] = now
        WATCH_BEHIND.labels(kind=kind.name).set(len(behind))

    def _delivers(self, kind: Kind, namespace: str | None) -> bool:
        """Whether the watch has delivered something since this was last asked, and was listed lately."""
        target = (kind.name, namespace)
        delivered = self._store.delivered(*target)
        before = self._delivered.get(target, delivered)
        self._delivered[target] = delivered
        return delivered != before and self._clock() - self._looked.get(target, -_TRUST_S) < _TRUST_S
