"""Status under a CRD that is older than the operator: what it declares is written, the rest is told of."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from rerankers import NOW, body, look, settle

from podium_operator.run.cluster import ApiError
from podium_operator.run.metrics import REGISTRY
from podium_operator.run.reporting import Reporter
from podium_operator.seen.store import Store

KEY = ("search", "demo")


class OlderCluster:
    """Takes status and Events; `lacks` are the fields that its CRD does not declare."""

    def __init__(self, *lacks: str) -> None:
        self.lacks = list(lacks)
        self.statuses: list[Mapping[str, Any]] = []
        self.events: list[Mapping[str, Any]] = []

    async def apply_status(self, resource: Mapping[str, Any], status: Mapping[str, Any]) -> Any:
        found = [name for name in self.lacks if name in status]
        if found:
            # The server names a field of a field by its whole path, and not always all that it refuses.
            raise ApiError(
                500, f"failed to create typed patch object: .status.{found[0]}: field not declared in schema"
            )
        self.statuses.append(status)
        metadata = {**resource["metadata"], "resourceVersion": str(len(self.statuses))}
        return {**resource, "metadata": metadata, "status": status}

    async def post_event(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)


def undeclared() -> float | None:
    return REGISTRY.get_sample_value("podium_operator_undeclared_status_fields")


async def test_the_declared_fields_are_written_and_the_others_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = OlderCluster("pinned", "desiredReplicas")
    reporter = Reporter(Store(), cluster, lambda: NOW)  # type: ignore[arg-type]
    resource = body()
    decision = look(resource, settle(resource))
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            await reporter.report(KEY, resource, decision)
    assert not {"pinned", "desiredReplicas"} & cluster.statuses[0].keys()
    assert {"conditions", "replicas", "url", "image"} <= cluster.statuses[0].keys()
    assert [record.message for record in caplog.records] == [
        "the CRD of podium.sh/v1alpha1 is older than the operator: it lacks status.desiredReplicas, "
        "status.pinned. To mend it: apply manifests/crd.yaml of the operator's version, or upgrade the "
        "release with crds.enabled=true."
    ]
    assert [(event["type"], event["reason"]) for event in cluster.events] == [("Warning", "OutdatedCRD")]
    assert undeclared() == 2

    cluster.lacks.clear()
    await reporter.report(KEY, resource, decision)
    assert {"pinned", "desiredReplicas"} <= cluster.statuses[-1].keys()
    assert undeclared() == 0


async def test_another_error_is_not_taken_for_an_older_crd() -> None:
    cluster = OlderCluster()

    async def fail(*_: object) -> None:
        raise ApiError(500, "etcdserver: request timed out")

    cluster.apply_status = fail  # type: ignore[method-assign,assignment]
    reporter = Reporter(Store(), cluster, lambda: NOW)  # type: ignore[arg-type]
    with pytest.raises(ApiError):
        await reporter.report(KEY, body(), look(body()))
    assert cluster.events == []
