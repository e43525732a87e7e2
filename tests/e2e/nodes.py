"""What nodes have and what is taken of it."""

import shlex

from e2e.kube import Namespace, Object, run


def gpus(node: Object, resource: str = "nvidia.com/gpu") -> int:
    """Return how many of an extended resource a node has."""
    return int(node["status"].get("allocatable", {}).get(resource, "0"))


def pods_with_gpus(cluster: Namespace) -> list[str]:
    """Return the names of the pods that hold a GPU now."""
    return [
        pod["metadata"]["name"]
        for pod in cluster.objects("pods")
        if pod["spec"].get("nodeName") and pod["status"]["phase"] in ("Pending", "Running") and _asks(pod)
    ]


def _asks(pod: Object) -> bool:
    limits = [container.get("resources", {}).get("limits", {}) for container in pod["spec"]["containers"]]
    return any(name.startswith("nvidia.com/") for names in limits for name in names)


class NodeFault:
    """A node whose kubelet can be stopped and started."""

    def __init__(self, node: str, stop: str, start: str) -> None:
        self.node, self._stop, self._start = node, shlex.split(stop), shlex.split(start)
        self._stopped = False

    def begin(self) -> None:
        """Stop the kubelet; the node turns NotReady within a minute."""
        self._stopped = True
        run(*self._stop)

    def end(self) -> None:
        """Start it again where it was stopped."""
        if self._stopped:
            run(*self._start)
        self._stopped = False
