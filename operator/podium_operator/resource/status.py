"""`status` of a Reranker: conditions, numbers, and the reasons that the service's containers give."""

# ruff: noqa: RUF012  msgspec copies an empty list or dict that is a default

import enum
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from podium_operator.resource.fields import Base, Name, Verbatim, doc


class ServiceReason(enum.StrEnum):
    """Reasons in the termination message of the service's containers; the service keeps the same list."""

    UNAUTHORIZED = "Unauthorized"
    GATED_MODEL = "GatedModel"
    MODEL_NOT_FOUND = "ModelNotFound"
    RATE_LIMITED = "RateLimited"
    TLS_FAILURE = "TLSFailure"
    PROXY_FAILURE = "ProxyFailure"
    HUB_UNAVAILABLE = "HubUnavailable"
    NO_SPACE = "NoSpace"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    SELF_TEST_FAILED = "SelfTestFailed"


class ConditionType(enum.StrEnum):
    """The conditions, in the order in which they stand in status."""

    ACCEPTED = "Accepted"
    CACHE_READY = "CacheReady"
    SCHEDULED = "Scheduled"
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    AUTOSCALING_READY = "AutoscalingReady"
    DEGRADED = "Degraded"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    READY = "Ready"


class Condition(Base, frozen=True, kw_only=True):
    """One statement about the Reranker."""

    type: Annotated[Name, doc("What the statement is about.")]
    status: Annotated[Literal["True", "False", "Unknown"], doc("Whether it holds.")]
    reason: Annotated[Name, doc("One word for programs.")]
    message: Annotated[str, doc("A sentence for people: the object, the number, the remedy.")]
    observed_generation: Annotated[int, doc("Generation of the spec that it speaks of.")] = 0
    last_transition_time: Annotated[str, doc("When `status` last changed.", format="date-time")] = ""


class ModelStatus(Base, frozen=True, kw_only=True):
    """The model that is served or being fetched."""

    uri: Annotated[str, doc("Where it comes from.")] = ""
    resolved_revision: Annotated[str | None, doc("Commit that was downloaded.")] = None
    size_bytes: Annotated[int | None, doc("Bytes that were downloaded.")] = None


class CacheStatus(Base, frozen=True, kw_only=True):
    """Where the model lies."""

    claim_name: Annotated[str | None, doc("The claim.")] = None
    path: Annotated[str | None, doc("Folder of the model as the pods see it.")] = None
    size: Annotated[str | None, doc("Size of the claim as it is; someone may have grown it.")] = None
    node: Annotated[
        str | None, doc("Node that has the volume of a claim which one node can use at a time.")
    ] = None
    state: Annotated[
        Literal["NotNeeded", "Pending", "Downloading", "Ready", "Failed"] | None, doc("How far it is.")
    ] = None


class Failure(Base, frozen=True, kw_only=True):
    """Why the last download failed."""

    reason: Annotated[str, doc("One word, as in CacheReady.")]
    message: Annotated[str, doc("What happened.")]
    time: Annotated[str, doc("When.", format="date-time")]


class DownloadStatus(Base, frozen=True, kw_only=True):
    """Tries to fill the cache from the current source."""

    source: Annotated[str | None, doc("Digest of the source that the numbers speak of.")] = None
    attempts: Annotated[int, doc("Jobs started for this source.")] = 0
    last_failure: Annotated[Failure | None, doc("Why the last one failed; gone after a success.")] = None


class Pinned(Base, frozen=True, kw_only=True):
    """What the pods took from the operator's own settings; an operator's upgrade does not move it."""

    shape: Annotated[str, doc("Digest of the part of the spec that shapes pods.")] = ""
    image: Annotated[str, doc("Image where the spec names none.")] = ""
    pull_secrets: Annotated[list[str], doc("The operator's own pull secrets.")] = []
    otlp_endpoint: Annotated[str | None, doc("Where traces go.")] = None
    device: Annotated[str | None, doc("Device of pods that ask for an NVIDIA GPU.")] = None
    pod_security: Annotated[
        Verbatim | None, doc("Security context of the pods, where a setting has one.")
    ] = None
    container_security: Annotated[
        Verbatim | None, doc("Security context of their containers, where a setting has one.")
    ] = None


class RerankerStatus(Base, frozen=True, kw_only=True):
    """What is."""

    observed_generation: Annotated[int, doc("Generation of the spec that was last looked at.")] = 0
    conditions: Annotated[
        list[Condition],
        doc("What holds, Ready last.", x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["type"]),
    ] = []
    replicas: Annotated[int, doc("Pods that exist.")] = 0
    ready_replicas: Annotated[int, doc("Pods that answer.")] = 0
    desired_replicas: Annotated[int, doc("Pods that should run now.")] = 0
    selector: Annotated[str | None, doc("Label selector of the pods, for the scale subresource.")] = None
    url: Annotated[str | None, doc("Address of the Service inside the cluster.")] = None
    image: Annotated[str | None, doc("Image of the pods.")] = None
    up_to_date: Annotated[
        bool | None,
        doc("Whether the operator would make the same pods today: its image and its template, too."),
    ] = None
    rolled_out_generation: Annotated[
        int | None,
        doc("Generation of the Deployment whose pods have all been there; they may have failed later."),
    ] = None
    model: Annotated[ModelStatus | None, doc("The model.")] = None
    cache: Annotated[CacheStatus | None, doc("Where the model lies.")] = None
    download: Annotated[DownloadStatus | None, doc("Tries to fill the cache.")] = None
    pinned: Annotated[Pinned | None, doc("What the pods took from the operator's settings.")] = None


def read_status(body: Mapping[str, Any]) -> RerankerStatus:
    """Return the status of a resource; an empty one where it is absent or was written by someone else."""
    try:
        return msgspec.convert(body.get("status") or {}, RerankerStatus)
    except msgspec.ValidationError:
        return RerankerStatus()
