"""The OpenAPI document and a page for people, made from the table of dialects, nothing from elsewhere."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from podium.dialects.base import Dialect
from podium.dialects.table import ROUTES, recognise, rules_of
from podium.server.openapi import GETS, Schema, Schemas, dialects, openapi, schemas
from podium.server.probes import VERSION
from podium.server.state import Service

_TEMPLATE = Path(__file__).with_name("docs.html")


def docs_routes(service: Service) -> Sequence[HTTPRouteHandler]:
    """Return the handlers of the OpenAPI document and its page."""
    document = msgspec.json.encode(openapi(service.settings.root_path))
    whole = page().encode()

    @get("/openapi.json")
    async def openapi_json() -> ASGIResponse:
        """The OpenAPI 3.1 document."""
        return ASGIResponse(body=document)

    @get("/docs")
    async def docs() -> ASGIResponse:
        """The APIs as a page on which requests can be tried."""
        return ASGIResponse(body=whole, media_type="text/html")

    return [openapi_json, docs]


def page() -> str:
    """Return the page: each API with its fields and an example, the shared paths, and the service's own."""
    made = schemas()
    parts = {
        "version": escape(VERSION),
        "links": "".join(f"<a href='#{name}'>{escape(each.title)}</a>" for name, each in dialects().items()),
        "apis": "".join(_api(dialect, made) for dialect in dialects().values()),
        "shared": "".join(_shared_path(path) for path in ROUTES if len(rules_of(path)) > 1),
        "service": "".join(_get(path, summary) for path, summary in GETS.items()),
    }
    text = _TEMPLATE.read_text("utf-8")
    for name, content in parts.items():
        text = text.replace(f"<!-- {name} -->", content)
    return text


def _api(dialect: Dialect, made: Schemas) -> str:
    raw = msgspec.json.encode(dialect.example)
    # First those on which the example, sent without a header of the vendor's, is recognised.
    paths = sorted(_conditions(dialect), key=lambda path: recognise(path, {}, raw) is not dialect)
    options = "".join(f"<option>{escape(path.replace(':path', ''))}" for path in paths)
    example = json.dumps(dialect.example, indent=2, ensure_ascii=False)
    return (
        f"<details class=api id='{dialect.name}'><summary><b>{escape(dialect.title)}</b>"
        f"<code>{escape(paths[0].replace(':path', ''))}</code></summary>"
        f"{_fields(_resolved(made.bodies[dialect.name], made))}{_where(dialect)}"
        f"<form><label>POST <select>{options}</select></label>"
        f"<textarea spellcheck=false rows={example.count(chr(10)) + 1}>{escape(example)}</textarea>"
        "<button>Send</button><button type=button class=curl>As curl</button><output></output></form>"
        "</details>"
    )


def _conditions(dialect: Dialect) -> dict[str, str | None]:
    """Return the paths of a dialect, each with what must hold there, None where nothing else is spoken."""
    return {
        path: rule.when if len(rules) > 1 else None
        for path, rules in ROUTES.items()
        for rule in rules
        if rule.dialect is dialect
    }


def _where(dialect: Dialect) -> str:
    """Return what must hold on the paths that a dialect shares."""
    shared: dict[str, list[str]] = {}
    for path, when in _conditions(dialect).items():
        if when is not None:
            shared.setdefault(when, []).append(f"<code>{escape(path)}</code>")
    items = "".join(f"<li>On {' '.join(paths)}: {_marked(when)}" for when, paths in shared.items())
    return f"<ul>{items}</ul>" if items else ""


def _fields(body: Schema) -> str:
    required = body.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{' <em>required</em>' if name in required else ''}"
        f"<td>{escape(_kind(field))}<td>{_marked(field.get('description', ''))}"
        for name, field in body.get("properties", {}).items()
    )
    return f"<div class=wide><table><tr><th>Field<th>Type<th>Meaning{rows}</table></div>"


def _kind(field: Schema) -> str:
    """Return a schema's type in words."""
    if "$ref" in field:
        return "object"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(map(_kind, field["anyOf"])))
    if "enum" in field:
        return " or ".join(map(json.dumps, field["enum"]))
    kind = field.get("type", "anything")
    if kind == "array":
        of = _kind(field.get("items", {}))
        return f"list of ({of})" if " or " in of else f"list of {of}s"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _resolved(schema: Schema, made: Schemas) -> Schema:
    name = schema.get("$ref", "").rpartition("/")[2]
    return made.components.get(name, schema)


def _shared_path(path: str) -> str:
    rows = "".join(f"<li>{_marked(rule.when)} → {escape(rule.dialect.title)}" for rule in rules_of(path))
    return f"<details><summary><code>{escape(path)}</code></summary><ol>{rows}</ol></details>"


def _get(path: str, summary: str) -> str:
    link = f"<a href='.{path}' data-path='{path}'><code>{path}</code></a>"
    return f"<tr><td>{link}<td>{escape(summary)}"


def _marked(text: str) -> str:
    """Return text as HTML, what stands between backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
