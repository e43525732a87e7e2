"""A private hub in a pod of the cluster, and what it was asked."""

import json
from pathlib import Path
from typing import Any

from e2e.kube import Namespace

COMMIT, SECOND_COMMIT = "0123456789abcdef0123456789abcdef01234567", "f" * 40
HERE = Path(__file__).parent

_CALL = """
import sys, urllib.request
body = sys.argv[1].encode() or None
print(urllib.request.urlopen("http://127.0.0.1:8082", body, timeout=10).read().decode())
"""


class PrivateHub:
    """The pod of hub_pod.py. It serves `org/model`: COMMIT is `main`, SECOND_COMMIT is `v2`; there are
    `branch-a` to `branch-e` besides.
    """

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self.endpoint = f"http://hub.{namespace.name}.svc:8080"

    def start(self, image: str) -> None:
        """Make the pod and wait until it answers."""
        scripts = {path.name: path.read_text() for path in (HERE.parent / "hub.py", HERE / "hub_pod.py")}
        labels = {"app": "hub"}
        content_host = f"http://hub.{self._namespace.name}.svc:8081"
        container = {
            "name": "hub",
            "image": image,
            "command": ["python", "/scripts/hub_pod.py", content_host],
            "volumeMounts": [{"name": "scripts", "mountPath": "/scripts"}],
            "readinessProbe": {"tcpSocket": {"port": 8082}, "periodSeconds": 1},
        }
        pod = {
            "containers": [container],
            "enableServiceLinks": False,
            "volumes": [{"name": "scripts", "configMap": {"name": "hub"}}],
        }
        ports = [{"name": f"p{port}", "port": port} for port in (8080, 8081)]
        core, metadata = {"apiVersion": "v1"}, {"name": "hub", "labels": labels}
        self._namespace.apply(
            {**core, "kind": "ConfigMap", "metadata": metadata, "data": scripts},
            {**core, "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": ports}},
            {**core, "kind": "Pod", "metadata": metadata, "spec": pod},
        )
        self._namespace.kubectl("wait", "pod/hub", "--for=condition=Ready", "--timeout=60s")

    def behave(self, **order: Any) -> None:
        """Forget everything before; then follow the order.

        `token`: the only one that is accepted; `refuse`: branch to the status that its listing gets;
        `forge`: file to the content that is sent in place of what is announced; `rate`: bytes a second of a
        connection.
        """
        self._call(json.dumps(order))

    def requests(self) -> list[dict[str, Any]]:
        """Return what the hub was asked since it was last told how to behave."""
        answer: list[dict[str, Any]] = json.loads(self._call(""))
        return answer

    def downloads(self, file: str = "model.safetensors") -> list[dict[str, Any]]:
        """Return the requests for the content of a file."""
        return [
            request
            for request in self.requests()
            if request["method"] == "GET" and request["path"] == f"/{file}"
        ]

    def model(self, **more: Any) -> dict[str, Any]:
        """Return the `model` of a Reranker that takes it from here."""
        return {"uri": "hf://org/model", "endpoint": self.endpoint, **more}

    def _call(self, body: str) -> str:
        return self._namespace.kubectl("exec", "hub", "--", "python", "-c", _CALL, body)
