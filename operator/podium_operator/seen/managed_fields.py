"""What a manager owns of an object, by the object's managed fields (`fieldsV1`)."""

import json
from collections.abc import Mapping
from typing import Any


def owned_part(value: Any, fields: Mapping[str, Any]) -> Any:
    """Return the part of a value that these fields name: the words of an apply, as the API server has them.

    A name without anything below it owns the whole value. What is named and not there is left out.
    """
    below = {key: inner for key, inner in fields.items() if key != "."}
    if not below:
        return value
    if isinstance(value, Mapping):
        named = ((key.removeprefix("f:"), inner) for key, inner in below.items())
        return {name: owned_part(value[name], inner) for name, inner in named if name in value}
    if isinstance(value, list):
        keys = [(json.loads(key[2:]), inner) for key, inner in below.items() if key.startswith("k:")]
        plain = [json.loads(key[2:]) for key in below if key.startswith("v:")]
        items = [item for item in value if item in plain]
        for item in value:
            for identity, inner in keys:
                if isinstance(item, Mapping) and identity.items() <= item.items():
                    items.append(owned_part(item, inner))
        return items
    return value
