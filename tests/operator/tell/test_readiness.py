"""Ready, Reconciling and Stalled as GitOps tools read them: kstatus, and Argo CD by the script in docs/."""

# ruff: noqa: E501  a case is easier to read on its line

from pathlib import Path
from typing import Any

import msgspec
import pytest
from lupa.lua51 import LuaRuntime
from rerankers import (
    CRASH,
    HUB,
    body,
    condition_of,
    downloaded,
    ended,
    numbers,
    pod,
    serving,
    settle,
    status_of,
    with_pods,
)

from podium_operator.seen.observed import Observed, Refusal

SCRIPT = (Path(__file__).parents[3] / "docs" / "argocd-health.lua").read_text()
CACHED = {"model": {"uri": HUB}}
OUT = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
ROLLING = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


def kstatus(resource: dict[str, Any]) -> str:
    """Return what kstatus makes of a resource (sigs.k8s.io/cli-utils/pkg/kstatus/status)."""
    status = resource.get("status", {})
    if (
        status.get("observedGeneration", resource["metadata"]["generation"])
        != resource["metadata"]["generation"]
    ):
        return "InProgress"
    found = {condition["type"]: condition["status"] for condition in status.get("conditions", [])}
    if found.get("Reconciling") == "True":
        return "InProgress"
    if found.get("Stalled") == "True":
        return "Failed"
    return "Current" if found.get("Ready", "True") == "True" else "InProgress"


def argo_cd(resource: dict[str, Any]) -> str:
    """Return the health that Argo CD shows: it runs the script with the resource in `obj`."""
    lua = LuaRuntime()
    lua.globals().obj = lua.table_from(resource, recursive=True)
    return str(lua.execute(SCRIPT)["status"])


def told(resource: dict[str, Any], seen: Observed) -> dict[str, Any]:
    """Return the resource with its status written."""
    status = status_of(resource, seen)
    written = {"observedGeneration": status.observed_generation, **msgspec.to_builtins(status)}
    return {**resource, "status": written}


def counts(seen: Observed, replicas: int, updated: int, ready: int, condition: dict) -> Observed:
    more: Any = {"conditions": [condition]}
    return numbers(
        seen, replicas=replicas, updatedReplicas=updated, readyReplicas=ready, availableReplicas=ready, **more
    )


def out(**spec: Any) -> tuple[dict[str, Any], Observed]:
    """Return a Reranker whose first generation is fully out, and what was seen then."""
    resource = body(**spec)
    seen = counts(serving(settle(resource)), 1, 1, 1, OUT)
    return told(resource, seen), seen


def edited(**spec: Any) -> dict[str, Any]:
    """Return the next generation of it."""
    before, _ = out()
    return body(generation=2, status=before["status"], **spec)


def cases() -> list[Any]:
    old_status, old = out()
    crash = pod(state=CRASH, last=ended(1))
    rerolled = settle(edited(engine={"maxLength": 256}), children=old.children)
    cached = serving(downloaded(body(**CACHED)))
    refused = msgspec.structs.replace(
        old, refusals={("Deployment", "demo"): Refusal(code=422, message="minReadySeconds: too long")}
    )
    invalid = edited(podTemplate={"overlay": {"hostPID": True}})
    other = body(generation=2, model={"uri": HUB, "revision": "v2"})
    suspended = body(suspend=True)
    return [
        ("new", body(), Observed(), "Unknown", "InProgress", "Progressing"),
        ("downloading", body(**CACHED), settle(body(**CACHED)), "Unknown", "InProgress", "Progressing"),
        ("starting", body(), counts(settle(body()), 1, 1, 0, ROLLING), "Unknown", "InProgress", "Progressing"),
        ("out", body(), counts(settle(body()), 1, 1, 1, OUT), "True", "Current", "Healthy"),
        ("later-failing", old_status, counts(with_pods(old, crash), 1, 1, 0, OUT), "False", "InProgress", "Degraded"),
        (
            "rolling-while-old-pods-serve",
            edited(engine={"maxLength": 256}), counts(rerolled, 2, 1, 1, ROLLING), "Unknown", "InProgress", "Progressing",
        ),
        ("downloading-while-old-pods-serve", other, cached, "Unknown", "InProgress", "Progressing"),
        ("stuck", edited(), counts(with_pods(old, crash), 2, 1, 1, LATE), "False", "InProgress", "Degraded"),
        ("refused", edited(rollout={"minReadySeconds": 3600}), refused, "Unknown", "InProgress", "Progressing"),
        ("invalid", invalid, old, "False", "Failed", "Degraded"),
        ("suspended", suspended, counts(settle(suspended), 0, 0, 0, OUT), "False", "InProgress", "Suspended"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "seen", "ready", "seen_by_kstatus", "health"),
    [pytest.param(*case[1:], id=case[0]) for case in cases()],
)
def test_a_state_reads_the_same_to_every_tool(
    resource: dict, seen: Observed, ready: str, seen_by_kstatus: str, health: str
) -> None:
    written = told(resource, seen)
    found = {condition["type"]: condition["status"] for condition in written["status"]["conditions"]}
    assert found["Ready"] == ready
    assert (found["Reconciling"] == "True") == (ready == "Unknown")
    assert kstatus(written) == seen_by_kstatus
    assert argo_cd(written) == health


def test_an_edit_that_nobody_has_looked_at_is_in_progress_whatever_status_says() -> None:
    before, _ = out()
    unseen = {**before, "metadata": {**before["metadata"], "generation": 2}}
    assert (kstatus(before), argo_cd(before)) == ("Current", "Healthy")
    assert (kstatus(unseen), argo_cd(unseen)) == ("InProgress", "Progressing")
    assert argo_cd(body()) == "Progressing", "no status yet"


def test_after_an_edit_available_says_that_users_are_served_and_ready_does_not() -> None:
    resource = edited(engine={"maxLength": 256})
    seen = counts(settle(resource, children=out()[1].children), 2, 1, 1, ROLLING)
    status = status_of(resource, seen)
    assert condition_of(status, "Available")[:2] == ("True", "Answering")
    assert condition_of(status, "Ready")[:2] == ("Unknown", "RollingOut")
    crashing = with_pods(seen, pod("demo-old-1", ready=True), pod("demo-new-1", state=CRASH, last=ended(1)))
    ready = condition_of(status_of(resource, crashing), "Ready")
    assert ready[:2] == ("Unknown", "CrashLoopBackOff")
    assert "To mend it: " in ready[2]


def test_pods_that_fail_later_are_no_change_and_a_new_roll_of_the_same_generation_is_one() -> None:
    resource, seen = out()
    later = counts(seen, 1, 1, 0, OUT)
    status = status_of(resource, later)
    assert condition_of(status, "Progressing")[:2] == ("False", "RolloutComplete")
    assert condition_of(status, "Ready")[:2] == ("False", "NoReadyReplicas")
    rolling = counts(seen, 2, 1, 1, ROLLING)
    assert condition_of(status_of(resource, rolling), "Ready")[0] == "Unknown"


def test_what_an_autoscaler_adds_is_no_change_of_the_users() -> None:
    spec = {"autoscaling": {"maxReplicas": 5}}
    resource, seen = out(**spec)
    live = seen.children["Deployment", "demo"]
    grown = {**live, "spec": {**live["spec"], "replicas": 4}}
    seen = msgspec.structs.replace(seen, children={**seen.children, ("Deployment", "demo"): grown})
    status = status_of(resource, counts(seen, 4, 4, 1, OUT))
    assert condition_of(status, "Ready")[0] == "True"
    assert condition_of(status, "Progressing")[:2] == ("False", "RolloutComplete")


def test_a_refusal_shows_in_progressing_and_status_tells_the_image_that_runs() -> None:
    _, seen = out()
    resource = edited(engine={"image": "other:1"})
    refused = msgspec.structs.replace(
        seen, refusals={("Deployment", "demo"): Refusal(code=403, message="exceeded quota")}
    )
    status = status_of(resource, refused)
    assert condition_of(status, "Progressing")[:2] == ("False", "Refused")
    assert "Deployment demo was not taken: exceeded quota" in condition_of(status, "Progressing")[2]
    assert condition_of(status, "Ready")[:2] == ("Unknown", "Refused")
    assert status.image == "podium:cpu"
    assert status_of(body(**CACHED), settle(body(**CACHED))).image is None, "no pod has any yet"


@pytest.mark.parametrize("paused", [False, True])
def test_an_edit_that_leaves_the_pods_as_they_are_does_not_make_their_failure_a_roll(paused: bool) -> None:
    """Argo CD would show Progressing for ever, where it is Degraded."""
    spec = {"rollout": {"paused": True}} if paused else {}
    reason = {**OUT, "reason": "DeploymentPaused", "status": "Unknown"} if paused else OUT
    resource = body(**spec)
    seen = counts(serving(settle(resource)), 1, 1, 1, reason)
    before = told(resource, seen)
    assert before["status"]["rolledOutGeneration"] == 1
    after = body(
        generation=2, status=before["status"], monitoring={"serviceMonitor": {"interval": "5s"}}, **spec
    )
    failing = counts(with_pods(seen, pod(state=CRASH, last=ended(1))), 1, 1, 0, reason)
    written = told(after, failing)
    found = {condition["type"]: condition["status"] for condition in written["status"]["conditions"]}
    assert (found["Ready"], found["Reconciling"]) == ("False", "False")
    assert argo_cd(written) == "Degraded"
