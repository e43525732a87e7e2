"""What `podTemplate.overlay` may add under the setting `overlay=safe`: an allow-list, printed in a refusal.

A creator of Rerankers may then do what a creator of pods may do under the restricted Pod Security Standard,
and names Secrets by the fields for it alone.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from podium_operator.resource.names import CONTAINER

_POD = (
    "containers", "initContainers", "volumes", "dnsPolicy", "dnsConfig", "hostAliases", "hostname",
    "subdomain", "securityContext",
)  # fmt: skip
_OFF = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")
"""Fields that may be said to be off."""
_CONTAINER = (
    "name", "image", "imagePullPolicy", "command", "args", "workingDir", "env", "envFrom", "resources",
    "resizePolicy", "volumeMounts", "ports", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe",
    "securityContext", "restartPolicy", "terminationMessagePath", "terminationMessagePolicy",
)  # fmt: skip
_VOLUMES = ("emptyDir", "configMap", "projected", "persistentVolumeClaim", "ephemeral")
_NOWHERE = {
    "secret": "Secrets are named by engine.env and engine.envFrom",
    "secretKeyRef": "Secrets are named by engine.env",
    "secretRef": "Secrets are named by engine.envFrom",
    "hostPath": "it reaches the node",
    "hostPort": "it reaches the node",
    "hostIP": "it reaches the node",
}
"""Fields that stand in no part of an overlay, and why."""
_CONFINED = ("RuntimeDefault", "Localhost")
_MERGED = ("containers", "initContainers", "volumes")
_TOLD_APART = {
    **dict.fromkeys((*_MERGED, "env", "imagePullSecrets", "resourceClaims", "claims"), "name"),
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
}
"""Lists of a pod that are merged and compared item by item, and the field that tells items apart."""

_SECURITY: dict[str, Callable[[Any], bool]] = {
    "allowPrivilegeEscalation": lambda value: value is False,
    "privileged": lambda value: value is False,
    "runAsNonRoot": lambda value: value is True,
    "runAsUser": lambda value: _is_id(value),
    "runAsGroup": lambda value: _is_id(value),
    "readOnlyRootFilesystem": lambda value: isinstance(value, bool),
    "capabilities": lambda value: (
        isinstance(value, Mapping) and set(value) <= {"drop"} and "ALL" in (value.get("drop", ["ALL"]) or ())
    ),
    "seccompProfile": lambda value: isinstance(value, Mapping) and value.get("type") in _CONFINED,
    "appArmorProfile": lambda value: isinstance(value, Mapping) and value.get("type") in _CONFINED,
    "fsGroup": lambda value: _is_id(value),
    "fsGroupChangePolicy": lambda value: isinstance(value, str),
    "supplementalGroups": lambda value: isinstance(value, list) and all(map(_is_id, value)),
    "supplementalGroupsPolicy": lambda value: isinstance(value, str),
}
"""Fields of a security context, of a pod or a container, and what keeps to the restricted profile."""

ADMITTED = (
    f"at the pod {', '.join(_POD)}; in containers and initContainers {', '.join(_CONTAINER)}; volumes of the "
    f"kinds {', '.join(_VOLUMES)}; security contexts that keep to the restricted profile; no Secret"
)
"""The allow-list in one sentence, for documents and refusals."""


def _is_id(value: Any) -> bool:
    """Whether a user or group is any but root."""
    return isinstance(value, int) and value > 0


def unsafe(overlay: Mapping[str, Any]) -> Iterator[str]:
    """Yield the path of everything in an overlay that `safe` does not admit, and why where that helps."""
    for key, value in overlay.items():
        path = f"podTemplate.overlay.{key}"
        if value == {} or (key in _OFF and not value):
            continue
        if key not in _POD:
            yield f"{path}: {value}"
        elif key in ("containers", "initContainers"):
            yield from _items(value, path, _unsafe_container)
        elif key == "volumes":
            yield from _items(value, path, _unsafe_volume)
        elif key == "securityContext":
            yield from _unsafe_security(value, path)
    yield from _nowhere(overlay, "podTemplate.overlay")


def _items(value: Any, path: str, check: Callable[[Mapping[str, Any], str], Iterator[str]]) -> Iterator[str]:
    for item in value:
        yield from check(item, f"{path}[{item['name']}]")


def misshapen(overlay: Mapping[str, Any]) -> Iterator[str]:
    """Yield the path of each list of containers or volumes that is none, and of each item of a list that
    nothing tells from the others: it could neither be merged nor compared.
    """
    for key in _MERGED:
        if key in overlay and not isinstance(overlay[key], list):
            yield f"podTemplate.overlay.{key}: {overlay[key]}"
    yield from _untold(overlay, "podTemplate.overlay")


def _untold(value: Any, path: str, field: str | None = None) -> Iterator[str]:
    """`field`: what tells the items of the list `value` apart."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _untold(inner, f"{path}.{key}", _TOLD_APART.get(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if field and not (isinstance(item, Mapping) and isinstance(item.get(field), str | int)):
                yield f"{path}[{index}] (it has no {field})"
            elif field and not isinstance(item.get("name") or "", str):
                yield f"{path}[{index}].name: {item['name']}"
            yield from _untold(item, f"{path}[{index}]")


def _unsafe_container(container: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, value in container.items():
        if key not in _CONTAINER:
            yield f"{path}.{key}"
        elif key == "securityContext":
            yield from _unsafe_security(value, f"{path}.{key}")
            if container["name"] == CONTAINER and isinstance(value, Mapping):
                yield from _writable(value, f"{path}.{key}")
        elif key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            yield from _other_hosts(value, f"{path}.{key}")


def _writable(context: Mapping[str, Any], path: str) -> Iterator[str]:
    if context.get("readOnlyRootFilesystem") is False:
        yield f"{path}.readOnlyRootFilesystem: False (mount an emptyDir where it writes)"


def _unsafe_volume(volume: Mapping[str, Any], path: str) -> Iterator[str]:
    for key in volume:
        if key != "name" and key not in _VOLUMES:
            yield f"{path}.{key}"


def _unsafe_security(context: Any, path: str) -> Iterator[str]:
    if not isinstance(context, Mapping):
        yield f"{path}: {context}"
        return
    for key, value in context.items():
        keeps = _SECURITY.get(key)
        if keeps is None or not keeps(value):
            yield f"{path}.{key}: {value}"


def _other_hosts(value: Any, path: str) -> Iterator[str]:
    """A probe or hook with a host lets the kubelet ask any address of the node's network."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in ("httpGet", "tcpSocket") and isinstance(inner, Mapping) and inner.get("host"):
                yield f"{path}.{key}.host"
            yield from _other_hosts(inner, f"{path}.{key}")


def _nowhere(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in _NOWHERE and inner is not None:
                yield f"{path}.{key} ({_NOWHERE[key]})"
            else:
                yield from _nowhere(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            name = inner.get("name", index) if isinstance(inner, Mapping) else index
            yield from _nowhere(inner, f"{path}[{name}]")
