"""The Deployment: which spec shapes its pods now, what is pinned, and who sets its number of pods."""

from typing import Any

import msgspec

from podium_operator.render.pod import labels, pod_template, selector
from podium_operator.render.replacing import REPLACING
from podium_operator.resource.names import PINNED_ANNOTATION, REPLICAS_ANNOTATION, ROLL_ANNOTATION
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import digest, model_source, shape
from podium_operator.resource.spec import RerankerSpec
from podium_operator.resource.status import Pinned
from podium_operator.seen.observed import Body
from podium_operator.settings import Settings

FIXED, AUTOSCALED = "fixed", "autoscaled"


class _Record(msgspec.Struct, frozen=True):
    """What the Deployment remembers of its making: the spec that shaped its pods, and what was pinned."""

    shape: dict[str, Any]
    pinned: Pinned


def resolve_pinned(reranker: Reranker, live: Body | None, settings: Settings) -> Pinned:
    """Return what the pods take from the operator's settings.

    It moves only when a part of the spec that shapes pods changes: an operator with other settings, an erased
    status (read back from the Deployment) and a lost Deployment (read back from status) leave it alone.
    """
    wanted = digest(shape(reranker.raw))
    record = _record(live)
    for known in (record.pinned if record else None, reranker.status.pinned):
        if known and known.shape == wanted:
            return known
    return Pinned(
        shape=wanted,
        image=settings.reranker_gpu_image if reranker.spec.gpu else settings.reranker_image,
        pull_secrets=list(settings.image_pull_secrets),
        otlp_endpoint=settings.otlp_endpoint,
    )


def held(reranker: Reranker, live: Body | None) -> tuple[Reranker, Pinned] | None:
    """Return the Reranker as the live pods know it, with what they pinned.

    While another model is downloaded the old pods serve on; number and rollout still follow the spec. None
    where there is no Deployment, or one whose record cannot be read: then it is left as it is.
    """
    record = _record(live)
    if record is None:
        return None
    current = {key: value for key, value in reranker.raw.items() if key not in shape(reranker.raw)}
    cache = {**reranker.raw.get("cache", {}), **record.shape.get("cache", {})}
    raw = {**current, **record.shape, **({"cache": cache} if cache else {})}
    try:
        spec = msgspec.convert(raw, RerankerSpec)
    except msgspec.ValidationError:
        return None
    return msgspec.structs.replace(reranker, spec=spec, raw=raw), record.pinned


def _record(live: Body | None) -> _Record | None:
    text = (live or {}).get("metadata", {}).get("annotations", {}).get(PINNED_ANNOTATION)
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=_Record)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None


def deployment(
    reranker: Reranker, pinned: Pinned, live: Body | None, *, parked: bool = False, replaces: bool = False
) -> dict[str, Any]:
    """Return the Deployment of a Reranker whose model is ready.

    `parked`: no pod runs for now. `replaces`: old pods go before new ones come, whatever `rollout` says.
    """
    rollout = reranker.spec.rollout
    number, mode = (0, FIXED) if parked else replicas(reranker, live)
    startup_s = reranker.spec.probes.startup_timeout_seconds
    gpu = reranker.spec.gpu is not None
    record = _Record(shape=shape(reranker.raw), pinned=pinned)
    optional = {
        "minReadySeconds": rollout.min_ready_seconds or None,
        "paused": rollout.paused or None,
        "replicas": number,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": reranker.name,
            "labels": labels(reranker),
            "annotations": {
                PINNED_ANNOTATION: msgspec.json.encode(record, order="deterministic").decode(),
                REPLICAS_ANNOTATION: mode,
                **({ROLL_ANNOTATION: REPLACING} if replaces else {}),
            },
        },
        "spec": {
            "selector": {"matchLabels": selector(reranker)},
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": rollout.progress_deadline_seconds or startup_s * 6 // 5 + 60,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {
                    # A surge pod would wait for the GPU that the old pod holds.
                    "maxSurge": 0 if replaces else _default(rollout.max_surge, 0 if gpu else 1),
                    "maxUnavailable": 1 if replaces else _default(rollout.max_unavailable, 1 if gpu else 0),
                },
            },
            "template": pod_template(reranker, model_source(reranker), pinned),
            **{key: value for key, value in optional.items() if value is not None},
        },
    }


def replicas(reranker: Reranker, live: Body | None) -> tuple[int | None, str]:
    """Return the number to apply and who sets it; None leaves the number to the autoscaler.

    A Deployment of 0, after `suspend` or by someone's hand, is raised to `minReplicas` first: an autoscaler
    leaves it alone.
    """
    if reranker.spec.autoscaling is None or reranker.spec.suspend:
        return reranker.desired_replicas, FIXED
    if live is not None and live["spec"].get("replicas") == 0:
        return reranker.desired_replicas, FIXED
    return None, AUTOSCALED


def is_zeroed(reranker: Reranker, live: Body | None) -> bool:
    """Whether someone else scaled the Deployment to 0 that an autoscaler looks after."""
    if live is None or reranker.spec.autoscaling is None or reranker.spec.suspend or is_fixed(live):
        return False
    return bool(live["spec"].get("replicas") == 0)


def handover(reranker: Reranker, wanted: Body, live: Body | None) -> dict[str, Any] | None:
    """Return what a second manager applies before the operator leaves `replicas` out, or None.

    A field that its last manager leaves out falls back to its default: 1 pod, at once.
    """
    leaves = wanted["metadata"]["annotations"][REPLICAS_ANNOTATION] == AUTOSCALED
    if not leaves or live is None or not is_fixed(live):
        return None
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": reranker.name, "uid": live["metadata"]["uid"]},
        "spec": {"replicas": live["spec"].get("replicas", 1)},
    }


def is_fixed(live: Body) -> bool:
    """Whether the live Deployment's number was last set by the operator."""
    return bool(live["metadata"].get("annotations", {}).get(REPLICAS_ANNOTATION, FIXED) == FIXED)


def _default(value: int | str | None, default: int) -> int | str:
    return default if value is None else value
