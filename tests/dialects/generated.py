"""Generated requests: a dialect's own with some fields wrong."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

from podium.dialects.base import Dialect

TEXT = st.text(st.characters(categories=["L", "N", "P", "Z", "Cc", "Cs"]), max_size=8)
SCALAR = st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**301) | st.floats() | TEXT
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)


LIKELY = st.sampled_from(
    [None, True, False, "true", "", " ", 0, 1, 3, -1, 10**400, 0.5, [], ["a"], {}],
).map(copy.deepcopy)  # what is drawn may be changed further


@st.composite
def bodies(draw: st.DrawFn, dialect: Dialect) -> dict[str, Any]:
    """Draw the dialect's example, up to three values in it left out or replaced, and up to two unknown keys.

    A value may lie anywhere: a field of the body or of an object in it, sent or not, or an item of a list.
    """
    kind = inspect.type_info(dialect.body)
    body = {**copy.deepcopy(dialect.example), **draw(st.dictionaries(TEXT, JSON, max_size=2))}
    for _ in range(draw(st.integers(0, 3))):
        found = list(places(body, kind))
        container, key = found[draw(st.integers(0, len(found) - 1))]
        if draw(st.integers(0, 3)) > 0:
            container[key] = draw(LIKELY | JSON)
        elif isinstance(container, list) or key in container:
            del container[key]
    return body


def places(value: Any, kind: inspect.Type) -> Iterator[tuple[Any, Any]]:
    """Yield every container within a value with each of its keys, and with those that its type has beside."""
    kind = kind.type if isinstance(kind, inspect.Metadata) else kind
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    inner: dict[Any, inspect.Type] = {}
    if isinstance(value, dict):
        structs = (one for one in kinds if isinstance(one, inspect.StructType))
        fields = {field.encode_name: field.type for struct in structs for field in struct.fields}
        inner = {key: fields.get(key, inspect.AnyType()) for key in (*fields, *value)}
    elif isinstance(value, list):
        items = (one.item_type for one in kinds if isinstance(one, inspect.ListType))
        inner = dict.fromkeys(range(len(value)), next(items, inspect.AnyType()))
    for key, below in inner.items():
        yield value, key
        if isinstance(value, list) or key in value:
            yield from places(value[key], below)
