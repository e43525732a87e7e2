"""Merging a piece of a pod over another, lists by the names of their items."""

from collections.abc import Mapping
from typing import Any


def merge(base: Any, over: Any) -> Any:
    """Return `base` with `over` laid on it: mappings by key, lists of named items by name, else `over`."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{key: merge(base[key], over[key]) if key in base else over[key] for key in over}}
    if _named(base) and _named(over):
        merged = {item["name"]: item for item in base}
        for item in over:
            merged[item["name"]] = merge(merged.get(item["name"], {}), item)
        return list(merged.values())
    return over


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) and "name" in item for item in value)
