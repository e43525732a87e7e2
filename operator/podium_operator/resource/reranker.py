"""One Reranker as a value."""

from collections.abc import Mapping
from typing import Any

import msgspec

from podium_operator.resource.spec import RerankerSpec
from podium_operator.resource.status import RerankerStatus, read_status
from podium_operator.resource.workload import DEFAULT_CACHE_SIZE


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

    @property
    def cache_size(self) -> str:
        """Storage that the spec asks for, as a quantity."""
        size = self.spec.cache.size
        return str(DEFAULT_CACHE_SIZE if size is None else size)

    @property
    def progress_deadline_s(self) -> int:
        """Seconds without progress until a roll is stuck."""
        startup_s = self.spec.probes.startup_timeout_seconds
        return self.spec.rollout.progress_deadline_seconds or startup_s * 6 // 5 + 60


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
