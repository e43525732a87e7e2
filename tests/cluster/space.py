"""A namespace with the few requests that tests make in it."""

import itertools
import time
from dataclasses import dataclass
from typing import Any

from cluster.harness import ControlPlane, wait_for

ROOTS = {
    "rerankers": "/apis/podium.sh/v1alpha1",
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "jobs": "/apis/batch/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
    "horizontalpodautoscalers": "/apis/autoscaling/v2",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "scaledobjects": "/apis/keda.sh/v1alpha1",
    "servicemonitors": "/apis/monitoring.coreos.com/v1",
    "podmonitors": "/apis/monitoring.coreos.com/v1",
}
CHILDREN = (
    "serviceaccounts", "services", "persistentvolumeclaims", "deployments", "jobs", "poddisruptionbudgets",
    "horizontalpodautoscalers", "networkpolicies", "scaledobjects", "servicemonitors", "podmonitors",
)  # fmt: skip
_numbers = itertools.count(1)


@dataclass
class Space:
    """One namespace of a control plane."""

    plane: ControlPlane
    name: str

    @classmethod
    def make(cls, plane: ControlPlane, name: str | None = None) -> "Space":
        """Make a namespace that nobody else uses."""
        chosen = name or f"test-{next(_numbers)}"
        plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": chosen}})
        return cls(plane, chosen)

    def path(self, plural: str, name: str = "") -> str:
        """Return the API path of a list or an object."""
        path = f"{ROOTS.get(plural, '/api/v1')}/namespaces/{self.name}/{plural}"
        return f"{path}/{name}" if name else path

    def rerank(self, name: str = "demo", **spec: Any) -> Any:
        """Apply a Reranker; the built-in model unless `model` says otherwise."""
        manifest = {
            "apiVersion": "podium.sh/v1alpha1",
            "kind": "Reranker",
            "metadata": {"name": name},
            "spec": {"model": {"uri": "builtin"}, **spec},
        }
        return self.plane.apply(manifest, namespace=self.name)

    def get(self, plural: str, name: str = "demo") -> Any:
        """Return an object, or None."""
        return self.plane.get(self.path(plural, name))

    def list(self, plural: str) -> list[Any]:
        """Return all objects of a kind."""
        return list(self.plane.request("GET", self.path(plural))["items"])

    def patch(
        self, plural: str, name: str, body: Any, *, status: bool = False, manager: str = "meddler"
    ) -> Any:
        """Send a JSON merge patch, of the status where asked for."""
        tail = "/status" if status else ""
        return self.plane.patch(f"{self.path(plural, name)}{tail}?fieldManager={manager}", body)

    def delete(self, plural: str, name: str = "demo", *, propagation: str = "Background") -> None:
        """Delete an object."""
        self.plane.request("DELETE", self.path(plural, name), {"propagationPolicy": propagation})

    def wait(self, plural: str, name: str = "demo", *, timeout_s: float = 20.0) -> Any:
        """Wait until an object exists, and return it."""
        return wait_for(f"{plural} {name}", lambda: self.get(plural, name), timeout_s=timeout_s)

    def condition(self, kind: str, name: str = "demo") -> tuple[str, str, str]:
        """Return status, reason and message of a Reranker's condition; empty strings without it."""
        status = (self.get("rerankers", name) or {}).get("status", {})
        for condition in status.get("conditions", []):
            if condition["type"] == kind:
                return condition["status"], condition["reason"], condition["message"]
        return "", "", ""

    def wait_condition(
        self, kind: str, status: str, reason: str, name: str = "demo", *, timeout_s: float = 20.0
    ) -> str:
        """Wait until a condition has this status and reason; return its message."""
        last: tuple[str, str, str] = ("", "", "")

        def reached() -> bool:
            nonlocal last
            last = self.condition(kind, name)
            return last[:2] == (status, reason)

        try:
            wait_for(f"{kind}={status}/{reason}", reached, timeout_s=timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; is {last}") from None
        return last[2]

    def settled(self, name: str = "demo", *, quiet_s: float = 1.5, timeout_s: float = 30.0) -> dict[str, str]:
        """Wait until the newest generation is looked at and no version moves; return the versions."""
        state: dict[str, Any] = {"since": None, "versions": None}

        def quiet() -> bool:
            body = self.get("rerankers", name)
            generation = body.get("status", {}).get("observedGeneration")
            versions = self.versions()
            if generation != body["metadata"]["generation"] or versions != state["versions"]:
                state.update(since=time.monotonic(), versions=versions)
                return False
            return time.monotonic() - float(state["since"]) >= quiet_s

        wait_for(f"{name} settled", quiet, timeout_s=timeout_s)
        return dict(state["versions"])

    def versions(self) -> dict[str, str]:
        """Return the resource version of everything that the operator makes here, the Rerankers included."""
        return {
            f"{plural}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for plural in ("rerankers", *CHILDREN)
            for item in self.list(plural)
            if plural == "rerankers" or "podium.sh/reranker" in item["metadata"].get("labels", {})
        }

    def end_job(self, name: str, *, code: int = 0, words: str = "") -> None:
        """Let a Job's pod end as a kubelet would tell it; the real Job controller does the rest."""

        def pod() -> Any:
            uid = self.get("jobs", name)["metadata"]["uid"]
            owned = (
                item
                for item in self.list("pods")
                if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences", []))
            )
            return next((item for item in owned if item["status"].get("phase") == "Pending"), None)

        found = wait_for(f"pod of {name}", pod)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        end = {"exitCode": code, "message": words, "startedAt": now, "finishedAt": now}
        container = found["spec"]["containers"][0]
        one = {"name": container["name"], "image": container["image"], "imageID": "", "ready": False}
        status = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [{**one, "restartCount": 0, "state": {"terminated": end}}],
        }
        self.plane.patch(f"{self.path('pods', found['metadata']['name'])}/status", {"status": status})

    def answer(self, name: str = "demo") -> None:
        """Let every serving pod of a Reranker be ready, as a kubelet would tell it."""
        for pod in self.list("pods"):
            labels = pod["metadata"]["labels"]
            if (
                labels.get("app.kubernetes.io/instance") == name
                and "deletionTimestamp" not in pod["metadata"]
            ):
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                status = {"phase": "Running", "conditions": [ready]}
                self.plane.patch(f"{self.path('pods', pod['metadata']['name'])}/status", {"status": status})

    def bind_claim(self, name: str) -> None:
        """Let a claim be bound, as a provisioner would."""
        self.plane.patch(
            f"{self.path('persistentvolumeclaims', name)}/status", {"status": {"phase": "Bound"}}
        )

    def download_job(self, name: str = "demo") -> str:
        """Wait for the newest download Job of a Reranker; return its name."""

        def newest() -> str | None:
            jobs = [item for item in self.list("jobs") if item["metadata"]["name"].startswith(f"{name}-dl-")]
            return jobs[-1]["metadata"]["name"] if jobs else None

        return str(wait_for("download Job", newest))
