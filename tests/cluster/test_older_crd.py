"""An operator above the CRD of an earlier version: it works on and says what is missing."""

import copy
import itertools
from collections.abc import Iterator

import pytest
import yaml
from cluster.harness import ControlPlane, wait_for
from cluster.operator_process import ROOT, OperatorProcess
from cluster.space import Space

LATER = ("desiredReplicas", "pinned")
"""Fields of status that the earlier CRD does not have."""


@pytest.fixture
def older(plane: ControlPlane) -> Iterator[None]:
    """The CRD without these fields, and the newest again at the end."""
    newest = yaml.safe_load((ROOT / "manifests" / "crd.yaml").read_text())
    earlier = copy.deepcopy(newest)
    schema = earlier["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    schema["properties"] = {name: field for name, field in schema["properties"].items() if name not in LATER}
    plane.apply(earlier)
    yield
    plane.apply(newest)


def test_status_is_written_as_far_as_the_crd_goes_and_whole_once_it_is_renewed(
    older: None, plane: ControlPlane, space: Space, operator: OperatorProcess
) -> None:
    replicas = itertools.cycle((1, 2))

    def lacking(number: int) -> bool:
        """Whether so many fields are told to be missing; the server takes a schema up in its own time."""
        space.rerank(replicas=next(replicas))
        return operator.metric("podium_operator_undeclared_status_fields") == number

    wait_for("the fields are told of", lambda: lacking(len(LATER)), every_s=1)
    space.settled()
    status = space.get("rerankers")["status"]
    assert status["url"] == f"http://demo.{space.name}.svc"
    assert space.condition("Accepted")[0] == "True"
    assert not set(LATER) & status.keys()
    assert "it lacks status.desiredReplicas, status.pinned. To mend it: apply" in operator.log.read_text()
    events = [event for event in space.list("events") if event["reason"] == "OutdatedCRD"]
    assert [event["involvedObject"]["name"] for event in events] == ["demo"]

    plane.apply(yaml.safe_load((ROOT / "manifests" / "crd.yaml").read_text()))
    wait_for("none is missing", lambda: lacking(0), every_s=1)
    assert set(LATER) <= space.get("rerankers")["status"].keys()
