"""What the API server's schema cannot refuse: unknown settings and a dangerous overlay."""

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

import msgspec

from podium_operator.resource.overlay import ADMITTED, misshapen, unsafe
from podium_operator.resource.quantity import parse_quantity
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import shape
from podium_operator.settings import Settings

OWN_SETTINGS = frozenset(
    [
        "api_keys",
        "api_keys_file",
        "cache_dir",
        "model",
        "offline",
        "port",
        "revision",
        "served_model_name",
        "trust_remote_code",
    ]
)
"""Settings of the service that the operator sets from other fields of the spec."""

FREE_SETTINGS = frozenset(
    [
        "allow_pickle",
        "allow_priority",
        "body_timeout_s",
        "cache_bytes",
        "cache_ttl_s",
        "cors_origins",
        "device",
        "document",
        "drain_timeout_s",
        "dtype",
        "family",
        "host",
        "instruction",
        "keep_alive_timeout_s",
        "log_format",
        "log_level",
        "max_batch_tokens",
        "max_body_bytes",
        "max_documents",
        "max_in_flight_bytes",
        "max_length",
        "max_queue_pairs",
        "max_windows",
        "page",
        "preload",
        "request_timeout_s",
        "root_path",
        "self_test",
        "stall_timeout_s",
    ]
)
"""Settings of the service that `engine.settings` may name; a test holds both lists equal to the service's."""

_PROFILES = ("container.apparmor.security.beta.kubernetes.io/", "seccomp.security.alpha.kubernetes.io/")
"""Annotations that older clusters take for a container's profile."""


_SHAPE_BYTES = 240 * 1024
"""What the spec's part of the pods may take: an annotation of the Deployment keeps it (`render.pinned`), and
all annotations of an object may have 256 KiB."""

_LEVELS = 64
"""Objects and lists within each other that a field of the spec may hold; a pod has some ten."""


class Problem(msgspec.Struct, frozen=True):
    """Why a Reranker is not accepted."""

    reason: str
    message: str


def find_problem(reranker: Reranker, settings: Settings) -> Problem | None:
    """Return the first thing that is wrong with a spec which the API server let through."""
    return (
        _depth_problem(reranker)
        or _quantity_problem(reranker)
        or _address_problem(reranker)
        or _affinity_problem(reranker)
        or _overlay_problem(reranker, settings)
        or _strips_problem(reranker, settings)
        or _prometheus_problem(reranker, settings)
        or _settings_problem(reranker)
        or _length_problem(reranker)
    )


def _depth_problem(reranker: Reranker) -> Problem | None:
    """First of all: what looks at a spec after this may go down into it level by level."""
    for key, value in reranker.raw.items():
        level = [value] if isinstance(value, Mapping | list) else []
        for _ in range(_LEVELS):
            inner = (item.values() if isinstance(item, Mapping) else item for item in level)
            level = [item for items in inner for item in items if isinstance(item, Mapping | list)]
            if not level:
                break
        else:
            message = f"{key} is nested more than {_LEVELS} levels deep: nothing of a pod is, make it flatter"
            return Problem("InvalidSpec", message)
    return None


def _quantity_problem(reranker: Reranker) -> Problem | None:
    """The schema's pattern lets through what is too large, and did let through 1e1.5."""
    spec = reranker.spec
    for path, value in (
        ("cache.size", spec.cache.size),
        ("gpu.minMemory", spec.gpu.min_memory if spec.gpu else None),
    ):
        try:
            parse_quantity(0 if value is None else value)
        except ValueError as error:
            return Problem("InvalidSpec", f"{path}: {error}")
    return None


def split_address(address: str) -> SplitResult:
    """Return the parts of an address; one without a scheme is taken as http, as curl does.

    Raises ValueError for one that no client could ask: a port beyond 65535, half an IPv6 address.
    """
    parts = urlsplit(address if "://" in address else f"http://{address}")
    _ = parts.port  # read late, and only then found to be none
    return parts


def _address_problem(reranker: Reranker) -> Problem | None:
    model, autoscaling = reranker.spec.model, reranker.spec.autoscaling
    for path, address in (
        ("model.endpoint", model.endpoint),
        ("model.proxy.httpProxy", model.proxy.http_proxy if model.proxy else None),
        ("model.proxy.httpsProxy", model.proxy.https_proxy if model.proxy else None),
        ("autoscaling.prometheusAddress", autoscaling.prometheus_address if autoscaling else None),
    ):
        try:
            split_address(address or "")
        except ValueError as error:
            message = f"{path}: `{address}` is no address ({error}): write it as http://host:port"
            return Problem("InvalidSpec", message)
    return None


def _affinity_problem(reranker: Reranker) -> Problem | None:
    """Ours is added to the user's affinity, so that has to have a pod's shape where the two meet."""
    given = reranker.spec.scheduling.affinity or {}
    required, preferred = (
        f"{how}DuringSchedulingIgnoredDuringExecution" for how in ("required", "preferred")
    )
    path = "scheduling.affinity"
    for key, value in given.items():
        if value and not isinstance(value, Mapping):
            return _shape_problem(f"{path}.{key}", value)
    terms = (given.get("podAffinity") or {}).get(preferred)
    if terms and not isinstance(terms, list):
        return _shape_problem(f"{path}.podAffinity.{preferred}", terms)
    rule = (given.get("nodeAffinity") or {}).get(required) or {}
    terms = (rule.get("nodeSelectorTerms") or []) if isinstance(rule, Mapping) else None
    whole = isinstance(terms, list) and all(
        isinstance(term, Mapping) and isinstance(term.get("matchExpressions") or [], list) for term in terms
    )
    return None if whole else _shape_problem(f"{path}.nodeAffinity.{required}", rule)


def _shape_problem(path: str, value: object) -> Problem:
    return Problem(
        "InvalidSpec", f"{path}: {value} has not the shape of a pod's: see `kubectl explain pod.spec`"
    )


def _overlay_problem(reranker: Reranker, settings: Settings) -> Problem | None:
    overlay = reranker.spec.pod_template.overlay
    if not overlay:
        return None
    if settings.overlay == "off":
        message = "podTemplate.overlay is switched off by the operator's setting overlay=off: remove it"
        return Problem("OverlayRefused", message)
    wrong = next(misshapen(overlay), None)
    if wrong:
        return Problem("InvalidSpec", f"{wrong} cannot be merged: write a list of items with names")
    refused = next(unsafe(overlay), None) if settings.overlay == "safe" else None
    if refused is None:
        return None
    return Problem(
        "OverlayRefused",
        f"{refused} is not allowed in a Reranker's pods: remove it from the overlay. The operator's setting "
        f"overlay=safe admits {ADMITTED}",
    )


def _strips_problem(reranker: Reranker, settings: Settings) -> Problem | None:
    """Other fields by which a pod would get more than the restricted profile, or go before all others."""
    spec, shaped = reranker.spec, reranker.spec.cache.download.pod_template
    if settings.overlay == "any":
        return None
    for path, name in (
        ("scheduling.priorityClassName", spec.scheduling.priority_class_name),
        ("cache.download.podTemplate.priorityClassName", shaped.priority_class_name),
    ):
        if name and name.startswith("system-"):
            message = f"{path}: {name} is for the cluster's own pods: name another PriorityClass"
            return Problem("InvalidSpec", message)
    for path, annotations in (
        ("podTemplate.annotations", spec.pod_template.annotations),
        ("cache.download.podTemplate.annotations", shaped.annotations),
    ):
        for key, value in annotations.items():
            if key.startswith(_PROFILES) and value == "unconfined":
                message = f"{path}.{key}: unconfined takes a restriction off a Reranker's pods: remove it"
                return Problem("InvalidSpec", message)
    return None


def _prometheus_problem(reranker: Reranker, settings: Settings) -> Problem | None:
    """KEDA asks that address from its own pod, past what the creator's namespace may reach."""
    autoscaling, allowed = reranker.spec.autoscaling, settings.allowed_prometheus_hosts
    address = autoscaling.prometheus_address if autoscaling else None
    if not address or not allowed or address == settings.prometheus_address:
        return None
    if split_address(address).hostname in allowed:
        return None
    return Problem(
        "InvalidSpec",
        f"autoscaling.prometheusAddress: {address} is at none of the hosts that the operator's setting "
        f"allowed_prometheus_hosts admits: {', '.join(allowed)}; name one of them or leave the field out",
    )


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


def _length_problem(reranker: Reranker) -> Problem | None:
    size = len(msgspec.json.encode(shape(reranker.raw)))
    if size <= _SHAPE_BYTES:
        return None
    return Problem(
        "InvalidSpec",
        f"what shapes the pods takes {size} bytes, and their Deployment can keep {_SHAPE_BYTES}: move long "
        "values of engine.env (or of podTemplate) into a ConfigMap that engine.envFrom names",
    )
