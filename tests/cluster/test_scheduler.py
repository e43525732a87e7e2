"""The real scheduler over made-up nodes: its words mean what the operator reads in them."""

from collections.abc import Iterator

import pytest
from cluster.harness import ControlPlane
from cluster.nodes import NODES, make_node
from cluster.operator_process import OperatorProcess
from cluster.space import Space

SCHEDULER, GPU = "test-scheduler", "nvidia.com/gpu"


@pytest.fixture
def nodes(plane: ControlPlane) -> Iterator[None]:
    """A node without GPUs, and one with a GPU and two taints, of which GPU pods tolerate the first."""
    if not (plane.programs / "kube-scheduler").exists():
        pytest.skip("KUBEBUILDER_ASSETS has no kube-scheduler")
    plane.start_scheduler(SCHEDULER)
    make_node(plane, "cpu-node")
    make_node(plane, "gpu-node", GPU, "maintenance", **{GPU: "1"})
    yield
    for name in ("cpu-node", "gpu-node"):
        plane.request("DELETE", f"{NODES}/{name}")
    plane.stop("kube-scheduler")


def take_the_gpu(space: Space) -> None:
    """Put a pod onto the GPU node, past the scheduler."""
    container = {"name": "taker", "image": "taker", "resources": {"limits": {GPU: "1"}}}
    spec = {"nodeName": "gpu-node", "containers": [container]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "taker"}, "spec": spec}
    space.plane.request("POST", space.path("pods"), body)


def test_a_taint_before_a_free_gpu_is_told_from_a_gpu_that_is_taken(
    space: Space, operator: OperatorProcess, nodes: None
) -> None:
    space.rerank(gpu={}, scheduling={"schedulerName": SCHEDULER})
    message = space.wait_condition("Scheduled", "False", "UntoleratedTaint")
    assert "1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint" in message
    assert "the nodes without such a taint have too few GPUs" in message
    assert "To mend it: add the taint (`kubectl describe node` shows it) to scheduling.tolerations" in message
    take_the_gpu(space)
    borne = [{"key": "maintenance", "operator": "Exists"}]
    space.rerank(gpu={}, scheduling={"schedulerName": SCHEDULER, "tolerations": borne})
    message = space.wait_condition("Scheduled", "False", "InsufficientGPU")
    assert "taint" not in message
    assert "To mend it: free a GPU" in message
