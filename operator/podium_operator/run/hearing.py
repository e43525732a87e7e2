"""Whether the watches are alive: every line of theirs is heard here, bookmarks too.

A quiet cluster and a deaf watch look the same to handlers. The API server tells them apart: about once a
minute it sends a bookmark. kopf asks for them and drops them before handlers, so its stream is listened to.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, cast

from kopf._cogs.clients import watching

from podium_operator.seen.kinds import Kind
from podium_operator.seen.store import Key, Store

RESTART_AFTER_S, DEAF_AFTER_S = 90.0, 160.0
"""Seconds without a line after which kopf begins a watch anew, and after which that was in vain: a new one
has its bookmark within 60 s or little more. kopf's own 70 s were too few where the API server is busy."""

_kopfs_own = watching.infinite_watch


class Hearing:
    """When each watch was heard last. A watch is of one kind, in one namespace or in all (None)."""

    def __init__(
        self,
        store: Store,
        kinds: Sequence[Kind],
        namespaces: Sequence[str],
        *,
        changed: Callable[[Key], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._changed, self._clock = store, changed, clock
        self._kinds = {(kind.group, kind.plural): kind for kind in kinds}
        self._heard = {(kind, space): clock() for kind in kinds for space in (namespaces or (None,))}
        self._excused = dict.fromkeys(kinds, clock())
        self.left_out: set[str | None] = set()
        """Namespaces of which nothing is to be heard."""
        # kopf looks the function up in its module each time it begins to watch; tests hold it to that.
        watching.infinite_watch = self._infinite_watch

    def excuse(self, refused: Kind | None = None) -> None:
        """Take note that the API server does not answer now: then no watch can. Where it only refuses a list
        of one kind, the watches of others have no excuse.
        """
        for kind in (refused,) if refused else self._excused:
            self._excused[kind] = self._clock()

    def take_back(self, namespace: str | None) -> None:
        """Listen to a namespace again that was left out."""
        self.left_out.discard(namespace)
        self._heard |= {watch: self._clock() for watch in self._heard if watch[1] == namespace}

    def quiet(self) -> set[str | None]:
        """Return the namespaces with a watch that was silent for so long that kopf begins it anew."""
        now = self._clock()
        return {
            space for (_, space), at in self._heard.items() if now - at >= RESTART_AFTER_S
        } - self.left_out

    def silent(self) -> list[str]:
        """Return the kinds of which a watch has been silent for too long though the API server answers."""
        now = self._clock()
        return sorted(
            {
                kind.name
                for (kind, space), at in self._heard.items()
                if now - max(at, self._excused[kind]) >= DEAF_AFTER_S and space not in self.left_out
            }
        )

    async def _infinite_watch(self, *, resource: Any, namespace: Any, **rest: Any) -> AsyncIterator[Any]:
        """Hand kopf's stream through. What a list is made of comes first, then the mark that it is over."""
        kind = self._kinds.get((resource.group, resource.plural))
        listed: set[str] = set()
        own = cast(AsyncGenerator[Any, None], _kopfs_own(resource=resource, namespace=namespace, **rest))
        async with aclosing(own) as stream:
            async for event in stream:
                if kind:
                    self._heard[kind, namespace] = self._clock()
                    if event is watching.Bookmark.LISTED:
                        self._forget_others(kind, namespace, listed)
                        listed = set()
                    elif event["type"] is None:
                        listed.add(event["object"]["metadata"]["uid"])
                yield event

    def _forget_others(self, kind: Kind, namespace: str | None, listed: set[str]) -> None:
        """What went while a watch was cut is in no list: it is only left out."""
        for key in self._store.relisted(kind.name, namespace, listed):
            self._changed(key)
