"""Faults of a cluster: each is named, with its remedy, and heals once it is mended."""

import json
from typing import Any

import pytest
from e2e.kube import Namespace, Object, wait_for
from e2e.private_hub import PrivateHub
from e2e.release import Release

REQUESTS = {"cpu": "50m", "memory": "300Mi"}


PODS = [
    pytest.param("image", "ImagePullFailed", "registry.invalid/no-such-image:1", id="no-image"),
    pytest.param("crash", "CrashLoopBackOff", "PODIUM_MAX_LENGTH", id="crash"),
    pytest.param("memory", "OOMKilled", "raise the memory limit", id="out-of-memory"),
    pytest.param("secret", "SecretNotFound", "absent", id="no-secret"),
    pytest.param("model", "ModelLoadFailed", "/tmp", id="no-model"),
]
BROKEN: dict[str, dict[str, Any]] = {
    "image": {"image": "registry.invalid/no-such-image:1"},
    "crash": {"env": [{"name": "PODIUM_MAX_LENGTH", "value": "long"}]},
    "memory": {"resources": {"limits": {"memory": "90Mi"}}},
    "secret": {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "k"}}}]},
    "model": {"env": [{"name": "PODIUM_MODEL", "value": "/tmp"}]},
}


@pytest.fixture(scope="module")
def faulty(shared_namespace: Namespace) -> Namespace:
    """Make a Reranker per fault, at once: each fails on its own."""
    for name, engine in BROKEN.items():
        shared_namespace.reranker(name, engine=engine)
    return shared_namespace


@pytest.mark.parametrize(("name", "reason", "words"), PODS)
def test_a_pod_that_cannot_serve_says_why(faulty: Namespace, name: str, reason: str, words: str) -> None:
    condition = faulty.wait_condition(name, "Available", "False", reason, timeout_s=120)
    assert words in condition["message"]
    assert "To mend it: " in condition["message"]
    assert faulty.condition(name, "Ready")["reason"] == reason


@pytest.fixture(scope="module")
def mended(faulty: Namespace) -> Namespace:
    """Take what is wrong out of each spec."""
    for name in BROKEN:
        faulty.reranker(name)
    return faulty


@pytest.mark.parametrize("name", BROKEN)
def test_it_serves_once_mended(mended: Namespace, name: str) -> None:
    mended.wait_condition(name, "Ready", "True", timeout_s=180)


def test_a_model_that_ranks_the_wrong_way_round_is_never_ready(
    namespace: Namespace, service_image: str
) -> None:
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
        flipping_pod(service_image),
    )
    wait_for("the flipped model is written", lambda: succeeded(namespace, "flip"))
    namespace.reranker("flipped", model={"uri": "pvc://models/flipped"})
    condition = namespace.wait_condition("flipped", "Available", "False", "SelfTestFailed", timeout_s=90)
    assert "To mend it: " in condition["message"]
    engine = {"resources": {"requests": REQUESTS}, "settings": {"self_test": "off"}}
    namespace.patch("rr", "flipped", {"spec": {"engine": engine}})
    namespace.wait_condition("flipped", "Ready", "True", timeout_s=90)


def test_a_missing_claim_is_named_and_taken_when_it_comes(namespace: Namespace) -> None:
    namespace.reranker("claimless", model={"uri": "pvc://nowhere/model"})
    condition = namespace.wait_condition("claimless", "CacheReady", "False", "ClaimNotFound")
    assert "claim nowhere does not exist" in condition["message"]


def test_a_quota_that_admits_no_pod_is_named_and_heals(namespace: Namespace) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    namespace.apply({**quota, "spec": {"hard": {"pods": "0"}}})
    namespace.reranker("refused")
    condition = namespace.wait_condition("refused", "Scheduled", "False", "Refused")
    assert "exceeded quota: none" in condition["message"]
    namespace.kubectl("delete", "resourcequota", "none")
    namespace.wait_condition("refused", "Ready", "True", timeout_s=120)


def test_a_pod_that_the_namespaces_security_level_refuses_is_named(
    namespace: Namespace, release: Release
) -> None:
    """The operator refuses such an overlay itself, unless the platform's people let any through."""
    overlay = {
        "containers": [{"name": "reranker", "securityContext": {"runAsUser": 0, "runAsNonRoot": False}}]
    }
    namespace.reranker("rooted", podTemplate={"overlay": overlay})
    condition = namespace.wait_condition("rooted", "Stalled", "True", "OverlayRefused")
    assert "securityContext.runAsNonRoot: False is not allowed" in condition["message"]
    release.install(overlay="any")
    try:
        condition = namespace.wait_condition("rooted", "Scheduled", "False", "Refused")
        assert "PodSecurity" in condition["message"]
    finally:
        release.install()
    namespace.patch("rr", "rooted", {"spec": {"podTemplate": None}})
    namespace.wait_condition("rooted", "Ready", "True", timeout_s=120)


def test_a_download_that_takes_too_long_is_cut_and_resumed(namespace: Namespace, hub: PrivateHub) -> None:
    hub.behave(rate=500_000)
    download = {"activeDeadlineSeconds": 15, "backoffLimit": 0}
    namespace.reranker("slow", model=hub.model(), cache={"size": "1Gi", "download": download})
    condition = namespace.wait_condition("slow", "CacheReady", "False", "DeadlineExceeded", timeout_s=90)
    assert "activeDeadlineSeconds" in condition["message"]
    asked = hub.downloads()
    hub.behave()
    namespace.wait_condition("slow", "Ready", "True", timeout_s=120)
    ranges = [request["range"] for request in [*asked, *hub.downloads()]]
    assert ranges[0] is None
    assert all(ranges[1:]), "a later try began anew"


def test_a_field_that_another_manager_keeps_taking_back_is_named_and_then_left(namespace: Namespace) -> None:
    namespace.reranker("contested")
    namespace.wait_condition("contested", "Ready", "True")
    rival = ["--field-manager=rival", "--type=json", "-p"]
    for _ in range(3):
        wait_for("the target port is right", lambda: target_port_of(namespace, "contested") == "http")
        patch = [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9999}]
        namespace.kubectl("patch", "svc", "contested", *rival, json.dumps(patch))
    condition = namespace.wait_condition("contested", "Degraded", "True", "ConflictingFieldManager")
    assert "rival" in condition["message"]
    assert "Service contested" in condition["message"]
    assert namespace.condition("contested", "Ready")["status"] == "True"


def test_a_port_that_someone_changed_is_put_right(namespace: Namespace) -> None:
    namespace.reranker("moved", suspend=True)
    wait_for("the Service", lambda: namespace.get("svc", "moved"))
    port = {"name": "http", "port": 8123, "targetPort": "http"}
    namespace.patch("svc", "moved", {"spec": {"ports": [port]}})

    def ports() -> list[int]:
        service = namespace.get("svc", "moved")
        assert service is not None
        return [port["port"] for port in service["spec"]["ports"]]

    wait_for("the port is put right", lambda: ports() == [80], timeout_s=15)


def target_port_of(namespace: Namespace, name: str) -> Any:
    """Return where a Service sends its requests."""
    service = namespace.get("svc", name)
    assert service is not None
    return service["spec"]["ports"][0]["targetPort"]


def succeeded(namespace: Namespace, pod: str) -> bool:
    """Whether a pod has ended well."""
    body = namespace.get("pod", pod)
    return body is not None and body["status"].get("phase") == "Succeeded"


def flipping_pod(image: str) -> Object:
    """Return a pod that writes the built-in model with the sign of its last layer turned round."""
    script = """
import pathlib, shutil, podium, safetensors.torch
folder = pathlib.Path("/models/flipped")
shutil.copytree(f"{podium.__path__[0]}/builtin", folder)
weights = safetensors.torch.load_file(folder / "model.safetensors")
for name in [name for name in weights if name.startswith("classifier.out_proj")]:
    weights[name] = -weights[name]
safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
"""
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "flip",
        "image": image,
        "command": ["python", "-c", script],
        "securityContext": restricted,
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    user = {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532}
    spec = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "flip"}, "spec": spec}
