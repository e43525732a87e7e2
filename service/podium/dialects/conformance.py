"""The tables of docs/apis.md, made from the table of dialects.

`python -m podium.dialects.conformance docs/apis.md` writes them; a test holds the file current.
"""

import re
import sys
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from podium.dialects import table
from podium.dialects.base import Dialect
from podium.dialects.clients import CLIENTS, NOT_TRIED
from podium.dialects.recognition import Rule

_BLOCK = re.compile(r"(<!-- (\w+): generated -->\n).*?(<!-- end -->)", re.DOTALL)


def renew(document: str) -> str:
    """Return the document with each block between `<!-- NAME: generated -->` and `<!-- end -->` made anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{_TABLES[block[2]]()}\n\n{block[3]}", document)


def apis() -> str:
    """Return a table of the APIs: paths, what tells them, fields that count and do not, clients tried."""
    rows = []
    for dialect in _dialects():
        paths = [path for path in table.ROUTES if dialect in table.spoken_on(path)]
        prefixes = dict.fromkeys(f"/{prefix}" for path in paths if (prefix := _prefix(path)))
        own = [path for path in paths if not _prefix(path)]
        fields = (_names(_fields(dialect.body)), _names(dialect.ignored))
        proven = ", ".join(dict.fromkeys(one.name for one in CLIENTS if one.dialect == dialect.name))
        name = f"`{dialect.name}`"
        rows.append((dialect.title, name, _names(own), _names(prefixes), _told(dialect), *fields, proven))
    head = ["API", "Label", "Paths", "Prefix", "Recognised by", "Fields honoured", "Fields ignored"]
    head.append("Clients proven")
    return _table(head, rows)


def shared_paths() -> str:
    """Return a table of the paths on which more than one API is spoken, in the order of the rules."""
    spoken: dict[Sequence[Rule], list[str]] = {}
    for path, rules in table.ROUTES.items():
        if len(rules) > 1:
            spoken.setdefault(rules, []).append(path)
    rows = [
        (_names(paths), str(number), rule.when, rule.dialect.title)
        for rules, paths in spoken.items()
        for number, rule in enumerate(rules, 1)
    ]
    return _table(("Paths", "#", "Match", "API"), rows)


def clients() -> str:
    """Return a table of the clients that the tests run, with the URL to give them."""
    titles = {dialect.name: dialect.title for dialect in _dialects()}
    rows = [(one.name, f"`http://host:port{one.base}`", titles[one.dialect]) for one in CLIENTS]
    return _table(("Client", "Base URL", "API"), rows)


def not_tried() -> str:
    """Return a table of the clients that the tests do not run."""
    return _table(("Client", "Why"), NOT_TRIED)


_TABLES = {"apis": apis, "shared_paths": shared_paths, "clients": clients, "not_tried": not_tried}


def _dialects() -> list[Dialect]:
    rules = (rule for rules in table.ROUTES.values() for rule in rules)
    return sorted({rule.dialect.name: rule.dialect for rule in rules}.values(), key=lambda one: one.title)


def _prefix(path: str) -> str | None:
    first = path.split("/")[1]
    return first if first in table.PREFIXES else None


def _told(dialect: Dialect) -> str:
    rules = (rule for rules in table.ROUTES.values() for rule in rules if rule.dialect is dialect)
    return "; ".join(dict.fromkeys(rule.when for rule in rules))


def _fields(body: type[msgspec.Struct]) -> Sequence[str]:
    """Return the names of a body's fields; for objects, and lists of them, those within: `pairs[].query`."""
    return [
        f"{field.encode_name}{within}"
        for field in msgspec.structs.fields(body)
        for within in _within(field.type) or [""]
    ]


def _within(kind: Any) -> Sequence[str]:
    """Return what follows a field's own name in those of the fields within it: `.query` or `[].query`."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [f".{name}" for name in _fields(kind)]
    item = "[]" if typing.get_origin(kind) is list else ""
    return [f"{item}{within}" for one in typing.get_args(kind) for within in _within(one)]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(renew(file.read_text()))
