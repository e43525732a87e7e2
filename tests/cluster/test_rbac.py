"""The role is exactly what is used: the operator runs with it and the API server's audit log is compared."""

from collections.abc import Iterator

import pytest
import yaml
from cluster.harness import ControlPlane, wait_for
from cluster.operator_process import ACCOUNT_NAMESPACE, RULES, OperatorProcess, grant
from cluster.space import Space

KEDA = {"maxReplicas": 3, "engine": "KEDA", "prometheusAddress": "http://prometheus:9090"}


def granted() -> set[tuple[str, str, str]]:
    """Return (group, resource, verb) of every rule, and what the Role of the Lease grants."""
    lease = {("coordination.k8s.io", "leases", verb) for verb in ("create", "get", "update")}
    return lease | {
        (group, resource, verb)
        for rule in yaml.safe_load(RULES.read_text())["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def audited(plane: ControlPlane, account: str, since: int) -> tuple[set[tuple[str, str, str]], list[str]]:
    """Return what an account used and was refused. An apply that makes an object takes `create` too."""
    used: set[tuple[str, str, str]] = set()
    refused: list[str] = []
    for entry in plane.audit(since):
        if entry["user"]["username"] != f"system:serviceaccount:{ACCOUNT_NAMESPACE}:{account}":
            continue
        code = entry["responseStatus"].get("code")
        if entry.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid" or code == 401:
            refused.append(f"{entry['verb']} {entry['requestURI']}")
        reference = entry.get("objectRef", {})
        if "resource" not in reference:
            continue  # discovery, which everyone may read
        resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
        used.add((reference.get("apiGroup", ""), resource, entry["verb"]))
        if entry["verb"] == "patch" and code == 201:
            used.add((reference.get("apiGroup", ""), resource, "create"))
    return used, refused


def whole_life(space: Space) -> None:
    """Have the operator do everything that it ever does."""
    many = {"cache": {"accessModes": ["ReadWriteMany"]}}  # pods of one node's claim have no budget
    every = {"networkPolicy": {"enabled": True}, "monitoring": {"serviceMonitor": {"enabled": True}}, **many}
    space.rerank("a", model={"uri": "hf://org/model"}, autoscaling=KEDA, **every)
    space.end_job(space.download_job("a"))
    space.wait("scaledobjects", "a")
    space.rerank("a", model={"uri": "hf://org/other"}, autoscaling={"maxReplicas": 3}, **every)
    space.wait("horizontalpodautoscalers", "a")
    space.end_job(space.download_job("a"))
    space.settled("a")
    space.rerank("a", model={"uri": "hf://org/other"}, **many)
    wait_for("nothing scales", lambda: space.get("horizontalpodautoscalers", "a") is None)
    space.rerank("b", podTemplate={"overlay": {"hostPID": True}})
    space.wait_condition("Accepted", "False", "OverlayRefused", "b")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    space.plane.apply({**quota, "spec": {"hard": {"pods": "0"}}}, namespace=space.name)
    space.rerank("c", model={"uri": "hf://org/model"})
    message = space.wait_condition("CacheReady", "False", "Refused", "c", timeout_s=40)
    assert "exceeded quota" in message
    space.rerank("d", model={"uri": "pvc://nowhere/x"})
    space.wait_condition("CacheReady", "False", "ClaimNotFound", "d")


@pytest.fixture
def alone(operator: OperatorProcess) -> Iterator[None]:
    """No other operator runs meanwhile."""
    operator.stop()
    yield
    operator.start()


@pytest.mark.parametrize("mode", ["namespaced", "cluster-wide"])
def test_nothing_is_granted_that_is_not_used_and_nothing_is_refused(
    plane: ControlPlane, space: Space, alone: None, mode: str
) -> None:
    namespaces = (space.name,) if mode == "namespaced" else ()
    user = grant(plane, namespaces=namespaces, account=f"podium-{mode}")
    since = plane.audit_log.stat().st_size
    settings = {"PODIUM_OPERATOR_NAMESPACES": ",".join(namespaces)}
    with OperatorProcess(plane, user=user, settings=settings):
        whole_life(space)
    used, refused = audited(plane, f"podium-{mode}", since)
    assert refused == []
    assert granted() - used == set(), "granted and never used"
    assert used - granted() == set(), "used by grace of another role"


def test_the_role_has_no_secrets_no_wildcard_and_no_get() -> None:
    for group, resource, verb in granted():
        assert "*" not in (group, resource, verb)
        assert resource != "secrets"
        assert verb != "get" or resource == "leases", "lists and watches tell all"


def test_an_operator_of_two_namespaces_does_both_and_leaves_others_alone(
    plane: ControlPlane, space: Space, alone: None
) -> None:
    second, other = Space.make(plane), Space.make(plane)
    namespaces = (space.name, second.name)
    user = grant(plane, namespaces=namespaces, account="podium-two")
    since = plane.audit_log.stat().st_size
    with OperatorProcess(plane, user=user, settings={"PODIUM_OPERATOR_NAMESPACES": ",".join(namespaces)}):
        for each in (other, space, second):
            each.rerank()
        space.wait("deployments")
        second.wait("deployments")
        second.delete("services")
        second.wait("services")
        assert other.versions().keys() == {"rerankers/demo"}
    assert audited(plane, "podium-two", since)[1] == []
    for each in (second, other):
        each.delete("rerankers")


def test_a_namespace_that_is_lost_stops_no_other_and_is_taken_back(plane: ControlPlane) -> None:
    kept, lost = Space.make(plane, "kept"), Space.make(plane, "lost")
    user = grant(plane, namespaces=(kept.name, lost.name), account="two")
    binding = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{lost.name}/rolebindings/two"
    settings = {"PODIUM_OPERATOR_NAMESPACES": f"{kept.name},{lost.name}", "PODIUM_OPERATOR_SWEEP_S": "2"}
    lost.rerank()
    with OperatorProcess(plane, user=user, settings=settings) as process:
        lost.wait("deployments")
        plane.request("DELETE", binding)
        wait_for("word", lambda: f"namespace {lost.name} is left out" in process.log.read_text())
        process.restart()
        kept.rerank()
        kept.wait("deployments")
        lost.rerank(replicas=2)
        grant(plane, namespaces=(lost.name,), account="two")
        wait_for("two pods there", lambda: lost.get("deployments")["spec"]["replicas"] == 2, timeout_s=60)
        assert process.get("/healthz") == (200, "ok")
    for space in (kept, lost):
        space.delete("rerankers")
