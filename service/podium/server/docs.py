"""The OpenAPI document and a page for people, made from the table of dialects, nothing from elsewhere."""

import json
from collections.abc import Mapping, Sequence
from html import escape

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from podium.dialects.base import Dialect
from podium.dialects.clients import CLIENTS
from podium.dialects.recognition import Rule
from podium.dialects.table import ROUTES, recognise, rules_of
from podium.server.openapi import GETS, Schema, Schemas, dialects, openapi, schemas
from podium.server.pages import html, read
from podium.server.probes import VERSION
from podium.server.state import Service

GROUPS: Mapping[str, Sequence[str]] = {
    "Forms that several vendors share": ("results", "rankings", "similarity", "pair", "pairs"),
    "Vendors": ("cohere", "jina", "voyage", "pinecone", "mixedbread", "dashscope", "deepinfra"),
    "Servers that people run": ("tei", "vllm", "score", "infinity", "llamacpp", "nim", "weaviate"),
}
"""Every dialect, as the page groups them."""


def docs_routes(service: Service) -> Sequence[HTTPRouteHandler]:
    """Return the handlers of the OpenAPI document and its page."""
    document = msgspec.json.encode(openapi(service.settings.root_path))
    whole = page()

    @get("/openapi.json")
    async def openapi_json() -> ASGIResponse:
        """The OpenAPI 3.1 document."""
        return ASGIResponse(body=document)

    @get("/docs")
    async def docs() -> ASGIResponse:
        """The APIs as a page on which requests can be tried."""
        return html(whole)

    return [openapi_json, docs]


def page() -> str:
    """Return the page: which API is spoken where, each with its fields and an example, and the service's own
    paths.
    """
    made, spoken = schemas(), dialects()
    parts = {
        "version": escape(VERSION),
        "clients": "".join(
            f"<tr data-find><td>{escape(one.name)}<td><code data-base='{escape(one.base)}'>"
            f"http://host:port{escape(one.base)}</code>"
            f"<td>{_link(spoken[one.dialect])}"
            for one in CLIENTS
        ),
        "paths": "".join(_rules(paths, rules) for rules, paths in _alike().items()),
        "apis": "".join(
            _group(title, [_api(spoken[name], made) for name in names]) for title, names in GROUPS.items()
        ),
        "service": "".join(_get(path, summary) for path, summary in GETS.items()),
    }
    text = read("docs.html")
    for name, content in parts.items():
        text = text.replace(f"<!-- {name} -->", content)
    return text


def _group(title: str, apis: Sequence[str]) -> str:
    return f"<section data-group><h3>{escape(title)}</h3>{''.join(apis)}</section>"


def _alike() -> Mapping[Sequence[Rule], Sequence[str]]:
    """Return the paths by their rules; those that several APIs share come first."""
    alike: dict[Sequence[Rule], list[str]] = {}
    for path in sorted(ROUTES, key=lambda path: len(rules_of(path)) == 1):
        alike.setdefault(rules_of(path), []).append(path)
    return alike


def _rules(paths: Sequence[str], rules: Sequence[Rule]) -> str:
    spelled = " ".join(f"<code>{escape(path.replace(':path', ''))}</code>" for path in paths)
    told = "".join(f"<li>{_marked(rule.when)} → {_link(rule.dialect)}" for rule in rules)
    return f"<tr data-find><td>{spelled}<td>" + (
        f"<ol>{told}</ol>" if len(rules) > 1 else _link(rules[0].dialect)
    )


def _link(dialect: Dialect) -> str:
    return f"<a href='#{dialect.name}'>{escape(dialect.title)}</a>"


def _api(dialect: Dialect, made: Schemas) -> str:
    raw = msgspec.json.encode(dialect.example)
    # First those on which the example, sent without a header of the vendor's, is recognised.
    paths = sorted(_conditions(dialect), key=lambda path: recognise(path, {}, raw) is not dialect)
    options = "".join(f"<option>{escape(path.replace(':path', ''))}" for path in paths)
    example = json.dumps(dialect.example, indent=2, ensure_ascii=False)
    return (
        f"<details class=api data-find id='{dialect.name}'><summary><b>{escape(dialect.title)}</b>"
        f"<code>{escape(paths[0].replace(':path', ''))}</code></summary>"
        f"{_fields(_resolved(made.bodies[dialect.name], made))}{_where(dialect)}"
        f"<form><label>POST <select>{options}</select></label>"
        f"<textarea aria-label='Body for {escape(dialect.title)}' spellcheck=false "
        f"rows={example.count(chr(10)) + 1}>{escape(example)}</textarea>"
        "<button>Send</button> <button type=button class=curl>As curl</button><output></output></form>"
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


def _get(path: str, summary: str) -> str:
    link = f"<a href='.{path}' data-path='{path}'><code>{path}</code></a>"
    return f"<tr data-find><td>{link}<td>{escape(summary)}"


def _marked(text: str) -> str:
    """Return text as HTML, what stands between backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
