"""From what should be and what is to applies and deletes: nothing twice, nothing of others."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rerankers import (
    HUB,
    SETTINGS,
    UID,
    body,
    children_of,
    condition_of,
    downloaded,
    living,
    look,
    serving,
    settle,
    status_of,
)

from podium_operator.judge.memory import Memory
from podium_operator.judge.plan import key_of
from podium_operator.resource.names import OPERATOR_ANNOTATION
from podium_operator.seen.observed import OPERATOR_FIELD, Contest, Observed, Refusal

SPECS = st.fixed_dictionaries(
    {"model": st.sampled_from([{"uri": "builtin"}, {"uri": HUB}, {"uri": HUB, "revision": "v2"}])},
    optional={
        "suspend": st.booleans(),
        "gpu": st.just({}),
        "networkPolicy": st.just({"enabled": True}),
        "monitoring": st.just({"serviceMonitor": {"enabled": True}}),
        "cache": st.sampled_from([{"size": "30Gi"}, {"retentionPolicy": {"whenDeleted": "Delete"}}]),
        "engine": st.sampled_from([{"maxLength": 128}, {"resources": {"requests": {"cpu": "2000m"}}}]),
    },
).flatmap(
    lambda spec: st.one_of(
        st.just(spec),
        st.just({**spec, "replicas": 3}),
        st.just({**spec, "autoscaling": {"maxReplicas": 4}}),
        st.just(
            {**spec, "autoscaling": {"maxReplicas": 4, "engine": "KEDA", "prometheusAddress": "http://p"}}
        ),
    )
)
ADDONS = frozenset({"ScaledObject", "ServiceMonitor", "PodMonitor"})


@given(SPECS)
def test_a_second_pass_changes_nothing(spec: dict) -> None:
    assert look(body(**spec), settle(body(**spec), addons=ADDONS)).plan.empty


@given(SPECS, SPECS)
def test_going_from_any_spec_to_any_other_settles_and_keeps_the_claim(before: dict, after: dict) -> None:
    first = settle(body(**before), addons=ADDONS)
    second = settle(body(generation=2, **after), addons=ADDONS, children=first.children, claim=first.claim)
    claims = {key for key in first.children if key[0] == "PersistentVolumeClaim"}
    assert claims <= set(second.children)


@given(SPECS)
def test_only_owned_objects_are_deleted_and_written(spec: dict) -> None:
    foreign = {
        (kind, name): {
            "kind": kind,
            "metadata": {"name": name, "uid": f"foreign-{kind}", "labels": {}},
            "spec": {},
        }
        for kind in ("Job", "NetworkPolicy", "HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget")
        for name in ("other",)
    }
    plan = look(body(**spec), Observed(children=foreign, addons=ADDONS)).plan
    assert plan.deletes == ()
    assert not {key_of(apply.manifest) for apply in plan.applies} & set(foreign)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Service", "demo"),
        ("ServiceAccount", "demo"),
        ("PersistentVolumeClaim", "demo-cache"),
    ],
)
def test_an_object_of_someone_else_stops_the_whole_reranker(kind: str, name: str) -> None:
    resource = body(model={"uri": HUB})
    theirs = {"kind": kind, "metadata": {"name": name, "uid": "theirs", "ownerReferences": [{"uid": "them"}]}}
    plan = look(resource, Observed(children={(kind, name): theirs})).plan
    assert plan.conflicts == ((kind, name),)
    assert plan.applies == ()
    assert plan.deletes == ()


EARLIER = {"kind": "Reranker", "name": "demo", "uid": "earlier", "controller": True}


@pytest.mark.parametrize(
    "metadata", [{"ownerReferences": [EARLIER]}, {"deletionTimestamp": "2026"}], ids=["earlier", "going"]
)
def test_what_an_earlier_reranker_left_is_waited_for_and_no_conflict(metadata: dict) -> None:
    old = {"kind": "Service", "metadata": {"name": "demo", "uid": "old", **metadata}}
    seen = Observed(children={("Service", "demo"): old})
    plan = look(body(), seen).plan
    assert (plan.empty, plan.conflicts, plan.leaving) == (True, (), (("Service", "demo"),))
    status = status_of(body(), seen)
    assert condition_of(status, "Accepted")[0] == "True"
    message = "objects of an earlier Reranker of this name are going: Service demo"
    found = condition_of(status, "Ready")
    assert found[:2] == ("Unknown", "WaitingForDeletion")
    assert found[2].startswith(f"{message}. To mend it: ")
    assert condition_of(status, "Reconciling")[0] == "True"


def test_the_files_of_a_claim_that_goes_with_an_earlier_reranker_are_not_counted_on() -> None:
    resource = body(model={"uri": HUB}, cache={"retentionPolicy": {"whenDeleted": "Delete"}})
    seen = downloaded(resource)
    claim = seen.children["PersistentVolumeClaim", "demo-cache"]
    old = {**claim, "metadata": {**claim["metadata"], "ownerReferences": [EARLIER]}}
    children = {**seen.children, ("PersistentVolumeClaim", "demo-cache"): old}
    decision = look(resource, msgspec.structs.replace(seen, children=children, claim=old))
    assert decision.plan.leaving == (("PersistentVolumeClaim", "demo-cache"),)
    assert decision.view.progress.reason == "PVCPending"


@pytest.mark.parametrize("kind", ["Service", "ServiceAccount", "Deployment"])
def test_a_copy_that_someone_made_of_a_child_is_left_alone(kind: str) -> None:
    settled = settle(body())
    copy = settled.children[kind, "demo"]
    copy = {**copy, "metadata": {**copy["metadata"], "name": "copy"}}
    seen = msgspec.structs.replace(settled, children={**settled.children, (kind, "copy"): copy})
    assert look(body(), seen).plan.empty


def test_an_object_that_the_store_cannot_see_is_a_conflict_once_the_server_said_so() -> None:
    refusal = Refusal(code=409, message="the object has been modified", foreign=True)
    plan = look(body(), Observed(refusals={("Service", "demo"): refusal})).plan
    assert plan.conflicts == (("Service", "demo"),)
    assert plan.applies == ()


def test_a_retained_claim_is_ours_by_its_label_and_someone_elses_by_an_owner() -> None:
    resource = body(model={"uri": HUB})
    settled = settle(resource)
    claim = settled.children["PersistentVolumeClaim", "demo-cache"]
    assert "ownerReferences" not in claim["metadata"]
    assert look(resource, settled).plan.conflicts == ()
    taken = {**claim, "metadata": {**claim["metadata"], "ownerReferences": [{"uid": "another"}]}}
    children = {**settled.children, ("PersistentVolumeClaim", "demo-cache"): taken}
    conflicts = look(resource, msgspec.structs.replace(settled, children=children)).plan.conflicts
    assert conflicts == (("PersistentVolumeClaim", "demo-cache"),)


def test_a_claim_follows_its_reranker_only_where_the_policy_says_delete() -> None:
    resource = body(model={"uri": HUB}, cache={"retentionPolicy": {"whenDeleted": "Delete"}})
    claim = settle(resource).children["PersistentVolumeClaim", "demo-cache"]
    assert [owner["uid"] for owner in claim["metadata"]["ownerReferences"]] == [UID]
    assert claim["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] is False


def test_every_child_but_a_retained_claim_goes_with_its_reranker() -> None:
    children = downloaded(body(model={"uri": HUB}, replicas=2, networkPolicy={"enabled": True})).children
    without = [key for key, child in children.items() if "ownerReferences" not in child["metadata"]]
    assert without == [("PersistentVolumeClaim", "demo-cache")]


def test_a_field_that_is_no_longer_wanted_is_noticed_by_the_digest() -> None:
    settled = settle(body(service={"annotations": {"lb": "internal"}}))
    plan = look(body(generation=2), settled).plan
    (apply,) = plan.applies
    assert (key_of(apply.manifest), apply.reason, apply.taken) == (("Service", "demo"), "changed", None)


def test_a_field_that_was_taken_is_put_right_and_names_the_taker() -> None:
    settled = settle(body())
    service = settled.children["Service", "demo"]
    port = {**service["spec"]["ports"][0], "port": 81}
    entry = {"manager": "meddler", "time": "2026", "fieldsV1": {"f:spec": {"f:ports": {'k:{"port":81}': {}}}}}
    changed = {**service, "spec": {**service["spec"], "ports": [port]}, "foreignManagers": [entry]}
    seen = msgspec.structs.replace(settled, children={**settled.children, ("Service", "demo"): changed})
    (apply,) = look(body(), seen).plan.applies
    assert (apply.uid, apply.taken) == ("uid-Service-demo", None), "nothing was asked of the server yet"
    memory = Memory()
    memory.accept(("Service", "demo"), apply.manifest, service)
    (apply,) = look(body(), msgspec.structs.replace(seen, granted=memory.granted)).plan.applies
    assert apply.taken is not None
    assert (apply.taken.manager, apply.taken.field) == ("meddler", "spec.ports[80/TCP]")


def test_what_the_server_made_of_our_words_is_no_drift_and_a_change_of_that_is() -> None:
    """An empty value is dropped, a webhook writes another image and takes a label out."""
    settled = settle(body(engine={"env": [{"name": "EMPTY", "value": ""}]}))
    words = settled.children["Deployment", "demo"]
    answer = msgspec.json.decode(msgspec.json.encode(words))
    container = answer["spec"]["template"]["spec"]["containers"][0]
    del next(item for item in container["env"] if item["name"] == "EMPTY")["value"]
    container["image"] = "mirror/podium:cpu"
    del answer["metadata"]["labels"]["app.kubernetes.io/managed-by"]
    memory = Memory()
    memory.accept(("Deployment", "demo"), words, answer)

    def planned(live: dict) -> list:
        children = {**settled.children, ("Deployment", "demo"): live}
        seen = msgspec.structs.replace(settled, children=children, granted=memory.granted)
        resource = body(engine={"env": [{"name": "EMPTY", "value": ""}]})
        return [apply.taken and apply.taken.field for apply in look(resource, seen).plan.applies]

    assert planned(answer) == []
    container["image"] = "podium:cpu"
    assert planned(answer) == ["spec.template.spec.containers[reranker].image"]
    another = {**answer, "metadata": {**answer["metadata"], "uid": "made-anew"}}
    assert planned(another) == [None], "an object that was made anew was never applied by us"


def test_another_operators_object_is_taken_back_and_counted() -> None:
    settled = settle(body())
    service = settled.children["Service", "demo"]
    annotations = {**service["metadata"]["annotations"], OPERATOR_ANNOTATION: "elsewhere/podium"}
    theirs = {**service, "metadata": {**service["metadata"], "annotations": annotations}}
    seen = msgspec.structs.replace(settled, children={**settled.children, ("Service", "demo"): theirs})
    (apply,) = look(body(), seen).plan.applies
    assert apply.reason == "was applied by operator elsewhere/podium"
    assert apply.taken == Contest(
        manager="elsewhere/podium", kind="Service", name="demo", field=OPERATOR_FIELD
    )
    moved = msgspec.structs.replace(SETTINGS, lease="elsewhere/podium")
    assert look(body(), seen, moved).plan.applies[0].taken is not None, "the others are still ours"


def test_a_running_job_is_never_changed_even_where_its_manifest_would_be() -> None:
    resource = body(model={"uri": HUB})
    settled = settle(resource)
    job = next(key for key in settled.children if key[0] == "Job")
    trimmed = {key: value for key, value in settled.children[job].items() if key != "spec"}
    seen = msgspec.structs.replace(settled, children={**settled.children, job: trimmed})
    assert look(resource, seen).plan.empty


def test_what_is_going_is_waited_for_and_the_change_is_not_out_meanwhile() -> None:
    settled = serving(settle(body()))
    assert condition_of(status_of(body(), settled), "Ready")[0] == "True"
    service = settled.children["Service", "demo"]
    going = {**service, "metadata": {**service["metadata"], "deletionTimestamp": "2026"}, "spec": {}}
    seen = msgspec.structs.replace(settled, children={**settled.children, ("Service", "demo"): going})
    assert look(body(), seen).plan.empty
    status = status_of(body(), seen)
    assert condition_of(status, "Progressing")[:2] == ("True", "WaitingForDeletion")
    assert condition_of(status, "Ready")[0] == "Unknown"


def test_an_autoscaled_deployment_that_someone_scales_to_0_counts_as_taken() -> None:
    resource = body(autoscaling={"minReplicas": 2, "maxReplicas": 4})
    settled = settle(resource)
    live = settled.children["Deployment", "demo"]
    zeroed = {**live, "spec": {**live["spec"], "replicas": 0}}
    children = {**settled.children, ("Deployment", "demo"): zeroed}
    (apply,) = look(resource, msgspec.structs.replace(settled, children=children)).plan.applies
    assert apply.manifest["spec"]["replicas"] == 2
    assert apply.taken is not None
    assert apply.taken.field == "spec.replicas"


def test_a_new_object_must_not_exist_and_an_old_one_must_be_the_same() -> None:
    plan = look(body()).plan
    assert {apply.uid for apply in plan.applies} == {None}
    children = {key_of(m): living(m) for m in children_of(body()).manifests}
    plan = look(body(generation=2, service={"port": 81}), Observed(children=children)).plan
    assert [apply.uid for apply in plan.applies] == ["uid-Service-demo"]
