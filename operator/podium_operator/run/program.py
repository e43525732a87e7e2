"""The running operator: watches, work queue, sweep and health around one event loop."""

import asyncio
import logging
import secrets
import signal
import socket

import kopf

from podium_operator.run.cluster import ApiError, Cluster, Unreachable
from podium_operator.run.health import HUNG_AFTER_S, serve
from podium_operator.run.hearing import Hearing
from podium_operator.run.lease import Lease
from podium_operator.run.metrics import FLEET, QUEUE_DEPTH, STUCK_SECONDS
from podium_operator.run.reconcile import Reconciler
from podium_operator.run.sweep import Sweep
from podium_operator.run.watches import make_registry, watch_settings
from podium_operator.run.workqueue import WorkQueue
from podium_operator.seen.kinds import CHILDREN, POD, RERANKER, Kind
from podium_operator.seen.store import Key, Store
from podium_operator.settings import Settings

logger = logging.getLogger(__name__)

_DISCOVERY_S = 30.0
"""Seconds between two looks whether an add-on's API came or went."""
_RETRY_S = 2.0
_END_S = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Program:
    """One operator process."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._settings, self._cluster = settings, cluster
        self._store = Store()
        self._reconciler = Reconciler(self._store, cluster, settings)
        self._queue: WorkQueue[Key] = WorkQueue(self._work, on_error=_log_failure)
        self._sweep: Sweep | None = None
        self._complete = asyncio.Event()
        self._stopping = asyncio.Event()
        self._reconciler.turns.wake = self._queue.add
        holder = settings.holder or f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self._lease = Lease(cluster, settings.lease, holder, changed=self._turned)
        self._leads, self._term = False, -1
        QUEUE_DEPTH.set_function(self._queue.depth)
        STUCK_SECONDS.set_function(self._queue.longest_s)

    async def run(self) -> bool:
        """Serve health, work and watch until a signal comes (False) or the add-ons change (True)."""
        self._catch_signals()
        self._cluster.may_write = self._lease.may_write
        self._cluster.answered = self._queue.progress
        _, port = await serve(
            self._settings.http_host, self._settings.http_port, healthy=self._trouble, ready=self._not_ready
        )
        logger.info("serving /healthz, /readyz and /metrics on port %d", port)
        workers = asyncio.create_task(self._queue.run(self._settings.workers))
        watches = asyncio.create_task(self._watch())
        lease = asyncio.create_task(self._lease.run())
        told = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait({workers, watches, lease, told}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (workers, lease):
                task.cancel()
            # Who writes still must not do so when the Lease is another's; kopf needs seconds more.
            await asyncio.wait({workers, lease}, timeout=_END_S)
            await self._lease.release()
            self._stopping.set()
        return await watches

    async def _watch(self) -> bool:
        """Watch; return whether the add-ons changed, so that other kinds are to be watched."""
        kinds = await self._served_kinds()
        if self._stopping.is_set():
            return False
        self._reconciler.addons = frozenset(kind.name for kind in kinds if kind.addon)
        spaces, changed = self._settings.namespaces, self._queue.add
        hearing = Hearing(self._store, kinds, spaces, changed=changed)
        sweep = self._sweep = Sweep(self._store, self._cluster, hearing, kinds, spaces, changed=changed)
        watches = asyncio.create_task(
            kopf.operator(
                registry=make_registry(self._store, self._queue, kinds, started=self._catch_signals),
                settings=watch_settings(kinds),
                clusterwide=not self._settings.namespaces,
                namespaces=self._settings.namespaces,
                standalone=True,
                stop_flag=self._stopping,
            )
        )
        follow = asyncio.create_task(self._follow(sweep, kinds))
        done, _ = await asyncio.wait({watches, follow}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if self._stopping.is_set():
            await watches
        return not self._stopping.is_set()

    async def _served_kinds(self) -> list[Kind]:
        """Return the kinds to watch, once the API server has ours; kopf would not see it later."""
        while not self._stopping.is_set():
            try:
                kinds = await self._kinds()
            except (ApiError, Unreachable) as error:
                logger.warning("no watches yet: %s", error)
            else:
                if RERANKER in kinds:
                    return kinds
                logger.warning("no watches yet: %s is not installed, apply the CRD", RERANKER.api_version)
            await self._pause(_RETRY_S)
        return []

    async def _follow(self, sweep: Sweep, kinds: list[Kind]) -> None:
        """Open the gate when the store is complete, look past the watches, return when the add-ons change."""
        while not self._complete.is_set():
            try:
                await sweep.until_complete()
                self._complete.set()
            except (ApiError, Unreachable) as error:
                logger.warning("not everything is listed yet: %s", error)
                await self._pause(_RETRY_S)
        logger.info("watching %s", ", ".join(kind.plural for kind in kinds))
        self._look_at_all()
        checks = asyncio.create_task(sweep.run(self._settings.sweep_s))
        try:
            while not self._stopping.is_set() and await self._kinds_now(kinds) == kinds:
                await self._pause(_DISCOVERY_S)
        finally:
            checks.cancel()

    async def _kinds(self) -> list[Kind]:
        """Return the kinds to watch: ours, the pods, and the add-ons that are wanted and installed."""
        wanted = [
            kind
            for kind in (RERANKER, POD, *CHILDREN)
            if not kind.addon or getattr(self._settings, kind.addon)
        ]
        optional = [kind for kind in wanted if kind.addon or kind is RERANKER]
        missing = {kind for kind in optional if not await self._cluster.serves(kind)}
        return [kind for kind in wanted if kind not in missing]

    async def _kinds_now(self, otherwise: list[Kind]) -> list[Kind]:
        try:
            return await self._kinds()
        except (ApiError, Unreachable):
            return otherwise  # without an answer nothing is known to have changed

    async def _work(self, key: Key) -> float | None:
        """Look at a Reranker; before the store is complete, while another process leads and in a namespace
        that is left out, drop the key: all are looked at when that changes.
        """
        if not self._may_look(key):
            FLEET.forget(*key)
            return None
        try:
            return await self._reconciler(key)
        finally:
            if not self._may_look(key):  # since then: another process tells of it
                FLEET.forget(*key)

    def _may_look(self, key: Key) -> bool:
        left_out = self._sweep is not None and self._sweep.leaves_out(key[0])
        return self._complete.is_set() and self._leads and not left_out

    def _turned(self, leading: bool) -> None:
        """Look at everything; what was remembered before another process wrote is worth nothing."""
        self._leads = leading
        if leading:
            if self._lease.transitions != self._term:
                self._reconciler.forget()
            self._term = self._lease.transitions
            self._look_at_all()
        else:
            FLEET.clear()

    def _look_at_all(self) -> None:
        for key in self._store.rerankers():
            self._queue.add(key)

    def _trouble(self) -> str | None:
        hung_s = self._queue.longest_s()
        if hung_s > HUNG_AFTER_S:
            return f"a worker has got no further with one Reranker for {hung_s:.0f} s"
        deaf = self._sweep.deaf() if self._sweep else []
        return f"the watch is silent for {', '.join(deaf)}" if deaf else None

    def _not_ready(self) -> str | None:
        """A process that stands by is ready too."""
        if not self._complete.is_set():
            return "the watches have not delivered everything yet"
        if self._sweep and self._sweep.sees_nothing:
            return "the API server refuses the Rerankers of every namespace that is to be watched"
        return self._lease.trouble

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    def _catch_signals(self) -> None:
        """Take the signals, also back from kopf, which takes them when it starts."""
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)


def _log_failure(key: Key, error: Exception, delay_s: float) -> None:
    known = isinstance(error, ApiError | Unreachable)
    logger.warning(
        "%s/%s is tried again in %.1f s: %s", *key, delay_s, error, exc_info=None if known else error
    )
