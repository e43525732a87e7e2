"""Made-up nodes, volumes and the little of a kubelet's work that tests do by hand."""

import time
from typing import Any

from cluster.harness import ApiError, ControlPlane, wait_for
from cluster.space import Space

NODES, VOLUMES = "/api/v1/nodes", "/api/v1/persistentvolumes"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"


def make_node(plane: ControlPlane, name: str, *taints: str, cpu: str = "8", **more: str) -> None:
    """Make a node as if a kubelet had said so; its volumes are attached by the controller manager."""
    # By it the controller manager knows that it is the one to attach.
    annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    labels = {"kubernetes.io/hostname": name}
    metadata = {"name": name, "annotations": annotations, "labels": labels}
    plane.request("POST", NODES, {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
    room = {"cpu": cpu, "memory": "32Gi", "pods": "110", **more}
    plane.patch(f"{NODES}/{name}/status", {"status": {"capacity": room, "allocatable": room}})
    # In place of the taint `not-ready` that the API server gives to a new node.
    spec = {"taints": [{"key": key, "value": "true", "effect": "NoSchedule"} for key in taints]}
    plane.patch(f"{NODES}/{name}", {"spec": spec})


def cordon(space: Space, node: str, scheduler: str) -> None:
    """Let a node take no more pods, and wait until the scheduler keeps a pod out that only fits there."""
    space.plane.patch(f"{NODES}/{node}", {"spec": {"unschedulable": True}})
    spec = {
        "schedulerName": scheduler,
        "nodeSelector": {"kubernetes.io/hostname": node},
        "containers": [{"name": "probe", "image": "probe"}],
    }

    def stays_out() -> bool:
        probe = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "probe-"}, "spec": spec}
        name = space.plane.request("POST", space.path("pods"), probe)["metadata"]["name"]

        def told() -> str | None:
            conditions = space.get("pods", name)["status"].get("conditions", [])
            return next((item["status"] for item in conditions if item["type"] == "PodScheduled"), None)

        status = wait_for("the scheduler's word", told)
        end(space, name)
        return status == "False"

    wait_for(f"{node} takes no pod", stays_out)


def bind(space: Space, claim: str, source: dict[str, Any], *, node: str | None = None) -> None:
    """Bind a claim to a new volume, as the volume controller does; with `node` the volume lies there."""
    body = space.wait("persistentvolumeclaims", claim)
    modes = body["spec"]["accessModes"]
    storage = body["spec"]["resources"]["requests"]["storage"]
    name = f"{space.name}-{claim}"
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}} if node else {}
    reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": space.name, "name": claim}
    spec = {
        "capacity": {"storage": storage},
        "accessModes": modes,
        "claimRef": {**reference, "uid": body["metadata"]["uid"]},
        "storageClassName": body["spec"].get("storageClassName", ""),
        **source,
        **affinity,
    }
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
    space.plane.request("POST", VOLUMES, volume)
    space.plane.patch(f"{VOLUMES}/{name}/status", {"status": {"phase": "Bound"}})
    bound = {"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}}
    path = space.path("persistentvolumeclaims", claim)
    space.plane.patch(path, {**bound, "spec": {"volumeName": name}})
    status = {"phase": "Bound", "capacity": {"storage": storage}, "accessModes": modes}
    space.plane.patch(f"{path}/status", {"status": status})


def attach(plane: ControlPlane, node: str) -> None:
    """Say that what is to be attached to a node is attached, as a driver does."""

    def wanted() -> Any:
        items = plane.request("GET", ATTACHMENTS)["items"]
        return next((item for item in items if item["spec"]["nodeName"] == node), None)

    found = wait_for(f"an attachment to {node}", wanted)
    plane.patch(f"{ATTACHMENTS}/{found['metadata']['name']}/status", {"status": {"attached": True}})
    wait_for("attached", lambda: plane.get(f"{NODES}/{node}")["status"].get("volumesAttached"))


def serving_pods(space: Space, name: str = "demo") -> list[Any]:
    """Return the serving pods of a Reranker that are not ending, the newest last."""
    label = {"app.kubernetes.io/name": "reranker", "app.kubernetes.io/instance": name}
    found = [
        pod
        for pod in space.list("pods")
        if label.items() <= pod["metadata"]["labels"].items() and "deletionTimestamp" not in pod["metadata"]
    ]
    return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])


def placed(space: Space, name: str = "demo") -> Any:
    """Wait until the scheduler has given the newest serving pod a node; return the pod."""

    def pod() -> Any:
        pods = serving_pods(space, name)
        return pods[-1] if pods and pods[-1]["spec"].get("nodeName") else None

    return wait_for("a pod with a node", pod)


def report(space: Space, pod: str, *, ready: bool = True, reports: bool = True) -> None:
    """Let a pod run, as its kubelet tells it; without `reports` its node has gone silent."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    container = {"name": "reranker", "image": "podium:test", "imageID": "", "restartCount": 0, "ready": ready}
    kind = {"type": "Ready", "status": str(ready and reports), "lastTransitionTime": now}
    conditions = [kind, {**kind, "type": "ContainersReady"}]
    running = {"state": {"running": {"startedAt": now}}, "started": True}
    status = {"phase": "Running", "conditions": conditions, "containerStatuses": [{**container, **running}]}
    path = f"{space.path('pods', pod)}/status"
    patch = "application/strategic-merge-patch+json"
    space.plane.request("PATCH", path, {"status": status}, content_type=patch)


def end(space: Space, pod: str) -> None:
    """Remove an ending pod, as its kubelet does when its containers are gone."""
    try:
        space.plane.request("DELETE", space.path("pods", pod), {"gracePeriodSeconds": 0})
    except ApiError as error:
        if error.status != 404:
            raise


def ending(space: Space) -> list[str]:
    """Return the names of the pods that are ending."""
    return [pod["metadata"]["name"] for pod in space.list("pods") if "deletionTimestamp" in pod["metadata"]]
