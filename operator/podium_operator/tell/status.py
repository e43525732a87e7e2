"""Status from what was observed: conditions with their times, and numbers. Pure."""

from datetime import datetime
from typing import Literal, cast

from podium_operator.render.pod import selector
from podium_operator.resource.names import CONTAINER
from podium_operator.resource.status import (
    CacheStatus,
    Condition,
    ConditionType,
    DownloadStatus,
    ModelStatus,
    Pinned,
    RerankerStatus,
)
from podium_operator.seen.observed import is_rolled_out
from podium_operator.seen.volumes import claim_size
from podium_operator.tell.conditions import verdicts
from podium_operator.tell.view import Verdict, View

_MESSAGE_LENGTH = 1024


def make_status(
    view: View, before: RerankerStatus, generation: int, pinned: Pinned, now: datetime
) -> RerankerStatus:
    """Return the status; equal to `before` where nothing changed, times included."""
    reranker, source, progress = view.reranker, view.source, view.progress
    conditions = [
        _condition(kind, verdict, before, generation, now) for kind, verdict in verdicts(view).items()
    ]
    labels = ",".join(f"{key}={value}" for key, value in sorted(selector(reranker).items()))
    port = reranker.spec.service.port
    download = None
    if source.kind == "hub":
        # Of another source nothing is remembered; of this one the last failure stays until a success.
        failure = None if progress.ready else progress.failure
        attempts = progress.attempt or _known_attempts(before, source.digest)
        download = DownloadStatus(source=source.digest, attempts=attempts, last_failure=failure)
    return RerankerStatus(
        observed_generation=generation,
        conditions=conditions,
        replicas=int(view.numbers.get("replicas", 0)),
        ready_replicas=view.ready,
        desired_replicas=view.desired,
        selector=labels,
        url=f"http://{reranker.name}.{reranker.namespace}.svc" + ("" if port == 80 else f":{port}"),
        image=_live_image(view),
        up_to_date=view.up_to_date,
        rolled_out_generation=_rolled_out(view, before),
        model=ModelStatus(
            uri=reranker.spec.model.uri,
            resolved_revision=progress.resolved_revision,
            size_bytes=progress.size_bytes,
        ),
        cache=CacheStatus(
            claim_name=source.claim,
            path=source.path,
            size=claim_size(view.observed.claim),
            node=view.claim_node if view.on_one_node else None,
            state=progress.state,
        ),
        download=download,
        pinned=pinned,
    )


def _live_image(view: View) -> str | None:
    """Return the image of the pods as the API server took it; None while there is no Deployment."""
    if view.deployment is None:
        return None
    containers = view.deployment["spec"]["template"]["spec"]["containers"]
    return next((str(item["image"]) for item in containers if item["name"] == CONTAINER), None)


def _rolled_out(view: View, before: RerankerStatus) -> int | None:
    live = view.deployment
    if live is None:
        return None
    return int(live["metadata"].get("generation", 0)) if is_rolled_out(live) else before.rolled_out_generation


def _known_attempts(before: RerankerStatus, digest: str) -> int:
    known = before.download
    return known.attempts if known and known.source == digest else 0


def _condition(
    kind: ConditionType, verdict: Verdict, before: RerankerStatus, generation: int, now: datetime
) -> Condition:
    """Return the condition; its time moves only with its status."""
    old = next((condition for condition in before.conditions if condition.type == kind), None)
    moved = old is None or old.status != verdict.status
    message = verdict.message
    return Condition(
        type=kind.value,
        status=cast(Literal["True", "False", "Unknown"], verdict.status),
        reason=verdict.reason,
        message=message if len(message) <= _MESSAGE_LENGTH else message[: _MESSAGE_LENGTH - 1] + "…",
        observed_generation=generation,
        last_transition_time=timestamp(now) if moved or old is None else old.last_transition_time,
    )


def timestamp(moment: datetime) -> str:
    """Return a moment (UTC) as the API writes it, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
