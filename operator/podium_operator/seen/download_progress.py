"""How far the model's files are: from claim, Jobs and their pods, to what is to be made next."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from podium_operator.resource.names import ATTEMPT_ANNOTATION, BINDER, DOWNLOAD, SHAPE_ANNOTATION
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import (
    Source,
    binder_job_name,
    download_job_name,
    job_shape,
    own_claim_name,
)
from podium_operator.resource.status import DownloadStatus, Failure
from podium_operator.seen.observed import Body, Observed, condition, condition_is
from podium_operator.seen.pod_causes import Cause, pod_cause, termination
from podium_operator.seen.scheduler_words import schedule_cause

FIRST_RETRY_S = 10.0


class CacheProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the cache stands. `job`: whether the Job should exist; `attempt`: tries that were begun, the
    Job's own included; `retry_at`: when to look again."""

    state: Literal["NotNeeded", "Pending", "Downloading", "Ready", "Failed"]
    reason: str
    message: str
    binder: bool = False
    job: bool = False
    attempt: int = 0
    retry_at: datetime | None = None
    failure: Failure | None = None
    resolved_revision: str | None = None
    size_bytes: int | None = None

    @property
    def ready(self) -> bool:
        """Whether pods can serve from it."""
        return self.state in ("NotNeeded", "Ready")


def cache_progress(
    reranker: Reranker, source: Source, observed: Observed, now: datetime, *, retry_max_s: float
) -> CacheProgress:
    """Return how far the model's files are."""
    if source.kind == "builtin":
        return CacheProgress(
            state="NotNeeded", reason="NotNeeded", message="the built-in model needs no cache"
        )
    trouble = _claim_trouble(reranker, source, observed)
    if trouble:
        return CacheProgress(state="Pending", reason=trouble.reason, message=trouble.message)
    if source.kind == "claim":
        return CacheProgress(
            state="NotNeeded", reason="Existing", message=f"the model lies on claim {source.claim}"
        )
    return _hub_progress(reranker, source, observed, now, retry_max_s)


def _claim_trouble(reranker: Reranker, source: Source, observed: Observed) -> Cause | None:
    named = source.kind == "claim" or reranker.spec.cache.claim_name is not None
    claim = observed.claim
    if claim is None:
        refusal = observed.refusals.get(("PersistentVolumeClaim", own_claim_name(reranker.name)))
        if named:
            return Cause("ClaimNotFound", f"claim {source.claim} does not exist")
        if refusal:
            return Cause("Refused", f"claim {source.claim} was refused: {refusal.message}")
        return Cause("PVCPending", f"claim {source.claim} is being made")
    if claim["metadata"].get("deletionTimestamp"):
        return Cause("PVCTerminating", f"claim {source.claim} is being deleted, and pods still have it")
    if claim.get("status", {}).get("phase") == "Lost":
        return Cause("PVCLost", f"claim {source.claim} lost its volume")
    return None


def _hub_progress(
    reranker: Reranker, source: Source, observed: Observed, now: datetime, retry_max_s: float
) -> CacheProgress:
    job = observed.get("Job", download_job_name(reranker, source))
    known = _known(reranker, source)
    if job is not None and condition_is(job, "Complete"):
        return _complete(reranker, source, observed, job, known)
    bound = (observed.claim or {}).get("status", {}).get("phase") == "Bound"
    if job is None and reranker.spec.gpu and not bound:
        return _binding(reranker, source, observed, known, now, retry_max_s)
    if job is None:
        return _starting(reranker, source, observed, known)
    outdated = job["metadata"].get("annotations", {}).get(SHAPE_ANNOTATION) != job_shape(reranker.raw)
    pods = _pods_of_job(observed, job)
    failed = _failed(job)
    if failed:
        found = _ended(job, failed, _failure(failed, pods, known), now, retry_max_s, at_once=outdated)
        return msgspec.structs.replace(found, job=found.retry_at is not None)
    return _running(reranker, source, observed, pods, known, _attempt(job), outdated)


def _binding(
    reranker: Reranker, source: Source, observed: Observed, known: DownloadStatus, now: datetime,
    retry_max_s: float,
) -> CacheProgress:  # fmt: skip
    """The Job that binds the claim waits for a GPU; one that failed (its node went) is tried again, too."""
    name = binder_job_name(reranker)
    job = observed.get("Job", name)
    failed = _failed(job)
    if job is not None and failed:
        causes = [cause.message for cause in map(pod_cause, reversed(_pods_of_job(observed, job))) if cause]
        why = causes[0] if causes else failed.get("message", "")
        message = f"Job {name}, which binds claim {source.claim}, failed: {why}".rstrip(". ")
        cause = Cause("PVCPending", message)
        found = _ended(job, failed, cause, now, retry_max_s)
        return msgspec.structs.replace(found, binder=found.retry_at is not None)
    message = f"claim {source.claim} waits for a node with a GPU, where {name} may run"
    return CacheProgress(
        state="Pending", reason="PVCPending", message=message, binder=True, attempt=known.attempts,
        failure=known.last_failure,
    )  # fmt: skip


def _attempt(job: Body) -> int:
    return int(job["metadata"].get("annotations", {}).get(ATTEMPT_ANNOTATION, "1"))


def _failed(job: Body | None) -> Body | None:
    """Return the condition by which a Job failed, or is about to."""
    found = condition(job, "Failed") or condition(job, "FailureTarget")
    return found if found and found["status"] == "True" else None


def _ended(
    job: Body, failed: Body, cause: Cause, now: datetime, retry_max_s: float, *, at_once: bool = False
) -> CacheProgress:
    """Return the progress after a failed try: the Job stays until `retry_at`; without one it goes now."""
    attempt = _attempt(job)
    failure = Failure(reason=cause.reason, message=cause.message, time=failed["lastTransitionTime"])
    ended = datetime.fromisoformat(failed["lastTransitionTime"])
    retry_at = ended + timedelta(seconds=min(retry_max_s, FIRST_RETRY_S * 2 ** min(attempt - 1, 16)))
    due = at_once or now >= retry_at
    when = "now" if due else f"at {retry_at:%H:%M:%S} UTC"
    return CacheProgress(
        state="Failed", reason=cause.reason, message=f"{cause.message}; try {attempt + 1} starts {when}",
        attempt=attempt, retry_at=None if due else retry_at, failure=failure,
    )  # fmt: skip


def _known(reranker: Reranker, source: Source) -> DownloadStatus:
    """Return what status remembers of tries for this source; of another one, nothing."""
    download = reranker.status.download
    return download if download and download.source == source.digest else DownloadStatus()


def _complete(
    reranker: Reranker, source: Source, observed: Observed, job: Body, known: DownloadStatus
) -> CacheProgress:
    """The words of the pod that succeeded are copied into status: pods are cleaned away, status stays."""
    ends = [termination(state) for pod in _pods_of_job(observed, job) for state in _states(pod)]
    words = next((end for end in reversed(ends) if end and end.resolved_revision), None)
    before = reranker.status.model if known.source else None
    revision = words.resolved_revision if words else (before.resolved_revision if before else None)
    size = words.bytes if words else (before.size_bytes if before else None)
    shown = f" at {revision}" if revision else ""
    return CacheProgress(
        state="Ready", reason="Downloaded", message=f"{source.repo}{shown} lies in {source.path}", job=True,
        attempt=max(known.attempts, 1), resolved_revision=revision, size_bytes=size,
    )  # fmt: skip


def _starting(reranker: Reranker, source: Source, observed: Observed, known: DownloadStatus) -> CacheProgress:
    name = download_job_name(reranker, source)
    refusal = observed.refusals.get(("Job", name))
    if refusal:
        message = f"Job {name} was refused: {refusal.message}"
        return CacheProgress(
            state="Failed", reason="Refused", message=message, job=True, attempt=known.attempts
        )
    return _waiting(source, known, known.attempts, f"try {known.attempts + 1} starts")


def _running(
    reranker: Reranker, source: Source, observed: Observed, pods: list[Body], known: DownloadStatus,
    attempt: int, outdated: bool,
) -> CacheProgress:  # fmt: skip
    if outdated:
        return _waiting(source, known, attempt, "the spec changed, the download starts anew", job=False)
    cause = _trouble(reranker, source, observed, pods)
    if cause is None:
        return _waiting(source, known, attempt, f"try {attempt} is running")
    failure = known.last_failure
    if cause.time:
        failure = Failure(reason=cause.reason, message=cause.message, time=cause.time)
    return CacheProgress(
        state="Downloading",
        reason=cause.reason,
        message=cause.message,
        job=True,
        attempt=attempt,
        failure=failure,
    )


def _trouble(reranker: Reranker, source: Source, observed: Observed, pods: list[Body]) -> Cause | None:
    """Return why a Job that neither succeeded nor failed does not get on; the newest pod speaks first."""
    for pod in reversed(pods):
        unplaced = schedule_cause(pod, None)
        if unplaced:
            return Cause("Unschedulable", unplaced.message)
        cause = pod_cause(pod)
        if cause:
            return cause
        if pod.get("status", {}).get("phase") == "Running":
            break
    names = {download_job_name(reranker, source), *(pod["metadata"]["name"] for pod in pods)}
    for warning in observed.warnings:
        if warning.name in names and (warning.reason == "FailedCreate" or pods):
            reason = "Refused" if warning.reason == "FailedCreate" else _mount_reason(warning.message)
            return Cause(reason, f"{warning.kind} {warning.name}: {warning.message}")
    return None


def _mount_reason(message: str) -> str:
    """A missing Secret or ConfigMap of a volume shows in an Event only."""
    missing = "not found" in message and ("secret" in message.lower() or "configmap" in message.lower())
    return "SecretNotFound" if missing else "PVCPending"


def _waiting(
    source: Source, known: DownloadStatus, attempt: int, what: str, *, job: bool = True
) -> CacheProgress:
    """A try in progress keeps the reason of the failure before it, until it succeeds."""
    failure = known.last_failure
    if failure:
        return CacheProgress(
            state="Downloading", reason=failure.reason, message=f"{failure.message}; {what}", job=job,
            attempt=attempt, failure=failure,
        )  # fmt: skip
    message = f"{source.repo} is being downloaded to claim {source.claim}: {what}"
    return CacheProgress(state="Downloading", reason="Downloading", message=message, job=job, attempt=attempt)


def _failure(failed: Body, pods: list[Body], known: DownloadStatus) -> Cause:
    """Return why a Job failed: its pods' words, what status remembers of them, or the Job's own reason."""
    reason = failed.get("reason", "")
    causes = [cause for cause in map(pod_cause, reversed(pods)) if cause]
    if reason == "DeadlineExceeded":
        # The deadline deletes the pod and its words with it.
        before = known.last_failure
        if before and before.reason == "DeadlineExceeded" and not causes:
            return Cause(before.reason, before.message)  # has the words already, maybe by an earlier look
        last = causes[0].message if causes else before.message if before else ""
        return Cause("DeadlineExceeded", "the download took too long" + (f"; before: {last}" if last else ""))
    if causes:
        return causes[0]
    if known.last_failure:
        return Cause(known.last_failure.reason, known.last_failure.message)
    return Cause(reason or "BackoffLimitExceeded", failed.get("message", "") or "the download failed")


def _pods_of_job(observed: Observed, job: Body) -> list[Body]:
    uid = job["metadata"]["uid"]
    pods = (*observed.pods_of(DOWNLOAD), *observed.pods_of(BINDER))
    return [
        pod
        for pod in pods
        if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences", ()))
    ]


def _states(pod: Body) -> Iterable[Body]:
    for container in pod.get("status", {}).get("containerStatuses", ()):
        yield container.get("state", {})
