"""What a live object lacks of what the API server made of our words, and which manager took it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from podium_operator.resource.quantity import same_quantity
from podium_operator.seen.observed import Body

_LIST_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "resourceClaims": ("name",),
    "claims": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("port", "containerPort", "protocol"),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""Lists that managers share item by item, and the fields that tell items apart; other lists belong to one."""
_QUANTITIES = frozenset({"requests", "limits", "averageValue", "sizeLimit", "divisor"})
"""Fields that are a quantity or hold some: there `1Gi` is `1024Mi`. Elsewhere `1.10` is not `1.1`."""
_KEY_DEFAULTS = {"protocol": "TCP"}
"""What the API server takes for a key that an item leaves out."""
_ALTERNATIVES: tuple[frozenset[str], ...] = (
    frozenset({"value", "valueFrom"}),
    frozenset({"exec", "grpc", "httpGet", "sleep", "tcpSocket"}),
    frozenset({"minAvailable", "maxUnavailable"}),
)
"""Fields that exclude each other: of an environment variable, of a probe or hook, of a disruption budget."""


def lacks(live: Any, wanted: Any, path: str = "", *, quantity: bool = False) -> Iterator[str]:
    """Yield the path of every wanted field that the live object lacks or has with another value.

    Fields that only the live object has are someone else's, or the API server's defaults. `quantity`: whether
    the values are quantities.
    """
    if live == wanted:  # of most parts all; a look compares every child of a Reranker
        return
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            yield path
            return
        for key, value in wanted.items():
            here = f"{path}.{key}" if path else key
            if key not in live:
                yield here
            elif isinstance(value, list) and key in _LIST_KEYS:
                yield from _lacks_items(live[key], value, here, _LIST_KEYS[key])
            else:
                yield from lacks(live[key], value, here, quantity=quantity or key in _QUANTITIES)
    elif isinstance(wanted, list):
        if not isinstance(live, list) or len(live) != len(wanted):
            yield path
            return
        for index, value in enumerate(wanted):
            yield from lacks(live[index], value, f"{path}[{index}]")
    elif not (quantity and same_quantity(live, wanted)):
        yield path


def granted(answer: Any, wanted: Any, name: str = "") -> Any:
    """Return what the API server made of what was asked for, by its answer to the apply of `wanted`.

    It drops empty values, writes numbers and defaults its own way, and webhooks rewrite or take out what they
    like: that is no drift. What only the answer has is someone else's; what it lacks was not granted. `name`
    is that of the field which holds the value.
    """
    if isinstance(wanted, Mapping) and isinstance(answer, Mapping):
        return {key: granted(answer[key], value, key) for key, value in wanted.items() if key in answer}
    if isinstance(wanted, list) and isinstance(answer, list):
        if name in _LIST_KEYS:
            items = {_identity(item, _LIST_KEYS[name]): item for item in answer}
            pairs = [(items.get(_identity(item, _LIST_KEYS[name])), item) for item in wanted]
            return [granted(found, item) for found, item in pairs if found is not None]
        if len(answer) == len(wanted):
            return [granted(found, item) for found, item in zip(answer, wanted, strict=True)]
    return answer


def restored(live: Any, wanted: Any, name: str = "") -> Any:
    """Return the live value of the field `name` with ours put back and without what cannot stand beside it.

    An apply only adds: beside a port whose number someone changed it puts ours, under the same name, and
    beside a reference that someone put in place of a variable's value, the value. Both are refused.
    """
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        rivals = set().union(*(group for group in _ALTERNATIVES if group & wanted.keys())) - wanted.keys()
        kept = {key: value for key, value in live.items() if key not in rivals}
        return {**kept, **{key: restored(live.get(key), value, key) for key, value in wanted.items()}}
    if isinstance(wanted, list) and isinstance(live, list) and name in _LIST_KEYS:
        return _restored_items(live, wanted, name)
    return wanted


def _restored_items(live: list[Any], wanted: list[Any], name: str) -> list[Any]:
    keys = _LIST_KEYS[name]
    known = {_identity(item, keys): item for item in live}
    whole = name == "volumes"  # all but its name is its source, of which it has one
    ours = {
        _identity(item, keys): item if whole else restored(known.get(_identity(item, keys)), item)
        for item in wanted
    }
    # Ports are told apart by their numbers and must differ in their names too; none will do beside another.
    names = {None, *(item.get("name") for item in wanted)} if name == "ports" else set()
    foreign = [
        item
        for identity, item in known.items()
        if identity not in ours and not (names and item.get("name") in names)
    ]
    return [*ours.values(), *foreign]


def difference(live: Any, wanted: Any) -> Any:
    """Return the JSON merge patch that makes `live` into `wanted`: null takes a field out, lists go whole."""
    if not isinstance(live, Mapping) or not isinstance(wanted, Mapping):
        return wanted
    changed = {
        key: difference(live.get(key), value) for key, value in wanted.items() if live.get(key) != value
    }
    return {**dict.fromkeys(live.keys() - wanted.keys()), **changed}


def _lacks_items(live: Any, wanted: list[Any], path: str, keys: Sequence[str]) -> Iterator[str]:
    items = {_identity(item, keys): item for item in live} if isinstance(live, list) else {}
    for item in wanted:
        identity = _identity(item, keys)
        here = f"{path}[{'/'.join(str(part) for part in identity if part is not None)}]"
        if identity in items:
            yield from lacks(items[identity], item, here)
        else:
            yield here


def _identity(item: Body, keys: Sequence[str]) -> tuple[Any, ...]:
    """A key of another kind than text or a number, which the API server refuses, counts by its words."""
    found = (item.get(key, _KEY_DEFAULTS.get(key)) for key in keys)
    return tuple(key if isinstance(key, str | int | None) else str(key) for key in found)


def taker(live: Body, path: str) -> str:
    """Return the manager that last wrote a field, by the live object's managed fields.

    A field that was removed has no manager any more: then it is the one that wrote last.
    """
    entries = sorted(live.get("foreignManagers", ()), key=lambda entry: entry.get("time", ""), reverse=True)
    steps = [f"f:{step.partition('[')[0]}" for step in path.split(".")]
    for entry in entries:
        place: Any = entry["fieldsV1"]
        for step in steps:
            if step not in place:
                break
            place = place[step]
            if any(key.startswith("k:") for key in place):
                return str(entry["manager"])  # inside a list's item: near enough to name the manager
        else:
            return str(entry["manager"])
    return str(entries[0]["manager"]) if entries else "unknown"
