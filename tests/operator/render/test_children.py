"""Which children there are, and what claims and budgets say."""

from typing import Any

import msgspec
import pytest
from rerankers import HUB, body, condition_of, downloaded, look, serving, settle, status_of, with_status

from podium_operator.seen.observed import Observed

TWO = {"model": {"uri": HUB}, "replicas": 2}
MANY = {"cache": {"accessModes": ["ReadWriteMany"]}}


def child(seen: Observed, kind: str, name: str = "demo") -> dict[str, Any] | None:
    found = seen.children.get((kind, name))
    return dict(found) if found else None


def claim_of(modes: list[str]) -> dict[str, Any]:
    spec = {"accessModes": modes, "resources": {"requests": {"storage": "10Gi"}}}
    return {"metadata": {"name": "mine", "uid": "c"}, "spec": spec, "status": {"phase": "Bound"}}


@pytest.mark.parametrize(
    ("spec", "claim", "budget"),
    [
        pytest.param(TWO, None, False, id="a-claim-of-one-node"),
        pytest.param({**TWO, **MANY}, None, True, id="a-claim-of-many"),
        pytest.param({**TWO, "disruption": {"minAvailable": 1}}, None, False, id="whatever-is-asked-for"),
        pytest.param(
            {**TWO, "cache": {"claimName": "mine"}},
            claim_of(["ReadWriteOnce"]),
            False,
            id="a-users-of-one-node",
        ),
        pytest.param(
            {"model": {"uri": "pvc://mine/m"}, "replicas": 2},
            claim_of(["ReadOnlyMany"]),
            True,
            id="read-by-many",
        ),
        pytest.param({"replicas": 2}, None, True, id="no-claim"),
    ],
)
def test_pods_that_one_node_has_for_their_volume_have_no_budget(
    spec: dict, claim: dict | None, budget: bool
) -> None:
    if spec.get("model", {}).get("uri") == HUB:
        resource = body(**spec)
        seen = downloaded(resource)
        seen = settle(resource, children=seen.children, claim=claim or seen.claim)
    else:
        seen = settle(body(**spec), claim=claim)
    assert (child(seen, "PodDisruptionBudget") is not None) is budget


@pytest.mark.parametrize(
    ("spec", "bound"),
    [
        ({"replicas": 3, "disruption": {"minAvailable": 2}}, {"minAvailable": 2}),
        ({"replicas": 2, "disruption": {"minAvailable": 2}}, {"maxUnavailable": 1}),
        ({"autoscaling": {"maxReplicas": 4}, "disruption": {"minAvailable": 9}}, {"maxUnavailable": 1}),
        (
            {"autoscaling": {"minReplicas": 3, "maxReplicas": 4}, "disruption": {"minAvailable": 2}},
            {"minAvailable": 2},
        ),
    ],
)
def test_a_budget_never_forbids_every_drain_though_the_schema_once_let_it(spec: dict, bound: dict) -> None:
    budget = child(settle(body(**spec)), "PodDisruptionBudget")
    assert budget is not None
    assert {key: value for key, value in budget["spec"].items() if key.endswith("vailable")} == bound


def grown(seen: Observed, storage: str) -> Observed:
    claim = child(seen, "PersistentVolumeClaim", "demo-cache")
    assert claim is not None
    claim["spec"] = {**claim["spec"], "resources": {"requests": {"storage": storage}}}
    children = {**seen.children, ("PersistentVolumeClaim", "demo-cache"): claim}
    return msgspec.structs.replace(seen, children=children)


def test_a_claim_that_someone_grew_is_left_so_and_the_download_may_fill_it() -> None:
    resource = body(model={"uri": HUB}, cache={"size": "10Gi"})
    seen = grown(settle(resource), "40Gi")
    applies = [apply for apply in look(resource, seen).plan.applies if apply.taken]
    assert applies == [], "nobody took anything"
    after = settle(resource, children=seen.children)
    claim = child(after, "PersistentVolumeClaim", "demo-cache")
    assert claim is not None
    assert claim["spec"]["resources"]["requests"]["storage"] == "40Gi"
    without = {key: value for key, value in after.children.items() if key[0] != "Job"}
    again = settle(resource, children=without, claim=claim).children
    (job,) = [value for key, value in again.items() if key[0] == "Job"]
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--max-bytes") + 1] == str(40 * 2**30)
    larger = body(generation=2, model={"uri": HUB}, cache={"size": "50Gi"})
    claim = child(settle(larger, children=after.children), "PersistentVolumeClaim", "demo-cache")
    assert claim is not None
    assert claim["spec"]["resources"]["requests"]["storage"] == "50Gi"


def test_a_claim_that_an_earlier_reranker_left_keeps_what_is_fixed_and_the_difference_is_told() -> None:
    before = downloaded(body(model={"uri": HUB}, cache={"storageClassName": "slow"}))
    left = child(before, "PersistentVolumeClaim", "demo-cache")
    assert left is not None
    left = {**left, "appliedClass": True, "status": {"phase": "Bound"}}
    children = {("PersistentVolumeClaim", "demo-cache"): left}
    for cache, told in (
        ({"storageClassName": "fast"}, "keeps its storageClassName slow, not fast"),
        ({"accessModes": ["ReadWriteMany"]}, "keeps its accessModes ReadWriteOnce, not ReadWriteMany"),
    ):
        resource = body(model={"uri": HUB}, cache=cache)
        seen = settle(resource, children=children, claim=left)
        claim = child(seen, "PersistentVolumeClaim", "demo-cache")
        assert claim is not None
        assert claim["spec"] == left["spec"], "another one would be refused for ever"
        (job,) = [name for kind, name in seen.children if kind == "Job"]
        seen = with_status(seen, "Job", job, conditions=[{"type": "Complete", "status": "True"}])
        assert told in condition_of(status_of(resource, seen), "CacheReady")[2]


def test_a_retained_claim_does_not_look_like_a_gitops_tools_own() -> None:
    claim = child(settle(body(model={"uri": HUB})), "PersistentVolumeClaim", "demo-cache")
    assert claim is not None
    assert "app.kubernetes.io/instance" not in claim["metadata"]["labels"]
    annotations = claim["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
    assert annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"
    owned = body(model={"uri": HUB}, cache={"retentionPolicy": {"whenDeleted": "Delete"}})
    claim = child(settle(owned), "PersistentVolumeClaim", "demo-cache")
    assert claim is not None
    assert claim["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"
    assert set(claim["metadata"]["annotations"]) == {"podium.sh/applied", "podium.sh/operator"}


def test_a_claim_for_one_pod_goes_to_the_download_and_back() -> None:
    once = {"cache": {"accessModes": ["ReadWriteOncePod"]}, "rollout": {"maxSurge": 0, "maxUnavailable": 1}}
    old = serving(downloaded(body(model={"uri": HUB}, **once)))
    changed = body(generation=2, model={"uri": HUB, "revision": "v2"}, **once)
    meanwhile = settle(changed, children=old.children, claim=old.claim)
    deployment = child(meanwhile, "Deployment")
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 0
    progressing = look(changed, meanwhile).view
    assert progressing.progress.state == "Downloading"
    after = child(downloaded(changed, children=old.children), "Deployment")
    assert after is not None
    assert after["spec"]["replicas"] == 1
