"""The example on CPU, from `kubectl apply` to `kubectl delete`."""

import time
from pathlib import Path

from chart.helm import VERSION
from e2e.client import Client
from e2e.kube import Namespace, wait_for

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
OWNED = "deployments,services,serviceaccounts,jobs,poddisruptionbudgets,pods"


def test_the_cpu_example_is_ready_within_a_minute_and_answers_from_another_namespace(
    namespace: Namespace, client: Client
) -> None:
    started = time.monotonic()
    namespace.apply_file(EXAMPLES / "cpu.yaml")
    namespace.wait_condition("reranker", "Ready", "True", timeout_s=60)
    assert time.monotonic() - started < 60
    answer = client.ask(f"http://reranker.{namespace.name}.svc")
    assert [result["index"] for result in answer["results"]] == [1, 0]


def test_the_air_gapped_example_serves_what_lies_on_a_claim(
    namespace: Namespace, client: Client, service_image: str
) -> None:
    image = {f"ghcr.io/podium-rerank/podium:{VERSION}-cpu": service_image}
    namespace.apply_file(EXAMPLES / "air-gapped.yaml", **image)
    namespace.wait_condition("reranker-air-gapped", "Ready", "True", timeout_s=120)
    answer = client.ask(f"http://reranker-air-gapped.{namespace.name}.svc")
    assert answer["model"] == "my-model"
    assert answer["results"][0]["index"] == 1


def test_the_manifest_without_the_operator_answers(
    namespace: Namespace, client: Client, service_image: str
) -> None:
    image = {f"ghcr.io/podium-rerank/podium:{VERSION}-cpu": service_image}
    namespace.apply_file(EXAMPLES.parent / "service.yaml", **image)
    namespace.kubectl("rollout", "status", "deployment/podium", "--timeout=90s")
    assert client.ask(f"http://podium.{namespace.name}.svc")["results"][0]["index"] == 1


def test_get_and_describe_say_what_a_person_wants_to_know(namespace: Namespace) -> None:
    namespace.apply_file(EXAMPLES / "cpu.yaml")
    namespace.wait_condition("reranker", "Ready", "True")
    heads, row = namespace.kubectl("get", "rr", "-o", "wide").splitlines()
    always = ["NAME", "MODEL", "READY", "REASON", "REPLICAS", "DESIRED"]
    assert heads.split() == [*always, "GPU", "UPTODATE", "URL", "AGE"]
    url = f"http://reranker.{namespace.name}.svc"
    assert row.split()[:6] == ["reranker", "builtin", "True", "Ready", "1", "1"]
    assert url in row
    described = namespace.kubectl("describe", "rr", "reranker")
    for condition in (
        "Accepted",
        "CacheReady",
        "Scheduled",
        "Available",
        "Progressing",
        "Degraded",
        "Stalled",
        "Ready",
    ):
        assert f"Type:                  {condition}\n" in described
    assert "Normal" in described.split("Events:")[1]
    assert "Warning" not in described.split("Events:")[1]


def test_kubectl_scale_and_suspend_and_back(namespace: Namespace, client: Client) -> None:
    namespace.reranker("small")
    namespace.wait_condition("small", "Ready", "True")
    (before,) = namespace.pods("small")
    namespace.kubectl("scale", "rr", "small", "--replicas=2")
    wait_for("two ready pods", lambda: len(namespace.ready_pods("small")) == 2)
    names = [pod["metadata"]["name"] for pod in namespace.pods("small")]
    assert before["metadata"]["name"] in names, "scaling replaced a pod"
    wait_for("a budget for two pods", lambda: namespace.get("pdb", "small"))
    namespace.patch("rr", "small", {"spec": {"suspend": True}})
    wait_for("no pod", lambda: not namespace.pods("small"))
    suspended = namespace.wait_condition("small", "Ready", "False", "Suspended")
    assert "suspend" in suspended["message"]
    namespace.patch("rr", "small", {"spec": {"suspend": None}})
    namespace.wait_condition("small", "Ready", "True")
    assert client.ask(f"http://small.{namespace.name}.svc")["results"][0]["index"] == 1


def test_everything_that_a_reranker_owned_goes_with_it(namespace: Namespace) -> None:
    namespace.reranker("gone", replicas=2)
    namespace.wait_condition("gone", "Ready", "True")
    selector = "podium.sh/reranker=gone"
    assert {item["kind"] for item in namespace.objects(OWNED, selector)} >= {
        "Deployment",
        "Service",
        "ServiceAccount",
        "PodDisruptionBudget",
        "Pod",
    }
    namespace.delete("reranker", "gone")
    wait_for("everything is gone", lambda: not namespace.objects(OWNED, selector), timeout_s=90)
