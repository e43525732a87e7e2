"""Changes while a client keeps asking, and what must not touch a running pod."""

import pytest
from e2e.client import Client
from e2e.kube import Namespace, Object, wait_for
from e2e.private_hub import SECOND_COMMIT, PrivateHub

GPU = {"resourceName": "nvidia.com/gpu"}
SHORT = {"drainSeconds": 5, "gracePeriodSeconds": 30}


@pytest.mark.parametrize(
    ("gpu", "replicas"), [pytest.param({}, 1, id="one-on-cpu"), pytest.param(GPU, 2, id="two-on-gpu")]
)
def test_a_change_of_the_model_and_of_the_number_fails_no_request(
    request: pytest.FixtureRequest,
    namespace: Namespace,
    hub: PrivateHub,
    client: Client,
    gpu: dict[str, str],
    replicas: int,
) -> None:
    if gpu:
        request.getfixturevalue("gpu_node")
    more = {"gpu": gpu} if gpu else {}
    cache = {"size": "1Gi"}
    namespace.reranker("rolled", model=hub.model(), replicas=replicas, cache=cache, termination=SHORT, **more)
    namespace.wait_condition("rolled", "Ready", "True", timeout_s=120)
    wait_for("all pods are ready", lambda: len(namespace.ready_pods("rolled")) == replicas)
    with client.keep_asking(f"http://rolled.{namespace.name}.svc") as asking:
        namespace.patch("rr", "rolled", {"spec": {"model": {"revision": "v2"}}})
        namespace.wait_condition("rolled", "Progressing", "False", "RolloutComplete", timeout_s=180)
        other = 1 if replicas == 2 else 2
        namespace.kubectl("scale", "rr", "rolled", f"--replicas={other}")
        wait_for("the other number", lambda: len(namespace.ready_pods("rolled")) == other, timeout_s=90)
        wait_for("no pod beside them", lambda: len(namespace.pods("rolled")) == other, timeout_s=90)
    assert asking.failed == {}
    assert asking.asked > 100
    body = namespace.get("rr", "rolled")
    assert body is not None
    assert body["status"]["model"]["resolvedRevision"] == SECOND_COMMIT


def test_the_old_pods_serve_while_the_new_model_cannot_be_had(
    namespace: Namespace, hub: PrivateHub, client: Client
) -> None:
    namespace.reranker("steady", model=hub.model(), cache={"size": "1Gi"})
    namespace.wait_condition("steady", "Ready", "True")
    (before,) = namespace.pods("steady")
    namespace.patch("rr", "steady", {"spec": {"model": {"revision": "no-such-branch"}}})
    namespace.wait_condition("steady", "CacheReady", "False", "ModelNotFound", timeout_s=90)
    assert namespace.condition("steady", "Available")["status"] == "True"
    assert namespace.condition("steady", "Ready")["status"] == "Unknown"
    assert namespace.condition("steady", "Degraded")["reason"] == "DownloadFailingOldServing"
    (after,) = namespace.pods("steady")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert client.ask(f"http://steady.{namespace.name}.svc")["results"][0]["index"] == 1


def test_five_pods_stay_five_on_the_way_to_autoscaling(namespace: Namespace) -> None:
    namespace.reranker("elastic", replicas=5)
    wait_for("five pods", lambda: len(namespace.pods("elastic")) == 5)
    autoscaling = {"minReplicas": 2, "maxReplicas": 8, "targetQueueTokens": 4096}
    namespace.patch("rr", "elastic", {"spec": {"replicas": None, "autoscaling": autoscaling}})
    seen = set()

    def scaler() -> Object | None:
        deployment = namespace.get("deployment", "elastic")
        assert deployment is not None
        seen.add(deployment["spec"]["replicas"])
        return namespace.get("hpa", "elastic")

    hpa = wait_for("the HorizontalPodAutoscaler", scaler, every_s=0.1)
    for _ in range(50):
        scaler()
    assert seen == {5}
    assert hpa["spec"]["minReplicas"] == 2
    assert hpa["spec"]["maxReplicas"] == 8
    metric = {"name": "podium_queue_tokens"}
    target = {"type": "AverageValue", "averageValue": "4096"}
    assert hpa["spec"]["metrics"] == [{"type": "Pods", "pods": {"metric": metric, "target": target}}]
    assert hpa["spec"]["scaleTargetRef"]["name"] == "elastic"
