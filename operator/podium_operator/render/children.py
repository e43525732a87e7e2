"""Every object that a Reranker should own, rendered each time from its spec and what was observed."""

from datetime import datetime
from typing import Any

import msgspec

from podium_operator.render.autoscaling import scaler
from podium_operator.render.deployment import deployment, handover
from podium_operator.render.jobs import binder_job, download_job
from podium_operator.render.network import network_policies
from podium_operator.render.pinned import Pods, held, wanted_pods
from podium_operator.render.pod import labels, selector
from podium_operator.render.replacing import replaces_first
from podium_operator.resource.names import (
    API_VERSION,
    APPLIED_ANNOTATION,
    DOWNLOAD,
    KIND,
    METRICS,
    OPERATOR_ANNOTATION,
)
from podium_operator.resource.quantity import parse_quantity
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import Source, digest, download_job_name, own_claim_name
from podium_operator.seen.download_progress import CacheProgress
from podium_operator.seen.observed import Body, ObjectKey, Observed
from podium_operator.seen.volumes import asked_size, one_node, one_pod
from podium_operator.settings import Settings

Manifest = dict[str, Any]

_KEEP = {
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "helm.sh/resource-policy": "keep",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}
"""Annotations by which Argo CD, Helm and Flux leave an object alone that they do not know."""


class Children(msgspec.Struct, frozen=True, kw_only=True):
    """What should be: `manifests` in the order of making; `kept` is left as it is; `handover` goes first."""

    manifests: tuple[Manifest, ...]
    kept: frozenset[ObjectKey]
    pods: Pods
    handover: Manifest | None = None


def render_children(
    reranker: Reranker,
    source: Source,
    progress: CacheProgress,
    observed: Observed,
    settings: Settings,
    now: datetime,
) -> Children:
    """Return every child of an accepted Reranker."""
    live = observed.get("Deployment", reranker.name)
    waits = observed.rolling is not None or not progress.ready
    pods = wanted_pods(reranker, live, settings, now, claim=observed.claim, waits=waits)
    pinned = pods.pinned
    kept = frozenset({("Deployment", reranker.name)})
    live_claim = observed.get("PersistentVolumeClaim", own_claim_name(reranker.name))
    wanted: list[Manifest] = [_service_account(reranker), *_claim(reranker, source, live_claim)]
    wanted += network_policies(reranker, pinned, settings)
    if progress.binder:
        wanted.append(binder_job(reranker, source, pinned, progress.attempt + 1))
    if progress.job:
        size = _storage(reranker, live_claim)
        exists = observed.get("Job", download_job_name(reranker, source)) is not None
        attempt = progress.attempt if exists else progress.attempt + 1
        wanted.append(download_job(reranker, source, pinned, attempt, size))
    wanted.append(_service(reranker))
    first, scaling = None, scaler(reranker, settings, observed.addons)
    serving = reranker if progress.ready else held(reranker, live)
    if serving:
        if serving is not reranker:
            pods = wanted_pods(serving, live, settings, now, claim=observed.claim, waits=True)
        # The download needs a claim that the old pod would hold.
        parked = not progress.ready and one_pod(reranker, source, observed.claim)
        document = deployment(
            serving,
            pods,
            live,
            scales=scaling is not None,
            parked=parked,
            replaces=replaces_first(serving, observed),
        )
        first = handover(reranker, document, live)
        wanted.append(document)
    if serving or live:
        if not one_node(reranker, source, observed.claim):
            # A budget over pods of one node's volume would only hold up the drain that has to move them all.
            wanted += _disruption_budget(reranker)
        wanted += [scaling] if scaling else []
    wanted += _monitors(reranker, source, observed)
    return Children(
        manifests=tuple(_finished(reranker, manifest, settings.lease) for manifest in wanted),
        kept=frozenset() if serving else kept,
        pods=msgspec.structs.replace(pods, pinned=pinned),
        handover=first,
    )


def _finished(reranker: Reranker, manifest: Manifest, operator: str) -> Manifest:
    """Return the manifest with namespace, owner, the digest by which a later pass knows it, and the operator.

    A deleted Reranker takes its children along without the operator; a claim that is retained has no owner.
    """
    metadata = {**manifest["metadata"], "namespace": reranker.namespace}
    if not (manifest["kind"] == "PersistentVolumeClaim" and _is_retained(reranker)):
        metadata["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": reranker.name,
                "uid": reranker.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    whole = {**manifest, "metadata": metadata}
    own = {APPLIED_ANNOTATION: digest(whole, 16), OPERATOR_ANNOTATION: operator}
    annotations = {**metadata.get("annotations", {}), **own}
    return {**whole, "metadata": {**metadata, "annotations": annotations}}


def _is_retained(reranker: Reranker) -> bool:
    return reranker.spec.cache.retention_policy.when_deleted == "Retain"


def _metadata(reranker: Reranker) -> Manifest:
    return {"name": reranker.name, "labels": labels(reranker)}


def _service_account(reranker: Reranker) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(reranker),
        "automountServiceAccountToken": False,
    }


def _claim(reranker: Reranker, source: Source, live: Body | None) -> list[Manifest]:
    cache = reranker.spec.cache
    if source.kind != "hub" or cache.claim_name:
        return []
    # Modes and class of a claim are fixed: those of one that an earlier Reranker left stay, see CacheReady.
    modes, storage_class = cache.access_modes or ["ReadWriteOnce"], cache.storage_class_name
    if live and "spec" in live:
        modes = live["spec"].get("accessModes", modes)
        named = storage_class is not None or live.get("appliedClass")
        storage_class = live["spec"].get("storageClassName") if named else None
    spec: Manifest = {
        "accessModes": modes,
        "resources": {"requests": {"storage": _storage(reranker, live)}},
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    metadata = {**_metadata(reranker), "name": own_claim_name(reranker.name)}
    if _is_retained(reranker):
        metadata = _kept_by_gitops(metadata)
    return [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}]


def _kept_by_gitops(metadata: Manifest) -> Manifest:
    """Return the metadata of a claim that outlives its owner, so that no tool prunes it as its own.

    Argo CD finds what belongs to an application by the label `app.kubernetes.io/instance`.
    """
    labels_ = {key: value for key, value in metadata["labels"].items() if key != "app.kubernetes.io/instance"}
    return {**metadata, "labels": labels_, "annotations": dict(_KEEP)}


def _storage(reranker: Reranker, live: Body | None) -> str:
    """Return the size to ask for: what the spec asks for, or more where someone or an autoresizer grew it."""
    asked, grown = reranker.cache_size, asked_size(live) or "0"
    return grown if parse_quantity(grown) > parse_quantity(asked) else asked


def _service(reranker: Reranker) -> Manifest:
    service = reranker.spec.service
    metadata = _metadata(reranker)
    if service.annotations:
        metadata["annotations"] = dict(service.annotations)
    port = {"name": "http", "port": service.port, "targetPort": "http", "protocol": "TCP"}
    spec = {"type": service.type, "selector": selector(reranker), "ports": [port]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _disruption_budget(reranker: Reranker) -> list[Manifest]:
    """A budget for one pod would block every drain for ever, so it takes two."""
    autoscaling, least = reranker.spec.autoscaling, reranker.spec.disruption.min_available
    most = autoscaling.max_replicas if autoscaling else reranker.desired_replicas
    if most <= 1 or reranker.spec.suspend:
        return []
    # The schema refuses a number that forbids every drain; a Reranker may be older than that rule.
    allows = least is not None and least < reranker.desired_replicas
    bound: Manifest = {"minAvailable": least} if allows else {"maxUnavailable": 1}
    return [
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": _metadata(reranker),
            "spec": {
                **bound,
                "selector": {"matchLabels": selector(reranker)},
                # A pod that never became ready must not hold a drain up.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }
    ]


def _monitors(reranker: Reranker, source: Source, observed: Observed) -> list[Manifest]:
    """A download has no Service, so that its pods are found without one."""
    monitor = reranker.spec.monitoring.service_monitor
    endpoint = {"path": "/metrics", "interval": monitor.interval}
    serving = {
        "selector": {"matchLabels": selector(reranker)},
        "endpoints": [{"port": "http", **endpoint}],
    }
    named = [{"targetLabel": "reranker", "replacement": reranker.name}]
    downloading = {
        "selector": {"matchLabels": {**selector(reranker), "app.kubernetes.io/name": DOWNLOAD}},
        "podMetricsEndpoints": [{"port": METRICS, **endpoint, "relabelings": named}],
    }
    wanted = {"ServiceMonitor": serving, **({"PodMonitor": downloading} if source.kind == "hub" else {})}
    labels_ = {**monitor.labels, **labels(reranker)}
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": kind,
            "metadata": {"name": reranker.name, "labels": labels_},
            "spec": spec,
        }
        for kind, spec in wanted.items()
        if monitor.enabled and kind in observed.addons
    ]
