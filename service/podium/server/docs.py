"""The OpenAPI document and a page that shows it: made from the dialect table, with nothing from elsewhere."""

import html
import json
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from podium.dialects.base import Dialect, ErrorBody
from podium.dialects.table import ROUTES, rules_of
from podium.server.probes import VERSION
from podium.server.state import Service

_GETS = {
    "/livez": "Whether the process can go on; 503 asks for a restart",
    "/readyz": "Whether rank requests are answered",
    "/health": "Readiness, with the model and its device",
    "/metrics": "Prometheus' text format",
    "/info": "The model and the limits",
    "/v1/models": "The served model, in OpenAI's form",
}


def docs_routes(service: Service) -> Sequence[HTTPRouteHandler]:
    """Return the handlers of the OpenAPI document and its page."""
    document = openapi(service.settings.root_path)
    encoded = msgspec.json.encode(document)
    page = _page(document).encode()

    @get("/openapi.json")
    async def openapi_json() -> ASGIResponse:
        """The OpenAPI 3.1 document."""
        return ASGIResponse(body=encoded)

    @get("/docs")
    async def docs() -> ASGIResponse:
        """The OpenAPI document as a page."""
        return ASGIResponse(body=page, media_type="text/html")

    return [openapi_json, docs]


def openapi(root_path: str = "") -> dict[str, Any]:
    """Return the OpenAPI document: each path's operation carries `oneOf` the dialects that it recognises."""
    dialects = {rule.dialect.name: rule.dialect for path in ROUTES for rule in rules_of(path)}
    types = [dialect.body for dialect in dialects.values()] + [each.answer for each in dialects.values()]
    schemas, components = msgspec.json.schema_components(
        [*types, ErrorBody], ref_template="#/components/schemas/{name}"
    )
    names = list(dialects)
    bodies = dict(zip(names, schemas, strict=False))
    answers = dict(zip(names, schemas[len(names) :], strict=False))
    failures = {"application/json": {"schema": schemas[-1]}}

    def operation(path: str) -> dict[str, Any]:
        rules = rules_of(path)
        spoken = list(dict.fromkeys(rule.dialect.name for rule in rules))
        told = "\n".join(f"- {rule.dialect.title}: {rule.when}" for rule in rules)
        return {
            "operationId": "rank" + path.replace("/", "_").replace("{", "").replace("}", ""),
            "tags": ["rank"],
            "summary": " · ".join(dialects[name].title for name in spoken),
            "description": f"The first match decides:\n\n{told}" if len(rules) > 1 else "",
            "parameters": [_path_parameter(name) for name in _placeholders(path)],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": _one_of([bodies[name] for name in spoken]),
                        "examples": {name: {"value": dialects[name].example} for name in spoken},
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
                        }
                    },
                    "content": {"application/json": {"schema": _one_of([answers[name] for name in spoken])}},
                },
                **{
                    str(status): {
                        "description": text,
                        "content": _failure(rules[0].dialect, len(rules), failures),
                    }
                    for status, text in _STATUSES.items()
                },
            },
        }

    paths: dict[str, Any] = {path.replace(":path", ""): {"post": operation(path)} for path in ROUTES}
    for path, summary in _GETS.items():
        answer = {"200": {"description": summary}, "503": {"description": "not now"}}
        paths.setdefault(path, {})["get"] = {
            "operationId": "get" + path.replace("/", "_"),
            "tags": ["service"],
            "summary": summary,
            "responses": answer,
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Podium",
            "version": VERSION,
            "description": "Ranks documents for a query, through the API that your client already speaks.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "Api-Key"},
            },
        },
        "security": [{}, {"bearer": []}, {"apiKey": []}],
    }


_STATUSES = {
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


def _failure(dialect: Dialect, spoken: int, superset: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a failure: the superset body where several dialects share the path."""
    return superset if spoken > 1 else {"application/json": {"schema": {}}}


def _one_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}


def _placeholders(path: str) -> list[str]:
    return [part.strip("{}").partition(":")[0] for part in path.split("/") if part.startswith("{")]


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _page(document: dict[str, Any]) -> str:
    sections = "".join(
        _section(method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    )
    return _PAGE.format(version=html.escape(VERSION), sections=sections)


def _section(method: str, path: str, operation: dict[str, Any]) -> str:
    summary = html.escape(operation["summary"])
    body = f"<p>{html.escape(operation.get('description', ''))}</p>".replace("\n", "<br>")
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    for name, example in content.get("examples", {}).items():
        text = html.escape(json.dumps(example["value"], indent=2, ensure_ascii=False))
        body += (
            f"<h3>{html.escape(name)}</h3><form data-path='{html.escape(path)}'>"
            f"<textarea spellcheck=false rows={min(16, text.count(chr(10)) + 2)}>{text}</textarea>"
            "<button>Send</button><pre hidden></pre></form>"
        )
    return (
        f"<details><summary><b class={method.lower()}>{method}</b> <code>{html.escape(path)}</code> "
        f"<span>{summary}</span></summary>{body}</details>"
    )


_PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width,initial-scale=1">
<title>Podium {version}</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
details {{ border: 1px solid #8886; border-radius: 6px; margin: .4rem 0; padding: .5rem .8rem }}
summary {{ cursor: pointer }} summary span {{ opacity: .7 }}
.post {{ color: #1a7f37 }} .get {{ color: #0969da }}
textarea, input {{ width: 100%; box-sizing: border-box; font: 13px ui-monospace, monospace }}
pre {{ overflow: auto; background: #8882; padding: .6rem; border-radius: 6px }}
</style>
<h1>Podium {version}</h1>
<p>Ranks documents for a query, through the API that your client already speaks.
The document behind this page: <a href="openapi.json">openapi.json</a>.</p>
<p><label>API key, where the server wants one: <input id=key type=password autocomplete=off></label></p>
{sections}
<script>
document.querySelectorAll("form").forEach(form => form.addEventListener("submit", async event => {{
  event.preventDefault();
  const out = form.querySelector("pre"), key = document.getElementById("key").value;
  const path = location.pathname.replace(/\\/docs\\/?$/, "") + form.dataset.path;
  out.hidden = false; out.textContent = "…";
  try {{
    const answer = await fetch(path, {{ method: "POST", body: form.querySelector("textarea").value,
      headers: {{ "content-type": "application/json", ...(key && {{ authorization: "Bearer " + key }}) }} }});
    const text = await answer.text();
    try {{ out.textContent = answer.status + " " + JSON.stringify(JSON.parse(text), null, 2); }}
    catch {{ out.textContent = answer.status + " " + text; }}
  }} catch (error) {{ out.textContent = error; }}
}}));
</script>
"""
