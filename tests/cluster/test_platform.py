"""What platforms set and creators add, as the API server, its admission and the controllers take it."""

from collections.abc import Iterator
from typing import Any

import pytest
from cluster.harness import wait_for
from cluster.operator_process import OperatorProcess
from cluster.space import Space
from overlays import ADMITTED

HUB = {"uri": "hf://org/model"}
CLAIMS = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]


@pytest.fixture
def restricted(space: Space) -> Space:
    """A namespace whose Pod Security level is restricted."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    space.plane.patch(f"/api/v1/namespaces/{space.name}", {"metadata": {"labels": labels}})
    return space


@pytest.fixture
def openshift(operator: OperatorProcess) -> Iterator[None]:
    """The operator with the security contexts of a platform that assigns users itself."""
    before = dict(operator.settings)
    operator.restart(
        PODIUM_OPERATOR_POD_SECURITY_CONTEXT='{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}}',
        PODIUM_OPERATOR_CONTAINER_SECURITY_CONTEXT=(
            '{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}'
        ),
    )
    yield
    operator.settings.clear()
    operator.restart(**before)


def pods_of(space: Space, name: str) -> list[Any]:
    return [
        pod
        for pod in space.list("pods")
        if pod["metadata"]["labels"].get("app.kubernetes.io/instance") == name
    ]


def test_every_overlay_that_is_admitted_makes_pods_that_a_restricted_namespace_admits(
    restricted: Space, operator: OperatorProcess
) -> None:
    for name, overlay in ADMITTED.items():
        restricted.rerank(name, podTemplate={"overlay": overlay})
    for name in ADMITTED:
        wait_for(f"pod of {name}", lambda: pods_of(restricted, name), timeout_s=40)  # noqa: B023
        assert restricted.condition("Accepted", name)[0] == "True"
        restricted.delete("rerankers", name)


def test_an_overlay_that_strips_what_is_restricted_makes_no_pod(
    restricted: Space, operator: OperatorProcess
) -> None:
    overlay = {"containers": [{"name": "reranker", "securityContext": None}]}
    restricted.rerank(podTemplate={"overlay": overlay})
    message = restricted.wait_condition("Accepted", "False", "OverlayRefused")
    assert "podTemplate.overlay.containers[reranker].securityContext: None is not allowed" in message
    assert restricted.get("deployments") is None


def test_pods_of_a_platform_that_assigns_users_have_none_of_their_own(
    restricted: Space, openshift: None
) -> None:
    restricted.rerank(model=HUB)
    job = restricted.get("jobs", restricted.download_job())
    restricted.end_job(job["metadata"]["name"])
    deployment = restricted.wait("deployments")
    for template in (job["spec"]["template"], deployment["spec"]["template"]):
        assert "runAsUser" not in template["spec"]["securityContext"]
        assert "fsGroup" not in template["spec"]["securityContext"]
        assert "readOnlyRootFilesystem" not in template["spec"]["containers"][0]["securityContext"]
    serving = wait_for("two pods", lambda: len(pods_of(restricted, "demo")) == 2)
    assert serving, "the restricted level admits the download and the serving pod"


def test_claims_of_dynamic_resource_allocation_reach_pods_and_the_binder(
    space: Space, operator: OperatorProcess
) -> None:
    space.rerank("served", gpu={"resourceClaims": CLAIMS})
    pod = space.wait("deployments", "served")["spec"]["template"]["spec"]
    assert pod["resourceClaims"] == CLAIMS
    assert pod["containers"][0]["resources"]["claims"] == [{"name": "gpu"}]
    assert {"name": "PODIUM_DEVICE", "value": "cuda"} in pod["containers"][0]["env"]
    assert pod["containers"][0]["image"] == "podium:test-gpu"
    space.rerank("bound", model=HUB, gpu={"resourceClaims": CLAIMS})
    jobs = wait_for("binder", lambda: [j for j in space.list("jobs") if "-bind-" in j["metadata"]["name"]])
    assert jobs[0]["spec"]["template"]["spec"]["resourceClaims"] == CLAIMS
    space.settled("served")
    assert space.condition("Degraded", "served")[0] == "False", "nothing of it reads as taken"


def test_a_download_is_shaped_and_its_policy_taken_as_it_is(space: Space, operator: OperatorProcess) -> None:
    shaped = {
        "labels": {"kueue.x-k8s.io/queue-name": "downloads"},
        "annotations": {"sidecar.istio.io/inject": "false"},
        "schedulerName": "volcano",
    }
    cache = {"download": {"podTemplate": shaped}}
    space.rerank(model=HUB, cache=cache, networkPolicy={"enabled": True})
    job = space.get("jobs", space.download_job())
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "downloads"
    assert job["spec"]["template"]["metadata"]["annotations"] == shaped["annotations"]
    assert job["spec"]["template"]["spec"]["schedulerName"] == "volcano"
    versions = space.settled()
    policy = space.get("networkpolicies", "demo-download")["spec"]
    blocks = [peer["ipBlock"] for rule in policy["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert blocks == [
        {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]},
        {"cidr": "::/0", "except": ["fd00:ec2::254/128"]},
    ]
    assert space.settled() == versions, "an identical apply of the policies makes no new version"
