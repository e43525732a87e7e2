"""The running operator: watches, work queue, sweep and health around one event loop."""

import asyncio
import logging
import signal

import kopf

from podium_operator.run.cluster import ApiError, Cluster, Unreachable
from podium_operator.run.health import HUNG_AFTER_S, serve
from podium_operator.run.metrics import QUEUE_DEPTH
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
        QUEUE_DEPTH.set_function(self._queue.depth)

    async def run(self) -> bool:
        """Serve health, work and watch until a signal comes (False) or the add-ons change (True)."""
        self._catch_signals()
        _, port = await serve(
            self._settings.http_host, self._settings.http_port, healthy=self._trouble, ready=self._not_ready
        )
        logger.info("serving /healthz, /readyz and /metrics on port %d", port)
        workers = asyncio.create_task(self._queue.run(self._settings.workers))
        watches = asyncio.create_task(self._watch())
        try:
            done, _ = await asyncio.wait({workers, watches}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return watches in done and watches.result()
        finally:
            workers.cancel()
            watches.cancel()

    async def _watch(self) -> bool:
        """Watch; return whether the add-ons changed, so that other kinds are to be watched."""
        kinds = await self._served_kinds()
        if self._stopping.is_set():
            return False
        self._reconciler.addons = frozenset(kind.name for kind in kinds if kind.addon)
        sweep = self._sweep = Sweep(
            self._store, self._cluster, kinds, self._settings.namespaces, changed=self._queue.add
        )
        watches = asyncio.create_task(
            kopf.operator(
                registry=make_registry(self._store, self._queue, kinds),
                settings=watch_settings(kinds),
                clusterwide=not self._settings.namespaces,
                namespaces=self._settings.namespaces,
                standalone=True,
            )
        )
        follow = asyncio.create_task(self._follow(sweep, kinds))
        done, _ = await asyncio.wait({watches, follow}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return follow in done

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
        for key in self._store.rerankers():
            self._queue.add(key)
        checks = asyncio.create_task(sweep.run(self._settings.sweep_s))
        try:
            while await self._kinds_now(kinds) == kinds:
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
        if not self._complete.is_set():
            return 0.5 if not self._stopping.is_set() else None
        return await self._reconciler(key)

    def _trouble(self) -> str | None:
        hung_s = self._queue.longest_s()
        if hung_s > HUNG_AFTER_S:
            return f"a worker has been at one Reranker for {hung_s:.0f} s"
        deaf = self._sweep.deaf() if self._sweep else []
        return f"the watch is silent for {', '.join(deaf)}" if deaf else None

    def _not_ready(self) -> str | None:
        return None if self._complete.is_set() else "the watches have not delivered everything yet"

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    def _catch_signals(self) -> None:
        """Until kopf runs; then it has the signals, and ends."""
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)


def _log_failure(key: Key, error: Exception, delay_s: float) -> None:
    known = isinstance(error, ApiError | Unreachable)
    logger.warning(
        "%s/%s is tried again in %.1f s: %s", *key, delay_s, error, exc_info=None if known else error
    )
