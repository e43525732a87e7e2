"""The running operator: watches, work queue, sweep and health around one event loop."""

import asyncio
import logging
import signal

import kopf

from podium_operator.cluster import ApiError, Cluster, Unreachable
from podium_operator.handlers import make_registry, watch_settings
from podium_operator.health import HUNG_AFTER_S, serve
from podium_operator.kinds import CHILDREN, POD, RERANKER, Kind
from podium_operator.metrics import QUEUE_DEPTH, WATCH_SESSIONS
from podium_operator.reconcile import Reconciler
from podium_operator.settings import Settings
from podium_operator.store import Key, Store
from podium_operator.sweep import Sweep
from podium_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)

_DISCOVERY_S = 30.0
"""Seconds between two looks whether an add-on's API came or went."""
_RETRY_S = 2.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Program:
    """One operator process. `run` returns when it was told to end."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._settings, self._cluster = settings, cluster
        self._store = Store()
        self._reconciler = Reconciler(self._store, cluster, settings)
        self._queue: WorkQueue[Key] = WorkQueue(self._work, on_error=_log_failure)
        self._sweep: Sweep | None = None
        self._complete = asyncio.Event()
        self._stopping = asyncio.Event()
        QUEUE_DEPTH.set_function(self._queue.depth)

    async def run(self) -> None:
        """Serve health, work, and watch in sessions until a signal comes."""
        self._catch_signals()
        runner, port = await serve(
            self._settings.http_host, self._settings.http_port, healthy=self._trouble, ready=self._not_ready
        )
        logger.info("serving /healthz, /readyz and /metrics on port %d", port)
        # Made before kopf starts: when kopf ends it cancels every task that is younger than itself.
        workers = asyncio.create_task(self._queue.run(self._settings.workers))
        sessions = asyncio.create_task(self._sessions())
        try:
            done, _ = await asyncio.wait({workers, sessions}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (workers, sessions):
                task.cancel()
            await asyncio.gather(workers, sessions, return_exceptions=True)
            await runner.cleanup()
            await self._cluster.close()

    async def _sessions(self) -> None:
        """Watch; begin anew when the installed add-ons change or kopf gives up."""
        while not self._stopping.is_set():
            try:
                kinds = await self._kinds()
                if RERANKER not in kinds:
                    raise ApiError(404, f"{RERANKER.api_version} is not installed: apply the CRD")  # noqa: TRY301
                await self._session(kinds)
            except (ApiError, Unreachable) as error:
                logger.warning("no watches yet: %s", error)
                await self._pause(_RETRY_S)
            self._catch_signals()

    async def _session(self, kinds: list[Kind]) -> None:
        """Watch these kinds until a signal, a change of the add-ons, or a failure of kopf."""
        WATCH_SESSIONS.inc()
        self._reconciler.addons = frozenset(kind.name for kind in kinds if kind.addon)
        sweep = self._sweep = Sweep(self._store, self._cluster, kinds, self._settings.namespaces)
        stop = asyncio.Event()
        watches = asyncio.create_task(
            kopf.operator(
                registry=make_registry(self._store, self._queue, kinds),
                settings=watch_settings(kinds),
                clusterwide=not self._settings.namespaces,
                namespaces=self._settings.namespaces,
                standalone=True,
                stop_flag=stop,
            )
        )
        follow = asyncio.create_task(self._follow(sweep, kinds))
        try:
            await asyncio.wait({watches, follow}, return_when=asyncio.FIRST_COMPLETED)
            if watches.done():
                _check(watches)
                self._stopping.set()  # kopf caught the signal
            else:
                follow.result()
        finally:
            self._complete.clear()
            follow.cancel()
            stop.set()
            await asyncio.gather(watches, follow, return_exceptions=True)

    async def _follow(self, sweep: Sweep, kinds: list[Kind]) -> None:
        """Open the gate when the store is complete, look past the watches, return when the add-ons change."""
        await sweep.until_complete()
        logger.info("watching %s", ", ".join(kind.plural for kind in kinds))
        for key in self._store.rerankers():
            self._queue.add(key)
        self._complete.set()
        checks = asyncio.create_task(sweep.run(self._settings.sweep_s))
        try:
            while await self._kinds_now(kinds) == kinds:
                await self._pause(_DISCOVERY_S)
            logger.info("the installed add-ons changed, watching anew")
            self._complete.clear()
            await self._queue.idle()  # kopf's end would cancel what is under way
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
        """kopf takes the signals over while it runs and leaves its own handlers behind."""
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)


def _check(watches: asyncio.Task[None]) -> None:
    """Raise Unreachable where kopf gave up: it does on an API server that answers nonsense for long enough."""
    try:
        watches.result()
    except Exception as error:  # noqa: BLE001  the border to kopf: whatever it was, watching begins anew
        raise Unreachable(f"the watches ended: {type(error).__name__}: {error}") from error


def _log_failure(key: Key, error: Exception, delay_s: float) -> None:
    known = isinstance(error, ApiError | Unreachable)
    logger.warning(
        "%s/%s is tried again in %.1f s: %s", *key, delay_s, error, exc_info=None if known else error
    )
