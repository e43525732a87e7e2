"""Where pods may run: GPU, tolerations and affinity."""

from typing import Any

import msgspec

from podium_operator.resource.fields import Toleration
from podium_operator.resource.names import CLAIM_LABEL
from podium_operator.resource.quantity import parse_quantity
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import Source, claim_label
from podium_operator.resource.workload import Gpu

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
_MIB = 1024 * 1024


def claim_labels(source: Source) -> dict[str, str]:
    """Return the label by which pods find the node of their claim; none where they need not share one."""
    if not source.one_node or source.claim is None:
        return {}
    return {CLAIM_LABEL: claim_label(source.claim)}


def tolerations(reranker: Reranker, extra: list[Toleration] | None = None) -> list[dict[str, Any]]:
    """Return what the pods bear: the user's, and the taint that GPU nodes usually carry."""
    given = [*reranker.spec.scheduling.tolerations, *(extra or [])]
    result: list[dict[str, Any]] = [msgspec.to_builtins(toleration) for toleration in given]
    if reranker.spec.gpu:
        taints = _gpu_taints(reranker.spec.gpu)
        result += [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in taints]
    return [item for index, item in enumerate(result) if item not in result[:index]]


def _gpu_taints(gpu: Gpu) -> list[str]:
    """Return the keys: the resource's own, and `<vendor>/gpu`, which nodes with MIG slices bear."""
    vendor = gpu.resource_name.partition("/")[0]
    return list(dict.fromkeys([gpu.resource_name, f"{vendor}/gpu"]))


def affinity(reranker: Reranker, source: Source, *, gpu_labels: bool) -> dict[str, Any]:
    """Return the user's affinity with ours added: the GPU's product and memory, the claim's node.

    The claim's node is preferred, never required. A volume that lies there keeps its pods by itself; where it
    can move, a required term would hold a drain up for ever, hold a replacement back until the ending pod is
    gone (https://github.com/kubernetes/kubernetes/issues/141354), and pin it to a node that is dead.
    """
    given = reranker.spec.scheduling.affinity
    result: dict[str, Any] = {key: dict(value or {}) for key, value in (given or {}).items()}
    expressions = _gpu_expressions(reranker.spec.gpu) if gpu_labels and reranker.spec.gpu else []
    if expressions:
        _require_on_nodes(result, expressions)
    if source.one_node:
        pods = result.setdefault("podAffinity", {})
        rule = "preferredDuringSchedulingIgnoredDuringExecution"
        term = {"labelSelector": {"matchLabels": claim_labels(source)}, "topologyKey": HOSTNAME}
        pods[rule] = [*(pods.get(rule) or []), {"weight": 100, "podAffinityTerm": term}]
    return result


def _gpu_expressions(gpu: Gpu) -> list[dict[str, Any]]:
    vendor = gpu.resource_name.partition("/")[0]
    expressions: list[dict[str, Any]] = []
    if gpu.product:
        expressions.append({"key": f"{vendor}/gpu.product", "operator": "In", "values": [gpu.product]})
    if gpu.min_memory is not None:
        # The label counts MiB and `Gt` is strict: one less than what is asked for lets that much in.
        least = int(-(-parse_quantity(gpu.min_memory) // _MIB)) - 1
        expressions.append({"key": f"{vendor}/gpu.memory", "operator": "Gt", "values": [str(least)]})
    return expressions


def _require_on_nodes(result: dict[str, Any], expressions: list[dict[str, Any]]) -> None:
    """Add expressions to every term: terms are alternatives, the expressions of one term all hold."""
    nodes = result.setdefault("nodeAffinity", {})
    rule = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = (nodes.get(rule) or {}).get("nodeSelectorTerms") or [{}]
    nodes[rule] = {
        "nodeSelectorTerms": [
            {**term, "matchExpressions": [*(term.get("matchExpressions") or []), *expressions]}
            for term in terms
        ]
    }
