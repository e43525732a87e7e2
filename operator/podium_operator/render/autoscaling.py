"""The object that scales a Deployment by the tokens that wait in its pods: an HPA or KEDA's ScaledObject."""

from typing import Any

from podium_operator.render.pod import labels
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.spec import Autoscaling
from podium_operator.settings import Settings

METRIC = "podium_queue_tokens"
_RANDOM, _KEPT_LENGTH = "bcdfghjklmnpqrstvwxz2456789", 58
"""Characters of hashes and random ends; what is kept of a pod's name before its random end."""
_BEHAVIOR = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 30}],
    },
    # A pod needs minutes to load its model: let go of one slowly.
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    },
}


def prometheus_address(autoscaling: Autoscaling, settings: Settings) -> str | None:
    """Return the Prometheus that KEDA asks, or None where nobody named one."""
    return autoscaling.prometheus_address or settings.prometheus_address


def scaler(reranker: Reranker, settings: Settings, addons: frozenset[str]) -> dict[str, Any] | None:
    """Return the HPA or ScaledObject; None where nothing scales, or KEDA or a Prometheus is missing."""
    autoscaling = reranker.spec.autoscaling
    if autoscaling is None or reranker.spec.suspend:
        return None
    if autoscaling.engine == "HPA":
        return _hpa(reranker, autoscaling)
    address = prometheus_address(autoscaling, settings)
    return _scaled_object(reranker, autoscaling, address) if address and "ScaledObject" in addons else None


def _metadata(reranker: Reranker) -> dict[str, Any]:
    return {"name": reranker.name, "labels": labels(reranker)}


def _hpa(reranker: Reranker, autoscaling: Autoscaling) -> dict[str, Any]:
    target = {"type": "AverageValue", "averageValue": str(autoscaling.target_queue_tokens)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(reranker),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": reranker.name},
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": [{"type": "Pods", "pods": {"metric": {"name": METRIC}, "target": target}}],
            "behavior": autoscaling.behavior or _BEHAVIOR,
        },
    }


def pod_pattern(name: str) -> str:
    """Return a regular expression for the whole name of a Deployment's pod; `a` takes none of `a-b`.

    Name, the template's hash of up to ten characters, five random ones. Before these Kubernetes keeps 58
    characters: of a name of 47 with a hash of ten it cuts the dash between the two.
    """
    hash_, end = f"[{_RANDOM}]{{1,10}}", f"[{_RANDOM}]{{5}}"
    if len(name) + len("-") + 10 + len("-") <= _KEPT_LENGTH:
        return f"{name}-{hash_}-{end}"
    return f"{name}-({hash_}-{end}|[{_RANDOM}]{{{_KEPT_LENGTH - len(name) - 1 + 5}}})"


def _scaled_object(reranker: Reranker, autoscaling: Autoscaling, address: str) -> dict[str, Any]:
    query = f'sum({METRIC}{{namespace="{reranker.namespace}",pod=~"{pod_pattern(reranker.name)}"}})'
    threshold = str(autoscaling.target_queue_tokens)
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": _metadata(reranker),
        "spec": {
            "scaleTargetRef": {"name": reranker.name},
            "pollingInterval": 15,
            "minReplicaCount": autoscaling.min_replicas,
            "maxReplicaCount": autoscaling.max_replicas,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": autoscaling.behavior or _BEHAVIOR}},
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {"serverAddress": address, "query": query, "threshold": threshold},
                }
            ],
        },
    }
