"""Status: every condition in its order, times and Events only where something turned."""

from datetime import timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rerankers import (
    CRASH,
    HUB,
    NO_GPU,
    NOW,
    SETTINGS,
    body,
    condition_of,
    downloaded,
    ended,
    look,
    numbers,
    pod,
    serving,
    settle,
    status_of,
    waiting,
    with_pods,
)

from podium_operator.resource.status import ConditionType, RerankerStatus
from podium_operator.tell.events import transitions
from podium_operator.tell.status import make_status

COUNTS = st.fixed_dictionaries(
    {key: st.integers(0, 4) for key in ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")}
)
PODS = st.lists(
    st.sampled_from(
        [
            pod(ready=True),
            pod(state=CRASH, last=ended(1)),
            pod(scheduled=NO_GPU),
            pod(state=waiting("ErrImagePull")),
        ]
    ),
    max_size=3,
)
SPECS = st.sampled_from(
    [
        {},
        {"replicas": 3},
        {"gpu": {}},
        {"suspend": True},
        {"autoscaling": {"maxReplicas": 3}},
        {"replicas": 0},
        {"model": {"uri": HUB}},
        {"podTemplate": {"overlay": {"hostIPC": True}}},
        {"engine": {"settings": {"x": "y"}}},
    ]
)


@given(SPECS, COUNTS, PODS)
def test_every_look_has_all_conditions_in_order_and_ready_follows_from_them(
    spec: dict, counts: dict, pods: list
) -> None:
    resource = body(**spec)
    seen = with_pods(settle(resource), *pods)
    if ("Deployment", "demo") in seen.children:
        seen = numbers(seen, **counts)
    status = status_of(resource, seen)
    kinds = [condition.type for condition in status.conditions]
    wanted = [kind for kind in ConditionType if kind != "AutoscalingReady" or "autoscaling" in spec]
    assert kinds == wanted
    assert {condition.observed_generation for condition in status.conditions} == {1}
    found = {condition.type: condition for condition in status.conditions}
    is_ = {kind: condition.status for kind, condition in found.items()}
    assert (is_["Stalled"] == "True") == (is_["Accepted"] == "False")
    assert (is_["Reconciling"] == "True") == (is_["Ready"] == "Unknown")
    if is_["Ready"] == "True":
        assert {is_[kind] for kind in ("Accepted", "CacheReady", "Available")} == {"True"}
        assert found["Progressing"].reason in ("RolloutComplete", "Paused")
    order = ("Accepted", "CacheReady", "Scheduled", "Available")
    first = next((found[kind] for kind in order if is_[kind] == "False"), None)
    if first and is_["Ready"] != "True":
        assert (found["Ready"].reason, found["Ready"].message) == (first.reason, first.message)


@given(SPECS, COUNTS, PODS)
def test_the_same_look_writes_the_same_status_and_no_event(spec: dict, counts: dict, pods: list) -> None:
    resource = body(**spec)
    seen = with_pods(settle(resource), *pods)
    if ("Deployment", "demo") in seen.children:
        seen = numbers(seen, **counts)
    first = status_of(resource, seen)
    again = {**resource, "status": msgspec.to_builtins(first)}
    decision = look(again, seen)
    second = make_status(decision.view, first, 1, decision.pinned, NOW + timedelta(hours=1))
    assert second == first
    assert transitions(first, second) == []


def test_a_condition_keeps_its_time_until_its_status_turns() -> None:
    starting = status_of(body(), numbers(settle(body()), replicas=1))
    resource = {**body(), "status": msgspec.to_builtins(starting)}
    decision = look(resource, serving(settle(body())))
    later = make_status(decision.view, starting, 1, decision.pinned, NOW + timedelta(minutes=5))
    times = {condition.type: condition.last_transition_time for condition in later.conditions}
    assert times["Accepted"] == "2026-03-01T12:00:00Z"
    assert times["Ready"] == times["Available"] == "2026-03-01T12:05:00Z"


def test_events_tell_of_turns_in_both_directions_and_of_new_trouble_once() -> None:
    starting = status_of(body(), numbers(settle(body()), replicas=1))
    assert transitions(RerankerStatus(), starting) == [], "a new Reranker that starts is no news"
    crashing = status_of(
        body(), numbers(with_pods(settle(body()), pod(state=CRASH, last=ended(1))), replicas=1)
    )
    found = transitions(starting, crashing)
    assert [(event.type, event.reason, event.action) for event in found] == [
        ("Warning", "CrashLoopBackOff", "Available")
    ]
    answering = status_of(body(), serving(settle(body())))
    found = transitions(crashing, answering)
    assert {(event.type, event.action) for event in found} >= {("Normal", "Available"), ("Normal", "Ready")}
    found = transitions(answering, crashing)
    assert {(event.type, event.action) for event in found} == {("Warning", "Available")}
    assert transitions(crashing, crashing) == []


def test_settings_decide_nothing_about_status_but_the_prometheus() -> None:
    assert SETTINGS.prometheus_address is None
    settings = msgspec.structs.replace(SETTINGS, prometheus_address="http://prometheus:9090")
    resource = body(autoscaling={"engine": "KEDA", "maxReplicas": 3})
    addons = frozenset({"ScaledObject"})
    status = status_of(resource, settle(resource, settings, addons=addons), settings)
    assert condition_of(status, "AutoscalingReady")[:2] == ("Unknown", "Starting")


def test_status_tells_the_address_the_selector_the_model_the_cache_and_the_download() -> None:
    resource = body(generation=4, model={"uri": HUB}, replicas=3, service={"port": 8080})
    told = msgspec.to_builtins(status_of(resource, serving(downloaded(resource), 2)))
    path = told["cache"]["path"]
    pinned = told.pop("pinned")
    del told["conditions"], told["download"]["source"]
    assert told == {
        "observedGeneration": 4,
        "replicas": 2,
        "readyReplicas": 2,
        "desiredReplicas": 3,
        "selector": "app.kubernetes.io/instance=demo,app.kubernetes.io/name=reranker",
        "url": "http://demo.search.svc:8080",
        "image": pinned["image"],
        "upToDate": True,
        "model": {"uri": HUB},
        "cache": {"claimName": "demo-cache", "path": path, "state": "Ready"},
        "download": {"attempts": 1},
    }
