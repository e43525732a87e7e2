"""What a failed try of a download or of a binder leads to."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from downloads import BOUND, FAILED, RESOURCE, ended, job_name, progress, with_job, with_pods
from rerankers import (
    HUB,
    NOW,
    SETTINGS,
    body,
    condition_of,
    look,
    settle,
    status_of,
    with_status,
)

from podium_operator.decision import decide
from podium_operator.resource.status import Pinned, RerankerStatus
from podium_operator.seen.observed import Refusal
from podium_operator.tell.status import make_status


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


def test_what_kept_a_binder_from_binding_is_not_told_of_the_download_that_comes_after_it() -> None:
    before = body(model={"uri": HUB}, gpu={})
    pending = settle(before, claim={**BOUND, "status": {"phase": "Pending"}})
    (binder,) = [key for key in pending.children if key[0] == "Job"]
    failure = status_of(before, with_status(pending, *binder, conditions=[FAILED]))
    assert failure.download is not None
    assert failure.download.last_failure is not None
    resource = {**before, "status": msgspec.to_builtins(failure)}
    seen = settle(resource, claim=BOUND)
    found = progress(seen, resource)
    assert (found.reason, found.failure) == ("Downloading", None)
    (job,) = [key for key in seen.children if key[0] == "Job"]
    found = progress(with_status(seen, *job, conditions=[FAILED]), resource)
    assert found.reason == FAILED["reason"]
    assert "bind" not in found.message
