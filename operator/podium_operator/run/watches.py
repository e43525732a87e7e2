"""kopf's part: watch, keep the store, put keys on the queue. Nothing else happens in a handler."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import kopf

from podium_operator.run.hearing import RESTART_AFTER_S
from podium_operator.run.sweep import selector_of
from podium_operator.run.workqueue import WorkQueue
from podium_operator.seen.kinds import Kind
from podium_operator.seen.store import Key, Store

SETTLE_S = 0.5
"""Seconds to wait after an event: a change comes as several, and one look at the end sees them all."""

_STARTED_S = 0.1
"""kopf takes the signals in the turn of the loop in which it calls handlers of its start, or in the next."""


class _Endless:
    """Seconds between tries of a watch, for ever: after a last one kopf ends, or hangs in trying to.

    Five seconds is the longest that a watch stays away after an outage; health judges by what it delivers.
    """

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1.0, 1.0, 2.0, 3.0), itertools.repeat(5.0))


class _NoDifferences(kopf.DiffBaseStorage):
    """kopf copies each object twice to find what changed in it; handlers of events never ask."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: object) -> None:
        raise NotImplementedError  # only handlers of changes store anything


def make_registry(
    store: Store, queue: WorkQueue[Key], kinds: Sequence[Kind], *, started: Callable[[], None]
) -> kopf.OperatorRegistry:
    """Return handlers that write nothing to anybody's objects: `on.event` alone needs no finalizer.

    `started` is called once kopf has begun and taken the signals.
    """
    registry = kopf.OperatorRegistry()
    for kind in kinds:
        _watch(registry, store, queue, kind)

    @kopf.on.startup(registry=registry)
    async def begun(**_: Any) -> None:
        asyncio.get_running_loop().call_later(_STARTED_S, started)

    @kopf.on.login(registry=registry)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**arguments) or kopf.login_with_service_account(**arguments)

    return registry


def _watch(registry: kopf.OperatorRegistry, store: Store, queue: WorkQueue[Key], kind: Kind) -> None:
    version = kind.api_version.rpartition("/")[2]

    @kopf.on.event(kind.group, version, kind.plural, registry=registry, id=kind.plural)
    async def seen(event: Any, **_: Any) -> None:
        body = {**event["object"], "kind": kind.name}  # items of a list do not say what they are
        key = store.drop(body) if event["type"] == "DELETED" else store.put(body)
        if key:
            queue.add(key, SETTLE_S)


def watch_settings(kinds: Sequence[Kind]) -> kopf.OperatorSettings:
    """Return kopf's settings; docs/decisions has what was measured with 11,000 objects."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.persistence.diffbase_storage = _NoDifferences()
    settings.watching.chunk_size = 100
    settings.watching.inactivity_timeout = RESTART_AFTER_S
    settings.queueing.worker_limit = 20
    settings.queueing.idle_timeout = 0.01
    settings.queueing.exit_timeout = 1.0
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _Endless()
    settings.process.ultimate_exiting_timeout = 20
    for kind in kinds:
        selector = selector_of(kind)
        if selector:
            settings.watching.label_selectors[kind.plural] = selector
    return settings
