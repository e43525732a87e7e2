"""Nothing is written while nothing changes, and what the operator owns never moves a pod template."""

import json
import time
from typing import Any

import pytest
from cluster.harness import wait_for
from cluster.operator_process import AUDIT_USER, OperatorProcess
from cluster.space import Space

WRITES = ("create", "update", "patch", "delete")
QUIET_S = 300
"""Five minutes in which nothing may be written."""


def writes(space: Space, since: int) -> list[tuple[str, str]]:
    """Return what the operator wrote into a namespace."""
    return [
        (entry["verb"], entry["objectRef"]["resource"])
        for entry in space.plane.audit(since)
        if entry["user"]["username"] == AUDIT_USER
        and entry["verb"] in WRITES
        and entry["objectRef"].get("namespace") == space.name
    ]


@pytest.fixture
def quick(operator: OperatorProcess) -> Any:
    """The operator looking at everything every second: minutes hold as many looks as days usually do."""
    before = dict(operator.settings)
    operator.restart(PODIUM_OPERATOR_RESYNC_S="1", PODIUM_OPERATOR_SWEEP_S="2")
    yield operator
    operator.settings.clear()
    operator.restart(**before)


def test_nothing_is_written_over_hundreds_of_looks_and_a_restart(
    space: Space, quick: OperatorProcess
) -> None:
    every = {"networkPolicy": {"enabled": True}, "monitoring": {"serviceMonitor": {"enabled": True}}}
    space.rerank("a", replicas=2, **every)
    space.rerank("b", model={"uri": "hf://org/model"}, gpu={}, **every)
    space.rerank(
        "c", autoscaling={"maxReplicas": 3, "engine": "KEDA", "prometheusAddress": "http://p"}, **every
    )
    resources = {"requests": {"cpu": 2, "memory": "2048Mi"}, "limits": {"memory": "4096Mi"}}
    space.rerank(
        "d", engine={"resources": resources}, cache={"size": "10240Mi"}, model={"uri": "hf://org/model"}
    )
    wait_for("the cluster's controllers have seen all", lambda: tended(space), timeout_s=60)
    for name in "abcd":
        space.settled(name)
    looks = quick.metric("podium_operator_reconciles_total")
    before, since = space.versions(), space.plane.audit_log.stat().st_size
    time.sleep(QUIET_S)
    assert writes(space, since) == []
    assert quick.metric("podium_operator_reconciles_total") - looks > 800
    quick.restart()
    wait_for("looks after the restart", lambda: quick.metric("podium_operator_reconciles_total") > 10)
    assert writes(space, since) == []
    assert space.versions() == before


def tended(space: Space) -> bool:
    """Whether controllers are done with what was made; right after an outage they take their time."""
    budgets = [item["status"].get("observedGeneration") for item in space.list("poddisruptionbudgets")]
    jobs = [item["status"].get("active") for item in space.list("jobs")]
    deployments = [item["status"].get("unavailableReplicas") for item in space.list("deployments")]
    return len(budgets) == len(jobs) == len(deployments) == 2 and all(budgets + jobs + deployments)


def template(space: Space) -> str:
    """Return the pod template's bytes."""
    return json.dumps(space.get("deployments")["spec"]["template"], sort_keys=True)


def test_number_suspend_upgrade_and_an_erased_status_leave_the_template_byte_equal(
    space: Space, operator: OperatorProcess
) -> None:
    """One after the other and in a row, as a year in the field would have it."""
    space.rerank(replicas=2, engine={"maxLength": 256})
    space.settled()
    first, revision = template(space), space.get("deployments")["metadata"]["annotations"]
    scale = space.path("rerankers", "demo") + "/scale"

    space.plane.patch(scale, {"spec": {"replicas": 4}})  # kubectl scale
    wait_for("4 pods", lambda: space.get("deployments")["spec"]["replicas"] == 4)
    space.patch("rerankers", "demo", {"spec": {"suspend": True}})
    wait_for("no pod", lambda: space.get("deployments")["spec"]["replicas"] == 0)
    assert space.wait_condition("Available", "False", "Suspended")
    before = dict(operator.settings)
    operator.restart(
        PODIUM_OPERATOR_RERANKER_IMAGE="podium:next", PODIUM_OPERATOR_OTLP_ENDPOINT="http://collector:4318"
    )
    space.patch("rerankers", "demo", {"spec": {"suspend": False}})
    wait_for("4 pods again", lambda: space.get("deployments")["spec"]["replicas"] == 4)
    everything = dict.fromkeys(space.get("rerankers")["status"])
    space.patch("rerankers", "demo", {"status": everything}, status=True)
    wait_for("status again", lambda: space.get("rerankers").get("status", {}).get("image") == "podium:test")
    space.patch("rerankers", "demo", {"status": everything}, status=True)
    operator.restart()
    wait_for("status again", lambda: space.get("rerankers").get("status", {}).get("image") == "podium:test")
    space.delete("deployments")
    wait_for("Deployment again", lambda: space.get("deployments") is not None)
    space.settled()
    assert template(space) == first
    assert (
        revision["podium.sh/pinned"]
        == space.get("deployments")["metadata"]["annotations"]["podium.sh/pinned"]
    )

    space.patch("rerankers", "demo", {"spec": {"engine": {"maxLength": 512}}})
    wait_for("today's image", lambda: "podium:next" in template(space))
    operator.settings.clear()
    operator.restart(**before)


def test_a_manager_that_keeps_taking_a_field_back_is_named_and_then_left_alone(
    space: Space, operator: OperatorProcess
) -> None:
    space.rerank()
    space.settled()

    def take() -> None:
        space.patch("services", "demo", {"spec": {"type": "NodePort"}}, manager="stubborn")

    for _ in range(3):
        take()
        wait_for("put right", lambda: space.get("services")["spec"]["type"] == "ClusterIP", timeout_s=10)
    message = space.wait_condition("Degraded", "True", "ConflictingFieldManager")
    assert "manager stubborn keeps taking back spec.type of Service demo" in message
    since = space.plane.audit_log.stat().st_size
    take()
    time.sleep(5)
    assert ("patch", "services") not in writes(space, since), "corrections wait longer each time"
    assert operator.get("/healthz")[0] == 200


def test_deletion_works_with_the_operator_gone(space: Space, operator: OperatorProcess) -> None:
    space.rerank(replicas=2, networkPolicy={"enabled": True})
    space.settled()
    assert "finalizers" not in space.get("rerankers")["metadata"]
    assert "annotations" not in space.get("rerankers")["metadata"]
    operator.stop()
    try:
        space.delete("rerankers")
        wait_for("Deployment gone", lambda: space.get("deployments") is None, timeout_s=40)
        wait_for("Service gone", lambda: space.get("services") is None, timeout_s=40)
    finally:
        operator.start()
