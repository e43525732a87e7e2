"""A cluster with nodes, the chart installed on it, a namespace per test, a client in another one.

    PODIUM_E2E_KUBECONFIG        the cluster; it may be kind, a cloud's, or any other
    PODIUM_E2E_OPERATOR_IMAGE    `repository:tag` of the operator, present on the nodes or pullable
    PODIUM_E2E_SERVICE_IMAGE     the same of the service; also used where `gpu` is set, so a CPU build does
    PODIUM_E2E_OPERATOR_NEXT_IMAGE  another one of the operator, to upgrade to
    PODIUM_E2E_NETWORK_CLASS     a StorageClass whose ReadWriteOnce volumes every node reaches
    PODIUM_E2E_NODE              a node whose kubelet may be stopped, by these commands:
    PODIUM_E2E_NODE_STOP, PODIUM_E2E_NODE_START

`tests/e2e/run.sh` sets all of them.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.client import POD, Client, manifest
from e2e.kube import Namespace, Object, program, restricted_namespace, wait_for
from e2e.nodes import NodeFault, gpus, pods_with_gpus
from e2e.private_hub import PrivateHub
from e2e.release import Release

_NEEDED = ("PODIUM_E2E_KUBECONFIG", "PODIUM_E2E_OPERATOR_IMAGE", "PODIUM_E2E_SERVICE_IMAGE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip this folder where no cluster is named."""
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    missing += [name for name in ("kubectl", "helm") if program(name) is None]
    if missing:
        reason = f"needs a cluster: {', '.join(missing)} not set or found; `make e2e` brings one up"
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def service_image() -> str:
    """Return the image that pods run."""
    return os.environ["PODIUM_E2E_SERVICE_IMAGE"]


@pytest.fixture(scope="session")
def cluster() -> Namespace:
    """Return what lies in no namespace."""
    return Namespace("")


@pytest.fixture(scope="session")
def release() -> Release:
    """Return the installed chart."""
    installed = Release()
    installed.install()
    return installed


@pytest.fixture
def namespace(request: pytest.FixtureRequest, release: Release) -> Iterator[Namespace]:
    """Make a namespace for one test; its pods are gone before the next."""
    made = restricted_namespace(request.node.name.removeprefix("test_"))
    yield made
    made.clear()


@pytest.fixture(scope="module")
def shared_namespace(request: pytest.FixtureRequest, release: Release) -> Iterator[Namespace]:
    """Make a namespace for all tests of a file that look at the same Rerankers."""
    made = restricted_namespace(request.node.name.removeprefix("test_"))
    yield made
    made.clear()


@pytest.fixture(scope="session")
def client(release: Release, cluster: Namespace, service_image: str) -> Iterator[Client]:
    """Start the client's pod in a namespace of its own."""
    namespace = Namespace(f"e2e-client-{secrets.token_hex(3)}")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name}})
    namespace.apply(manifest(service_image))
    namespace.kubectl("wait", f"pod/{POD}", "--for=condition=Ready", "--timeout=60s")
    yield Client(namespace)
    namespace.clear()


@pytest.fixture(scope="session")
def running_hub(release: Release, cluster: Namespace, service_image: str) -> Iterator[PrivateHub]:
    """Start the hub's pod in a namespace of its own."""
    namespace = Namespace(f"e2e-hub-{secrets.token_hex(3)}")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name}})
    hub = PrivateHub(namespace)
    hub.start(service_image)
    yield hub
    namespace.clear()


@pytest.fixture
def hub(running_hub: PrivateHub) -> PrivateHub:
    """Return the hub, well-behaved and with nothing asked of it yet."""
    running_hub.behave()
    return running_hub


@pytest.fixture(scope="session")
def nodes(cluster: Namespace) -> list[Object]:
    """Return the nodes that take pods."""
    return [node for node in cluster.objects("nodes") if not node["spec"].get("unschedulable")]


@pytest.fixture
def gpu_node(nodes: list[Object], cluster: Namespace) -> str:
    """Return the name of a node with GPUs that are all free."""
    names = [node["metadata"]["name"] for node in nodes if gpus(node)]
    if not names:
        pytest.skip("this cluster has no node with nvidia.com/gpu")
    wait_for("all GPUs are free", lambda: not pods_with_gpus(cluster), timeout_s=90)
    return str(names[0])


@pytest.fixture(scope="session")
def network_class() -> str:
    """Return a StorageClass whose volumes lie on no node."""
    name = os.environ.get("PODIUM_E2E_NETWORK_CLASS")
    if not name:
        pytest.skip("PODIUM_E2E_NETWORK_CLASS names no StorageClass whose volumes every node reaches")
    return name


@pytest.fixture
def node_fault() -> Iterator[NodeFault]:
    """Return a node whose kubelet the test may stop; it runs again afterwards."""
    names = ("PODIUM_E2E_NODE", "PODIUM_E2E_NODE_STOP", "PODIUM_E2E_NODE_START")
    node, stop, start = (os.environ.get(name, "") for name in names)
    if not (node and stop and start):
        pytest.skip(f"{', '.join(names)} are not set")
    fault = NodeFault(node, stop, start)
    yield fault
    fault.end()
