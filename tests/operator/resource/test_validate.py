"""What the operator refuses because the API server's schema cannot see it; lists shared with the service."""

import pytest
from rerankers import reranker

from podium.errors import Reason
from podium.settings import FIELDS
from podium_operator.resource.status import ServiceReason
from podium_operator.resource.validate import FREE_SETTINGS, OWN_SETTINGS, find_problem


@pytest.mark.parametrize(
    ("overlay", "path"),
    [
        ({"hostNetwork": True}, "podTemplate.overlay.hostNetwork: True"),
        ({"hostPID": True}, "podTemplate.overlay.hostPID: True"),
        ({"hostIPC": True}, "podTemplate.overlay.hostIPC: True"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "podTemplate.overlay.volumes[v].hostPath"),
        (
            {"containers": [{"name": "reranker", "securityContext": {"privileged": True}}]},
            "podTemplate.overlay.containers[reranker].securityContext.privileged: True",
        ),
        (
            {"initContainers": [{"name": "i", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]},
            "podTemplate.overlay.initContainers[i].securityContext.capabilities.add",
        ),
        (
            {"containers": [{"name": "c", "ports": [{"hostPort": 80}]}]},
            "podTemplate.overlay.containers[c].ports[0].hostPort",
        ),
    ],
)
def test_an_overlay_that_reaches_the_node_is_refused_by_its_path(overlay: dict, path: str) -> None:
    problem = find_problem(reranker(podTemplate={"overlay": overlay}))
    assert problem is not None
    assert problem.reason == "OverlayRefused"
    assert problem.message.startswith(f"{path} is not allowed")


def test_a_harmless_overlay_and_switched_off_dangers_pass() -> None:
    overlay = {"hostNetwork": False, "containers": [{"name": "x", "securityContext": {"privileged": False}}]}
    assert find_problem(reranker(podTemplate={"overlay": overlay})) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("max_lenght", "is no setting of the service"),
        ("model", "is set by the operator"),
        ("port", "is set by the"),
    ],
)
def test_settings_that_the_service_does_not_know_or_the_operator_sets_are_refused(
    name: str, words: str
) -> None:
    problem = find_problem(reranker(engine={"settings": {name: "1"}}))
    assert problem is not None
    assert problem.reason == "InvalidSpec"
    assert f"engine.settings.{name} {words}" in problem.message


def test_both_lists_together_are_the_services_settings() -> None:
    assert set(FIELDS) == OWN_SETTINGS | FREE_SETTINGS
    assert not OWN_SETTINGS & FREE_SETTINGS


def test_the_reasons_are_the_services() -> None:
    assert [reason.value for reason in ServiceReason] == [reason.value for reason in Reason]
