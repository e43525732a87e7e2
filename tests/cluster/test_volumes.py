"""Volumes of one node or one pod at a time, with the real scheduler, attacher and Job controller."""

from collections.abc import Iterator

import pytest
from cluster.harness import ControlPlane, wait_for
from cluster.nodes import NODES, attach, bind, cordon, end, ending, make_node, placed, report, serving_pods
from cluster.space import Space

pytestmark = pytest.mark.usefixtures("operator")
SCHEDULER = "volume-scheduler"
HUB = {"uri": "hf://org/model"}
HERE = {"scheduling": {"schedulerName": SCHEDULER}}
NETWORK = {"csi": {"driver": "disk.example.com", "volumeHandle": "one"}}
LOCAL = {"local": {"path": "/mnt/one"}}


@pytest.fixture
def two_nodes(plane: ControlPlane, space: Space) -> Iterator[None]:
    """Two nodes that each have room for one pod of 600m, and none of this test's afterwards."""
    if not (plane.programs / "kube-scheduler").exists():
        pytest.skip("KUBEBUILDER_ASSETS has no kube-scheduler")
    plane.start_scheduler(SCHEDULER)
    for name in ("node-a", "node-b"):
        make_node(plane, name, cpu="1")
    yield
    space.delete("rerankers")
    wait_for("Deployment gone", lambda: space.get("deployments") is None)
    for pod in space.list("pods"):
        end(space, pod["metadata"]["name"])
    for name in ("node-a", "node-b"):
        plane.request("DELETE", f"{NODES}/{name}")
    plane.stop("kube-scheduler")


def first_pod(space: Space, volume: dict, node: str | None = None, **spec: object) -> str:
    """Bring a Reranker to its first ready pod on `node-a`; return the pod's name."""
    engine = {"resources": {"requests": {"cpu": "600m"}}}
    space.rerank(model=HUB, **{"engine": engine, **HERE, **spec})
    bind(space, "demo-cache", volume, node=node)
    space.end_job(space.download_job())
    cordon(space, "node-b", SCHEDULER)
    pod = placed(space)
    assert pod["spec"]["nodeName"] == "node-a"
    space.plane.patch(f"{NODES}/node-b", {"spec": {"unschedulable": None}})
    report(space, pod["metadata"]["name"])
    return str(pod["metadata"]["name"])


def test_a_pod_that_must_leave_its_disks_node_goes_elsewhere_and_is_told_to_wait_for_the_disk(
    space: Space, two_nodes: None
) -> None:
    old = first_pod(space, NETWORK)
    attach(space.plane, "node-a")
    cordon(space, "node-a", SCHEDULER)
    space.delete("pods", old)
    new = placed(space)
    assert new["spec"]["nodeName"] == "node-b", "the claim's node is preferred, not required"
    message = space.wait_condition("Degraded", "True", "ReadWriteOnceNoRoom", timeout_s=40)
    assert "node node-a has the volume of claim demo-cache" in message
    assert "Multi-Attach error" in message
    report(space, old, reports=False)
    wait_for(
        "the way out of a dead node",
        lambda: (
            "kubectl taint node node-a node.kubernetes.io/out-of-service" in space.condition("Degraded")[2]
        ),
        timeout_s=60,
    )
    assert space.get("rerankers")["status"]["cache"]["node"] == "node-a"


def test_a_pod_whose_local_volume_lies_on_a_cordoned_node_is_told_so(space: Space, two_nodes: None) -> None:
    old = first_pod(space, LOCAL, "node-a", replicas=1)
    cordon(space, "node-a", SCHEDULER)
    space.delete("pods", old)
    end(space, old)
    message = space.wait_condition("Degraded", "True", "ReadWriteOnceNoRoom", timeout_s=40)
    assert "node node-a has the volume of claim demo-cache" in message
    assert "uncordon it" in message
    space.plane.patch(f"{NODES}/node-a", {"spec": {"unschedulable": None}})
    assert placed(space)["spec"]["nodeName"] == "node-a"
    space.wait_condition("Degraded", "False", "AsExpected")


def test_a_roll_without_room_for_two_pods_is_ended_by_replacing_the_old_one(
    space: Space, two_nodes: None
) -> None:
    late = {"progressDeadlineSeconds": 5}
    old = first_pod(space, LOCAL, "node-a", rollout=late)
    space.wait_condition("Progressing", "False", "RolloutComplete")
    engine = {"resources": {"requests": {"cpu": "600m"}}, "maxLength": 256}
    space.rerank(model=HUB, engine=engine, rollout=late, **HERE)
    wait_for("the new pod beside the old", lambda: len(serving_pods(space)) == 2)
    wait_for("the old pod goes", lambda: old in ending(space), timeout_s=40)
    message = space.wait_condition("Progressing", "True", "RollingOut")
    assert "no room for more, so old pods go first: none answers meanwhile" in message
    end(space, old)
    new = placed(space)
    assert new["spec"]["nodeName"] == "node-a"
    report(space, new["metadata"]["name"])
    space.wait_condition("Progressing", "False", "RolloutComplete")
    strategy = {"maxSurge": 1, "maxUnavailable": 0}
    wait_for(
        "the strategy of the spec",
        lambda: space.get("deployments")["spec"]["strategy"]["rollingUpdate"] == strategy,
    )
    assert "podium.sh/roll" not in space.get("deployments")["metadata"]["annotations"]
    assert [pod["metadata"]["name"] for pod in serving_pods(space)] == [new["metadata"]["name"]]


def test_pods_of_a_claim_that_one_node_can_use_are_not_spread_by_the_schedulers_default(
    space: Space, two_nodes: None
) -> None:
    first = first_pod(space, NETWORK, engine={"resources": {"requests": {"cpu": "100m"}}}, replicas=3)
    wait_for("three pods", lambda: len([p for p in serving_pods(space) if p["spec"].get("nodeName")]) == 3)
    nodes = [pod["spec"]["nodeName"] for pod in serving_pods(space)]
    assert nodes == ["node-a"] * 3
    assert first
    assert space.get("poddisruptionbudgets") is None
    wait_for("word", lambda: "a drain of that node moves them all at once" in space.condition("Scheduled")[2])


def test_a_binder_whose_pod_was_deleted_is_made_again(space: Space) -> None:
    space.rerank(model=HUB, gpu={})

    def binder() -> dict | None:
        return next((job for job in space.list("jobs") if "-bind-" in job["metadata"]["name"]), None)

    first = wait_for("binder", binder)
    pod = wait_for("its pod", lambda: [p for p in space.list("pods") if "-bind-" in p["metadata"]["name"]])[0]
    space.plane.request("DELETE", space.path("pods", pod["metadata"]["name"]), {"gracePeriodSeconds": 0})
    wait_for(
        "another binder",
        lambda: (binder() or first)["metadata"]["uid"] != first["metadata"]["uid"],
        timeout_s=40,
    )
    assert binder()["metadata"]["annotations"]["podium.sh/attempt"] == "2"  # type: ignore[index]
    space.bind_claim("demo-cache")
    space.download_job()


def test_a_claim_that_someone_grew_is_fine_and_told_as_it_is(space: Space) -> None:
    grows = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "grows"}}
    space.plane.apply({**grows, "provisioner": "disk.example.com", "allowVolumeExpansion": True})
    space.rerank(model=HUB, cache={"size": "1Gi", "storageClassName": "grows"})
    bind(space, "demo-cache", NETWORK)
    space.end_job(space.download_job())
    space.settled()
    for size in ("5Gi", "7Gi"):
        resized = {"spec": {"resources": {"requests": {"storage": size}}}}
        space.patch("persistentvolumeclaims", "demo-cache", resized, manager="autoresizer")
        space.patch(
            "persistentvolumeclaims", "demo-cache", {"status": {"capacity": {"storage": size}}}, status=True
        )
        wait_for("size", lambda: space.get("rerankers")["status"]["cache"]["size"] == size)  # noqa: B023
    space.settled()
    assert space.condition("Degraded")[:2] == ("False", "AsExpected")
    claim = space.get("persistentvolumeclaims", "demo-cache")
    assert claim["spec"]["resources"]["requests"]["storage"] == "7Gi"
    assert "app.kubernetes.io/instance" not in claim["metadata"]["labels"]
    space.rerank(model=HUB, cache={"size": "9Gi", "storageClassName": "grows"})
    wait_for(
        "the spec's size",
        lambda: (
            space.get("persistentvolumeclaims", "demo-cache")["spec"]["resources"]["requests"]["storage"]
            == "9Gi"
        ),
    )


def test_a_claim_of_the_users_may_bear_the_name_that_ours_would_have(space: Space) -> None:
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    manifest = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "demo-cache"}}
    space.plane.apply({**manifest, "spec": claim}, namespace=space.name)
    bind(space, "demo-cache", NETWORK)
    space.rerank(model={"uri": "pvc://demo-cache/model"})
    assert "the model lies on claim demo-cache" in space.wait_condition("CacheReady", "True", "Existing")


def test_a_claim_that_is_being_deleted_says_how_it_can_go(space: Space) -> None:
    space.rerank(model=HUB)
    bind(space, "demo-cache", NETWORK)
    space.end_job(space.download_job())
    space.wait("deployments")
    space.patch("persistentvolumeclaims", "demo-cache", {"metadata": {"finalizers": ["test/held"]}})
    space.delete("persistentvolumeclaims", "demo-cache")
    message = space.wait_condition("CacheReady", "False", "PVCTerminating")
    assert "set suspend to true until the claim is gone" in message
    space.patch("persistentvolumeclaims", "demo-cache", {"metadata": {"finalizers": None}})


def test_a_changed_model_on_a_claim_of_one_pod_is_downloaded_while_no_pod_runs(space: Space) -> None:
    once = {"cache": {"accessModes": ["ReadWriteOncePod"]}, "rollout": {"maxSurge": 0, "maxUnavailable": 1}}
    space.rerank(model=HUB, **once)
    first = space.download_job()
    space.end_job(first)
    space.wait("deployments")
    space.rerank(model={**HUB, "revision": "v2"}, **once)
    wait_for("no pod", lambda: space.get("deployments")["spec"]["replicas"] == 0)
    message = space.wait_condition("Progressing", "True", "Downloading")
    assert "until then none runs: ReadWriteOncePod gives the claim to the download" in message
    wait_for("second Job", lambda: space.download_job() != first)
    space.end_job(space.download_job())
    wait_for("a pod again", lambda: space.get("deployments")["spec"]["replicas"] == 1)
