"""The kinds of object that the operator makes and watches, and how their paths are spelled."""

from typing import NamedTuple

from podium_operator.resource.names import API_VERSION, KIND, PLURAL


class Kind(NamedTuple):
    """One kind: its name, API version and plural; `addon` names the setting that switches it."""

    name: str
    api_version: str
    plural: str
    addon: str | None = None

    @property
    def group(self) -> str:
        """API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def root(self) -> str:
        """API path of the group and version."""
        return f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Return the path of a list (all namespaces without `namespace`) or of one object."""
        where = f"/namespaces/{namespace}" if namespace else ""
        return f"{self.root}{where}/{self.plural}" + (f"/{name}" if name else "")


RERANKER = Kind(KIND, API_VERSION, PLURAL)
POD = Kind("Pod", "v1", "pods")
EVENT = Kind("Event", "v1", "events")
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")
CHILDREN = (
    Kind("ServiceAccount", "v1", "serviceaccounts"),
    Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims"),
    Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
    Kind("Job", "batch/v1", "jobs"),
    Kind("Service", "v1", "services"),
    Kind("Deployment", "apps/v1", "deployments"),
    Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
    Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
    Kind("ScaledObject", "keda.sh/v1alpha1", "scaledobjects", "keda"),
    Kind("ServiceMonitor", "monitoring.coreos.com/v1", "servicemonitors", "service_monitors"),
    Kind("PodMonitor", "monitoring.coreos.com/v1", "podmonitors", "service_monitors"),
)
"""What a Reranker may own, in the order of making: a pod finds its account, claim and policies in place."""

BY_NAME = {kind.name: kind for kind in (RERANKER, POD, EVENT, *CHILDREN)}
