"""Status that programs act on: a refusal is told, one failure hides nothing, no state is told too well."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from cluster.harness import wait_for
from cluster.nodes import report, serving_pods
from cluster.operator_process import OperatorProcess
from cluster.space import Space

pytestmark = pytest.mark.usefixtures("operator")
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def no_more(space: Space, resource: str) -> None:
    """Let a quota forbid any more objects of a kind in the namespace."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    hard = {f"count/{resource}": "0"}
    space.plane.apply({**quota, "spec": {"hard": hard}}, namespace=space.name)
    wait_for("quota", lambda: space.get("resourcequotas", "none").get("status", {}).get("hard") == hard)


@pytest.fixture
def broken_webhook(space: Space) -> Iterator[str]:
    """A webhook for the Services of this namespace that nobody answers: each write of one gets a 500."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"], "operations": ["*"]}
    hook: dict[str, Any] = {
        "name": "broken.example.com",
        "rules": [rule],
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space.name}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 1,
    }
    metadata = {"name": f"broken-{space.name}"}
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    space.plane.request("POST", WEBHOOKS, {**body, "metadata": metadata, "webhooks": [hook]})
    path = f"{WEBHOOKS}/{metadata['name']}"
    probe = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "probe"},
        "spec": {"ports": [{"port": 1}]},
    }
    wait_for(
        "the webhook",
        lambda: space.plane.raw("POST", space.path("services") + "?dryRun=All", probe)[0] == 500,
    )
    yield path
    if space.plane.get(path):
        space.plane.request("DELETE", path)


def make_ready(space: Space, count: int = 1) -> None:
    """Let the pods answer as their kubelet would tell it."""
    pods = wait_for("pods", lambda: (found := serving_pods(space)) and len(found) == count and found)
    for pod in pods:
        report(space, pod["metadata"]["name"])
    space.wait_condition("Ready", "True", "Ready")


def test_one_child_that_a_webhook_refuses_hides_no_other_and_comes_by_itself(
    space: Space, broken_webhook: str
) -> None:
    space.rerank(replicas=2)
    message = space.wait_condition("Progressing", "False", "Refused")
    assert "Service demo was not taken" in message
    assert "broken.example.com" in message
    for plural in ("deployments", "poddisruptionbudgets", "serviceaccounts"):
        assert space.get(plural) is not None, plural
    assert space.condition("Accepted")[0] == "True"
    assert space.condition("Ready")[:2] == ("Unknown", "Refused")
    space.plane.request("DELETE", broken_webhook)
    space.wait("services", timeout_s=30)
    wait_for("no refusal", lambda: space.condition("Progressing")[1] != "Refused")


@pytest.mark.parametrize("why", ["field", "quota"])
def test_a_change_that_was_not_taken_is_told_and_nothing_speaks_of_it_as_done(space: Space, why: str) -> None:
    space.rerank()
    make_ready(space)
    if why == "field":
        space.rerank(rollout={"minReadySeconds": 3600}, engine={"image": "other:1"})
    else:
        no_more(space, "deployments.apps")  # first: the operator makes it anew at once
        space.delete("deployments")
        space.rerank(engine={"image": "other:1"})
    message = space.wait_condition("Progressing", "False", "Refused")
    assert "Deployment demo was not taken" in message
    assert {"field": "minReadySeconds", "quota": "exceeded quota"}[why] in message
    assert space.condition("Ready")[:2] == ("Unknown", "Refused")
    assert space.condition("Reconciling")[0] == "True"
    assert space.get("rerankers")["status"].get("image") != "other:1"
    if why == "field":
        assert space.condition("Available")[0] == "True"
        space.rerank()
        space.wait_condition("Ready", "True", "Ready")


def test_after_an_edit_ready_waits_for_the_new_pods(space: Space) -> None:
    space.rerank()
    make_ready(space)
    assert space.condition("Reconciling")[0] == "False"
    space.rerank(engine={"maxLength": 256})
    wait_for("a look", lambda: space.get("rerankers")["status"]["observedGeneration"] == 2)
    assert space.condition("Available")[0] == "True"
    assert space.condition("Ready")[0] == "Unknown"
    assert space.condition("Reconciling")[0] == "True"
    wait_for("the new pod", lambda: len(serving_pods(space)) == 2)
    report(space, serving_pods(space)[-1]["metadata"]["name"])
    wait_for("the old pod ends", lambda: len(serving_pods(space)) == 1)
    space.wait_condition("Ready", "True", "Ready")


def test_pods_that_fail_later_make_ready_false_and_not_unknown(space: Space) -> None:
    space.rerank()
    make_ready(space)
    report(space, serving_pods(space)[0]["metadata"]["name"], ready=False)
    space.wait_condition("Ready", "False", "NoReadyReplicas")
    assert space.condition("Progressing")[:2] == ("False", "RolloutComplete")
    assert space.condition("Reconciling")[0] == "False"


def test_a_spec_that_no_waiting_heals_is_stalled(space: Space) -> None:
    space.rerank(podTemplate={"overlay": {"hostPID": True}})
    space.wait_condition("Stalled", "True", "OverlayRefused")
    assert space.condition("Ready")[:2] == ("False", "OverlayRefused")
    assert space.condition("Reconciling")[0] == "False"


def test_a_refusal_is_forgotten_when_its_object_is_switched_off(
    space: Space, operator: OperatorProcess
) -> None:
    no_more(space, "networkpolicies.networking.k8s.io")
    space.rerank(networkPolicy={"enabled": True})
    message = space.wait_condition("Progressing", "False", "Refused")
    assert "NetworkPolicy demo was not taken" in message
    space.rerank()
    wait_for("no refusal", lambda: space.condition("Progressing")[1] != "Refused")
    space.settled()
    looks = operator.metric("podium_operator_reconciles_total")
    time.sleep(10)
    assert operator.metric("podium_operator_reconciles_total") - looks <= 3


@pytest.mark.parametrize(("through", "who"), [("/scale", "someone"), ("", "manager somebody")])
def test_an_autoscaled_deployment_that_someone_scaled_to_0_is_brought_back_and_told(
    space: Space, through: str, who: str
) -> None:
    space.rerank(autoscaling={"minReplicas": 2, "maxReplicas": 5})
    space.settled()
    path = space.path("deployments", "demo") + through
    space.plane.patch(f"{path}?fieldManager=somebody", {"spec": {"replicas": 0}})
    message = space.wait_condition("Available", "False", "ScaledToZero")
    assert f"{who} scaled the autoscaled Deployment to 0" in message
    wait_for("minReplicas", lambda: space.get("deployments")["spec"]["replicas"] == 2)
    wait_for(
        "left to the autoscaler",
        lambda: space.get("deployments")["metadata"]["annotations"]["podium.sh/replicas"] == "autoscaled",
    )
    assert any(event["reason"] == "ScaledToZero" for event in space.list("events"))
