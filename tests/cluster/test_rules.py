"""Each rule of the schema refuses with its message, on the real API server; unrelated edits pass."""

# ruff: noqa: E501  a case is easier to read on its line

from typing import Any

import pytest
from cluster.harness import ApiError
from cluster.space import Space

HUB = {"uri": "hf://org/model"}
COMMIT = "a" * 40


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param({"replicas": 1, "autoscaling": {"maxReplicas": 2}}, "replicas and autoscaling exclude", id="xor"),
        pytest.param({"autoscaling": {"minReplicas": 0, "maxReplicas": 2}}, "minReplicas must be at least 1", id="zero"),
        pytest.param({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}, "cannot be more than autoscaling.max", id="min-max"),
        pytest.param({"rollout": {"maxSurge": 0}}, "cannot both be zero", id="both-zero-by-the-cpu-default"),
        pytest.param({"rollout": {"maxSurge": "0%", "maxUnavailable": "0%"}}, "cannot both be zero", id="both-zero-percent"),
        pytest.param({"gpu": {}, "rollout": {"maxUnavailable": 0}}, "cannot both be zero", id="both-zero-by-the-gpu-default"),
        pytest.param({"rollout": {"maxSurge": "some"}}, "should match", id="surge-form"),
        pytest.param({"model": {"uri": "hf://model"}}, "must be builtin, hf://org/name or pvc://claim/path", id="uri"),
        pytest.param({"model": {"uri": "s3://bucket/x"}}, "must be builtin, hf://org/name or pvc", id="scheme"),
        pytest.param({"model": {**HUB, "trustRemoteCode": True}}, "commit of 40 hex digits", id="remote-code-without-revision"),
        pytest.param({"model": {**HUB, "trustRemoteCode": True, "revision": "main"}}, "commit of 40 hex", id="remote-code-branch"),
        pytest.param({"cache": {"claimName": "c", "size": "1Gi"}}, "names an existing claim", id="claim-and-size"),
        pytest.param({"cache": {"size": "ten"}}, "should match", id="quantity"),
        pytest.param({"cache": {"size": "1e1.5"}}, "should match", id="half-an-exponent"),
        pytest.param(
            {"replicas": 2, "cache": {"accessModes": ["ReadWriteOncePod"]}}, "ReadWriteOncePod admits one pod", id="rwop-two"
        ),
        pytest.param({"cache": {"accessModes": ["ReadWriteOncePod"]}}, "ReadWriteOncePod admits one pod", id="rwop-surge"),
        pytest.param({"termination": {"drainSeconds": 60}}, "must be more than termination.drainSeconds", id="drain-default"),
        pytest.param({"termination": {"gracePeriodSeconds": 10}}, "must be more than", id="grace-default"),
        pytest.param({"replicas": 2, "disruption": {"minAvailable": 2}}, "must be less than replicas", id="budget-of-all"),
        pytest.param({"disruption": {"minAvailable": 1}}, "must be less than replicas", id="budget-of-the-default"),
        pytest.param(
            {"autoscaling": {"maxReplicas": 4}, "disruption": {"minAvailable": 9}}, "autoscaling.minReplicas", id="budget-nine"
        ),
        pytest.param(
            {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}, "disruption": {"minAvailable": 2}},
            "a budget that spares no pod forbids every drain", id="budget-of-the-least",
        ),
        pytest.param({"gpu": {"count": 0}}, "greater than or equal to 1", id="gpu-count"),
        pytest.param({"gpu": {"count": 2}}, "gpu.count above 1 is refused", id="two-gpus"),
        pytest.param({"gpu": {"resourceName": "amd.com/gpu"}}, "needs engine.image with an image for ROCm", id="amd"),
        pytest.param(
            {"gpu": {"resourceName": "nvidia.com/gpu", "resourceClaims": [{"name": "g", "resourceClaimName": "c"}]}},
            "gpu.resourceClaims excludes resourceName", id="claims-and-a-resource",
        ),
        pytest.param({"gpu": {"resourceClaims": [{"name": "g"}]}}, "either resourceClaimName or", id="claim-of-nothing"),
        pytest.param({"model": {}}, "spec.model.uri: Required", id="no-uri"),
        pytest.param({"replicas": -1}, "greater than or equal to 0", id="negative"),
    ],
)  # fmt: skip
def test_a_resource_that_breaks_a_rule_is_refused_with_its_message(
    space: Space, spec: dict, message: str
) -> None:
    with pytest.raises(ApiError) as refused:
        space.rerank(**spec)
    assert refused.value.status == 422
    assert message in refused.value.message


@pytest.mark.parametrize("name", ["a.b", "1st", "a" * 48, "trailing-"])
def test_a_name_that_no_service_could_bear_is_refused(space: Space, name: str) -> None:
    with pytest.raises(ApiError) as refused:
        space.rerank(name)
    assert "metadata.name" in refused.value.message


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"replicas": 0},
        {"replicas": 0, "disruption": {"minAvailable": 1}},
        {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}, "disruption": {"minAvailable": 1}},
        {"autoscaling": {"maxReplicas": 1}},
        {"gpu": {"resourceName": "nvidia.com/mig-1g.18gb"}},
        {"gpu": {"resourceName": "amd.com/gpu"}, "engine": {"image": "mine:rocm"}},
        {"gpu": {"resourceClaims": [{"name": "g", "resourceClaimTemplateName": "one-gpu"}]}},
        {"rollout": {"maxSurge": 0, "maxUnavailable": "25%"}},
        {"model": {**HUB, "trustRemoteCode": True, "revision": COMMIT}},
        {"model": {"uri": "pvc://weights/rerankers/minilm"}},
        {"cache": {"accessModes": ["ReadWriteOncePod"]}, "rollout": {"maxSurge": 0, "maxUnavailable": 1}},
        {"cache": {"size": 1073741824}, "engine": {"settings": {"self_test": "off"}}},
    ],
)
def test_what_keeps_the_rules_is_taken(space: Space, spec: dict) -> None:
    space.rerank(**spec)


def test_an_unrelated_edit_of_a_minimal_resource_passes_and_nothing_is_defaulted(space: Space) -> None:
    made = space.rerank()
    assert made["spec"] == {"model": {"uri": "builtin"}}
    for change in ({"suspend": True}, {"replicas": 3}, {"model": {"uri": "builtin", "servedName": "x"}}):
        space.rerank(**change)


CLASS, OTHER = {"storageClassName": "fast"}, {"download": {"backoffLimit": 1}}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        pytest.param(
            {**CLASS}, {"storageClassName": "slow"}, "cache.storageClassName is immutable", id="changed"
        ),
        pytest.param({**CLASS}, {**OTHER}, "cache.storageClassName is immutable", id="field-removed"),
        pytest.param({**CLASS}, None, "cache.storageClassName is immutable", id="cache-removed"),
        pytest.param(None, {**CLASS}, "cache.storageClassName is immutable", id="added"),
        pytest.param(
            {"accessModes": ["ReadWriteMany"]}, {**OTHER}, "cache.accessModes is immutable", id="modes"
        ),
        pytest.param({"claimName": "a"}, {"claimName": "b"}, "cache.claimName is immutable", id="claim"),
        pytest.param({"size": "20Gi"}, {"size": "19Gi"}, "cannot shrink or be removed", id="shrink"),
        pytest.param({"size": "20Gi"}, None, "cannot shrink or be removed", id="size-removed"),
        pytest.param(None, {"size": "9Gi"}, "cannot shrink or be removed", id="below-the-default"),
    ],
)
def test_a_cache_in_use_keeps_its_fields(space: Space, before: Any, after: Any, message: str) -> None:
    space.rerank(model=HUB, **({} if before is None else {"cache": before}))
    with pytest.raises(ApiError) as refused:
        space.rerank(model=HUB, **({} if after is None else {"cache": after}))
    assert message in refused.value.message


def test_removing_the_cache_and_adding_it_back_does_not_pass_the_rules_by(space: Space) -> None:
    space.rerank(model=HUB, cache={**CLASS, "size": "20Gi"})
    with pytest.raises(ApiError):
        space.rerank(model=HUB)
    space.rerank(model=HUB, cache={**CLASS, "size": "20480Mi"}, suspend=True)
    space.rerank(model=HUB, cache={**CLASS, "size": "30Gi"})


def test_a_cache_that_no_model_has_used_may_still_be_chosen(space: Space) -> None:
    space.rerank()
    space.rerank(model=HUB, cache={**CLASS, "size": "1Gi"})


def test_the_scale_and_status_subresources_answer(space: Space) -> None:
    space.rerank(replicas=2)
    scale = space.plane.request("GET", space.path("rerankers", "demo") + "/scale")
    assert scale["spec"]["replicas"] == 2
    space.plane.patch(space.path("rerankers", "demo") + "/scale", {"spec": {"replicas": 4}})
    assert space.get("rerankers")["spec"]["replicas"] == 4
    space.patch("rerankers", "demo", {"status": {"replicas": 1}}, status=True)
    assert space.get("rerankers")["spec"]["replicas"] == 4
