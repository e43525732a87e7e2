"""What the API server's schema cannot refuse: unknown settings and a dangerous overlay."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from podium_operator.resource.reranker import Reranker

OWN_SETTINGS = frozenset(
    [
        "api_keys",
        "api_keys_file",
        "cache_dir",
        "host",
        "model",
        "offline",
        "port",
        "revision",
        "root_path",
        "served_model_name",
        "trust_remote_code",
    ]
)
"""Settings of the service that the operator sets from other fields of the spec."""

FREE_SETTINGS = frozenset(
    [
        "allow_pickle",
        "body_timeout_s",
        "cache_bytes",
        "cache_ttl_s",
        "cors_origins",
        "device",
        "document",
        "drain_timeout_s",
        "dtype",
        "log_format",
        "log_level",
        "max_batch_tokens",
        "max_body_bytes",
        "max_documents",
        "max_length",
        "max_queue_pairs",
        "preload",
        "request_timeout_s",
        "self_test",
        "stall_timeout_s",
    ]
)
"""Settings of the service that `engine.settings` may name; a test holds both lists equal to the service's."""

_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_PRIVILEGES = ("privileged", "allowPrivilegeEscalation")


class Problem(msgspec.Struct, frozen=True):
    """Why a Reranker is not accepted."""

    reason: str
    message: str


def find_problem(reranker: Reranker) -> Problem | None:
    """Return the first thing that is wrong with a spec which the API server let through."""
    refused = next(_refused(reranker.spec.pod_template.overlay or {}, "podTemplate.overlay"), None)
    if refused:
        return Problem(
            "OverlayRefused",
            f"{refused} is not allowed in a Reranker's pods: remove it from the overlay",
        )
    return _settings_problem(reranker)


def _settings_problem(reranker: Reranker) -> Problem | None:
    for name in sorted(reranker.spec.engine.settings):
        if name in OWN_SETTINGS:
            return Problem(
                "InvalidSpec",
                f"engine.settings.{name} is set by the operator: use the spec's field for it "
                "(model, auth, service)",
            )
        if name not in FREE_SETTINGS:
            known = ", ".join(sorted(FREE_SETTINGS))
            return Problem(
                "InvalidSpec", f"engine.settings.{name} is no setting of the service; it has {known}"
            )
    return None


def _refused(value: Any, path: str) -> Iterator[str]:
    """Yield the path and value of everything in an overlay that would reach the node."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            here = f"{path}.{key}"
            if key in _HOST_NAMESPACES and inner:
                yield f"{here}: {inner}"
            elif key == "hostPath" or (key == "hostPort" and inner):
                yield here
            elif key in _PRIVILEGES and inner:
                yield f"{here}: {inner}"
            elif key == "capabilities" and isinstance(inner, Mapping) and inner.get("add"):
                yield f"{here}.add"
            else:
                yield from _refused(inner, here)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            name = inner.get("name", index) if isinstance(inner, Mapping) else index
            yield from _refused(inner, f"{path}[{name}]")
