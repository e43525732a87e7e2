"""Which pods are wanted: those that run, byte for byte, or those that today's code and settings would make.

An upgrade of the operator alone moves no pod: while the spec asks for the same pods, their template stays as
it was made, kept in an annotation of the Deployment, until `rollout.onUpgrade: Roll` has its turn.
"""

from datetime import datetime
from typing import Any

import msgspec

from podium_operator.render.pod import pod_template
from podium_operator.resource.names import PINNED_ANNOTATION, ROLLED_ANNOTATION, TEMPLATE_ANNOTATION
from podium_operator.resource.reranker import Reranker
from podium_operator.resource.source import Source, digest, model_source, shape
from podium_operator.resource.spec import RerankerSpec
from podium_operator.resource.status import Pinned
from podium_operator.resource.workload import Gpu
from podium_operator.seen.observed import Body
from podium_operator.seen.volumes import located
from podium_operator.settings import Settings

_ANNOTATIONS_BYTES = 250 * 1024
"""What record and template may take of the 256 KiB that all annotations of an object may have; a spec whose
record alone is longer is refused (`resource.validate`)."""


class Record(msgspec.Struct, frozen=True):
    """What the Deployment remembers of its making: the spec that shaped its pods, and what was pinned."""

    shape: dict[str, Any]
    pinned: Pinned


class Pods(msgspec.Struct, frozen=True, kw_only=True):
    """The pods that are wanted now.

    `up_to_date`: whether today's code and settings would make the same; None where there are none yet.
    `rolled`: when an upgrade moved them to what today's code makes. `turn`: "taken" where it moves them now,
    "awaited" where it would.
    """

    pinned: Pinned
    template: dict[str, Any]
    up_to_date: bool | None = None
    rolled: str | None = None
    turn: str | None = None


def wanted_pods(
    reranker: Reranker,
    live: Body | None,
    settings: Settings,
    now: datetime,
    *,
    claim: Body | None = None,
    waits: bool = False,
) -> Pods:
    """Return the pods of a Reranker, whose model lies on `claim`. `waits`: whether an upgrade must not move
    them now.

    What they take from the settings moves with the template alone: an operator with other settings, an erased
    status (read back from the Deployment) and a lost Deployment (read back from status) leave it as it is.
    """
    source, today = located(reranker, claim), _pinned_today(reranker, settings)
    fresh = pod_template(reranker, source, today)
    record = _record(live)
    if live is None or record is None or not _same_pods(reranker, source, record, today.shape):
        known = reranker.status.pinned if record is None else None
        pinned = known if known and known.shape == today.shape else today
        template = pod_template(reranker, source, pinned)
        return Pods(pinned=pinned, template=template, up_to_date=template == fresh if live else None)
    pinned = msgspec.structs.replace(record.pinned, shape=today.shape)
    template = _kept_template(live, fresh) or pod_template(reranker, source, pinned)
    if template == fresh:
        # Kept for as long as these are today's pods: where they fail later, no other Reranker gets such.
        rolled = live["metadata"]["annotations"].get(ROLLED_ANNOTATION)
        return Pods(pinned=today, template=template, up_to_date=True, rolled=rolled)
    kept = Pods(pinned=pinned, template=template, up_to_date=False)
    if not _rolls(reranker, settings):
        return kept
    if reranker.desired_replicas == 0:
        return Pods(pinned=today, template=fresh, up_to_date=True)
    if waits:
        return msgspec.structs.replace(kept, turn="awaited")
    moment = now.isoformat(timespec="microseconds")
    return Pods(pinned=today, template=fresh, up_to_date=True, rolled=moment, turn="taken")


def _pinned_today(reranker: Reranker, settings: Settings) -> Pinned:
    return Pinned(
        shape=digest(shape(reranker.raw)),
        image=settings.reranker_gpu_image if reranker.spec.gpu else settings.reranker_image,
        pull_secrets=list(settings.image_pull_secrets),
        otlp_endpoint=settings.otlp_endpoint,
        device=settings.gpu_device if _is_nvidia(reranker.spec.gpu) else None,
        pod_security=settings.pod_security_context,
        container_security=settings.container_security_context,
    )


def _is_nvidia(gpu: Gpu | None) -> bool:
    """Whether pods get an NVIDIA GPU: without one they fail and say so, and never serve on the CPU."""
    return gpu is not None and (bool(gpu.resource_claims) or gpu.resource_name.startswith("nvidia.com/"))


def _same_pods(reranker: Reranker, source: Source, record: Record, shape_now: str) -> bool:
    """Whether the spec asks for the pods that the record is of: also in other words, such as a default
    written out, and whatever else it changes, such as the Secret of the download.
    """
    if digest(record.shape) == shape_now:
        return True
    before = _as_recorded(reranker, record)
    if before is None:
        return False
    old = msgspec.structs.replace(model_source(before), one_node=source.one_node)
    return pod_template(before, old, record.pinned) == pod_template(reranker, source, record.pinned)


def _rolls(reranker: Reranker, settings: Settings) -> bool:
    rollout = reranker.spec.rollout
    return (rollout.on_upgrade or settings.on_upgrade) == "Roll" and not rollout.paused


def held(reranker: Reranker, live: Body | None) -> Reranker | None:
    """Return the Reranker as the live pods know it.

    While another model is downloaded the old pods serve on; number and rollout still follow the spec. None
    where there is no Deployment, or one whose record cannot be read: then it is left as it is.
    """
    record = _record(live)
    return _as_recorded(reranker, record) if record else None


def is_made_for(reranker: Reranker, live: Body) -> bool:
    """Whether the live pods were made for the spec as it is, by whichever operator and with its settings."""
    record = _record(live)
    return record is not None and digest(record.shape) == digest(shape(reranker.raw))


def _as_recorded(reranker: Reranker, record: Record) -> Reranker | None:
    current = {key: value for key, value in reranker.raw.items() if key not in shape(reranker.raw)}
    cache = {**reranker.raw.get("cache", {}), **record.shape.get("cache", {})}
    raw = {**current, **record.shape, **({"cache": cache} if cache else {})}
    try:
        spec = msgspec.convert(raw, RerankerSpec)
    except msgspec.ValidationError:
        return None
    return msgspec.structs.replace(reranker, spec=spec, raw=raw)


def _record(live: Body | None) -> Record | None:
    text = (live or {}).get("metadata", {}).get("annotations", {}).get(PINNED_ANNOTATION)
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=Record)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None


def _kept_template(live: Body, fresh: dict[str, Any]) -> dict[str, Any] | None:
    """Return the template as it was applied: from the annotation, or, where that has no room for it or an
    older operator made the Deployment, what the apply owns of the live template.
    """
    text = live["metadata"]["annotations"].get(TEMPLATE_ANNOTATION, "")
    if not text.startswith("{"):
        return fresh if text == digest(fresh) else live.get("appliedTemplate")
    try:
        found: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.ValidationError, msgspec.DecodeError):
        return live.get("appliedTemplate")
    return found


def annotations(reranker: Reranker, pods: Pods) -> dict[str, str]:
    """Return what the Deployment remembers of its pods."""
    record = Record(shape=shape(reranker.raw), pinned=pods.pinned)
    own = {PINNED_ANNOTATION: _text(record), TEMPLATE_ANNOTATION: _text(pods.template)}
    if sum(len(text.encode()) for text in own.values()) > _ANNOTATIONS_BYTES:
        own[TEMPLATE_ANNOTATION] = digest(pods.template)
    return {**own, ROLLED_ANNOTATION: pods.rolled} if pods.rolled else own


def _text(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()
