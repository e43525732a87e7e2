"""The two Jobs of a cache: one lets the volume land where the serving pods can run, one downloads."""

from typing import Any

from podium_operator.render.placement import affinity, tolerations
from podium_operator.render.pod import (
    PORT,
    image,
    labels,
    pod_labels,
    pod_security,
    pod_template,
    pull_secrets,
    restricted,
    serving_resources,
)
from podium_operator.resource.names import (
    ATTEMPT_ANNOTATION,
    BINDER,
    DOWNLOAD,
    METRICS,
    PERMANENT_EXIT,
    SHAPE_ANNOTATION,
)
from podium_operator.resource.quantity import parse_quantity
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import MODELS_DIR, Source, binder_job_name, download_job_name, job_shape
from podium_operator.resource.status import Pinned

CA_DIR = "/etc/podium-ca"
TERMINATION_LOG = "/dev/termination-log"
_CALIBRATING = ("dtype", "family", "instruction", "max_length", "allow_pickle")
"""Settings of the service that the scales of int8 follow from."""
_DISRUPTED = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
"""Rule of a Job: a pod that a drain or a preemption ended is no failure, another one is made."""


def binder_job(reranker: Reranker, source: Source, pinned: Pinned, attempt: int) -> dict[str, Any]:
    """Return the Job that binds an unbound claim: the serving pod's whole placement, GPU included.

    With WaitForFirstConsumer the first pod decides where a volume lands. A download that only bears the taint
    of GPU nodes may land on another node and strand every serving pod. The binder's pod ends at once.
    """
    template = pod_template(reranker, source, pinned)
    serving = template["spec"]
    dropped = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports", "env", "envFrom")
    container = {key: value for key, value in serving["containers"][0].items() if key not in dropped}
    spec = {
        **serving,
        "restartPolicy": "Never",
        "containers": [{**container, "name": "bind", "args": ["--version"]}],
    }
    spec.pop("topologySpreadConstraints", None)
    spec.pop("initContainers", None)
    pod = {"metadata": _pod_metadata(reranker, source, BINDER), "spec": spec}
    job_spec = {"backoffLimit": 0, "podFailurePolicy": {"rules": [_DISRUPTED]}, "template": pod}
    annotations = {ATTEMPT_ANNOTATION: str(attempt)}
    return _job(binder_job_name(reranker), _job_labels(reranker, BINDER), annotations, job_spec)


def download_job(
    reranker: Reranker, source: Source, pinned: Pinned, attempt: int, claim_size: str
) -> dict[str, Any]:
    """Return the Job that fills the cache; `claim_size` is that of a claim of the Reranker's own.

    It has no time to live: it stays as the record that the source is there.
    """
    download = reranker.spec.cache.download
    optional = {
        "imagePullSecrets": pull_secrets(reranker, pinned),
        "nodeSelector": _node_selector(reranker),
        "tolerations": tolerations(reranker, download.tolerations),
        "affinity": affinity(reranker, source, gpu_labels=False),
        "schedulerName": download.pod_template.scheduler_name,
        "priorityClassName": download.pod_template.priority_class_name,
        "runtimeClassName": download.pod_template.runtime_class_name,
    }
    pod_spec = {
        "restartPolicy": "Never",
        "serviceAccountName": reranker.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(pinned),
        "containers": [_container(reranker, source, pinned, claim_size)],
        "volumes": _volumes(reranker, source),
        **{key: value for key, value in optional.items() if value},
    }
    spec = {
        "backoffLimit": download.backoff_limit,
        "activeDeadlineSeconds": download.active_deadline_seconds,
        # Two writers never work on one staging folder.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": "download",
                        "operator": "In",
                        "values": [PERMANENT_EXIT],
                    },
                },
                _DISRUPTED,
            ]
        },
        "template": {"metadata": _pod_metadata(reranker, source, DOWNLOAD), "spec": pod_spec},
    }
    annotations = {SHAPE_ANNOTATION: job_shape(reranker.raw), ATTEMPT_ANNOTATION: str(attempt)}
    return _job(download_job_name(reranker, source), _job_labels(reranker, DOWNLOAD), annotations, spec)


def _job_labels(reranker: Reranker, application: str) -> dict[str, str]:
    """Return the labels of a Job: a queue finds the Job by them, not its pods."""
    return {**reranker.spec.cache.download.pod_template.labels, **labels(reranker, application)}


def _pod_metadata(reranker: Reranker, source: Source, application: str) -> dict[str, Any]:
    added = reranker.spec.cache.download.pod_template
    own = {"labels": {**added.labels, **pod_labels(reranker, source, application)}}
    return {**own, "annotations": dict(added.annotations)} if added.annotations else own


def _job(
    name: str, own_labels: dict[str, str], annotations: dict[str, str], spec: dict[str, Any]
) -> dict[str, Any]:
    metadata = {"name": name, "labels": own_labels, **({"annotations": annotations} if annotations else {})}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _node_selector(reranker: Reranker) -> dict[str, str] | None:
    chosen = reranker.spec.cache.download.node_selector
    return reranker.spec.scheduling.node_selector if chosen is None else chosen


def _container(reranker: Reranker, source: Source, pinned: Pinned, claim_size: str) -> dict[str, Any]:
    given = reranker.spec.cache.download.resources
    mounts: list[dict[str, Any]] = [
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 inside the pod
        {"name": "models", "mountPath": MODELS_DIR},
    ]
    if reranker.spec.model.ca_bundle_ref:
        mounts.append({"name": "ca", "mountPath": CA_DIR, "readOnly": True})
    chosen = (
        {"requests": dict(given.requests), "limits": dict(given.limits)} if given else _resources(reranker)
    )
    return {
        "name": "download",
        "image": image(reranker, pinned),
        "imagePullPolicy": reranker.spec.engine.image_pull_policy or "IfNotPresent",
        "args": _arguments(reranker, source, claim_size),
        "ports": [{"name": METRICS, "containerPort": PORT, "protocol": "TCP"}],
        "env": _environment(reranker),
        "resources": {key: value for key, value in chosen.items() if value},
        "volumeMounts": mounts,
        "securityContext": restricted(pinned),
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _resources(reranker: Reranker) -> dict[str, dict[str, int | str]]:
    """Return the resources where the spec has none. For int8 the model is loaded to take its scales, as a
    serving pod does where there are none: the memory is a serving pod's.
    """
    if not _scales(reranker):
        return {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
    requests, limits = serving_resources(reranker.spec.engine)
    limit = {"memory": limits["memory"]} if "memory" in limits else {}
    return {
        "requests": {"cpu": "250m", "memory": requests.get("memory", limits.get("memory", "2Gi"))},
        "limits": limit,
    }


def _scales(reranker: Reranker) -> dict[str, str]:
    """Return the settings by which the scales of int8 are taken, as serving pods have them; none where
    another dtype is served.
    """
    engine = reranker.spec.engine
    length = None if engine.max_length is None else str(engine.max_length)
    said = {"dtype": engine.dtype, "max_length": length, **engine.settings}
    if said["dtype"] != "int8" or reranker.spec.gpu:
        return {}
    return {f"PODIUM_{name.upper()}": value for name in _CALIBRATING if (value := said.get(name)) is not None}


def _arguments(reranker: Reranker, source: Source, claim_size: str) -> list[str]:
    model, cache = reranker.spec.model, reranker.spec.cache
    arguments = ["fetch", str(source.repo), "--to", source.path, "--termination-log", TERMINATION_LOG]
    if model.revision:
        arguments += ["--revision", model.revision]
    for pattern in model.include:
        arguments += ["--include", pattern]
    for pattern in model.exclude:
        arguments += ["--exclude", pattern]
    if not cache.claim_name:
        # Local volumes have no quota: without the number a too large model would fill the node's disk.
        arguments += ["--max-bytes", str(int(parse_quantity(claim_size)))]
    return arguments


def _environment(reranker: Reranker) -> list[dict[str, Any]]:
    model = reranker.spec.model
    bundle = f"{CA_DIR}/{model.ca_bundle_ref.key}" if model.ca_bundle_ref else None
    values = {
        "HOME": "/tmp",  # noqa: S108 inside the pod
        "PODIUM_CACHE_DIR": "/tmp/podium",  # noqa: S108 inside the pod
        "PODIUM_METRICS_PORT": str(PORT),  # no argument: an older image would refuse it
        "HF_ENDPOINT": model.endpoint,
        "HTTP_PROXY": model.proxy.http_proxy if model.proxy else None,
        "HTTPS_PROXY": model.proxy.https_proxy if model.proxy else None,
        "NO_PROXY": model.proxy.no_proxy if model.proxy else None,
        "SSL_CERT_FILE": bundle,
        "REQUESTS_CA_BUNDLE": bundle,
        **_scales(reranker),
    }
    variables: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in values.items() if value is not None
    ]
    token = model.credentials_secret_ref
    if token:
        reference = {"secretKeyRef": {"name": token.name, "key": token.key}}
        variables.append({"name": "HF_TOKEN", "valueFrom": reference})
    return variables


def _volumes(reranker: Reranker, source: Source) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "models", "persistentVolumeClaim": {"claimName": source.claim}},
    ]
    if reranker.spec.model.ca_bundle_ref:
        volumes.append({"name": "ca", "configMap": {"name": reranker.spec.model.ca_bundle_ref.name}})
    return volumes
