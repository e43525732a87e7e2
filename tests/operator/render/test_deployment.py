"""What moves a pod template and what does not, and who sets the number of pods."""

import msgspec
import pytest
from rerankers import HUB, SETTINGS, body, downloaded, look, serving, settle, with_status

from podium_operator.resource.names import (
    PINNED_ANNOTATION,
    REPLICAS_ANNOTATION,
    ROLLED_ANNOTATION,
    TEMPLATE_ANNOTATION,
)
from podium_operator.seen.observed import Observed
from podium_operator.settings import Settings

UPGRADED = Settings(
    reranker_image="podium:next", reranker_gpu_image="podium:next-cuda", otlp_endpoint="http://o:4318"
)


def deployment(observed: Observed) -> dict:
    return dict(observed.children["Deployment", "demo"])


def after(resource: dict, before: Observed, settings: Settings = SETTINGS) -> dict:
    """Return the Deployment once the spec or the settings have changed and all has settled."""
    seen = settle(resource, settings, children=before.children, claim=before.claim)
    return deployment(seen)


def test_neither_number_nor_suspend_nor_the_operators_settings_move_the_template() -> None:
    first = settle(body())
    template = msgspec.json.encode(deployment(first)["spec"]["template"], order="deterministic")
    for spec, settings in [
        ({"replicas": 5}, SETTINGS),
        ({"suspend": True}, SETTINGS),
        ({}, UPGRADED),
        ({"autoscaling": {"maxReplicas": 3}}, UPGRADED),
        ({"service": {"port": 81}, "networkPolicy": {"enabled": True}}, UPGRADED),
        ({"rollout": {"maxSurge": 3, "maxUnavailable": 1}, "disruption": {"minAvailable": 1}}, UPGRADED),
    ]:
        changed = after(body(generation=2, **spec), first, settings)
        assert msgspec.json.encode(changed["spec"]["template"], order="deterministic") == template, spec


def test_the_pinned_image_is_read_back_from_the_deployment_or_from_status() -> None:
    first = settle(body())
    assert look(body(status=None), first, UPGRADED).pinned.image == "podium:cpu"
    pinned = msgspec.to_builtins(look(body(), first).pinned)
    assert look(body(status={"pinned": pinned}), Observed(), UPGRADED).pinned.image == "podium:cpu"


def test_a_change_that_shapes_pods_takes_the_operators_image_of_today() -> None:
    first = settle(body())
    changed = after(body(generation=2, engine={"maxLength": 256}), first, UPGRADED)
    assert changed["spec"]["template"]["spec"]["containers"][0]["image"] == "podium:next"


@pytest.mark.parametrize("engine", ["HPA", "KEDA"])
def test_an_autoscaled_deployment_has_its_least_number_with_and_without_an_autoscaler(engine: str) -> None:
    resource = body(autoscaling={"engine": engine, "minReplicas": 3, "maxReplicas": 10})
    applies = look(resource).plan.applies
    made = next(each.manifest for each in applies if each.manifest["kind"] == "Deployment")
    assert made["spec"]["replicas"] == 3
    seen = settle(resource)
    theirs = {"foreignManagers": [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]}
    for number, kept, by in [
        (5, 5, theirs),
        (5, 5 if engine == "HPA" else 3, {}),
        (3, 3, {}),
        (1, 1 if engine == "HPA" else 3, theirs),
    ]:
        live = deployment(seen)
        fewer = {**live, "spec": {**live["spec"], "replicas": number}, **by}
        children = {**seen.children, ("Deployment", "demo"): fewer}
        plan = look(resource, msgspec.structs.replace(seen, children=children)).plan
        applied = [each.manifest["spec"] for each in plan.applies if each.manifest["kind"] == "Deployment"]
        assert {spec.get("replicas", number) for spec in applied} == {kept} or (
            not applied and kept == number
        )


def test_a_deployment_that_someone_paused_goes_on() -> None:
    seen = settle(body())
    live = deployment(seen)
    assert "paused" not in live["spec"]
    paused = {**live, "spec": {**live["spec"], "paused": True}}
    children = {**seen.children, ("Deployment", "demo"): paused}
    [apply] = look(body(), msgspec.structs.replace(seen, children=children)).plan.applies
    assert apply.manifest["spec"]["paused"] is False


def test_a_gpu_takes_the_gpu_image_and_no_surge() -> None:
    spec = deployment(settle(body(gpu={})))["spec"]
    assert spec["template"]["spec"]["containers"][0]["image"] == "podium:cuda"
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert deployment(settle(body()))["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
    }


def test_the_old_pods_serve_until_the_new_model_is_there() -> None:
    old = downloaded(body(model={"uri": HUB, "revision": "v1"}, replicas=2))
    resource = body(generation=2, model={"uri": HUB, "revision": "v2"}, replicas=3)
    meanwhile = settle(resource, children=old.children, claim=old.claim)
    before, now = deployment(old)["spec"], deployment(meanwhile)["spec"]
    assert now["template"] == before["template"]
    assert now["replicas"] == 3, "the number follows the spec at once"
    assert [key for key in meanwhile.children if key[0] == "Job"] != [
        key for key in old.children if key[0] == "Job"
    ]
    done = downloaded(resource, children=old.children)
    (path, *_) = [e["value"] for e in deployment(done)["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert path != before["template"]["spec"]["containers"][0]["env"][0]["value"]


def test_without_a_record_the_deployment_is_left_as_it_is() -> None:
    old = downloaded(body(model={"uri": HUB}))
    live = deployment(old)
    annotations = {k: v for k, v in live["metadata"]["annotations"].items() if k != PINNED_ANNOTATION}
    live["metadata"] = {**live["metadata"], "annotations": annotations}
    seen = msgspec.structs.replace(old, children={**old.children, ("Deployment", "demo"): live})
    plan = look(body(generation=2, model={"uri": HUB, "revision": "v2"}), seen).plan
    assert "Deployment" not in {apply.manifest["kind"] for apply in plan.applies}
    assert "Deployment" not in {delete.kind for delete in plan.deletes}


def test_before_an_autoscaler_takes_over_a_second_manager_holds_the_number() -> None:
    five = serving(settle(body(replicas=5)), 5)
    plan = look(body(generation=2, autoscaling={"minReplicas": 2, "maxReplicas": 9}), five).plan
    assert plan.handover is not None
    assert plan.handover["spec"] == {"replicas": 5}
    (apply,) = [apply for apply in plan.applies if apply.manifest["kind"] == "Deployment"]
    assert "replicas" not in apply.manifest["spec"]
    assert apply.manifest["metadata"]["annotations"][REPLICAS_ANNOTATION] == "autoscaled"


def test_an_autoscaled_reranker_comes_back_from_suspend_with_its_least_number() -> None:
    spec = {"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}
    suspended = settle(body(suspend=True, **spec))
    assert deployment(suspended)["spec"]["replicas"] == 0
    assert ("HorizontalPodAutoscaler", "demo") not in suspended.children
    plan = look(body(generation=2, **spec), suspended).plan
    (apply,) = [apply for apply in plan.applies if apply.manifest["kind"] == "Deployment"]
    assert apply.manifest["spec"]["replicas"] == 2
    assert ("HorizontalPodAutoscaler", "demo") in settle(
        body(generation=2, **spec), children=suspended.children
    ).children


def test_an_invalid_spec_plans_nothing_and_speaks_of_the_pods_that_run() -> None:
    running = serving(settle(body(replicas=2)), 2)
    overlay = {"overlay": {"hostNetwork": True}}
    decision = look(body(generation=2, replicas=7, podTemplate=overlay), running)
    assert decision.plan.empty
    assert decision.view.ready == 2


def test_the_kept_template_is_applied_whatever_todays_code_would_render() -> None:
    first = deployment(settle(body()))
    older = msgspec.json.decode(first["metadata"]["annotations"][TEMPLATE_ANNOTATION])
    older["spec"]["containers"][0]["args"] = ["serve", "as-it-was"]
    text = msgspec.json.encode(older, order="deterministic").decode()
    metadata = {
        **first["metadata"],
        "annotations": {**first["metadata"]["annotations"], TEMPLATE_ANNOTATION: text},
    }
    seen = Observed(children={("Deployment", "demo"): {**first, "metadata": metadata}})
    kept = look(body(replicas=3), seen)
    (apply,) = [apply for apply in kept.plan.applies if apply.manifest["kind"] == "Deployment"]
    assert apply.manifest["spec"]["template"] == older
    assert apply.manifest["spec"]["replicas"] == 3
    assert kept.view.up_to_date is False
    metadata = {**metadata, "annotations": {**metadata["annotations"], TEMPLATE_ANNOTATION: ""}}
    live = {**first, "metadata": metadata, "appliedTemplate": older}
    (apply,) = [
        apply
        for apply in look(body(), Observed(children={("Deployment", "demo"): live})).plan.applies
        if apply.manifest["kind"] == "Deployment"
    ]
    assert apply.manifest["spec"]["template"] == older, "an older operator's, from what its apply owns"


def test_a_template_too_large_for_an_annotation_is_known_by_its_digest_and_kept_as_the_apply_owns_it() -> (
    None
):
    """All annotations of an object may have 256 KiB; the record has the spec's part of it already."""
    resource = body(engine={"env": [{"name": f"E{n}", "value": "é" * 25_000} for n in range(4)]})
    first = deployment(settle(resource))
    annotations = first["metadata"]["annotations"]
    assert sum(len(f"{key}{value}".encode()) for key, value in annotations.items()) < 256 * 1024
    seen = settle(resource)
    assert look(resource, seen).view.up_to_date is True
    as_owned = msgspec.json.decode(msgspec.json.encode(first["spec"]["template"]))
    as_owned["spec"]["containers"][0]["args"] = ["serve", "as-it-was"]
    metadata = {**first["metadata"], "annotations": {**annotations, TEMPLATE_ANNOTATION: "another"}}
    live = {**first, "metadata": metadata, "appliedTemplate": as_owned}
    kept = look(resource, Observed(children={("Deployment", "demo"): live}))
    (apply,) = [apply for apply in kept.plan.applies if apply.manifest["kind"] == "Deployment"]
    assert apply.manifest["spec"]["template"] == as_owned
    assert kept.view.up_to_date is False


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"engine": {}}, id="nothing-said"),
        pytest.param({"probes": {"startupTimeoutSeconds": 900}}, id="a-default-written-out"),
        pytest.param({"engine": {"env": []}, "scheduling": {"nodeSelector": {}}}, id="empty-lists"),
        pytest.param(
            {"model": {"uri": "builtin", "credentialsSecretRef": {"name": "s", "key": "k"}}}, id="a-secret"
        ),
    ],
)
def test_a_spec_that_asks_for_the_same_pods_in_other_words_keeps_them(spec: dict) -> None:
    first = settle(body())
    changed = after(body(generation=2, **spec), first, UPGRADED)
    assert changed["spec"]["template"] == deployment(first)["spec"]["template"]
    assert "podium:cpu" in changed["metadata"]["annotations"][PINNED_ANNOTATION]


def test_told_to_roll_pods_move_when_it_is_their_turn_and_at_once_where_there_are_none() -> None:
    roll = {"rollout": {"onUpgrade": "Roll"}}
    first = settle(body(**roll))
    waiting = look(body(**roll), msgspec.structs.replace(first, rolling="other"), UPGRADED)
    assert (waiting.plan.empty, waiting.view.waits_for, waiting.takes_turn) == (True, "other", False)
    going = look(body(**roll), first, UPGRADED)
    (apply,) = [apply for apply in going.plan.applies if apply.manifest["kind"] == "Deployment"]
    assert apply.manifest["metadata"]["annotations"][ROLLED_ANNOTATION].startswith("2026-03-01T12:00:00")
    assert (going.takes_turn, going.pinned.image) == (True, "podium:next")
    moving = settle(body(**roll), UPGRADED, children=first.children)
    assert ROLLED_ANNOTATION in deployment(moving)["metadata"]["annotations"]
    numbers = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 1)
    out = with_status(moving, "Deployment", "demo", observedGeneration=9, **numbers)
    ended = after(body(**roll), out, UPGRADED)
    assert ROLLED_ANNOTATION in ended["metadata"]["annotations"], "they may fail later, and hold others up"
    newer = after(body(rollout={"onUpgrade": "Keep"}), out, SETTINGS)
    assert ROLLED_ANNOTATION not in newer["metadata"]["annotations"], "of today's pods alone"
    none = {**roll, "suspend": True}
    asleep = settle(body(**none))
    moved = look(body(**none), msgspec.structs.replace(asleep, rolling="other"), UPGRADED)
    assert (moved.plan.empty, moved.takes_turn, moved.pinned.image) == (False, False, "podium:next")
    paused = {"rollout": {"onUpgrade": "Roll", "paused": True}}
    assert look(body(**paused), settle(body(**paused)), UPGRADED).plan.empty
    keep = {"rollout": {"onUpgrade": "Keep"}}
    chart = msgspec.structs.replace(UPGRADED, on_upgrade="Roll")
    assert look(body(**keep), settle(body(**keep)), chart).plan.empty
    assert not look(body(), settle(body()), chart).plan.empty, (
        "the chart's setting holds where nothing is said"
    )
