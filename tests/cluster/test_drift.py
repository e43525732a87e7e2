"""Fields of children that someone changed into what an apply alone cannot put right, on a real API server."""

from typing import Any

import pytest
from cluster.harness import wait_for
from cluster.operator_process import OperatorProcess
from cluster.space import Space

pytestmark = pytest.mark.usefixtures("operator")


def ports(space: Space) -> set[tuple[str, int, str]]:
    found = space.get("services")["spec"]["ports"]
    return {(port["name"], port["port"], port["protocol"]) for port in found}


@pytest.mark.parametrize(
    ("theirs", "stays"),
    [
        pytest.param([{"name": "http", "port": 81}], [], id="another-number"),
        pytest.param([{"port": 81}], [], id="another-number-and-no-name"),
        pytest.param([{"name": "http", "port": 80, "protocol": "UDP"}], [], id="another-protocol"),
        pytest.param([{"name": "web", "port": 80}, {"name": "http", "port": 81}], [], id="the-name-moved"),
        pytest.param(
            [{"name": "http", "port": 81}, {"name": "extra", "port": 99}],
            [("extra", 99, "TCP")],
            id="beside-one-of-their-own",
        ),
    ],
)
def test_a_port_of_the_service_that_someone_changed_is_put_right(
    space: Space, theirs: list[Any], stays: list[Any]
) -> None:
    space.rerank()
    space.settled()
    address = space.get("services")["spec"]["clusterIP"]
    foreign = {"annotations": {"theirs": "1"}, "labels": {"theirs": "1"}}
    space.patch("services", "demo", {"metadata": foreign, "spec": {"ports": theirs}})
    wait_for("the port", lambda: ports(space) == {("http", 80, "TCP"), *stays}, timeout_s=10)
    service = space.get("services")
    assert service["metadata"]["annotations"]["theirs"] == service["metadata"]["labels"]["theirs"] == "1"
    assert service["spec"]["clusterIP"] == address
    space.rerank(service={"port": 8080})
    wait_for("another port", lambda: ports(space) == {("http", 8080, "TCP"), *stays}, timeout_s=10)


def test_a_deployment_that_someone_paused_goes_on(space: Space) -> None:
    space.rerank()
    space.settled()
    space.patch("deployments", "demo", {"spec": {"paused": True}})
    wait_for("it goes on", lambda: not space.get("deployments")["spec"].get("paused"), timeout_s=10)
    space.settled()
    space.rerank(rollout={"paused": True})
    wait_for("paused", lambda: space.get("deployments")["spec"].get("paused"), timeout_s=10)


def test_an_autoscaled_deployment_begins_with_its_least_number_though_nothing_scales_it(space: Space) -> None:
    space.rerank(autoscaling={"engine": "KEDA", "minReplicas": 3, "maxReplicas": 10})
    space.settled()
    assert space.get("deployments")["spec"]["replicas"] == 3
    space.patch("deployments", "demo", {"spec": {"replicas": 2}})
    wait_for("three", lambda: space.get("deployments")["spec"]["replicas"] == 3, timeout_s=10)


def test_fields_of_the_pods_that_someone_made_into_others_are_put_right(
    space: Space, operator: OperatorProcess
) -> None:
    """Each is refused beside ours: a second port of one name, a variable with two values, a second probe."""
    space.rerank(engine={"env": [{"name": "OURS", "value": "1"}]}, replicas=2)
    before = space.settled()
    deployment = space.get("deployments")
    good = deployment["spec"]["template"]["spec"]
    container = {**good["containers"][0], "readinessProbe": {"tcpSocket": {"port": 1}}}
    container["ports"] = [{"name": "http", "containerPort": 9999}]
    field = {"fieldRef": {"fieldPath": "metadata.name"}}
    others = [item for item in container["env"] if item["name"] != "OURS"]
    container["env"] = [*others, {"name": "OURS", "valueFrom": field}, {"name": "THEIRS", "value": "2"}]
    volumes = [{"name": volume["name"], "hostPath": {"path": "/x"}} for volume in good["volumes"]]
    sidecar = {"name": "sidecar", "image": "side:1"}
    changed = {"containers": [container, sidecar], "volumes": [*volumes, {"name": "theirs", "emptyDir": {}}]}
    space.patch("deployments", "demo", {"spec": {"template": {"spec": changed}}})
    budget = {"spec": {"maxUnavailable": None, "minAvailable": 2}}
    space.patch("poddisruptionbudgets", "demo", budget)

    def restored() -> bool:
        spec = space.get("deployments")["spec"]["template"]["spec"]
        found = {item["name"]: item for item in spec["containers"]}
        env = {item["name"]: item for item in found["reranker"]["env"]}
        return (
            found["reranker"]["ports"] == good["containers"][0]["ports"]
            and found["reranker"]["readinessProbe"] == good["containers"][0]["readinessProbe"]
            and env["OURS"] == {"name": "OURS", "value": "1"}
            and env["THEIRS"] == {"name": "THEIRS", "value": "2"}
            and found["sidecar"]["image"] == "side:1"
            and all(volume in spec["volumes"] for volume in good["volumes"])
            and "theirs" in {volume["name"] for volume in spec["volumes"]}
            and space.get("poddisruptionbudgets")["spec"].get("maxUnavailable") == 1
        )

    wait_for("all is back", restored, timeout_s=10)
    assert space.settled().keys() == before.keys()
    assert operator.metric("podium_operator_writes_total", what="patch") > 0
    space.rerank(replicas=2)

    def left_out() -> bool:
        env = space.get("deployments")["spec"]["template"]["spec"]["containers"][0]["env"]
        return "OURS" not in {item["name"] for item in env}

    wait_for("what the spec leaves out goes, though it was restored once", left_out, timeout_s=10)
