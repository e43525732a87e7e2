"""Nodes that are drained or stop answering. Nothing else may run on the cluster meanwhile."""

from collections.abc import Iterator

import pytest
from e2e.client import Client
from e2e.kube import KubectlError, Namespace, Object, wait_for
from e2e.nodes import NodeFault
from e2e.private_hub import PrivateHub

SHORT = {"drainSeconds": 5, "gracePeriodSeconds": 30}
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


def test_a_drain_of_the_node_that_holds_a_local_volume_stays_blocked_and_says_why(
    namespace: Namespace, hub: PrivateHub, nodes: list[Object], drained: list[str]
) -> None:
    if len(nodes) < 2:
        pytest.skip("this cluster has one node")
    spread = {"tolerations": EVERYWHERE}
    cache = {"size": "1Gi"}
    namespace.reranker(
        "stuck", model=hub.model(), replicas=2, cache=cache, scheduling=spread, termination=SHORT
    )
    wait_for("two ready pods", lambda: len(namespace.ready_pods("stuck")) == 2, timeout_s=120)
    node = namespace.pods("stuck")[0]["spec"]["nodeName"]
    with pytest.raises(KubectlError, match=r"timed out|timeout"):
        drain(namespace, node, "stuck", drained, timeout_s=45)
    assert len(namespace.ready_pods("stuck")) >= 1
    degraded = namespace.wait_condition("stuck", "Degraded", "True")
    assert degraded["reason"] in ("ReadWriteOnceNoRoom", "PartiallyAvailable")
    assert "To mend it: " in degraded["message"] or "ReadWriteMany" in degraded["message"]


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


def drain(
    namespace: Namespace, node: str, reranker: str, drained: list[str], *, timeout_s: int = 120
) -> None:
    """Drain a node of one Reranker's pods."""
    drained.append(node)
    Namespace("").kubectl(
        "drain",
        node,
        f"--pod-selector=app.kubernetes.io/instance={reranker}",
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        f"--timeout={timeout_s}s",
        timeout_s=timeout_s + 60,
    )
