"""Generated requests: a dialect's own, with any field replaced by anything or left out, and unknown ones."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from podium.dialects.base import Dialect

TEXT = st.text(st.characters(categories=["L", "N", "P", "Z", "Cc", "Cs"]), max_size=8)
SCALAR = st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**301) | st.floats() | TEXT
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)


def bodies(dialect: Dialect) -> st.SearchStrategy[dict[str, Any]]:
    """The dialect's own example, each field kept, replaced by anything, or left out; and unknown fields."""
    mutated = st.fixed_dictionaries(
        {},
        optional={
            field.encode_name: st.just(dialect.example[field.encode_name]) | JSON
            if field.encode_name in dialect.example
            else JSON
            for field in msgspec.structs.fields(dialect.body)
        },
    )
    start = st.just(dialect.example) | st.just({})
    unknown = st.dictionaries(TEXT, JSON, max_size=2)
    return st.builds(lambda a, b, c: {**a, **b, **c}, start, unknown, mutated)
