"""A download of a Reranker's model as it may stand: its claim, its Job and that Job's pods."""

import json
from typing import Any

import msgspec
from rerankers import (
    HUB,
    NOW_TEXT,
    body,
    look,
    pod,
    settle,
    with_status,
)

from podium_operator.resource.source import download_job_name
from podium_operator.seen.download_progress import CacheProgress
from podium_operator.seen.observed import Observed

BOUND = {
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "demo-cache", "uid": "c"},
    "status": {"phase": "Bound"},
}


RESOURCE = body(model={"uri": HUB})


def progress(observed: Observed, resource: dict = RESOURCE) -> CacheProgress:
    """Return how far the model's files are by what is observed."""
    return look(resource, observed).view.progress


def job_name(resource: dict = RESOURCE) -> str:
    """Return the name of the download Job."""
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
    """Return a pod of the download that ended with such a code and termination message."""
    message = words if isinstance(words, str) else json.dumps(words)
    state = {"terminated": {"exitCode": code, "message": message, "finishedAt": NOW_TEXT, **more}}
    return pod("dl-1", application="reranker-download", container="download", state=state)


FAILED = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "lastTransitionTime": NOW_TEXT}
