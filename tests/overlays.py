"""Overlays that keep to the restricted profile: what the operator admits, a restricted namespace does too."""

from typing import Any


def container(**fields: Any) -> dict[str, Any]:
    """Return an overlay of the serving container."""
    return {"containers": [{"name": "reranker", **fields}]}


def security(**fields: Any) -> dict[str, Any]:
    """Return an overlay of its security context."""
    return container(securityContext=fields)


def volume(**source: Any) -> dict[str, Any]:
    """Return an overlay with one more volume."""
    return {"volumes": [{"name": "v", **source}]}


_LOGS = {"volumes": [{"name": "v", "emptyDir": {}}], "containers": [
    {"name": "side", "image": "side:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
]}  # fmt: skip
_TEMPLATE = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}

ADMITTED: dict[str, dict[str, Any]] = {
    "sidecar": {
        "containers": [{"name": "side", "image": "side:1", "resources": {"limits": {"memory": "1Gi"}}}]
    },
    "native-sidecar": {"initContainers": [{"name": "mesh", "image": "mesh:1", "restartPolicy": "Always"}]},
    "sidecar-with-a-volume": _LOGS,
    "empty-dir": volume(emptyDir={"medium": "Memory"}),
    "config-map": volume(configMap={"name": "c"}),
    "projected": volume(
        projected={"sources": [{"configMap": {"name": "c"}}, {"serviceAccountToken": {"path": "t"}}]}
    ),
    "claim": volume(persistentVolumeClaim={"claimName": "c"}),
    "ephemeral": volume(ephemeral={"volumeClaimTemplate": _TEMPLATE}),
    "variable": container(env=[{"name": "A", "value": "1"}], workingDir="/tmp"),
    "hook": container(lifecycle={"postStart": {"exec": {"command": ["true"]}}}),
    "probe": container(startupProbe={"failureThreshold": 3, "httpGet": {"path": "/readyz", "port": "http"}}),
    "user": security(runAsUser=1000, runAsNonRoot=True, readOnlyRootFilesystem=True, privileged=False),
    "writing-sidecar": {
        "containers": [{"name": "side", "image": "s", "securityContext": {"readOnlyRootFilesystem": False}}]
    },
    "profile": security(
        seccompProfile={"type": "Localhost", "localhostProfile": "p.json"}, capabilities={"drop": ["ALL"]}
    ),
    "dns": {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.10"]}},
    "hosts": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["hub"]}], "hostname": "a"},
    "groups": {"securityContext": {"fsGroup": 1000, "supplementalGroups": [4000]}},
    "off": {"hostNetwork": False, "hostPID": None, "nodeSelector": {}},
}
"""Name of the case to the overlay."""
