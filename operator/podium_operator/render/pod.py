"""The serving pod: a function of the Reranker, its source and what is pinned, never of `replicas`."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from podium_operator.render.merge import merge
from podium_operator.render.placement import HOSTNAME, ZONE, affinity, claim_labels, tolerations
from podium_operator.resource.names import CONTAINER, MANAGER, OWNER_LABEL, SERVING
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import MODELS_DIR, Source
from podium_operator.resource.status import Pinned
from podium_operator.resource.workload import Engine

PORT = 8080
USER = 65532
_STARTUP_PERIOD_S = 5
_EXIT_MARGIN_S = 5
"""Seconds of the grace period that are kept for the process to end after its requests are answered."""


_SIDECAR = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Security context of a container that an overlay adds, where it says nothing itself."""


def selector(reranker: Reranker) -> dict[str, str]:
    """Return the labels that select the serving pods: a Deployment's selector is immutable."""
    return {"app.kubernetes.io/name": SERVING, "app.kubernetes.io/instance": reranker.name}


def labels(reranker: Reranker, application: str = SERVING) -> dict[str, str]:
    """Return the labels of everything that belongs to a Reranker."""
    return {
        "app.kubernetes.io/name": application,
        "app.kubernetes.io/instance": reranker.name,
        "app.kubernetes.io/managed-by": MANAGER,
        OWNER_LABEL: reranker.name,
    }


def pod_labels(reranker: Reranker, source: Source, application: str) -> dict[str, str]:
    """Return the labels of a pod: also the claim's, where its pods must share a node."""
    return {**labels(reranker, application), **claim_labels(source)}


def restricted(pinned: Pinned) -> dict[str, Any]:
    """Return a container's security context: that of the settings, else what the restricted profile asks."""
    return pinned.container_security or {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def pod_security(pinned: Pinned) -> dict[str, Any]:
    """Return the pod's security context; a large volume is not walked at every start."""
    return pinned.pod_security or {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def image(reranker: Reranker, pinned: Pinned) -> str:
    """Return the image of pods and Jobs."""
    return reranker.spec.engine.image or pinned.image


def pull_secrets(reranker: Reranker, pinned: Pinned) -> list[dict[str, str]]:
    """Return the user's pull secrets and the operator's, each once."""
    names = [secret.name for secret in reranker.spec.engine.image_pull_secrets] + pinned.pull_secrets
    return [{"name": name} for name in dict.fromkeys(names)]


def pod_template(reranker: Reranker, source: Source, pinned: Pinned) -> dict[str, Any]:
    """Return the template of the serving pods."""
    added = reranker.spec.pod_template
    metadata: dict[str, Any] = {"labels": {**added.labels, **pod_labels(reranker, source, SERVING)}}
    if added.annotations:
        metadata["annotations"] = dict(added.annotations)
    spec = _pod_spec(reranker, source, pinned)
    return {"metadata": metadata, "spec": _overlaid(spec, added.overlay) if added.overlay else spec}


def _overlaid(spec: dict[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pod with the overlay on it; containers that it adds are restricted where they do not say."""
    merged: dict[str, Any] = merge(spec, overlay)
    ours = {container["name"] for container in spec["containers"]}
    for group in ("containers", "initContainers"):
        if isinstance(merged.get(group), list):
            merged[group] = [
                item if not isinstance(item, dict) or item.get("name") in ours else _confined(item)
                for item in merged[group]
            ]
    return merged


def _confined(container: dict[str, Any]) -> dict[str, Any]:
    if "securityContext" in container and container["securityContext"] is None:
        return container
    return {**container, "securityContext": merge(_SIDECAR, container.get("securityContext", {}))}


def _pod_spec(reranker: Reranker, source: Source, pinned: Pinned) -> dict[str, Any]:
    scheduling, gpu = reranker.spec.scheduling, reranker.spec.gpu
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    if source.claim:
        claim = {"claimName": source.claim, "readOnly": True}
        volumes.append({"name": "models", "persistentVolumeClaim": claim})
    optional = {
        "imagePullSecrets": pull_secrets(reranker, pinned),
        "nodeSelector": scheduling.node_selector,
        "tolerations": tolerations(reranker),
        "affinity": affinity(reranker, source, gpu_labels=True),
        "topologySpreadConstraints": _spread(reranker, source),
        "priorityClassName": scheduling.priority_class_name,
        "schedulerName": scheduling.scheduler_name,
        "runtimeClassName": gpu.runtime_class_name if gpu else None,
        "resourceClaims": [msgspec.to_builtins(claim) for claim in gpu.resource_claims] if gpu else None,
    }
    return {
        "serviceAccountName": reranker.name,
        "automountServiceAccountToken": False,
        # A Service called `podium` would inject PODIUM_PORT=tcp://… and break that setting.
        "enableServiceLinks": False,
        "securityContext": pod_security(pinned),
        "terminationGracePeriodSeconds": reranker.spec.termination.grace_period_seconds,
        "containers": [_container(reranker, source, pinned)],
        "volumes": volumes,
        **{key: value for key, value in optional.items() if value},
    }


def _container(reranker: Reranker, source: Source, pinned: Pinned) -> dict[str, Any]:
    engine, termination = reranker.spec.engine, reranker.spec.termination
    startup_s = reranker.spec.probes.startup_timeout_seconds
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 inside the pod
    if source.claim:
        mounts.append({"name": "models", "mountPath": MODELS_DIR, "readOnly": True})
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image(reranker, pinned),
        "imagePullPolicy": engine.image_pull_policy or "IfNotPresent",
        "args": ["serve"],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "env": environment(reranker, source, pinned),
        "resources": _resources(reranker),
        "volumeMounts": mounts,
        "securityContext": restricted(pinned),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "startupProbe": {
            **_probe("/readyz", period_s=_STARTUP_PERIOD_S, timeout_s=5),
            "failureThreshold": math.ceil(startup_s / _STARTUP_PERIOD_S),
        },
        "readinessProbe": {**_probe("/readyz", period_s=2, timeout_s=2), "failureThreshold": 2},
        # A busy device must not look dead: the service itself says when it is stuck.
        "livenessProbe": {**_probe("/livez", period_s=10, timeout_s=5), "failureThreshold": 5},
    }
    if engine.env_from:
        container["envFrom"] = list(engine.env_from)
    if termination.drain_seconds:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": termination.drain_seconds}}}
    return container


def environment(reranker: Reranker, source: Source, pinned: Pinned) -> list[dict[str, Any]]:
    """Return the variables of the serving container, each name once; the user's `env` comes last and wins."""
    engine, model, termination = reranker.spec.engine, reranker.spec.model, reranker.spec.termination
    drain_s = max(1, termination.grace_period_seconds - termination.drain_seconds - _EXIT_MARGIN_S)
    values: dict[str, str | None] = {
        "PODIUM_MODEL": source.path,
        "PODIUM_SERVED_MODEL_NAME": model.served_name or source.repo or source.path.rpartition("/")[2],
        "PODIUM_PORT": str(PORT),
        "PODIUM_OFFLINE": "true",
        "PODIUM_CACHE_DIR": "/tmp/podium",  # noqa: S108 inside the pod
        "PODIUM_DRAIN_TIMEOUT_S": str(drain_s),
        "PODIUM_DTYPE": engine.dtype,
        "PODIUM_MAX_LENGTH": _text(engine.max_length),
        "PODIUM_MAX_BATCH_TOKENS": _text(engine.max_batch_tokens),
        "PODIUM_TRUST_REMOTE_CODE": "true" if model.trust_remote_code else None,
        "PODIUM_REVISION": model.revision if model.trust_remote_code else None,
        "OTEL_EXPORTER_OTLP_ENDPOINT": pinned.otlp_endpoint,
        "PODIUM_DEVICE": pinned.device,
        "HOME": "/tmp",  # noqa: S108 inside the pod
        **{f"PODIUM_{name.upper()}": value for name, value in sorted(engine.settings.items())},
    }
    result: dict[str, dict[str, Any]] = {
        name: {"name": name, "value": value} for name, value in values.items() if value is not None
    }
    keys = reranker.spec.auth.api_keys_secret_ref
    if keys:
        reference = {"secretKeyRef": {"name": keys.name, "key": keys.key}}
        result["PODIUM_API_KEYS"] = {"name": "PODIUM_API_KEYS", "valueFrom": reference}
    for variable in engine.env:
        result[variable.name] = msgspec.to_builtins(variable)
    return list(result.values())


def serving_resources(engine: Engine) -> tuple[dict[str, int | str], dict[str, int | str]]:
    """Return requests and limits of the serving container, the GPU apart."""
    given = engine.resources
    return (dict(given.requests), dict(given.limits)) if given else ({"cpu": "1", "memory": "2Gi"}, {})


def _resources(reranker: Reranker) -> dict[str, Any]:
    gpu = reranker.spec.gpu
    requests, limits = serving_resources(reranker.spec.engine)
    claims = [{"name": claim.name} for claim in gpu.resource_claims] if gpu else []
    if gpu and not claims:
        requests[gpu.resource_name] = limits[gpu.resource_name] = str(gpu.count)
    found = {"requests": requests, "limits": limits, "claims": claims}
    return {key: value for key, value in found.items() if value}


def _spread(reranker: Reranker, source: Source) -> list[dict[str, Any]]:
    """Return how pods are spread: the user's way, else softly over nodes and zones."""
    given = reranker.spec.scheduling.topology_spread_constraints
    if given:
        return list(given)
    if source.one_node:
        # Without a selector it counts no pod; without any constraint the scheduler's own ones would spread
        # the pods and outvote the node of their claim.
        return [{"maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "ScheduleAnyway"}]
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(reranker)},
            # Without it a roll counts the old pods too and piles the new ones up.
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in (HOSTNAME, ZONE)
    ]


def _probe(path: str, *, period_s: int, timeout_s: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": period_s, "timeoutSeconds": timeout_s}


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
