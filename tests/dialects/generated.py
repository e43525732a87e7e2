"""Generated requests: a dialect's own with some fields wrong, for tests with and without a server."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from podium.dialects.base import Dialect

TEXT = st.text(st.characters(categories=["L", "N", "P", "Z", "Cc", "Cs"]), max_size=8)
SCALAR = st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**301) | st.floats() | TEXT
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)


LIKELY = st.sampled_from([None, True, False, "true", "", " ", 0, 1, 3, -1, 10**400, 0.5, [], ["a"], {}])


@st.composite
def bodies(draw: st.DrawFn, dialect: Dialect) -> dict[str, Any]:
    """Draw the dialect's example with up to three fields left out or replaced, and up to two unknown ones."""
    names = [field.encode_name for field in msgspec.structs.fields(dialect.body)]
    body = {**dialect.example, **draw(st.dictionaries(TEXT, JSON, max_size=2))}
    for name in draw(st.lists(st.sampled_from(names), unique=True, max_size=3)):
        if draw(st.integers(0, 3)) == 0:
            body.pop(name, None)
        else:
            body[name] = draw(LIKELY | JSON)
    return body
