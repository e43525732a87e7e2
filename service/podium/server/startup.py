"""From settings to a service that is ready: fetch, load, warm up, self-test, measure."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from podium.batching import BATCH_S, LEAST_TOKENS
from podium.errors import PermanentStartError, PodiumError, Reason, is_failure
from podium.models.base import Model
from podium.models.devices import device_memory
from podium.models.folder import first_line
from podium.models.readiness import Pace, first_batches, measure, self_test, warm_up
from podium.ranking import RankRequest
from podium.reranker import Reranker
from podium.server.state import Phase, Service
from podium.settings import SettingError, Settings

log = logging.getLogger(__name__)
T = TypeVar("T")

MEASURED_PAIRS = (4, 8, 16, 32)
MEASURED_S = 1.0
"""Seconds after which the speed is known well enough: a slow model has had batches that were full by then."""
_TEXT = "The giant panda is a bear species endemic to China; it lives on bamboo in a few mountain ranges. "


async def start(service: Service, load: Callable[[Settings], Model]) -> None:
    """Make the service ready, with the model that `load` returns.

    Raises StartError where the model cannot be had, loaded or trusted.
    """
    started = time.monotonic()
    settings = service.settings
    model, pace = await in_thread(lambda: made(load, service))
    if service.phase is not Phase.LOADING:  # told to shut down meanwhile
        return
    service.reranker = Reranker(
        model,
        metrics=service.metrics,
        max_batch_tokens=service.batch_tokens(model.info),
        max_queue_pairs=settings.max_queue_pairs,
        max_windows=settings.max_windows,
        request_timeout_s=settings.request_timeout_s,
        stall_timeout_s=settings.stall_timeout_s,
        allow_priority=settings.allow_priority,
        cache_bytes=settings.cache_bytes,
        cache_ttl_s=settings.cache_ttl_s,
        **({"least_batch_tokens": LEAST_TOKENS} if pace is None else pace._asdict()),
    )
    if pace is None:  # else it is known already
        await _measure(service.reranker)
    if not service.become_ready():
        return
    seconds = time.monotonic() - started
    service.metrics.startup_seconds.set(seconds)
    info = model.info
    labels = (service.served_name, info.revision or "", info.device, info.dtype)
    service.metrics.model_info.labels(*labels).set(1)
    if info.device.startswith("cuda"):
        service.metrics.follow_device_memory(lambda: device_memory(info.device))
    log.info(
        "%s is ready",
        service.served_name,
        extra={
            "device": info.device,
            "dtype": info.dtype,
            "dtype_from": info.dtype_from,
            "instruction_set": info.instruction_set,
            "faster": info.faster,
            "threads": model.threads,
            "forward": info.forward,
            "family": info.family,
            "recognised_by": info.recognised_by,
            "scoring": info.scoring,
            "max_length": info.max_length,
            "max_length_from": info.max_length_from,
            "seconds": round(seconds, 1),
        },
    )


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that the end of the process does not wait for, unlike asyncio.to_thread's.

    A download of minutes must not hold up a SIGTERM. A thread of its own that ends also takes its OpenMP team
    along: beside a second team libgomp's threads wait without spinning, and the model is 10 to 18 % slower.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 whoever awaits the result gets it
            done.set_exception(error)

    threading.Thread(target=run, name="podium-start", daemon=True).start()
    return await asyncio.wrap_future(done)


def made(load: Callable[[Settings], Model], service: Service) -> tuple[Model, Pace | None]:
    """Load a model and try it; what to aim at with its batches comes with it, where that was measured.

    Raises StartError, SettingError for a file of a setting, and nothing else: a model's files make libraries
    raise anything.
    """
    try:
        return _tested(load(service.settings), service)
    except (PodiumError, SettingError):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        log.debug("the start failed", exc_info=error)
        raise PermanentStartError(
            Reason.MODEL_LOAD_FAILED, f"the model cannot be loaded: {first_line(error)}"
        ) from error


def _tested(model: Model, service: Service) -> tuple[Model, Pace | None]:
    strictness = service.settings.self_test
    with first_batches(model):
        warm_up(model)
        pace = measure(model, service.batch_tokens(model.info), BATCH_S)
        wrong = None if strictness == "off" else self_test(model)
    if wrong is not None:
        if strictness == "strict":
            raise PermanentStartError(Reason.SELF_TEST_FAILED, wrong)
        log.warning("self-test: %s", wrong)
    return model, pace


async def _measure(reranker: Reranker) -> None:
    """Rank made-up texts, so that the engine knows the model's speed before the first request."""
    begun = time.monotonic()
    try:
        for number in MEASURED_PAIRS:
            documents = [f"{each}. " + _TEXT * 4 for each in range(number)]
            request = RankRequest(queries=[f"What do {number} pandas eat?"], documents=documents)
            await reranker.rank(request, counted=False)
            if time.monotonic() - begun >= MEASURED_S:
                return
    except PodiumError as error:
        # A slow device passes request_timeout_s here, and one document may still be ranked within it.
        log.warning("the model's speed is not known yet: %s", error.message)
