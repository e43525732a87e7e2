"""The Reranker as it is on the wire: names, status, conditions and their reasons."""

# ruff: noqa: RUF012  msgspec copies an empty list or dict that is a default

import enum
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from podium_operator.fields import Base, Name, doc
from podium_operator.spec import RerankerSpec

GROUP, VERSION, KIND, PLURAL, SHORT_NAME = "podium.sh", "v1alpha1", "Reranker", "rerankers", "rr"
API_VERSION = f"{GROUP}/{VERSION}"
MANAGER = "podium-operator"
"""Field manager of everything that the operator writes."""

OWNER_LABEL = f"{GROUP}/reranker"
"""On every child and pod: the Reranker's name. The operator watches nothing without it."""
CLAIM_LABEL = f"{GROUP}/claim"
APPLIED_ANNOTATION = f"{GROUP}/applied"
"""On every child: digest of what was applied, so that a field that is no longer wanted is noticed."""
PINNED_ANNOTATION = f"{GROUP}/pinned"
"""On the Deployment: the spec that shaped its pods and what they took from the operator's settings."""
REPLICAS_ANNOTATION = f"{GROUP}/replicas"
"""On the Deployment: `fixed` while the operator sets the number, `autoscaled` while it leaves it out."""
SHAPE_ANNOTATION = f"{GROUP}/shape"
ATTEMPT_ANNOTATION = f"{GROUP}/attempt"
"""On the download Job: digest of the spec that shaped it, and which try it is, from 1."""

PERMANENT_EXIT, TEMPORARY_EXIT = 42, 75
"""Exit codes of `podium fetch` and `podium serve`: trying again is of no use, or may be."""


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
    model: Annotated[ModelStatus | None, doc("The model.")] = None
    cache: Annotated[CacheStatus | None, doc("Where the model lies.")] = None
    download: Annotated[DownloadStatus | None, doc("Tries to fill the cache.")] = None
    pinned: Annotated[Pinned | None, doc("What the pods took from the operator's settings.")] = None


class Reranker(msgspec.Struct, frozen=True, kw_only=True):
    """One Reranker, read. `raw` is its spec as the user wrote it: digests are made from that, so that a later
    version of the operator with more fields computes the same ones."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: RerankerSpec
    raw: Mapping[str, Any]
    status: RerankerStatus = RerankerStatus()

    @property
    def desired_replicas(self) -> int:
        """Pods that the spec asks for; for an autoscaled one the least."""
        if self.spec.suspend:
            return 0
        if self.spec.autoscaling:
            return self.spec.autoscaling.min_replicas
        return 1 if self.spec.replicas is None else self.spec.replicas


def read_status(body: Mapping[str, Any]) -> RerankerStatus:
    """Return the status of a resource; an empty one where it is absent or was written by someone else."""
    try:
        return msgspec.convert(body.get("status") or {}, RerankerStatus)
    except msgspec.ValidationError:
        return RerankerStatus()


def read_reranker(body: Mapping[str, Any]) -> Reranker:
    """Return the resource as a value; msgspec.ValidationError names the field of the spec that is wrong."""
    metadata = body["metadata"]
    raw = body.get("spec") or {}
    return Reranker(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        spec=msgspec.convert(raw, RerankerSpec),
        raw=raw,
        status=read_status(body),
    )
