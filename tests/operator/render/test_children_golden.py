"""Every child of some Rerankers, byte for byte; `python tests/operator/render/test_children_golden.py` writes anew.

A golden file that changes with the operator's code is a roll of every such pod in the field: think twice.
"""

# ruff: noqa: E501  a case is easier to read on its lines

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests"))

from rerankers import SETTINGS, body, downloaded, settle  # noqa: E402

from podium_operator.resource.names import TEMPLATE_ANNOTATION  # noqa: E402
from podium_operator.seen.observed import Observed  # noqa: E402

GOLDEN = Path(__file__).parent / "golden"
ADDONS = frozenset({"ScaledObject", "ServiceMonitor", "PodMonitor"})

CASES: dict[str, dict[str, Any]] = {
    "cpu": {"replicas": 2},
    "gpu": {
        "model": {"uri": "hf://org/model", "revision": "v1", "credentialsSecretRef": {"name": "hub", "key": "t"}},
        "gpu": {"product": "NVIDIA-H200", "minMemory": "40Gi"},
        "cache": {"size": "20Gi", "storageClassName": "fast", "retentionPolicy": {"whenDeleted": "Delete"}},
    },
    "mig": {"gpu": {"resourceName": "nvidia.com/mig-1g.18gb", "runtimeClassName": "nvidia"}},
    "claim": {"model": {"uri": "pvc://weights/rerankers/minilm"}, "auth": {"apiKeysSecretRef": {"name": "k", "key": "keys"}}},
    "private-hub": {
        "model": {
            "uri": "hf://org/model",
            "include": ["*.json", "*.safetensors"],
            "exclude": ["onnx/*"],
            "endpoint": "https://hub.corp:8443",
            "caBundleRef": {"name": "corp-ca", "key": "ca.crt"},
            "proxy": {"httpsProxy": "http://proxy.corp:3128", "noProxy": ".corp"},
        },
        "cache": {"accessModes": ["ReadWriteMany"], "download": {"backoffLimit": 1, "nodeSelector": {"egress": "yes"}}},
        "networkPolicy": {"enabled": True, "ingressFrom": [{"podSelector": {"matchLabels": {"app": "search"}}}]},
        "monitoring": {"serviceMonitor": {"enabled": True, "interval": "10s"}},
        "engine": {"imagePullSecrets": [{"name": "registry"}], "env": [{"name": "HTTPX_LOG", "value": "1"}]},
    },
    "autoscaled": {
        "autoscaling": {"minReplicas": 2, "maxReplicas": 8, "targetQueueTokens": 4096},
        "monitoring": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
        "disruption": {"minAvailable": 1},
    },
    "keda": {"autoscaling": {"engine": "KEDA", "maxReplicas": 4, "prometheusAddress": "http://prometheus:9090"}},
    "everything-else": {
        "suspend": True,
        "engine": {
            "dtype": "bfloat16", "maxLength": 512, "maxBatchTokens": 8192, "settings": {"self_test": "off"},
            "image": "mirror/podium:1", "imagePullPolicy": "Always", "envFrom": [{"configMapRef": {"name": "more"}}],
            "resources": {"requests": {"cpu": "4", "memory": "8Gi"}, "limits": {"memory": "8Gi"}},
        },
        "scheduling": {
            "nodeSelector": {"pool": "rerank"}, "priorityClassName": "high", "schedulerName": "volcano",
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}}, "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "rack"}],
        },
        "rollout": {"maxSurge": "50%", "maxUnavailable": 0, "minReadySeconds": 5, "paused": True},
        "probes": {"startupTimeoutSeconds": 61},
        "termination": {"drainSeconds": 0, "gracePeriodSeconds": 30},
        "service": {"port": 8000, "type": "LoadBalancer", "annotations": {"lb": "internal"}},
        "podTemplate": {
            "labels": {"team": "search"}, "annotations": {"note": "x"},
            "overlay": {"containers": [{"name": "reranker", "workingDir": "/tmp"}, {"name": "side", "image": "s"}]},
        },
    },
    "claimed-gpu": {
        "model": {"uri": "hf://org/model"},
        "gpu": {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]},
        "cache": {"download": {"podTemplate": {
            "labels": {"kueue.x-k8s.io/queue-name": "downloads"}, "annotations": {"sidecar.istio.io/inject": "false"},
            "schedulerName": "volcano", "priorityClassName": "low", "runtimeClassName": "gvisor",
        }}},
    },
}  # fmt: skip
"""Name of the golden file to the spec."""


def observed(spec: dict[str, Any]) -> Observed:
    """Return what there is once nothing is left to do; a hub's model has been downloaded."""
    claim = {"metadata": {"name": "weights"}, "status": {"phase": "Bound"}}
    if spec.get("model", {}).get("uri", "").startswith("hf://"):
        return downloaded(body(**spec), addons=ADDONS)
    return settle(body(**spec), SETTINGS, claim=claim, addons=ADDONS)


def rendered(name: str) -> str:
    """Return the children as YAML documents, in the order of their keys."""
    children = observed(CASES[name]).children
    documents = []
    for _, child in sorted(children.items()):
        metadata = {
            key: value for key, value in child["metadata"].items() if key in ("name", "labels", "annotations")
        }
        if child["kind"] == "Deployment":
            # The template stands there once more, word for word.
            kept = json.loads(metadata["annotations"][TEMPLATE_ANNOTATION])
            assert kept == child["spec"]["template"]
            own = {key: text for key, text in metadata["annotations"].items() if key != TEMPLATE_ANNOTATION}
            metadata["annotations"] = own
        documents.append(
            {**{key: value for key, value in child.items() if key != "status"}, "metadata": metadata}
        )
    return yaml.safe_dump_all(documents, sort_keys=True, width=110)


@pytest.mark.parametrize("name", CASES)
def test_the_children_are_as_in_the_golden_file(name: str) -> None:
    assert (GOLDEN / f"{name}.yaml").read_text() == rendered(name), "see the head of this file"


def test_every_golden_file_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


if __name__ == "__main__":
    for case in CASES:
        (GOLDEN / f"{case}.yaml").write_text(rendered(case))
