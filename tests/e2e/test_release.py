"""What the operator's own life does to the pods that it made: nothing."""

import os
from collections.abc import Iterator

import pytest
from e2e.client import Client
from e2e.kube import Namespace, Object, wait_for
from e2e.release import OPERATOR_NAMESPACE, Release


@pytest.fixture
def restored(release: Release) -> Iterator[Release]:
    """Return the release; afterwards it is as the other tests expect it."""
    yield release
    release.install()


def test_an_upgrade_to_other_images_and_its_rollback_restart_no_model_pod(
    namespace: Namespace, restored: Release
) -> None:
    namespace.reranker("pinned")
    namespace.wait_condition("pinned", "Ready", "True")
    (before,) = namespace.pods("pinned")
    template = template_of(namespace, "pinned")
    later = os.environ.get("PODIUM_E2E_OPERATOR_NEXT_IMAGE", restored.operator_image)
    restored.install(service_image=f"{restored.service_image}-next", operator_image=later)
    (running,) = operator_pods()
    assert running["spec"]["containers"][0]["image"] == later
    namespace.kubectl("scale", "rr", "pinned", "--replicas=2")
    wait_for("two ready pods", lambda: len(namespace.ready_pods("pinned")) == 2)
    pods = {pod["metadata"]["uid"] for pod in namespace.ready_pods("pinned")}
    assert before["metadata"]["uid"] in pods
    assert template_of(namespace, "pinned") == template
    restored.helm("rollback", "podium", "-n", OPERATOR_NAMESPACE, "--wait", "--timeout", "120s")
    (running,) = operator_pods()
    assert running["spec"]["containers"][0]["image"] == restored.operator_image
    namespace.kubectl("scale", "rr", "pinned", "--replicas=1")
    wait_for("one pod", lambda: len(namespace.pods("pinned")) == 1)
    assert {pod["metadata"]["uid"] for pod in namespace.pods("pinned")} < pods
    assert template_of(namespace, "pinned") == template


def test_uninstalling_leaves_rerankers_and_pods_and_installing_again_takes_them_up(
    namespace: Namespace, client: Client, restored: Release
) -> None:
    namespace.reranker("left")
    namespace.wait_condition("left", "Ready", "True")
    (before,) = namespace.pods("left")
    restored.uninstall()
    assert client.ask(f"http://left.{namespace.name}.svc")["results"][0]["index"] == 1
    namespace.reranker("orphan")
    namespace.kubectl("delete", "rr", "orphan", "--timeout=30s")
    restored.install()
    namespace.kubectl("scale", "rr", "left", "--replicas=2")
    wait_for("two ready pods", lambda: len(namespace.ready_pods("left")) == 2)
    assert before["metadata"]["uid"] in {pod["metadata"]["uid"] for pod in namespace.pods("left")}


def test_helm_test_ranks_through_a_reranker_and_leaves_nothing(release: Release) -> None:
    said = release.helm("test", "podium", "-n", OPERATOR_NAMESPACE, "--timeout", "5m")
    assert "Succeeded" in said
    assert not Namespace(OPERATOR_NAMESPACE).objects("rerankers")


def operator_pods() -> list[Object]:
    """Return the pods of the operator that are not going."""
    found = Namespace(OPERATOR_NAMESPACE).objects("pods")
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def template_of(namespace: Namespace, name: str) -> object:
    """Return the pod template of a Reranker."""
    deployment = namespace.get("deployment", name)
    assert deployment is not None
    return deployment["spec"]["template"]
