"""Two processes of one release take turns; two releases over the same Rerankers notice each other."""

import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from cluster.harness import ControlPlane, wait_for
from cluster.operator_process import ACCOUNT_NAMESPACE, USER, OperatorProcess, grant
from cluster.space import Space

NETWORK = {"networkPolicy": {"enabled": True}}
WRITES = ("create", "update", "patch", "delete")


@pytest.fixture
def first(operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """The shared operator, leading."""
    wait_for("a leader", lambda: operator.metric("podium_operator_leader") == 1)
    yield operator
    if operator.process is None or operator.process.poll() is not None:
        operator.start()


@pytest.fixture
def second(plane: ControlPlane, first: OperatorProcess) -> Iterator[OperatorProcess]:
    """Another process of the same release."""
    with OperatorProcess(plane, settings={"PODIUM_OPERATOR_HOLDER": "pod-2"}) as process:
        yield process


def lease(plane: ControlPlane) -> dict:
    return dict(plane.get(f"/apis/coordination.k8s.io/v1/namespaces/{ACCOUNT_NAMESPACE}/leases/podium"))


def test_the_one_that_stands_by_is_ready_and_takes_over_from_a_killed_leader(
    plane: ControlPlane, space: Space, first: OperatorProcess, second: OperatorProcess
) -> None:
    assert (second.get("/healthz")[0], second.get("/readyz")[0]) == (200, 200), (
        "else `helm --wait` never ends"
    )
    assert (first.metric("podium_operator_leader"), second.metric("podium_operator_leader")) == (1, 0)
    assert lease(plane)["spec"]["holderIdentity"] == "pod-1"
    space.rerank(**NETWORK)
    space.settled()
    assert second.metric("podium_operator_writes_total") == 0
    first.stop(kill=True)
    killed = time.monotonic()
    space.delete("services")
    wait_for("Service again", lambda: space.get("services") is not None, timeout_s=25)
    assert time.monotonic() - killed < 20
    assert second.metric("podium_operator_leader") == 1
    assert lease(plane)["spec"]["holderIdentity"] == "pod-2"
    first.start()
    assert first.metric("podium_operator_leader") == 0, "it does not take it back"


def test_a_leader_that_is_told_to_end_hands_over_at_once(
    plane: ControlPlane, space: Space, first: OperatorProcess, second: OperatorProcess
) -> None:
    space.rerank(**NETWORK)
    space.settled()
    transitions = lease(plane)["spec"]["leaseTransitions"]
    told = time.monotonic()
    assert first.stop() == 0
    wait_for("another leader", lambda: second.metric("podium_operator_leader") == 1, timeout_s=10)
    assert time.monotonic() - told < 5
    assert lease(plane)["spec"]["leaseTransitions"] == transitions + 1
    space.delete("services")
    wait_for("Service again", lambda: space.get("services") is not None, timeout_s=5)


def test_a_leader_that_was_stopped_for_a_while_writes_nothing_when_it_wakes(
    plane: ControlPlane, space: Space, first: OperatorProcess, second: OperatorProcess
) -> None:
    space.rerank(**NETWORK)
    space.settled()
    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    try:
        wait_for("another leader", lambda: second.metric("podium_operator_leader") == 1, timeout_s=25)
        for plural in ("services", "networkpolicies"):
            space.delete(plural)
        space.settled()
    finally:
        first.process.send_signal(signal.SIGCONT)
    before = first.metric("podium_operator_writes_total")
    space.rerank(**NETWORK, replicas=2)
    space.settled()
    time.sleep(3)
    assert first.metric("podium_operator_leader") == 0
    assert first.metric("podium_operator_writes_total") == before
    assert lease(plane)["spec"]["holderIdentity"] == "pod-2"


def written(space: Space, since: int) -> Counter[str]:
    """Return the writes of operators into a namespace, Events apart."""
    return Counter(
        f"{entry['objectRef']['resource']}/{entry['objectRef'].get('subresource', '')}"
        for entry in space.plane.audit(since)
        if entry["user"]["username"].startswith(f"system:serviceaccount:{ACCOUNT_NAMESPACE}:")
        and entry["verb"] in WRITES
        and entry["objectRef"].get("namespace") == space.name
        and entry["objectRef"]["resource"] != "events"
    )


def test_two_releases_with_other_settings_are_told_of_each_other_and_hold_back(
    plane: ControlPlane, space: Space, first: OperatorProcess
) -> None:
    user = grant(plane, account="elsewhere")
    space.rerank(**NETWORK, monitoring={"serviceMonitor": {"enabled": True}})
    space.settled()
    since = plane.audit_log.stat().st_size
    # Two settings that show in children, and one that shows in status.
    other = {"PODIUM_OPERATOR_MONITORING_NAMESPACE": "theirs", "PODIUM_OPERATOR_SERVICE_MONITORS": "false"}
    with OperatorProcess(plane, user=user, settings=other):
        message = space.wait_condition("Degraded", "True", "AnotherOperator", timeout_s=20)
        ours, theirs = USER.replace(":", "/"), user.replace(":", "/")
        assert f"the operators {theirs} and {ours} both look after this Reranker" in message
        assert "uninstall one of the two releases" in message
        time.sleep(20)
        found = written(space, since)
        since = plane.audit_log.stat().st_size
        time.sleep(20)
        later = written(space, since)
    assert found["networkpolicies/"] <= 8, found
    assert found["rerankers/status"] <= 12, found
    assert max(later.values(), default=0) <= 2, later


def test_a_release_that_is_installed_anew_elsewhere_takes_everything_over_quietly(
    plane: ControlPlane, space: Space, first: OperatorProcess
) -> None:
    space.rerank(**NETWORK)
    space.settled()
    first.stop()
    user = grant(plane, account="moved")
    since = plane.audit_log.stat().st_size
    with OperatorProcess(plane, user=user):
        space.settled(quiet_s=4)
        found = written(space, since)
        annotations = space.get("services")["metadata"]["annotations"]
        assert annotations["podium.sh/operator"] == f"{ACCOUNT_NAMESPACE}/moved"
        assert space.condition("Degraded")[0] == "False"
    assert set(found.values()) == {1}, found
