"""What the operator refuses because the API server's schema cannot see it; lists shared with the service."""

import pytest
from rerankers import SETTINGS, body, children_of, reranker

from podium.errors import Reason
from podium.settings import FIELDS
from podium_operator.resource.status import ServiceReason
from podium_operator.resource.validate import FREE_SETTINGS, OWN_SETTINGS, find_problem


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
    problem = find_problem(reranker(engine={"settings": {name: "1"}}), SETTINGS)
    assert problem is not None
    assert problem.reason == "InvalidSpec"
    assert f"engine.settings.{name} {words}" in problem.message


def test_an_instruction_is_a_setting_that_reaches_the_service() -> None:
    text = "Given a question, retrieve passages that answer it"
    resource = body(engine={"settings": {"instruction": text}})
    assert find_problem(reranker(engine={"settings": {"instruction": text}}), SETTINGS) is None
    (deployment,) = [child for child in children_of(resource).manifests if child["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "PODIUM_INSTRUCTION", "value": text} in container["env"]


def test_both_lists_together_are_the_services_settings() -> None:
    assert set(FIELDS) == OWN_SETTINGS | FREE_SETTINGS
    assert not OWN_SETTINGS & FREE_SETTINGS


def test_the_reasons_are_the_services() -> None:
    assert [reason.value for reason in ServiceReason] == [reason.value for reason in Reason]
