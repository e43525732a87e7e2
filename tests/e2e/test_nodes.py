"""Nodes that are drained or stop answering. Nothing else may run on the cluster meanwhile."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from e2e.client import Client
from e2e.kube import Namespace, Object, wait_for
from e2e.nodes import NodeFault
from e2e.private_hub import PrivateHub

GRACE_S = 30
SHORT = {"drainSeconds": 5, "gracePeriodSeconds": GRACE_S}
# By its key: a toleration of every NoSchedule taint would also bear the one that a cordon sets.
EVERYWHERE = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


@pytest.fixture
def drained(cluster: Namespace) -> Iterator[list[str]]:
    """Return a list of the nodes that a test cordons, which take pods again afterwards."""
    names: list[str] = []
    yield names
    for name in names:
        cluster.kubectl("uncordon", name)


def test_a_drain_leaves_all_but_one_pod_answering(
    namespace: Namespace, client: Client, nodes: list[Object], drained: list[str]
) -> None:
    if len(nodes) < 2:
        pytest.skip("this cluster has one node")
    spread = {"tolerations": EVERYWHERE}
    namespace.reranker("moved", replicas=2, scheduling=spread, termination=SHORT)
    wait_for("two ready pods", lambda: len(namespace.ready_pods("moved")) == 2, timeout_s=90)
    node = namespace.pods("moved")[0]["spec"]["nodeName"]
    with client.keep_asking(f"http://moved.{namespace.name}.svc") as asking:
        drain(namespace, node, "moved", drained)
        wait_for("two ready pods", lambda: len(namespace.ready_pods("moved")) == 2, timeout_s=90)
    assert asking.failed == {}
    assert node not in {pod["spec"]["nodeName"] for pod in namespace.pods("moved")}


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_a_drain_of_the_node_of_a_local_volume_ends_and_says_what_its_pods_wait_for(
    namespace: Namespace, hub: PrivateHub, nodes: list[Object], drained: list[str], replicas: int
) -> None:
    if len(nodes) < 2:
        pytest.skip("this cluster has one node")
    node = bring_up(namespace, hub, replicas, {"size": "1Gi"})
    took_s = drain(namespace, node, "kept", drained)
    assert took_s < GRACE_S + 60
    degraded = namespace.wait_condition("kept", "Degraded", "True", "ReadWriteOnceNoRoom", timeout_s=40)
    assert f"node {node} has the volume of claim kept-cache" in degraded["message"]
    assert "ReadWriteMany" in degraded["message"]
    Namespace("").kubectl("uncordon", node)
    wait_for("all are ready again", lambda: len(namespace.ready_pods("kept")) == replicas, timeout_s=90)
    assert {pod["spec"]["nodeName"] for pod in namespace.pods("kept")} == {node}


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_a_drain_of_the_node_that_uses_a_network_volume_moves_all_its_pods(
    namespace: Namespace,
    hub: PrivateHub,
    nodes: list[Object],
    drained: list[str],
    network_class: str,
    replicas: int,
) -> None:
    if len(nodes) < 2:
        pytest.skip("this cluster has one node")
    node = bring_up(namespace, hub, replicas, {"size": "1Gi", "storageClassName": network_class})
    took_s = drain(namespace, node, "kept", drained)
    assert took_s < GRACE_S + 60
    wait_for("all are ready elsewhere", lambda: len(namespace.ready_pods("kept")) == replicas, timeout_s=60)
    places = {pod["spec"]["nodeName"] for pod in namespace.pods("kept")}
    assert len(places) == 1, "they keep together"
    assert node not in places


def test_a_node_that_stays_away_is_left_by_pods_whose_volume_is_not_attached(
    namespace: Namespace,
    hub: PrivateHub,
    nodes: list[Object],
    drained: list[str],
    network_class: str,
    node_fault: NodeFault,
) -> None:
    """The old pod stays `Terminating` on the dead node and must not keep the new one there."""
    others = [node["metadata"]["name"] for node in nodes if node["metadata"]["name"] != node_fault.node]
    for other in others:
        drained.append(other)
        Namespace("").kubectl("cordon", other)
    bears_s = 10
    away = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": bears_s}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    ]
    cache = {"size": "1Gi", "storageClassName": network_class}
    node = bring_up(namespace, hub, 1, cache, tolerations=[*EVERYWHERE, *away])
    assert node == node_fault.node
    for other in others:
        Namespace("").kubectl("uncordon", other)
    node_fault.begin()
    wait_for("the node is missed", lambda: not node_is_ready(node), timeout_s=120)
    wait_for(
        "a ready pod elsewhere",
        lambda: [pod for pod in namespace.ready_pods("kept") if pod["spec"]["nodeName"] != node],
        timeout_s=bears_s + 60,
    )


def test_a_node_that_stops_answering_is_named_and_comes_back(
    namespace: Namespace, node_fault: NodeFault
) -> None:
    there = {
        "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
        "nodeSelector": {"kubernetes.io/hostname": node_fault.node},
    }
    namespace.reranker("lost", scheduling=there)
    namespace.wait_condition("lost", "Ready", "True")
    node_fault.begin()
    condition = namespace.wait_condition("lost", "Available", "False", "NodeNotReady", timeout_s=90)
    assert node_fault.node in condition["message"]
    node_fault.end()
    namespace.wait_condition("lost", "Ready", "True", timeout_s=120)


def bring_up(
    namespace: Namespace,
    hub: PrivateHub,
    replicas: int,
    cache: dict[str, str],
    tolerations: list[dict[str, Any]] = EVERYWHERE,
) -> str:
    """Bring up the Reranker `kept` with a cache; return the node of all its pods."""
    namespace.reranker(
        "kept",
        model=hub.model(),
        replicas=replicas,
        cache=cache,
        scheduling={"tolerations": tolerations},
        termination=SHORT,
    )
    wait_for("all are ready", lambda: len(namespace.ready_pods("kept")) == replicas, timeout_s=120)
    (node,) = {pod["spec"]["nodeName"] for pod in namespace.pods("kept")}
    return str(node)


def node_is_ready(name: str) -> bool:
    """Return whether a node's kubelet answers."""
    node = Namespace("").get("node", name)
    conditions = node["status"]["conditions"] if node else []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def drain(
    namespace: Namespace, node: str, reranker: str, drained: list[str], *, timeout_s: int = 120
) -> float:
    """Drain a node of one Reranker's pods; return the seconds that it took."""
    drained.append(node)
    start = time.monotonic()
    Namespace("").kubectl(
        "drain",
        node,
        f"--pod-selector=app.kubernetes.io/instance={reranker}",
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        f"--timeout={timeout_s}s",
        timeout_s=timeout_s + 60,
    )
    return time.monotonic() - start
