"""Children on a real API server: made, kept as they should be, left alone where not ours, taken along."""

import json
import re
import time

import pytest
from cluster.harness import wait_for
from cluster.space import CHILDREN, Space

pytestmark = pytest.mark.usefixtures("operator")
HUB = {"uri": "hf://org/model"}
EVERYTHING = {
    "replicas": 2,
    "networkPolicy": {"enabled": True},
    "monitoring": {"serviceMonitor": {"enabled": True}},
    "service": {"annotations": {"note": "x"}},
    "engine": {
        "resources": {"requests": {"cpu": "2000m", "memory": "1024Mi"}, "limits": {"memory": 2147483648}}
    },
}


def made(space: Space) -> set[str]:
    return {key.partition("/")[0] for key in space.versions()} - {"rerankers"}


def test_a_builtin_reranker_has_all_its_children_and_a_status(space: Space) -> None:
    space.rerank(**EVERYTHING)
    space.settled()
    wanted = {
        "serviceaccounts", "services", "deployments", "poddisruptionbudgets", "networkpolicies",
        "servicemonitors",
    }  # fmt: skip
    assert made(space) == wanted
    status = space.get("rerankers")["status"]
    assert status["url"] == f"http://demo.{space.name}.svc"
    assert status["image"] == "podium:test"
    assert status["desiredReplicas"] == 2
    assert space.condition("Accepted")[0] == "True"
    assert space.condition("Ready")[:2] == ("Unknown", "NoReadyReplicas")


def test_what_is_changed_removed_or_deleted_is_back_and_foreign_fields_stay(space: Space) -> None:
    space.rerank(**EVERYTHING)
    space.settled()
    space.patch("services", "demo", {"metadata": {"annotations": {"theirs": "1", "note": None}}})
    container = {"name": "sidecar", "image": "side:1"}
    deployment = space.get("deployments")
    containers = deployment["spec"]["template"]["spec"]["containers"]
    changed = [{**containers[0], "args": ["rank"]}, container]
    space.patch("deployments", "demo", {"spec": {"template": {"spec": {"containers": changed}}}})
    space.delete("poddisruptionbudgets")
    space.delete("networkpolicies")
    start = time.monotonic()

    def restored() -> bool:
        service, deployment = space.get("services"), space.get("deployments")
        found = {item["name"]: item for item in deployment["spec"]["template"]["spec"]["containers"]}
        return (
            service["metadata"]["annotations"].get("note") == "x"
            and service["metadata"]["annotations"]["theirs"] == "1"
            and found["reranker"]["args"] == ["serve"]
            and found["sidecar"]["image"] == "side:1"
            and space.get("poddisruptionbudgets") is not None
            and space.get("networkpolicies") is not None
        )

    wait_for("all is back", restored, timeout_s=10)
    assert time.monotonic() - start < 10


def test_every_child_that_is_deleted_is_made_again(space: Space) -> None:
    space.rerank(**EVERYTHING)
    before = space.settled()
    children = [child.split("/") for child in before if not child.startswith("rerankers/")]
    uids = {name: space.get(*name.split("/"))["metadata"]["uid"] for name in map("/".join, children)}
    for plural, name in children:
        space.delete(plural, name)

    def again() -> bool:
        bodies = {name: space.get(*name.split("/")) for name in uids}
        return all(found and found["metadata"]["uid"] != uids[name] for name, found in bodies.items())

    wait_for("all children", again, timeout_s=10)
    assert space.settled().keys() == before.keys()


def test_a_label_by_which_we_find_a_child_is_put_back(space: Space) -> None:
    space.rerank()
    space.settled()
    space.patch("services", "demo", {"metadata": {"labels": {"podium.sh/reranker": None}}})
    wait_for(
        "label", lambda: "podium.sh/reranker" in space.get("services")["metadata"]["labels"], timeout_s=10
    )


def test_a_field_that_is_no_longer_wanted_goes(space: Space) -> None:
    space.rerank(service={"annotations": {"lb": "internal"}}, replicas=2, networkPolicy={"enabled": True})
    space.settled()
    space.rerank(replicas=1)
    space.settled()
    assert "lb" not in space.get("services")["metadata"].get("annotations", {})
    assert space.get("poddisruptionbudgets") is None
    assert space.get("networkpolicies") is None


@pytest.mark.parametrize(
    ("plural", "manifest"),
    [
        ("services", {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 99}]}}),
        ("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount"}),
        (
            "networkpolicies",
            {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"podSelector": {}}},
        ),
    ],
)
def test_an_object_of_the_same_name_that_is_not_ours_is_never_touched(
    space: Space, plural: str, manifest: dict
) -> None:
    before = space.plane.apply({**manifest, "metadata": {"name": "demo"}}, namespace=space.name)
    space.rerank(networkPolicy={"enabled": True})
    message = space.wait_condition("Accepted", "False", "NameConflict")
    assert f"{manifest['kind']} demo exists and does not belong to this Reranker" in message
    assert space.condition("Ready")[:2] == ("False", "NameConflict")
    assert space.get("deployments") is None, "nothing is written, and no pod runs under a foreign account"
    space.delete("rerankers")
    time.sleep(1)
    assert space.get(plural)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_a_conflict_ends_when_the_other_object_goes(space: Space) -> None:
    other = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "demo"},
        "spec": {"ports": [{"port": 99}]},
    }
    space.plane.apply(other, namespace=space.name)
    space.rerank()
    space.wait_condition("Accepted", "False", "NameConflict")
    space.delete("services")
    space.wait_condition("Accepted", "True", "Accepted", timeout_s=30)
    assert space.get("services")["spec"]["ports"][0]["port"] == 80


def test_a_spec_that_becomes_invalid_leaves_what_runs_alone(space: Space) -> None:
    space.rerank(replicas=2)
    before = space.settled()
    space.rerank(
        replicas=5, engine={"settings": {"no_such": "1"}}, podTemplate={"overlay": {"hostPID": True}}
    )
    message = space.wait_condition("Accepted", "False", "OverlayRefused")
    assert "podTemplate.overlay.hostPID" in message
    after = space.settled()
    assert {key: after[key] for key in after if key != "rerankers/demo"} == {
        key: before[key] for key in before if key != "rerankers/demo"
    }
    space.rerank(replicas=3)
    space.wait_condition("Accepted", "True", "Accepted")
    wait_for("replicas", lambda: space.get("deployments")["spec"]["replicas"] == 3)


def test_from_five_replicas_to_autoscaling_never_shows_fewer(space: Space) -> None:
    space.rerank(replicas=5)
    space.settled()
    since = space.get("deployments")["metadata"]["resourceVersion"]
    space.rerank(autoscaling={"minReplicas": 2, "maxReplicas": 9})
    space.wait("horizontalpodautoscalers")
    space.settled()
    events = watch_from(space, "deployments", since)
    assert events
    assert {event["spec"].get("replicas") for event in events} == {5}
    fields = [
        entry["fieldsV1"] for entry in space.get("deployments")["metadata"]["managedFields"]
        if entry["manager"] == "podium-operator"
    ]  # fmt: skip
    assert all("f:replicas" not in owned.get("f:spec", {}) for owned in fields)


def watch_from(space: Space, plural: str, version: str) -> list[dict]:
    """Return every state of a kind's objects since a version."""
    query = f"?watch=true&resourceVersion={version}&timeoutSeconds=1"
    _, answer = space.plane.raw("GET", space.path(plural) + query)
    return [json.loads(line)["object"] for line in answer.splitlines()]


def test_keda_and_hpa_replace_each_other(space: Space) -> None:
    scaling = {"maxReplicas": 3, "engine": "KEDA", "prometheusAddress": "http://prometheus:9090"}
    space.rerank(autoscaling=scaling)
    space.wait("scaledobjects")
    space.rerank(autoscaling={**scaling, "engine": "HPA"})
    space.wait("horizontalpodautoscalers")
    wait_for("ScaledObject gone", lambda: space.get("scaledobjects") is None)


def test_keda_counts_the_pods_of_a_name_of_47_characters(space: Space) -> None:
    """Their names lose the dash after a hash of ten characters; every template has another hash."""
    name = "k" * 47
    scaling = {"maxReplicas": 3, "engine": "KEDA", "prometheusAddress": "http://prometheus:9090"}
    lengths: set[int] = set()
    for length in range(256, 264):
        space.rerank(name, autoscaling=scaling, engine={"maxLength": length})
        space.wait("scaledobjects", name)

        def pods(length: int = length) -> list[str]:
            env = {pod["metadata"]["name"]: str(pod["spec"]["containers"]) for pod in space.list("pods")}
            return [pod for pod, text in env.items() if f"'{length}'" in text]

        (pod,) = wait_for("its pod", pods)
        query = space.get("scaledobjects", name)["spec"]["triggers"][0]["metadata"]["query"]
        (pattern,) = re.findall(r'pod=~"([^"]+)"', query)
        assert re.fullmatch(pattern, pod), (pattern, pod)
        lengths.add(pod.count("-"))
        if 1 in lengths:
            break
    assert 1 in lengths, "no hash of ten characters came"


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_a_deleted_reranker_takes_its_children_and_the_claim_by_its_policy(space: Space, policy: str) -> None:
    space.rerank(
        model=HUB, cache={"retentionPolicy": {"whenDeleted": policy}}, networkPolicy={"enabled": True}
    )
    space.end_job(space.download_job())
    space.wait("deployments")
    space.settled()
    space.delete("rerankers")

    def left() -> set[str]:
        return {
            f"{plural}/{item['metadata']['name']}"
            for plural in CHILDREN
            for item in space.list(plural)
            if "podium.sh/reranker" in item["metadata"].get("labels", {})
            and not item["metadata"].get("deletionTimestamp")
        }

    wanted = {"persistentvolumeclaims/demo-cache"} if policy == "Retain" else set()
    wait_for("children gone", lambda: left() == wanted, timeout_s=40)


def test_events_tell_of_transitions_once(space: Space) -> None:
    space.rerank(podTemplate={"overlay": {"hostIPC": True}})
    space.wait_condition("Accepted", "False", "OverlayRefused")
    space.rerank()
    space.wait_condition("Accepted", "True", "Accepted")
    space.settled()
    found = [
        (event["type"], event["reason"], event["message"].partition(":")[0])
        for event in space.list("events")
        if event["involvedObject"]["kind"] == "Reranker"
    ]
    assert found.count(("Warning", "OverlayRefused", "Accepted=False")) == 1
    assert found.count(("Normal", "Accepted", "Accepted=True")) == 1
