"""Why a download does not get on, or failed: what its pods, its Job and their Events say."""

from podium_operator.resource.names import BINDER, DOWNLOAD
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import Source, download_job_name
from podium_operator.resource.status import DownloadStatus
from podium_operator.seen.observed import Body, Observed
from podium_operator.seen.pod_causes import Cause, pod_cause
from podium_operator.seen.scheduler_words import schedule_cause
from podium_operator.seen.volumes import volume_waits


def download_trouble(
    reranker: Reranker, source: Source, observed: Observed, pods: list[Body]
) -> Cause | None:
    """Return why a Job that neither succeeded nor failed does not get on; the newest pod speaks first."""
    waits = {pod["metadata"]["name"]: cause for pod, cause in volume_waits(reranker, source, observed)}
    for pod in reversed(pods):
        unplaced = schedule_cause(pod, None)
        if unplaced:
            return Cause("Unschedulable", unplaced.message)
        cause = pod_cause(pod) or waits.get(pod["metadata"]["name"])
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


def failure_cause(failed: Body, pods: list[Body], known: DownloadStatus) -> Cause:
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


def pods_of_job(observed: Observed, job: Body) -> list[Body]:
    """Return the pods that a Job made, oldest first; those of downloads before those that bind a claim."""
    uid = job["metadata"]["uid"]
    pods = (*observed.pods_of(DOWNLOAD), *observed.pods_of(BINDER))
    return [
        pod
        for pod in pods
        if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences", ()))
    ]
