"""Where a model comes from and where it lies on its volume; digests of what was asked for."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from podium_operator.resource.reranker import Reranker

MODELS_DIR = "/models"
"""Where the claim is mounted in Jobs and serving pods."""

_SHAPING = ("model", "gpu", "engine", "scheduling", "probes", "termination", "auth", "podTemplate")
_FETCHING = ("model", "gpu", "engine", "scheduling")
_LABEL_LENGTH = 63


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A model's place: `digest` names it, `claim` is None for the built-in model, `path` is PODIUM_MODEL."""

    kind: Literal["builtin", "claim", "hub"]
    digest: str
    path: str
    claim: str | None = None
    own_claim: bool = False
    """Whether the operator makes the claim; else the user named it."""
    repo: str | None = None
    one_node: bool = False
    """Whether the claim can be used on one node at a time, where that is known (`seen.volumes.located`)."""


def digest(value: object, length: int = 10) -> str:
    """Return the first hex digits of the SHA-256 of a value's canonical JSON."""
    encoded = msgspec.json.encode(value, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:length]


def own_claim_name(name: str) -> str:
    """Return the name of the claim that is made for a Reranker."""
    return f"{name}-cache"


def claim_label(claim: str) -> str:
    """Return the value of the label by which pods show their claim, whose name may be longer than a label."""
    return claim if len(claim) <= _LABEL_LENGTH else digest(claim, 16)


def model_source(reranker: Reranker) -> Source:
    """Return the source of the Reranker's model.

    The folder on the volume is named by everything that decides its content, so that another revision or
    another choice of files lies beside it, and a second Reranker on the same claim shares it.
    """
    model = reranker.spec.model
    scheme, _, rest = model.uri.partition("://")
    if scheme == "hf":
        identity = [model.uri, model.revision, sorted(model.include), sorted(model.exclude), model.endpoint]
        name = digest(identity)
        return Source(
            kind="hub",
            digest=name,
            path=f"{MODELS_DIR}/{rest.replace('/', '--')}/{name}",
            claim=reranker.spec.cache.claim_name or own_claim_name(reranker.name),
            own_claim=reranker.spec.cache.claim_name is None,
            repo=rest,
        )
    if scheme == "pvc":
        claim, _, folder = rest.partition("/")
        path = f"{MODELS_DIR}/{folder.strip('/')}".rstrip("/")
        return Source(kind="claim", digest=digest(model.uri), path=path, claim=claim)
    return Source(kind="builtin", digest=digest(model.uri), path="builtin")


def shape(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a spec, as the user wrote it, that shapes serving pods."""
    part = {key: raw[key] for key in _SHAPING if key in raw}
    cache = {key: value for key, value in raw.get("cache", {}).items() if key in ("claimName", "accessModes")}
    return {**part, "cache": cache} if cache else part


def job_shape(raw: Mapping[str, Any]) -> str:
    """Return the digest of the part of a spec that shapes the download: when it moves, a new Job is due."""
    part = {key: raw[key] for key in _FETCHING if key in raw}
    cache = {key: value for key, value in raw.get("cache", {}).items() if key != "retentionPolicy"}
    return digest([part, cache])


def download_job_name(reranker: Reranker, source: Source) -> str:
    """Return the Job's name: it follows from the source, so another model is another Job."""
    return f"{reranker.name}-dl-{source.digest}"


def binder_job_name(reranker: Reranker) -> str:
    """Return the binder's name: it follows from the serving pods' shape."""
    return f"{reranker.name}-bind-{digest(shape(reranker.raw), 6)}"
