"""What status says while another manager or another operator holds a child."""

import msgspec
import pytest
from rerankers import (
    body,
    condition_of,
    serving,
    settle,
    status_of,
)

from podium_operator.resource.names import OPERATOR_ANNOTATION
from podium_operator.seen.observed import OPERATOR_FIELD, Contest


def test_a_deployment_that_another_manager_holds_is_not_what_the_spec_asks_for() -> None:
    resource = body()
    seen = serving(settle(resource))
    live = seen.children["Deployment", "demo"]
    template = {**live["spec"]["template"], "metadata": {}}
    children = {
        **seen.children,
        ("Deployment", "demo"): {**live, "spec": {**live["spec"], "template": template}},
    }
    contest = Contest(manager="kubectl", kind="Deployment", name="demo", field="spec.template")
    label = Contest(manager="kubectl", kind="Deployment", name="demo", field="metadata.labels.x")
    mild = msgspec.structs.replace(seen, children=children, contests=(label,))
    assert condition_of(status_of(resource, mild), "Ready")[0] == "True"
    held = msgspec.structs.replace(seen, children=children, contests=(label, contest))
    status = status_of(resource, held)
    assert condition_of(status, "Progressing")[:2] == ("True", "RollingOut")
    assert condition_of(status, "Ready")[0] == "Unknown"
    assert condition_of(status, "Degraded")[:2] == ("True", "ConflictingFieldManager")
    put_right = msgspec.structs.replace(seen, contests=(label, contest))
    assert condition_of(status_of(resource, put_right), "Ready")[0] == "True"


@pytest.mark.parametrize(("field", "ready"), [("spec.selector.x", "Unknown"), ("metadata.labels.x", "True")])
def test_pods_that_nobody_reaches_are_not_ready(field: str, ready: str) -> None:
    seen = serving(settle(body()))
    live = seen.children["Service", "demo"]
    theirs = {**live, "spec": {**live["spec"], "selector": {"app": "other"}}}
    contest = Contest(manager="kubectl", kind="Service", name="demo", field=field)
    held = {**seen.children, ("Service", "demo"): theirs}
    status = status_of(body(), msgspec.structs.replace(seen, children=held, contests=(contest,)))
    assert condition_of(status, "Ready")[0] == ready
    put_right = status_of(body(), msgspec.structs.replace(seen, contests=(contest,)))
    assert condition_of(put_right, "Ready")[0] == "True"


def test_a_deployment_that_another_operator_holds_is_out_only_where_it_is_what_the_spec_asks_for() -> None:
    seen = serving(settle(body()))
    live = seen.children["Deployment", "demo"]
    annotations = {**live["metadata"]["annotations"], OPERATOR_ANNOTATION: "elsewhere/podium"}
    theirs = {**live, "metadata": {**live["metadata"], "annotations": annotations}}
    contest = Contest(manager="elsewhere/podium", kind="Deployment", name="demo", field=OPERATOR_FIELD)
    service = msgspec.structs.replace(contest, kind="Service")
    seen = msgspec.structs.replace(
        seen, children={**seen.children, ("Deployment", "demo"): theirs}, contests=(service, contest)
    )
    for spec, ready in (
        ({}, "True"),
        ({"engine": {"maxLength": 256}}, "Unknown"),
        ({"replicas": 3}, "Unknown"),
    ):
        status = status_of(body(generation=2, **spec), seen)
        assert condition_of(status, "Ready")[0] == ready, spec
        assert condition_of(status, "Degraded")[1] == "AnotherOperator"


def test_a_contest_ends_with_its_object() -> None:
    contest = Contest(manager="cilium", kind="NetworkPolicy", name="demo", field="spec.egress")
    for enabled in (True, False):
        resource = body(networkPolicy={"enabled": enabled})
        status = status_of(resource, msgspec.structs.replace(settle(resource), contests=(contest,)))
        assert (condition_of(status, "Degraded")[1] == "ConflictingFieldManager") is enabled
