"""How far the model's files are: from claim, Jobs and their pods, to what is to be made next."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from podium_operator.resource.names import ATTEMPT_ANNOTATION, SHAPE_ANNOTATION
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import (
    Source,
    binder_job_name,
    download_job_name,
    job_shape,
    own_claim_name,
)
from podium_operator.resource.status import ConditionType, DownloadStatus, Failure, ModelStatus
from podium_operator.seen.download_causes import download_trouble, failure_cause, pods_of_job
from podium_operator.seen.observed import Body, Observed, condition, condition_is, is_leaving
from podium_operator.seen.pod_causes import Cause, pod_cause, termination

FIRST_RETRY_S = 10.0
_UNBOUND = "PVCPending"
"""Reason of a claim without a volume, which a binder's failure bears too, and no download's."""


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
        return Cause(_UNBOUND, f"claim {source.claim} is being made")
    if claim["metadata"].get("deletionTimestamp"):
        return Cause("PVCTerminating", f"claim {source.claim} is being deleted, and pods still have it")
    if is_leaving(reranker, claim):
        message = f"claim {source.claim} goes with an earlier Reranker of this name"
        return Cause("PVCTerminating", message)
    if claim.get("status", {}).get("phase") == "Lost":
        return Cause("PVCLost", f"claim {source.claim} lost its volume")
    return None


def _hub_progress(
    reranker: Reranker, source: Source, observed: Observed, now: datetime, retry_max_s: float
) -> CacheProgress:
    found = _download(reranker, source, observed, now, retry_max_s)
    if found.ready or not _was_ready(reranker, source, observed.claim):
        return found
    model = reranker.status.model or ModelStatus()
    # Status is the record of it: a Job made anew would go, too, and be made anew for ever.
    return _downloaded(source, _known(reranker, source), model.resolved_revision, model.size_bytes, job=False)


def _was_ready(reranker: Reranker, source: Source, claim: Body | None) -> bool:
    """Whether status says that this source was ready on this very claim: then the Job that goes (someone
    gives all Jobs a time to live) takes nothing along.
    """
    status = reranker.status
    told = next((item for item in status.conditions if item.type == ConditionType.CACHE_READY), None)
    if (
        told is None
        or told.status != "True"
        or told.last_transition_time < _made(claim)
        or status.cache is None
    ):
        return False
    known = status.cache.claim_name == source.claim and status.cache.state == "Ready"
    return known and _known(reranker, source).source is not None


def _download(
    reranker: Reranker, source: Source, observed: Observed, now: datetime, retry_max_s: float
) -> CacheProgress:
    job = observed.get("Job", download_job_name(reranker, source))
    known = _known(reranker, source)
    if job is not None and condition_is(job, "Complete"):
        if job["status"].get("completionTime", _made(job)) < _made(observed.claim):
            return _waiting(source, known, known.attempts, "the claim was made anew", job=False)
        return _complete(reranker, source, observed, job, known)
    bound = (observed.claim or {}).get("status", {}).get("phase") == "Bound"
    if job is None and reranker.spec.gpu and not bound:
        return _binding(reranker, source, observed, known, now, retry_max_s)
    if known.last_failure and known.last_failure.reason == _UNBOUND:
        # The binder's: it says nothing of the download, and is over.
        known = msgspec.structs.replace(known, last_failure=None)
    if job is None:
        return _starting(reranker, source, observed, known)
    outdated = job["metadata"].get("annotations", {}).get(SHAPE_ANNOTATION) != job_shape(reranker.raw)
    pods = pods_of_job(observed, job)
    failed = _failed(job)
    if failed:
        cause = failure_cause(failed, pods, known)
        found = _ended(reranker, job, failed, cause, known, now, retry_max_s, at_once=outdated)
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
        causes = [cause.message for cause in map(pod_cause, reversed(pods_of_job(observed, job))) if cause]
        why = causes[0] if causes else failed.get("message", "")
        message = f"Job {name}, which binds claim {source.claim}, failed: {why}".rstrip(". ")
        cause = Cause(_UNBOUND, message)
        found = _ended(reranker, job, failed, cause, known, now, retry_max_s)
        return msgspec.structs.replace(found, binder=found.retry_at is not None)
    message = f"claim {source.claim} waits for a node with a GPU, where {name} may run"
    return CacheProgress(
        state="Pending", reason=_UNBOUND, message=message, binder=True, attempt=known.attempts,
        failure=known.last_failure,
    )  # fmt: skip


def _made(body: Body | None) -> str:
    """Return when an object was made, as the API writes it; such texts are in the order of their times."""
    return str((body or {"metadata": {}})["metadata"].get("creationTimestamp", ""))


def _attempt(job: Body) -> int:
    return int(job["metadata"].get("annotations", {}).get(ATTEMPT_ANNOTATION, "1"))


def _failed(job: Body | None) -> Body | None:
    """Return the condition by which a Job failed, or is about to."""
    found = condition(job, "Failed") or condition(job, "FailureTarget")
    return found if found and found["status"] == "True" else None


def _ended_at(failed: Body, told: Failure | None, now: datetime) -> datetime:
    """Return when a try failed or was seen to have, whichever is later: the controller's clock may be far
    behind this one, and the failure would be over before anyone was told of it. `told`: of this very try.
    """
    if told:
        return min(datetime.fromisoformat(told.time), now)
    return max(datetime.fromisoformat(failed["lastTransitionTime"]), now.replace(microsecond=0))


def _ended(
    reranker: Reranker, job: Body, failed: Body, cause: Cause, known: DownloadStatus, now: datetime,
    retry_max_s: float, *, at_once: bool = False,
) -> CacheProgress:  # fmt: skip
    """Return the progress after a failed try: the Job stays until `retry_at`; without one it goes now."""
    attempt, cache = _attempt(job), reranker.status.cache
    # While a try runs, status still has the failure of the one before.
    told = cache is not None and cache.state == "Failed" and known.attempts == attempt
    ended = _ended_at(failed, known.last_failure if told else None, now)
    failure = Failure(reason=cause.reason, message=cause.message, time=f"{ended:%Y-%m-%dT%H:%M:%SZ}")
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
    ends = [termination(state) for pod in pods_of_job(observed, job) for state in _states(pod)]
    words = next((end for end in reversed(ends) if end and end.resolved_revision), None)
    before = reranker.status.model if known.source else None
    revision = words.resolved_revision if words else (before.resolved_revision if before else None)
    size = words.bytes if words else (before.size_bytes if before else None)
    return _downloaded(source, known, revision, size, job=True)


def _downloaded(
    source: Source, known: DownloadStatus, revision: str | None, size: int | None, *, job: bool
) -> CacheProgress:
    shown = f" at {revision}" if revision else ""
    return CacheProgress(
        state="Ready", reason="Downloaded", message=f"{source.repo}{shown} lies in {source.path}", job=job,
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
    cause = download_trouble(reranker, source, observed, pods)
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


def _states(pod: Body) -> Iterable[Body]:
    for container in pod.get("status", {}).get("containerStatuses", ()):
        yield container.get("state", {})
