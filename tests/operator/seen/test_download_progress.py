"""How far the model's files are, and what a failure leads to."""

import json

import msgspec
import pytest
from downloads import BOUND, RESOURCE, ended, job_name, progress, with_job, with_pods
from rerankers import (
    HUB,
    NOW_TEXT,
    body,
    condition_of,
    downloaded,
    look,
    pod,
    settle,
    status_of,
)

from podium_operator.seen.observed import Observed, Refusal, WarningEvent

EARLIER = {"kind": "Reranker", "name": "demo", "uid": "earlier", "controller": True}


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
