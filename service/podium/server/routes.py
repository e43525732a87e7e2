"""The routes that rank: bytes → dialect → Reranker → dialect → bytes."""

import functools
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from litestar import HttpMethod, Request, route
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from podium.dialects.base import Context, Dialect, decode, let_go, superset
from podium.dialects.scanning import check_values
from podium.dialects.table import ROUTES, TEXT_PATHS, dialect_of, recognise
from podium.errors import InvalidRequest, PodiumError, Unauthorized
from podium.ranking import Ranking, RankRequest, Timing
from podium.server.body import ClientGone, read_body, while_connected
from podium.server.exchange import CLIENT_GONE, Exchange, exchange_of
from podium.server.state import Service

log = logging.getLogger(__name__)

READ_AT_ONCE = 1024 * 1024
"""Bytes of the largest body that is read on the event loop: milliseconds, and no thread to wait for."""


def rank_routes(service: Service) -> HTTPRouteHandler:
    """Return the handler of every path that ranks."""

    @route(_litestar_paths(), http_method=HttpMethod.POST, status_code=200, request_max_body_size=None)
    async def rank(request: Request[Any, Any, Any]) -> ASGIResponse:
        """Rank documents for a query."""
        exchange = exchange_of(request.scope)
        exchange.spoken = dialect_of(request.scope["path"])
        exchange.dialect = exchange.spoken.name if exchange.spoken else "unknown"
        try:
            with service.metrics.requests_in_flight.track_inprogress(), service.in_flight.share() as take:
                return await _answer(service, request, take, exchange)
        except ClientGone:
            return ASGIResponse(status_code=CLIENT_GONE)
        except Exception as error:  # noqa: BLE001 a border: every failure is answered, `failure` logs it
            status, content, headers = failure(error, exchange.spoken, exchange)
            return ASGIResponse(body=content, status_code=status, headers=headers)

    return rank


async def _answer(
    service: Service, request: Request[Any, Any, Any], take: Callable[[int], None], exchange: Exchange
) -> ASGIResponse:
    settings, path = service.settings, request.scope["path"]
    context = Context(
        model=service.served_name,
        request_id=exchange.request_id,
        created=int(time.time()),
        document=settings.document if path in TEXT_PATHS else "request",
    )
    raw = await read_body(
        request.headers,
        request.receive,
        take,
        max_bytes=settings.max_body_bytes,
        timeout_s=settings.body_timeout_s,
    )
    large = len(raw) > READ_AT_ONCE
    reading = functools.partial(_read, path, request.headers, raw, exchange, settings.max_documents, context)
    dialect, body, ask, repeats = (
        await while_connected(service.decode(reading), request.receive) if large else reading()
    )
    ranking_ = service.ready_reranker().rank(ask)
    del reading, ask  # nothing of the texts is kept twice while the request waits
    if not repeats:
        del raw
    ranking = await while_connected(ranking_, request.receive)
    exchange.model, exchange.tokens = service.served_name, ranking.usage.tokens
    if not repeats:
        content = msgspec.json.encode(dialect.respond(body, ranking, context))
    else:
        repeating = functools.partial(_repeat, dialect, raw, ranking, context)
        content = await service.decode(repeating) if large else repeating()
    truncated = str(ranking.usage.truncated_documents)
    told = {"x-podium-truncated-documents": truncated}
    if ranking.timing is not None:
        told["server-timing"] = _server_timing(ranking.timing, time.monotonic() - exchange.started)
    return ASGIResponse(body=content, headers=told)


def _read(
    path: str,
    headers: Mapping[str, str],
    raw: bytes,
    exchange: Exchange,
    max_documents: int,
    context: Context,
) -> tuple[Dialect, Any, RankRequest, bool]:
    """Return the API, its body without its texts, what it asks for, and whether the answer repeats the texts.

    May run in another thread.
    """
    if len(raw) > READ_AT_ONCE:
        check_values(raw)
    dialect = exchange.spoken = recognise(path, headers, raw)
    exchange.dialect = dialect.name
    body = decode(dialect.body, raw)
    ask = dialect.parse(body)
    exchange.documents = len(ask.documents)
    _check_size(ask, max_documents)
    repeats = dialect.repeats_texts(body, context)
    let_go(body)
    return dialect, body, ask, repeats


def _repeat(dialect: Dialect, raw: bytes, ranking: Ranking, context: Context) -> bytes:
    """Return an answer that repeats texts of the request, which are read once more: kept as bytes they take
    a part of what they take as values. May run in another thread.
    """
    return msgspec.json.encode(dialect.respond(decode(dialect.body, raw), ranking, context))


def _server_timing(timing: Timing, total_s: float) -> str:
    """Return the header in which browsers show where the time went, in milliseconds."""
    parts = {
        "queue": timing.queue_s,
        "tokenization": timing.tokenization_s,
        "inference": timing.inference_s,
        "total": total_s,
    }
    return ", ".join(f"{name};dur={seconds * 1000:.2f}" for name, seconds in parts.items())


def failure(
    error: Exception, dialect: Dialect | None, exchange: Exchange
) -> tuple[int, bytes, dict[str, str]]:
    """Return status, JSON and headers for a request that failed, in its dialect where that is known."""
    if not isinstance(error, PodiumError):
        log.exception("a request failed", exc_info=error, extra={"request_id": exchange.request_id})
    status, content = dialect.fail(error) if dialect else superset(error)
    headers = {"www-authenticate": "Bearer"} if isinstance(error, Unauthorized) else {}
    if (retry_after_s := getattr(error, "retry_after_s", None)) is not None:
        headers["retry-after"] = str(retry_after_s)
    return status, msgspec.json.encode(content), headers


def _check_size(ask: RankRequest, max_documents: int) -> None:
    if len(ask.documents) > max_documents:
        raise InvalidRequest(
            f"{len(ask.documents)} documents, at most {max_documents} are accepted (max_documents); "
            "send them in several requests"
        )


def _litestar_paths() -> list[str]:
    """Return the table's paths in Litestar's words: `{name}` is `{name:str}` there."""
    return [re.sub(r"\{(\w+)\}", r"{\1:str}", path) for path in ROUTES]
