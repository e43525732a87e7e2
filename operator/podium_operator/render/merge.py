"""Merging a piece of a pod over another, lists by the names of their items, mounts by their paths."""

from collections.abc import Mapping
from typing import Any


def merge(base: Any, over: Any) -> Any:
    """Return `base` with `over` laid on it: mappings by key, lists by what tells items apart, else `over`."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{key: merge(base[key], over[key]) if key in base else over[key] for key in over}}
    for key in "mountPath", "name":  # a volume's name stands in each of its mounts
        if _told_apart(base, key) and _told_apart(over, key):
            merged = {item[key]: item for item in base}
            for item in over:
                merged[item[key]] = merge(merged.get(item[key], {}), item)
            return list(merged.values())
    return over


def _told_apart(value: Any, key: str) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) and key in item for item in value)
