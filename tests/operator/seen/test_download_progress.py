"""How far the model's files are, and what a failure leads to."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from rerankers import (
    HUB,
    NOW,
    NOW_TEXT,
    SETTINGS,
    body,
    condition_of,
    downloaded,
    look,
    pod,
    settle,
    status_of,
    with_status,
)

from podium_operator.decision import decide
from podium_operator.resource.source import download_job_name
from podium_operator.resource.status import Pinned, RerankerStatus
from podium_operator.seen.download_progress import CacheProgress
from podium_operator.seen.observed import Observed, Refusal, WarningEvent
from podium_operator.tell.status import make_status

BOUND = {
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "demo-cache", "uid": "c"},
    "status": {"phase": "Bound"},
}
EARLIER = {"kind": "Reranker", "name": "demo", "uid": "earlier", "controller": True}
RESOURCE = body(model={"uri": HUB})


def progress(observed: Observed, resource: dict = RESOURCE) -> CacheProgress:
    return look(resource, observed).view.progress


def job_name(resource: dict = RESOURCE) -> str:
    view = look(resource).view
    return download_job_name(view.reranker, view.source)


def with_pods(*pods: dict, resource: dict = RESOURCE, **job_status: Any) -> Observed:
    """Return the observation with the download Job in that state and these pods of it."""
    seen = settle(resource, claim=BOUND)
    name = job_name(resource)
    owned = [
        {**p, "metadata": {**p["metadata"], "ownerReferences": [{"uid": f"uid-Job-{name}"}]}} for p in pods
    ]
    return msgspec.structs.replace(with_status(seen, "Job", name, **job_status), pods=tuple(owned))


def with_job(seen: Observed, **metadata: Any) -> Observed:
    """Return the observation with other metadata of the download Job."""
    job = seen.children["Job", job_name()]
    job = {**job, "metadata": {**job["metadata"], **metadata}}
    return msgspec.structs.replace(seen, children={**seen.children, ("Job", job_name()): job})


def ended(code: int, words: Any, **more: Any) -> dict:
    message = words if isinstance(words, str) else json.dumps(words)
    state = {"terminated": {"exitCode": code, "message": message, "finishedAt": NOW_TEXT, **more}}
    return pod("dl-1", application="reranker-download", container="download", state=state)


FAILED = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "lastTransitionTime": NOW_TEXT}


def test_the_claim_comes_first_then_the_job_and_no_pod_before_both() -> None:
    assert progress(Observed()).reason == "PVCPending"
    seen = settle(RESOURCE, claim=BOUND)
    assert ("Job", job_name()) in seen.children
    assert ("Deployment", "demo") not in seen.children
    assert progress(seen).state == "Downloading"


def test_a_gpu_rerankers_claim_is_bound_before_anything_is_downloaded() -> None:
    resource = body(model={"uri": HUB}, gpu={})
    pending = {**BOUND, "status": {"phase": "Pending"}}
    seen = settle(resource, claim=pending)
    (binder,) = [child for key, child in seen.children.items() if key[0] == "Job"]
    assert binder["metadata"]["name"].startswith("demo-bind-")
    container = binder["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert container["args"] == ["--version"]
    later = settle(resource, claim=BOUND, children=seen.children)
    (download,) = [child for key, child in later.children.items() if key[0] == "Job"]
    assert download["metadata"]["name"] == job_name(resource)
    assert "nvidia.com/gpu" not in json.dumps(download["spec"]["template"]["spec"]["containers"])
    keys = {taint["key"] for taint in download["spec"]["template"]["spec"]["tolerations"]}
    assert keys == {"nvidia.com/gpu"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(
            {"reason": "Unauthorized", "message": "401", "httpStatus": 401}, "Unauthorized", id="401"
        ),
        pytest.param({"reason": "GatedModel", "message": "403"}, "GatedModel", id="403"),
        pytest.param({"reason": "ModelNotFound", "message": "404"}, "ModelNotFound", id="404"),
        pytest.param({"reason": "ChecksumMismatch", "message": "sha256"}, "ChecksumMismatch", id="checksum"),
        pytest.param("Traceback …\nBoom", "CrashLoopBackOff", id="no-json"),
        pytest.param({"reason": "Invented", "message": "x"}, "CrashLoopBackOff", id="unknown-reason"),
    ],
)
def test_a_failed_job_says_why_and_waits_for_its_next_try(words: Any, reason: str) -> None:
    seen = with_pods(ended(42, words), conditions=[FAILED])
    found = progress(seen)
    assert (found.state, found.reason, found.attempt, found.job) == ("Failed", reason, 1, True)
    assert found.retry_at == NOW + timedelta(seconds=10)
    status, said, message = condition_of(status_of(RESOURCE, seen), "CacheReady")
    assert (status, said) == ("False", reason)
    assert "To mend it: " in message
    assert "try 2 starts at 12:00:10 UTC" in message


def test_the_job_is_made_anew_when_the_time_has_come_and_the_failure_stays_in_sight() -> None:
    failed = with_pods(ended(42, {"reason": "Unauthorized", "message": "401"}), conditions=[FAILED])
    status = msgspec.to_builtins(status_of(RESOURCE, failed))
    later = NOW + timedelta(seconds=11)
    resource = {**RESOURCE, "status": status}
    plan = decide(resource, failed, SETTINGS, later).plan
    assert [delete.name for delete in plan.deletes] == [job_name()]
    gone = {key: child for key, child in failed.children.items() if key[0] != "Job"}
    seen = settle(resource, claim=BOUND, children=gone)
    job = seen.children["Job", job_name()]
    assert job["metadata"]["annotations"]["podium.sh/attempt"] == "2"
    found = progress(seen, resource)
    assert (found.state, found.reason, found.attempt) == ("Downloading", "Unauthorized", 2)
    assert found.message.endswith("try 2 is running")


def test_tries_come_later_and_later_up_to_the_setting() -> None:
    seen = with_pods(ended(75, {"reason": "RateLimited", "message": "429"}), conditions=[FAILED])
    job = seen.children["Job", job_name()]
    waits = []
    for attempt in ("1", "2", "3", "5", "50"):
        annotations = {**job["metadata"]["annotations"], "podium.sh/attempt": attempt}
        changed = {**job, "metadata": {**job["metadata"], "annotations": annotations}}
        found = progress(
            msgspec.structs.replace(seen, children={**seen.children, ("Job", job_name()): changed})
        )
        assert found.retry_at is not None
        waits.append((found.retry_at - NOW).total_seconds())
    assert waits == [10, 20, 40, 160, 300]


def test_a_clock_that_is_ahead_of_the_controllers_tells_the_failure_and_waits_too() -> None:
    failed = with_pods(ended(75, {"reason": "RateLimited", "message": "429"}), conditions=[FAILED])
    first = NOW + timedelta(hours=1)
    view = decide(RESOURCE, failed, SETTINGS, first).view
    status = make_status(view, RerankerStatus(), 1, Pinned(), first)
    resource = {**RESOURCE, "status": msgspec.to_builtins(status)}
    for body_, seconds, waits in ((RESOURCE, 0, True), (resource, 4, True), (resource, 11, False)):
        found = decide(body_, failed, SETTINGS, first + timedelta(seconds=seconds)).view.progress
        assert found.retry_at == (first + timedelta(seconds=10) if waits else None)
    second = first + timedelta(seconds=30)
    annotations = {**failed.children["Job", job_name()]["metadata"]["annotations"], "podium.sh/attempt": "2"}
    running = with_job(with_pods(), annotations=annotations)
    view = decide(resource, running, SETTINGS, second).view
    known = make_status(view, view.reranker.status, 1, Pinned(), second)
    assert known.download is not None
    assert known.download.last_failure, "the first try's stays in sight"
    again = with_job(failed, annotations=annotations)
    found = decide({**resource, "status": msgspec.to_builtins(known)}, again, SETTINGS, second).view.progress
    assert found.retry_at == second + timedelta(seconds=20)


def test_a_change_of_the_spec_starts_a_failed_or_running_download_anew_at_once() -> None:
    seen = with_pods(ended(42, {"reason": "Unauthorized", "message": "401"}), conditions=[FAILED])
    mended = body(generation=2, model={"uri": HUB, "credentialsSecretRef": {"name": "t", "key": "k"}})
    assert [delete.name for delete in look(mended, seen).plan.deletes] == [job_name()]
    assert [delete.name for delete in look(mended, with_pods()).plan.deletes] == [job_name()]


def test_a_finished_download_is_kept_whatever_shapes_the_next_one() -> None:
    seen = with_pods(conditions=[{"type": "Complete", "status": "True"}])
    other = body(generation=2, model={"uri": HUB, "credentialsSecretRef": {"name": "t", "key": "k"}})
    assert look(other, seen).plan.deletes == ()
    assert progress(seen, other).ready


def test_the_words_of_the_pod_that_succeeded_are_kept_when_it_is_gone() -> None:
    words = {"resolvedRevision": "a" * 40, "bytes": 1234}
    complete = [{"type": "Complete", "status": "True"}]
    status = status_of(RESOURCE, with_pods(ended(0, words), conditions=complete))
    assert status.model is not None
    assert (status.model.resolved_revision, status.model.size_bytes) == ("a" * 40, 1234)
    again = {**RESOURCE, "status": msgspec.to_builtins(status)}
    later = status_of(again, with_pods(conditions=complete))
    assert later.model == status.model


@pytest.mark.parametrize(
    ("made", "ready"),
    [("2026-03-01T11:00:00Z", True), ("2026-03-01T12:30:00Z", False)],
    ids=["same-claim", "claim-made-anew"],
)
def test_a_finished_job_that_goes_takes_nothing_along(made: str, ready: bool) -> None:
    """By a time to live that someone gives to all Jobs. A claim that is made anew is empty."""
    once = {"cache": {"accessModes": ["ReadWriteOncePod"]}, "rollout": {"maxSurge": 0, "maxUnavailable": 1}}
    resource = body(model={"uri": HUB}, **once)
    served = downloaded(resource)
    told = {**resource, "status": msgspec.to_builtins(status_of(resource, served))}
    claim = {**BOUND, "metadata": {**BOUND["metadata"], "creationTimestamp": made}}
    children = {key: child for key, child in served.children.items() if key[0] != "Job"}
    seen = settle(told, children=children, claim=claim)
    jobs = [child["metadata"] for key, child in seen.children.items() if key[0] == "Job"]
    assert [job["annotations"]["podium.sh/attempt"] for job in jobs] == ([] if ready else ["2"])
    assert progress(seen, told).ready is ready
    assert seen.children["Deployment", "demo"]["spec"]["replicas"] == (1 if ready else 0)
    assert condition_of(status_of(told, seen), "CacheReady")[0] == str(ready)
    erased = settle(resource, children=children, claim=claim)
    assert ("Job", job_name(resource)) in erased.children, "without its record it is made once"


@pytest.mark.parametrize(("claimed", "filled"), [("12:00:30", True), ("12:05:00", False)])
def test_a_finished_job_that_is_older_than_its_claim_filled_another_one(claimed: str, filled: bool) -> None:
    """By the end of the Job: API servers with other clocks make the claim "after" the Job."""
    complete = [{"type": "Complete", "status": "True"}]
    seen = with_job(
        with_pods(conditions=complete, completionTime="2026-03-01T12:01:00Z"), creationTimestamp=NOW_TEXT
    )
    made = f"2026-03-01T{claimed}Z"
    claim = {**BOUND, "metadata": {**BOUND["metadata"], "creationTimestamp": made}}
    seen = msgspec.structs.replace(seen, claim=claim)
    assert progress(seen).ready is filled
    assert [delete.name for delete in look(RESOURCE, seen).plan.deletes] == ([] if filled else [job_name()])


def test_a_deadline_keeps_what_was_seen_before_it() -> None:
    waiting = with_pods(ended(75, {"reason": "RateLimited", "message": "429, slow down"}))
    status = msgspec.to_builtins(status_of(RESOURCE, waiting))
    assert status["download"]["lastFailure"]["reason"] == "RateLimited"
    late = with_pods(conditions=[{**FAILED, "reason": "DeadlineExceeded"}])
    found = progress(late, {**RESOURCE, "status": status})
    assert found.reason == "DeadlineExceeded"
    assert "429, slow down" in found.message
    told = [status_of(body(model={"uri": HUB}, status=status), late)]
    told.append(status_of(body(model={"uri": HUB}, status=msgspec.to_builtins(told[0])), late))
    assert told[1] == told[0], "a second look at the same end has nothing to add"


def test_a_job_that_is_refused_is_no_try_and_asked_for_in_the_same_words() -> None:
    """Else each look would ask for another one, which no back-off knows."""
    seen = settle(RESOURCE, claim=BOUND)
    gone = {key: child for key, child in seen.children.items() if key[0] != "Job"}
    refused = {("Job", job_name()): Refusal(code=403, message="exceeded quota")}
    first = msgspec.structs.replace(seen, children=gone, refusals=refused)
    status = status_of(RESOURCE, first)
    assert status.download is not None
    assert status.download.attempts == 0
    resource = {**RESOURCE, "status": msgspec.to_builtins(status)}
    (before,), (after,) = (look(each, first).plan.applies for each in (RESOURCE, resource))
    assert after.manifest == before.manifest
    assert after.manifest["metadata"]["annotations"]["podium.sh/attempt"] == "1"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}, "ImagePullFailed"),
        (
            {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "hub" not found'}},
            "SecretNotFound",
        ),
        ({"terminated": {"reason": "OOMKilled", "exitCode": 137}}, "OOMKilled"),
    ],
)
def test_what_holds_a_download_up_is_told_by_its_pod(state: dict, reason: str) -> None:
    running = pod("dl-1", application="reranker-download", container="download", state=state, phase="Pending")
    found = progress(with_pods(running))
    assert (found.state, found.reason) == ("Downloading", reason)


def test_a_download_without_a_node_and_one_that_was_evicted_say_so() -> None:
    unplaced = pod(
        "dl-1", application="reranker-download", scheduled="0/2 nodes are available: 2 Insufficient memory."
    )
    assert progress(with_pods(unplaced)).reason == "Unschedulable"
    evicted = pod("dl-1", application="reranker-download")
    evicted["status"]["reason"] = "Evicted"
    assert progress(with_pods(evicted)).reason == "Evicted"


def test_a_quota_shows_in_an_event_only_and_a_refused_job_in_the_answer() -> None:
    event = WarningEvent(kind="Job", name=job_name(), reason="FailedCreate", message="exceeded quota: pods")
    seen = msgspec.structs.replace(with_pods(), warnings=(event,))
    assert progress(seen).reason == "Refused"
    refused = Observed(
        claim=BOUND, refusals={("Job", job_name()): Refusal(code=403, message="exceeded quota")}
    )
    assert progress(refused).reason == "Refused"


@pytest.mark.parametrize(
    ("spec", "claim", "reason"),
    [
        ({"model": {"uri": "pvc://weights/a"}}, None, "ClaimNotFound"),
        ({"model": {"uri": HUB}, "cache": {"claimName": "mine"}}, None, "ClaimNotFound"),
        ({"model": {"uri": HUB}}, {**BOUND, "status": {"phase": "Lost"}}, "PVCLost"),
        ({"model": {"uri": HUB}}, {**BOUND, "metadata": {"deletionTimestamp": "2026"}}, "PVCTerminating"),
        ({"model": {"uri": HUB}}, {**BOUND, "metadata": {"ownerReferences": [EARLIER]}}, "PVCTerminating"),
    ],
)
def test_a_claim_that_cannot_be_used_says_why(spec: dict, claim: dict | None, reason: str) -> None:
    assert progress(Observed(claim=claim), body(**spec)).reason == reason


def test_builtin_and_existing_folders_need_no_job_and_no_claim_of_ours() -> None:
    for spec in ({"model": {"uri": "builtin"}}, {"model": {"uri": "pvc://weights/a"}}):
        seen = settle(body(**spec), claim=BOUND)
        assert not {key[0] for key in seen.children} & {"Job", "PersistentVolumeClaim"}
        assert ("Deployment", "demo") in seen.children


def test_a_binder_that_failed_is_tried_again_like_a_download_and_tells_so() -> None:
    """Its Pending pod was deleted, or its node went; nothing else would give the claim a volume."""
    resource = body(model={"uri": HUB}, gpu={})
    pending = {**BOUND, "status": {"phase": "Pending"}}
    seen = settle(resource, claim=pending)
    (name,) = [key[1] for key in seen.children if key[0] == "Job"]
    words = "Job has reached the specified backoff limit"
    failed = with_status(seen, "Job", name, conditions=[{**FAILED, "message": words}])
    found = progress(failed, resource)
    assert (found.state, found.reason, found.attempt, found.binder) == ("Failed", "PVCPending", 1, True)
    assert found.retry_at == NOW + timedelta(seconds=10)
    assert f"Job {name}, which binds claim demo-cache, failed: {words}; try 2 starts" in found.message
    again = {**resource, "status": msgspec.to_builtins(status_of(resource, failed))}
    plan = decide(again, failed, SETTINGS, NOW + timedelta(seconds=11)).plan
    assert [delete.name for delete in plan.deletes] == [name]
    without = {key: value for key, value in failed.children.items() if key[0] != "Job"}
    second = settle(again, claim=pending, children=without)
    assert second.children["Job", name]["metadata"]["annotations"]["podium.sh/attempt"] == "2"
    twice = with_status(second, "Job", name, conditions=[FAILED])
    assert progress(twice, again).retry_at == NOW + timedelta(seconds=20)
