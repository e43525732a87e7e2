"""Downloads from a private hub: done once, pinned, resumed; each failure named, remedied, and healed."""

from typing import Any

import pytest
from e2e.client import Client
from e2e.kube import Namespace, Object, wait_for
from e2e.private_hub import COMMIT, SECOND_COMMIT, PrivateHub

MODEL_BYTES = 18_000_000
"""The built-in model has a little more."""


@pytest.mark.parametrize(
    ("revision", "commit"),
    [
        pytest.param({}, COMMIT, id="main"),
        pytest.param({"revision": SECOND_COMMIT}, SECOND_COMMIT, id="commit"),
    ],
)
def test_a_model_is_downloaded_once_at_its_revision_and_served_offline(
    namespace: Namespace, hub: PrivateHub, client: Client, revision: dict[str, str], commit: str
) -> None:
    cache = {"size": "1Gi"}
    namespace.reranker("hubbed", model=hub.model(**revision), cache=cache)
    namespace.wait_condition("hubbed", "Ready", "True")
    status = status_of(namespace, "hubbed")
    assert status["model"]["resolvedRevision"] == commit
    assert status["model"]["sizeBytes"] > MODEL_BYTES
    assert status["cache"]["claimName"] == "hubbed-cache"
    assert status["cache"]["state"] == "Ready"
    assert len(hub.downloads()) == 1
    assert client.ask(f"http://hubbed.{namespace.name}.svc")["model"] == "org/model"
    hub.behave()
    (pod,) = namespace.pods("hubbed")
    namespace.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=1")
    wait_for("another ready pod", lambda: other_pod(namespace, "hubbed", pod))
    assert hub.requests() == [], "a serving pod asked the hub"


def test_a_download_whose_pod_is_killed_goes_on_where_it_was(namespace: Namespace, hub: PrivateHub) -> None:
    hub.behave(rate=2_000_000)
    namespace.reranker("resumed", model=hub.model(), cache={"size": "1Gi"})
    wait_for("the download has begun", hub.downloads)
    selector = "app.kubernetes.io/name=reranker-download"
    (pod,) = namespace.objects("pods", selector)
    wait_for("some of it is there", lambda: partial_bytes(namespace, pod["metadata"]["name"]) > 4_000_000)
    namespace.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    namespace.wait_condition("resumed", "Ready", "True", timeout_s=120)
    ranges = [request["range"] for request in hub.downloads()]
    assert ranges[0] is None
    assert int(str(ranges[-1]).removeprefix("bytes=").removesuffix("-")) > 4_000_000


FAILURES = [
    pytest.param("branch-a", "Unauthorized", "answered 401", id="401"),
    pytest.param("branch-b", "ModelNotFound", "has no model org/model", id="404"),
    pytest.param("branch-c", "RateLimited", "limits our requests (429)", id="429"),
    pytest.param("branch-d", "HubUnavailable", "answered 503", id="503"),
    pytest.param("branch-e", "ChecksumMismatch", "README.md", id="checksum"),
]


@pytest.fixture(scope="module")
def failing(running_hub: PrivateHub, shared_namespace: Namespace) -> Namespace:
    """Make a Reranker per failure, at once: each waits for its own pods and for its next try."""
    statuses = {"branch-a": 401, "branch-b": 404, "branch-c": 429, "branch-d": 503}
    running_hub.behave(refuse=statuses, forge={"README.md": "other words"})
    for entry in FAILURES:
        branch = str(entry.values[0])
        # Only one of them asks for the file that is forged.
        files = ["*.json", "*.safetensors", *(["README.md"] if branch == "branch-e" else [])]
        model = running_hub.model(revision=branch, include=files)
        shared_namespace.reranker(branch, model=model, cache={"size": "1Gi", "download": {"backoffLimit": 0}})
    return shared_namespace


@pytest.mark.parametrize(("branch", "reason", "words"), FAILURES)
def test_a_failed_download_is_named_with_a_remedy(
    failing: Namespace, branch: str, reason: str, words: str
) -> None:
    condition = failing.wait_condition(branch, "CacheReady", "False", reason, timeout_s=90)
    assert words in condition["message"]
    assert "To mend it: " in condition["message"]
    assert failing.condition(branch, "Ready")["reason"] == reason
    assert status_of(failing, branch)["download"]["lastFailure"]["reason"] == reason


@pytest.fixture(scope="module")
def mended(failing: Namespace, running_hub: PrivateHub) -> Namespace:
    """Mend the hub and touch no Reranker."""
    running_hub.behave()
    return failing


@pytest.mark.parametrize(("branch", "reason", "words"), FAILURES)
def test_a_failed_download_heals_with_nobodys_help(
    mended: Namespace, branch: str, reason: str, words: str
) -> None:
    mended.wait_condition(branch, "Ready", "True", timeout_s=120)
    download = status_of(mended, branch)["download"]
    assert download["attempts"] > 1
    assert "lastFailure" not in download


def test_a_token_comes_from_a_secret_and_a_missing_secret_is_named(
    namespace: Namespace, hub: PrivateHub
) -> None:
    hub.behave(token="right")
    reference = {"name": "hub-token", "key": "token"}
    namespace.reranker("private", model=hub.model(credentialsSecretRef=reference), cache={"size": "1Gi"})
    missing = namespace.wait_condition("private", "CacheReady", "False", "SecretNotFound")
    assert "hub-token" in missing["message"]
    secret(namespace, "wrong")
    namespace.wait_condition("private", "CacheReady", "False", "Unauthorized", timeout_s=90)
    secret(namespace, "right")
    namespace.wait_condition("private", "Ready", "True", timeout_s=120)
    (pod,) = namespace.pods("private")
    assert "hub-token" not in str(pod["spec"])


def test_more_bytes_than_the_cache_may_hold_are_refused_before_the_download(
    namespace: Namespace, hub: PrivateHub
) -> None:
    namespace.reranker("large", model=hub.model(), cache={"size": "10Mi", "download": {"backoffLimit": 0}})
    condition = namespace.wait_condition("large", "CacheReady", "False", "NoSpace")
    assert "cache.size" in condition["message"]
    assert hub.downloads() == []
    namespace.patch("rr", "large", {"spec": {"cache": {"size": "1Gi"}}})
    # A class without growth: the claim stays as it is, but no quota stands behind it. Users are served, and
    # Ready does not say that all of the spec was taken.
    namespace.wait_condition("large", "Available", "True", timeout_s=90)
    namespace.wait_condition("large", "Ready", "Unknown", "Refused")
    assert namespace.condition("large", "Degraded")["reason"] == "ClaimNotResizable"


def test_a_volume_that_is_full_is_found_before_the_download(
    namespace: Namespace, hub: PrivateHub, cluster: Namespace, service_image: str
) -> None:
    if cluster.get("storageclass", "tiny") is None:
        pytest.skip("this cluster has no storage class `tiny` (64 MiB, really full then)")
    namespace.apply(claim("small", "tiny", "64Mi"), filling_pod("small", service_image))
    wait_for("the volume is full", lambda: phase(namespace, "fill") == "Succeeded")
    cache = {"claimName": "small", "download": {"backoffLimit": 0}}
    namespace.reranker("squeezed", model=hub.model(), cache=cache)
    condition = namespace.wait_condition("squeezed", "CacheReady", "False", "NoSpace")
    assert "To mend it: " in condition["message"]
    assert hub.downloads() == []


def test_an_existing_claim_is_used_and_never_deleted(namespace: Namespace, hub: PrivateHub) -> None:
    namespace.reranker("orphan", model=hub.model(), cache={"claimName": "ours"})
    condition = namespace.wait_condition("orphan", "CacheReady", "False", "ClaimNotFound")
    assert "claim ours does not exist" in condition["message"]
    namespace.apply(claim("ours", None, "1Gi"))
    namespace.wait_condition("orphan", "Ready", "True")
    namespace.delete("reranker", "orphan")
    left = namespace.get("pvc", "ours")
    assert left is not None
    assert "deletionTimestamp" not in left["metadata"]


@pytest.mark.parametrize(("policy", "stays"), [("Retain", True), ("Delete", False)])
def test_the_claim_outlives_its_reranker_as_the_policy_says(
    namespace: Namespace, hub: PrivateHub, policy: str, stays: bool
) -> None:
    cache = {"size": "1Gi", "retentionPolicy": {"whenDeleted": policy}}
    namespace.reranker("brief", model=hub.model(), cache=cache)
    namespace.wait_condition("brief", "Ready", "True")
    namespace.delete("reranker", "brief")
    selector = "podium.sh/reranker=brief"
    wait_for(
        "its pods are gone", lambda: not namespace.objects("pods,jobs,deployments", selector), timeout_s=90
    )
    if stays:
        assert namespace.get("pvc", "brief-cache") is not None
    else:
        wait_for("its claim is gone", lambda: namespace.get("pvc", "brief-cache") is None)


def status_of(namespace: Namespace, name: str) -> Any:
    """Return the status of a Reranker."""
    body = namespace.get("reranker", name)
    assert body is not None
    return body["status"]


def other_pod(namespace: Namespace, name: str, pod: Object) -> bool:
    """Whether another pod than this one is ready."""
    return any(ready["metadata"]["uid"] != pod["metadata"]["uid"] for ready in namespace.ready_pods(name))


def partial_bytes(namespace: Namespace, pod: str) -> int:
    """Return the bytes of the largest partial file that a download has on its volume."""
    sizes = "(part.stat().st_size for part in pathlib.Path('/models').rglob('*.part'))"
    count = f"import pathlib; print(max({sizes}, default=0))"
    return int(namespace.kubectl("exec", pod, "--", "python", "-c", count))


def secret(namespace: Namespace, token: str) -> None:
    """Make or change the Secret with the hub's token."""
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub-token"}}
    namespace.apply({**body, "stringData": {"token": token}})


def phase(namespace: Namespace, pod: str) -> str | None:
    """Return the phase of a pod."""
    body = namespace.get("pod", pod)
    return body["status"].get("phase") if body else None


def claim(name: str, storage_class: str | None, size: str) -> Object:
    """Return a claim as a user makes one."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    if storage_class:
        spec["storageClassName"] = storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def filling_pod(claim_name: str, image: str) -> Object:
    """Return a pod that fills a volume to the last MiB or so and ends."""
    fill = """
import os
with open("/models/ballast", "wb") as ballast:
    try:
        while True:
            ballast.write(bytes(1 << 20))
            ballast.flush()
    except OSError:
        pass
"""
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "fill",
        "image": image,
        "command": ["python", "-c", fill],
        "securityContext": restricted,
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    user = {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532}
    spec = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": claim_name}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fill"}, "spec": spec}
