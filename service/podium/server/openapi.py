"""The OpenAPI 3.1 document, made from the table of dialects."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from podium.dialects.base import Dialect, ErrorBody
from podium.dialects.table import ROUTES, asked, rules_of
from podium.server.probes import OPEN, VERSION

Schema = dict[str, Any]

GETS: Mapping[str, str] = {
    "/": "What this is and where to read on; in a browser a page that ranks",
    "/livez": "Whether the process can go on; 503 asks for a restart",
    "/readyz": "Whether rank requests are answered",
    "/health": "Readiness, with the model and its device",
    "/metrics": "Prometheus' text format",
    "/info": "The model and the limits, as text-embeddings-inference tells them",
    "/v1/models": "The served model, as OpenAI tells it",
    "/v1/models/{name}": "The same by name, for Xinference's client",
    "/v1/health/live": "/livez for NVIDIA NIM's clients",
    "/v1/health/ready": "/readyz for NVIDIA NIM's clients",
    "/.well-known/live": "/livez for Weaviate",
    "/.well-known/ready": "/readyz for Weaviate",
    "/meta": "The model, for Weaviate",
    "/ping": "/readyz for SageMaker",
}

_FAILURES = {
    400: "The body is not JSON, or a value cannot be used",
    401: "No API key, or one that is not known",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "A Content-Encoding that is not supported",
    422: "A field has the wrong type or value",
    424: "The model failed (text-embeddings-inference)",
    429: "The queue is full; Retry-After says for how many seconds",
    500: "The model failed",
    503: "Starting or shutting down; Retry-After says for how many seconds",
    504: "The request ran out of its time",
}


class Schemas(NamedTuple):
    """JSON schemas of the dialects, by name; they refer to `components`."""

    bodies: Mapping[str, Schema]
    answers: Mapping[str, Schema]
    failures: Mapping[str, Schema]
    unknown: Schema
    """Of a failure whose dialect cannot be told."""
    components: Mapping[str, Schema]


def dialects() -> Mapping[str, Dialect]:
    """Return every dialect that is spoken, by name, in the order of the table."""
    return {rule.dialect.name: rule.dialect for path in ROUTES for rule in rules_of(path)}


def schemas() -> Schemas:
    """Return the schemas of everything on the wire."""
    spoken = dialects()
    bodies, answers = [each.body for each in spoken.values()], [each.answer for each in spoken.values()]
    failures = [each.failure for each in spoken.values()]
    made, components = msgspec.json.schema_components(
        [*bodies, *answers, *failures, ErrorBody], ref_template="#/components/schemas/{name}"
    )
    count = len(spoken)
    return Schemas(
        dict(zip(spoken, made[:count], strict=True)),
        dict(zip(spoken, made[count : 2 * count], strict=True)),
        dict(zip(spoken, made[2 * count : -1], strict=True)),
        made[-1],
        components,
    )


def openapi(root_path: str = "") -> dict[str, Any]:
    """Return the document: each path's operation carries `oneOf` the dialects that it recognises."""
    made = schemas()
    paths: dict[str, Any] = {path.replace(":path", ""): {"post": _rank(path, made)} for path in ROUTES}
    for path, summary in GETS.items():
        for spelled in asked(path):
            paths.setdefault(spelled, {})["get"] = _get(spelled, summary)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Podium",
            "version": VERSION,
            "description": "Ranks documents for a query, through the API that your client already speaks.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root_path or "/"}],
        "tags": [
            {"name": "rank", "description": "Rank documents for a query"},
            {"name": "service", "description": "What is told of the service"},
        ],
        "paths": paths,
        "components": {
            "schemas": made.components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "Api-Key"},
            },
        },
        "security": [{}, {"bearer": []}, {"apiKey": []}],
    }


def _rank(path: str, made: Schemas) -> dict[str, Any]:
    rules = rules_of(path)
    spoken = {rule.dialect.name: rule.dialect for rule in rules}
    told = "\n".join(f"- {rule.dialect.title}: {rule.when}" for rule in rules)
    failures = [made.failures[name] for name in spoken]
    if len(spoken) > 1:  # what cannot be told apart is answered in the superset body
        failures.append(made.unknown)
    return {
        "operationId": _identifier("rank", path),
        "tags": ["rank"],
        "summary": " · ".join(dialect.title for dialect in spoken.values()),
        "description": f"The first match decides:\n\n{told}" if len(rules) > 1 else "",
        "parameters": _parameters(path),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _one_of([made.bodies[name] for name in spoken]),
                    "examples": {
                        name: {"summary": dialect.title, "value": dialect.example}
                        for name, dialect in spoken.items()
                    },
                }
            },
        },
        "responses": {
            "200": {
                "description": "The ranking",
                "headers": {
                    "x-podium-truncated-documents": {
                        "description": "documents of which something was cut to fit the model",
                        "schema": {"type": "integer"},
                    },
                    "server-timing": {
                        "description": "milliseconds of queue, tokenization, inference, and in total",
                        "schema": {"type": "string"},
                    },
                },
                "content": {"application/json": {"schema": _one_of([made.answers[name] for name in spoken])}},
            },
            **{
                str(status): {
                    "description": text,
                    "content": {"application/json": {"schema": _any_of(failures)}},
                }
                for status, text in _FAILURES.items()
            },
        },
    }


def _get(path: str, summary: str) -> dict[str, Any]:
    kind = "text/plain" if path == "/metrics" else "application/json"
    answers = {HTTPStatus.OK: summary}
    if path != "/metrics" and "/models" not in path:
        answers[HTTPStatus.SERVICE_UNAVAILABLE] = "Not now"
    return {
        "operationId": _identifier("get", path),
        "tags": ["service"],
        "summary": summary,
        "parameters": _parameters(path),
        "responses": {
            str(status.value): {"description": text, "content": {kind: {"schema": {}}}}
            for status, text in answers.items()
        },
        **({"security": []} if path in OPEN else {}),
    }


def _identifier(verb: str, path: str) -> str:
    return re.sub(r"\W+", "_", f"{verb}{path.replace(':path', '')}").rstrip("_")


def _parameters(path: str) -> list[dict[str, Any]]:
    names = [part.strip("{}").partition(":")[0] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _one_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}


def _any_of(schemas: list[Schema]) -> Schema:
    distinct = list({json.dumps(schema): schema for schema in schemas}.values())
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
