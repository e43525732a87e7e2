"""A second look past the watches: does the API list anything that they have not delivered?

It tells when the store is complete after a start, and finds what no watch told: an object that is gone, and
one that was listed twice and never delivered.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus

from podium_operator.resource.names import OWNER_LABEL
from podium_operator.run.cluster import ApiError, Cluster, Unreachable
from podium_operator.run.hearing import Hearing
from podium_operator.run.metrics import NAMESPACES_LEFT_OUT, WATCH_BEHIND
from podium_operator.seen.kinds import RERANKER, Kind
from podium_operator.seen.observed import Listing
from podium_operator.seen.store import Key, Store

logger = logging.getLogger(__name__)

_LIST_AGAIN_S = 5.0
_LOST_AFTER_S = 45.0
"""Seconds between two lists after which what both show must have been delivered; a busy watch lags less."""

_AGAIN_S = 3600.0
"""Seconds after which a list that was too new for the API server is asked for again: it may be upgraded."""

_AHEAD_ANSWERS = 3
"""Answers in a row that a list as new as the store is not to be had, before that is believed."""

_TOO_NEW = "Too large resource version"
"""What the API server says when it is asked for a list as new as it does not have."""


def selector_of(kind: Kind) -> str:
    """Return the label selector of a kind's watch: children and pods only where they bear our label."""
    return "" if kind is RERANKER else OWNER_LABEL


class Sweep:
    """Compares lists of metadata with the store: one list of a kind at a time, its namespaces in turn."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        hearing: Hearing,
        kinds: Sequence[Kind],
        namespaces: Sequence[str],
        *,
        changed: Callable[[Key], None],
    ) -> None:
        self._store, self._cluster, self._hearing, self._changed = store, cluster, hearing, changed
        self._kinds, self._spaces = tuple(kinds), tuple(namespaces or (None,))
        self._owed: dict[tuple[Kind, str | None], dict[Listing, float]] = {}
        self._lost: set[tuple[Kind, str | None]] = set()
        self._ahead: dict[Kind, list[float]] = {}
        self._waits_in_vain: dict[Kind, float] = {}
        WATCH_BEHIND.clear()
        for kind in kinds:
            self._tell_behind(kind)

    def deaf(self) -> list[str]:
        """Return the kinds whose watch is silent, or does not deliver what two lists have shown."""
        return sorted({*self._hearing.silent(), *(kind.name for kind, _ in self._lost)})

    def leaves_out(self, namespace: str) -> bool:
        """Whether the API server refuses us a namespace, so that nothing is known of what is there now."""
        return namespace in self._hearing.left_out

    @property
    def sees_nothing(self) -> bool:
        """Whether the API server refuses us every namespace."""
        return set(self._spaces) <= self._hearing.left_out

    async def until_complete(self) -> None:
        """Wait until the store has all that was listed; what goes meanwhile is missed by a later list too."""
        waiting = {}
        for space in self._spaces:
            if not await self._leave_out(space):
                waiting.update({(kind, space): await self._list(kind, space) for kind in self._kinds})
        since = time.monotonic()
        while waiting := {
            target: listed for target, listed in waiting.items() if self._store.behind(target[0].name, listed)
        }:
            await asyncio.sleep(0.25)
            if time.monotonic() - since >= _LIST_AGAIN_S:
                waiting = {target: await self._list(*target) for target in waiting}
                since = time.monotonic()

    async def _list(self, kind: Kind, namespace: str | None, not_older_than: int = 0) -> list[Listing]:
        return await self._cluster.list_metadata(kind, namespace, selector_of(kind), not_older_than)

    async def _list_fresh(self, kind: Kind, namespace: str | None, not_older_than: int) -> list[Listing]:
        """List a kind as new as the Lease is, which is renewed all the time.

        For that the API server asks etcd how far it is, and quiet watches live by this: it sends no bookmark
        that says what it said before. Before Kubernetes 1.31 it does not ask, and may refuse.
        """
        version = self._cluster.lease_version
        if version > not_older_than and time.monotonic() >= self._waits_in_vain.get(kind, 0.0):
            try:
                return await self._list(kind, namespace, version)
            except ApiError as error:
                if _TOO_NEW not in str(error):
                    raise
                self._waits_in_vain[kind] = time.monotonic() + _AGAIN_S
        return await self._list(kind, namespace, not_older_than)

    async def _leave_out(self, namespace: str | None) -> bool:
        """Go on without a namespace whose Role or RoleBinding is not there, as when it was deleted: no other
        one is to stand still because of it. Return whether it is left out: where its Rerankers are refused.
        """
        if namespace is None:
            return False
        try:
            await self._list(RERANKER, namespace)
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            if namespace not in self._hearing.left_out:
                logger.warning(
                    "namespace %s is left out until the operator has its Role there again, or take it out of "
                    "the watched ones: %s",
                    namespace,
                    error,
                )
                self._hearing.left_out.add(namespace)
                self._tell_left_out(namespace)
            return True
        return False

    async def _leave_lost(self, suspected: Iterable[str | None]) -> None:
        """Leave those of these namespaces out that are refused."""
        for space in suspected:
            try:
                await self._leave_out(space)
            except (ApiError, Unreachable) as error:
                logger.debug("no list of Rerankers in %s: %s", space, error)

    def _tell_left_out(self, namespace: str | None) -> None:
        NAMESPACES_LEFT_OUT.set(len(self._hearing.left_out))
        for key in self._store.rerankers():
            if key[0] == namespace:
                self._changed(key)

    async def _take_back(self) -> None:
        """Take namespaces back that are refused no longer, once the watches have delivered what is there."""
        for space in [space for space in self._spaces if space in self._hearing.left_out]:
            try:
                owed = [self._store.behind(kind.name, await self._list(kind, space)) for kind in self._kinds]
            except (ApiError, Unreachable):
                continue
            if not any(owed):
                logger.info("namespace %s is looked after again", space)
                self._hearing.take_back(space)
                self._tell_left_out(space)

    async def run(self, every_s: float) -> None:
        """List each kind once in `every_s` seconds, in the next of its namespaces, until cancelled.

        The pace counts how long a list takes: a quiet watch has its bookmark only where a list came since the
        last one, so lists that are a second slower than bookmarks leave one out now and then.
        """
        due = time.monotonic()
        for space in itertools.cycle(self._spaces):
            await self._take_back()
            await self._leave_lost(self._hearing.quiet())  # before health says that we are deaf there
            for kind in self._kinds:
                due = max(due + every_s / len(self._kinds), time.monotonic())
                await asyncio.sleep(due - time.monotonic())
                if space in self._hearing.left_out:
                    continue
                try:
                    await self._look(kind, space)
                    self._ahead.pop(kind, None)
                except (ApiError, Unreachable) as error:
                    self._owed.pop((kind, space), None)
                    self._tell_behind(kind)
                    if kind is RERANKER:
                        await self._leave_lost([space])
                    # Without an answer nothing can be said about the watches.
                    self._hearing.excuse(kind if isinstance(error, ApiError) else None)
                    if _TOO_NEW in str(error):
                        self._note_ahead(kind, space)
                    else:
                        self._ahead.pop(kind, None)
                    logger.debug("no list of %s: %s", kind.plural, error)

    def _note_ahead(self, kind: Kind, namespace: str | None) -> None:
        """The store has what the API server does not know. For a moment a busy one lags behind itself; for
        longer its etcd was restored from a backup, and news would be taken for old until versions catch up.
        """
        since = self._ahead.setdefault(kind, [])
        since.append(time.monotonic())
        if len(since) >= _AHEAD_ANSWERS and since[-1] - since[0] >= _LOST_AFTER_S:
            self._lost.add((kind, namespace))

    def _tell_behind(self, kind: Kind) -> None:
        owed = sum(len(found) for (other, _), found in self._owed.items() if other is kind)
        WATCH_BEHIND.labels(kind=kind.name).set(owed)

    async def _look(self, kind: Kind, namespace: str | None) -> None:
        """Compare one list with the store: drop what is gone, remember what the watch owes."""
        known = self._store.known(kind.name, namespace)
        # Of what is known nothing may be missing because the list is old.
        newest = max((version for _, _, _, version in known), default=0)
        listed = await self._list_fresh(kind, namespace, newest)
        there = {uid for _, _, uid, _ in listed}
        for space, name, uid, _ in known:
            if uid not in there and (key := self._store.forget((kind.name, space, name), uid)):
                logger.debug("%s %s/%s is gone, and the watch did not say so", kind.name, space, name)
                self._changed(key)
        target, now = (kind, namespace), time.monotonic()
        before = self._owed.get(target, {})
        owed = {item: before.get(item, now) for item in self._store.behind(kind.name, listed)}
        lost = any(now - since >= _LOST_AFTER_S for since in owed.values())
        (self._lost.add if lost else self._lost.discard)(target)
        self._owed[target] = owed
        self._tell_behind(kind)
