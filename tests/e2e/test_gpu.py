"""Where pods with a GPU land, and their volumes with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.client import Client
from e2e.kube import Namespace, Object, wait_for
from e2e.private_hub import PrivateHub

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
GPU = {"resourceName": "nvidia.com/gpu"}


@pytest.mark.parametrize(
    ("example", "name", "resource"),
    [
        pytest.param("gpu", "reranker-gpu", "nvidia.com/gpu", id="gpu"),
        pytest.param("mig", "reranker-mig", "nvidia.com/mig-1g.18gb", id="mig"),
    ],
)
def test_the_example_lands_on_the_gpu_node_and_answers(
    namespace: Namespace, client: Client, gpu_node: str, example: str, name: str, resource: str
) -> None:
    namespace.apply_file(EXAMPLES / f"{example}.yaml")
    namespace.wait_condition(name, "Ready", "True")
    (pod,) = namespace.pods(name)
    assert pod["spec"]["nodeName"] == gpu_node
    assert pod["spec"]["containers"][0]["resources"]["limits"][resource] == "1"
    assert client.ask(f"http://{name}.{namespace.name}.svc")["results"][0]["index"] == 1


def test_a_product_that_no_node_has_is_said_in_one_line(namespace: Namespace, gpu_node: str) -> None:
    namespace.reranker("picky", gpu={**GPU, "product": "NVIDIA-B9000"})
    condition = namespace.wait_condition("picky", "Scheduled", "False", "NoMatchingNode")
    assert "To mend it: " in condition["message"]
    assert "\n" not in condition["message"]
    assert namespace.condition("picky", "Ready")["reason"] == "NoMatchingNode"


def test_a_pod_that_finds_no_gpu_fails_with_its_reason_and_serves_nothing(
    namespace: Namespace, gpu_node: str
) -> None:
    """As the chart's default would have it; these tests say `auto`, because their GPUs may be pretended."""
    engine = {"settings": {"device": "cuda:7"}}
    namespace.reranker("bare", gpu=GPU, engine=engine)
    condition = namespace.wait_condition("bare", "Available", "False", "ModelLoadFailed", timeout_s=90)
    assert "device `cuda:7` is not there" in condition["message"]
    assert namespace.condition("bare", "Ready")["status"] == "Unknown"


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_volume_that_is_bound_where_its_first_pod_ran_strands_no_gpu_pod(
    namespace: Namespace, hub: PrivateHub, gpu_node: str, attempt: int
) -> None:
    namespace.reranker("placed", model=hub.model(), gpu=GPU, cache={"size": "1Gi"})
    namespace.wait_condition("placed", "Ready", "True", timeout_s=90)
    assert [pod["spec"]["nodeName"] for pod in namespace.pods("placed")] == [gpu_node]


@pytest.fixture
def bare_gpu_node(gpu_node: str, cluster: Namespace) -> Iterator[str]:
    """Take the labels of GPU feature discovery from the node for a while."""
    node = cluster.get("node", gpu_node)
    assert node is not None
    labels = {
        key: value for key, value in node["metadata"]["labels"].items() if key.startswith("nvidia.com/")
    }
    cluster.patch("node", gpu_node, {"metadata": {"labels": dict.fromkeys(labels)}})
    yield gpu_node
    cluster.patch("node", gpu_node, {"metadata": {"labels": labels}})


def test_nor_does_it_where_the_nodes_bear_no_labels(
    namespace: Namespace, hub: PrivateHub, bare_gpu_node: str
) -> None:
    namespace.reranker("placed", model=hub.model(), gpu=GPU, cache={"size": "1Gi"})
    namespace.wait_condition("placed", "Ready", "True", timeout_s=90)
    assert [pod["spec"]["nodeName"] for pod in namespace.pods("placed")] == [bare_gpu_node]


def test_with_every_gpu_taken_nothing_is_downloaded_until_one_is_free(
    namespace: Namespace, hub: PrivateHub, gpu_node: str, cluster: Namespace
) -> None:
    node = cluster.get("node", gpu_node)
    assert node is not None
    namespace.reranker("greedy", gpu=GPU, replicas=int(node["status"]["allocatable"]["nvidia.com/gpu"]))
    namespace.wait_condition("greedy", "Ready", "True")
    namespace.reranker("waiting", model=hub.model(), gpu=GPU, cache={"size": "1Gi"})
    condition = namespace.wait_condition("waiting", "Scheduled", "False", "InsufficientGPU")
    assert "To mend it: free a GPU" in condition["message"]
    assert not jobs(namespace, "reranker-download")
    assert hub.requests() == []
    namespace.patch("rr", "greedy", {"spec": {"suspend": True}})
    namespace.wait_condition("waiting", "Ready", "True", timeout_s=120)
    assert [pod["spec"]["nodeName"] for pod in namespace.pods("waiting")] == [gpu_node]
    assert namespace.condition("greedy", "Ready")["reason"] == "Suspended"


def test_suspend_frees_the_gpu_and_keeps_the_cache(
    namespace: Namespace, hub: PrivateHub, gpu_node: str, cluster: Namespace
) -> None:
    namespace.reranker("asleep", model=hub.model(), gpu=GPU, cache={"size": "1Gi"})
    namespace.wait_condition("asleep", "Ready", "True", timeout_s=90)
    namespace.patch("rr", "asleep", {"spec": {"suspend": True}})
    wait_for("no pod", lambda: not namespace.pods("asleep"))
    claim = namespace.get("pvc", "asleep-cache")
    assert claim is not None
    assert claim["status"]["phase"] == "Bound"
    hub.behave()
    namespace.patch("rr", "asleep", {"spec": {"suspend": None}})
    namespace.wait_condition("asleep", "Ready", "True")
    assert hub.requests() == [], "waking up downloaded again"


def jobs(namespace: Namespace, application: str) -> list[Object]:
    """Return the Jobs of the operator of one purpose."""
    return namespace.objects("jobs", f"app.kubernetes.io/name={application}")
