"""The routes that tell of the service: probes, metrics, models, and what this is."""

import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from podium.dialects.table import asked
from podium.errors import Unavailable
from podium.models.base import ModelInfo
from podium.server.pages import html, is_browser, read
from podium.server.state import START_RETRY_S, Service

VERSION = version("podium-rerank")
_LIVE = ("/livez", "/v1/health/live", "/.well-known/live")
_READY = ("/readyz", "/v1/health/ready", "/.well-known/ready", "/ping")
OPEN = frozenset(asked(*_LIVE, *_READY, "/health", "/metrics", "/"))
"""Paths that need no API key: probes and scrapers have none."""


def probe_routes(service: Service) -> Sequence[HTTPRouteHandler]:
    """Return the handlers that tell of the service."""
    created = int(time.time())
    page = read("index.html") if service.settings.page == "on" else None

    @get(asked(*_LIVE))
    async def livez() -> ASGIResponse:
        """Whether the process can go on: 503 asks for a restart. The other paths are NIM's and Weaviate's."""
        stuck = service.reranker.stuck if service.reranker else None
        return _json({"status": stuck or "ok"}, 503 if stuck else 200)

    @get(asked(*_READY))
    async def readyz() -> ASGIResponse:
        """Whether rank requests are answered: the model is loaded, warm, and passed its self-test.

        The other paths are NIM's, Weaviate's and SageMaker's.
        """
        unready = service.unready
        return _json({"status": unready or "ready"}, 503 if unready else 200)

    @get(asked("/health"))
    async def health() -> ASGIResponse:
        """Readiness, with the model and its device."""
        unready, info = service.unready, service.info
        if unready or info is None:
            return _json({"status": unready or "loading"}, 503)
        return _json({"status": "ok", "model": service.served_name, "device": info.device})

    @get("/metrics")
    async def metrics(request: Request[Any, Any, Any]) -> ASGIResponse:
        """Prometheus' text format, or OpenMetrics where `Accept` asks for it."""
        body, media_type = service.metrics.exposition(request.headers.get("accept", ""))
        return ASGIResponse(body=body, headers={"content-type": media_type})

    @get(asked("/info"))
    async def info() -> ASGIResponse:
        """The model and the limits, in the words of text-embeddings-inference, and how the model runs."""
        return _json(_info(service, _loaded(service)))

    @get(asked("/v1/models", "/models"))
    async def models() -> ASGIResponse:
        """The one model that is served, in OpenAI's form."""
        return _json({"object": "list", "data": [_card(service, created)]})

    @get(["/v1/models/{name:path}", "/models/{name:path}"])
    async def model() -> ASGIResponse:
        """The one model that is served, by whatever name: requests are not refused for theirs either."""
        return _json(_card(service, created) | {"model_type": "rerank"})  # Xinference's client wants to know

    @get(asked("/meta"))
    async def meta() -> ASGIResponse:
        """The model, for Weaviate, which wants a JSON object and reads nothing of it."""
        return _json(msgspec.to_builtins(_loaded(service)))

    @get("/")
    async def root(request: Request[Any, Any, Any]) -> ASGIResponse:
        """What this is and where to read on; in a browser a page that ranks."""
        if page is not None and is_browser(request.headers.get("accept", "")):
            return html(page)
        answer = _json(
            {
                "service": "podium",
                "version": VERSION,
                "model": service.served_name,
                "status": service.unready or "ready",
                "rank": "POST /v1/rerank",
                "docs": "/docs",
                "health": "/readyz",
                "metrics": "/metrics",
            }
        )
        answer.headers["vary"] = "Accept"
        return answer

    return [livez, readyz, health, metrics, info, models, model, meta, root]


def _card(service: Service, created: int) -> dict[str, object]:
    name = service.served_name
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "podium",
        "root": service.settings.model,
    }


def _loaded(service: Service) -> ModelInfo:
    if service.info is None:
        raise Unavailable("the model is loading; send the request again later", START_RETRY_S)
    return service.info


def _info(service: Service, model: ModelInfo) -> dict[str, Any]:
    settings = service.settings
    return {
        "model_id": model.uri,
        "model_sha": model.revision,
        "model_dtype": model.dtype,
        "served_model_name": service.served_name,
        "model_type": {"reranker": {"id2label": {"0": model.label}, "label2id": {model.label: 0}}},
        "max_concurrent_requests": settings.max_queue_pairs,
        "max_input_length": model.max_length,
        "max_batch_tokens": service.batch_tokens(model),
        "max_batch_requests": None,
        "max_client_batch_size": settings.max_documents,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": VERSION,
        "sha": None,
        "docker_label": None,
        "architecture": model.architecture,
        "device": model.device,
        "model_dtype_from": model.dtype_from,
        "instruction_set": model.instruction_set,
        "faster": model.faster,
        "threads": service.threads,
        "forward": model.forward,
        "family": model.family,
        "recognised_by": model.recognised_by,
        "scoring": model.scoring,
        "max_input_length_from": model.max_length_from,
        "instruction": model.instruction,
        "instruction_use": model.instruction_use,
        "activation": model.activation,
        "notes": list(model.notes),
    }


def _json(content: object, status: int = 200) -> ASGIResponse:
    return ASGIResponse(body=msgspec.json.encode(content), status_code=status)
