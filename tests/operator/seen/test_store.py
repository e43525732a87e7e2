"""The store: newer wins, what says nothing new wakes nobody, and what a watch owes is found."""

from typing import Any

from podium_operator.resource.names import MANAGER, OWNER_LABEL, ROLLED_ANNOTATION
from podium_operator.seen.store import Store, trim


def service(
    name: str = "demo", version: int = 1, *, owner: str | None = "demo", **spec: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "search",
        "uid": f"u-{name}",
        "resourceVersion": str(version),
    }
    metadata["labels"] = {OWNER_LABEL: owner} if owner else {}
    return {"kind": "Service", "apiVersion": "v1", "metadata": metadata, "spec": spec}


def reranker(version: int = 1, **spec: Any) -> dict[str, Any]:
    metadata = {
        "name": "demo",
        "namespace": "search",
        "uid": "r",
        "resourceVersion": str(version),
        "generation": 1,
    }
    return {"kind": "Reranker", "metadata": metadata, "spec": spec}


KEY = ("search", "demo")


def test_a_child_wakes_its_reranker_by_its_label() -> None:
    store = Store()
    assert store.put(service()) == KEY
    assert store.put(reranker()) == KEY
    assert store.put(service("stray", owner=None)) is None
    assert set(store.observe(KEY).children) == {("Service", "demo")}
    assert store.rerankers() == [KEY]


def test_what_is_old_or_says_nothing_new_wakes_nobody() -> None:
    store = Store()
    store.put(service(version=5, type="ClusterIP"))
    assert store.put(service(version=4, type="NodePort")) is None, "a watch may lag behind an apply's answer"
    assert store.put(service(version=6, type="ClusterIP")) is None
    assert store.put(service(version=7, type="NodePort")) == KEY


def test_a_deleted_object_does_not_come_back_by_an_answer_that_was_late() -> None:
    store = Store()
    store.put(service(version=5))
    assert store.drop(service(version=9)) == KEY
    assert store.put(service(version=8)) is None
    assert store.observe(KEY).children == {}
    assert store.put(service(version=10)) == KEY


def test_the_deletion_of_a_predecessor_does_not_touch_its_successor() -> None:
    store = Store()
    successor = service(version=9)
    successor["metadata"]["uid"] = "new"
    store.put(successor)
    assert store.drop(service(version=8)) is None
    assert set(store.observe(KEY).children) == {("Service", "demo")}


def test_a_child_whose_label_moves_belongs_to_the_other() -> None:
    store = Store()
    store.put(service(version=1))
    assert store.put(service(version=2, owner="other")) == ("search", "other")
    assert store.observe(KEY).children == {}
    assert set(store.observe(("search", "other")).children) == {("Service", "demo")}


def test_a_watch_owes_what_is_listed_newer_than_it_delivered() -> None:
    store = Store()
    store.put(service("a", 5))
    store.put(service("b", 5))
    listed = [("search", "a", "u-a", 6), ("search", "b", "u-b", 5), ("search", "c", "u-c", 1)]
    assert store.behind("Service", listed) == {("search", "a", "u-a", 6), ("search", "c", "u-c", 1)}
    store.put(service("a", 6), watched=False)
    assert ("search", "a", "u-a", 6) in store.behind("Service", listed), "an answer is no delivery"
    store.put(service("a", 6))
    assert store.behind("Service", listed) == {("search", "c", "u-c", 1)}
    store.drop(service("b", 7))
    assert store.behind("Service", [("search", "b", "u-b", 6)]) == set()


def test_records_are_known_by_kind_and_namespace_and_forgotten_by_uid() -> None:
    store = Store()
    store.put(service("a", 5))
    assert store.known("Service", None) == store.known("Service", "search") == {("search", "a", "u-a", 5)}
    assert store.known("Service", "elsewhere") == store.known("Job", None) == set()
    assert store.forget(("Service", "search", "a"), "another") is None
    assert store.forget(("Service", "search", "a"), "u-a") == KEY
    assert store.known("Service", None) == set()


def test_records_keep_foreign_managers_and_leave_out_what_nobody_reads() -> None:
    body = service(type="ClusterIP")
    body["metadata"]["managedFields"] = [
        {"manager": MANAGER, "fieldsV1": {}},
        {"manager": "argocd", "time": "t", "fieldsV1": {"f:spec": {}}},
        {"manager": "kube-controller-manager", "subresource": "status", "fieldsV1": {}},
    ]
    body["status"] = {"loadBalancer": {}}
    kept = trim(body)
    assert kept["foreignManagers"] == [{"manager": "argocd", "time": "t", "fieldsV1": {"f:spec": {}}}]
    assert "status" not in kept
    assert "managedFields" not in kept["metadata"]


def test_a_pod_is_kept_by_its_state_alone() -> None:
    pod = service("demo-1")
    pod |= {
        "kind": "Pod",
        "spec": {"nodeName": "n", "containers": [{"name": "reranker", "env": []}]},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": "t"}],
            "containerStatuses": [{"name": "reranker", "image": "i", "imageID": "sha", "ready": True}],
        },
    }
    kept = trim(pod)
    assert kept["spec"] == {"nodeName": "n"}
    assert kept["status"] == {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "reranker", "image": "i", "ready": True}],
    }


def test_the_store_tells_which_reranker_an_upgrade_moved_until_its_pods_are_there() -> None:
    store = Store()

    def put(version: int, name: str, moment: str | None, available: int) -> None:
        counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), available)
        metadata = {
            "name": name,
            "namespace": "search",
            "uid": name,
            "resourceVersion": str(version),
            "generation": 2,
            "labels": {OWNER_LABEL: name},
            "annotations": {ROLLED_ANNOTATION: moment} if moment else {},
        }
        status = {"observedGeneration": 2, **counts}
        store.put({"kind": "Deployment", "metadata": metadata, "spec": {"replicas": 1}, "status": status})

    put(1, "a", "2026-03-01T12:00:00", 1)
    put(2, "b", "2026-03-01T12:00:01", 0)
    put(3, "never-moved", None, 0)
    assert store.rolling(("search", "c")) == "b"
    assert store.rolling(("search", "b")) is None, "its own pods are not waited for"
    assert store.rolling(("elsewhere", "c")) is None
    put(4, "b", "2026-03-01T12:00:01", 1)
    assert store.rolling(("search", "c")) is None
    put(5, "b", "2026-03-01T12:00:01", 0)
    put(6, "a", "2026-03-01T12:30:00", 1)
    assert store.rolling(("search", "c")) == "b", "the clock that moved the other was ahead"
    put(7, "a", "2026-03-01T12:30:00", 0)
    assert store.rolling(("search", "b")) == "a"
    assert store.rolling(("search", "a")) is None, "of two that fail one may go on"
    put(8, "a", "2026-03-01T12:30:00", 1)
    store.forget(("Deployment", "search", "b"))
    assert store.rolling(("search", "c")) is None
