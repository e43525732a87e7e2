"""Rules across fields, as CEL: the API server refuses what breaks them, with the message that stands here.

Rules about change stand on `spec` and ask `has()` on both sides: on `cache` itself they would be passed by
removing it and adding it back, and a bare comparison of an absent field would refuse every edit.
"""

from typing import NamedTuple

from podium_operator.resource.workload import DEFAULT_CACHE_SIZE


class Rule(NamedTuple):
    """A CEL expression that must hold, and what is said where it does not."""

    cel: str
    message: str


NAME_LENGTH = 47
"""Longest name of a Reranker: a Job's suffix and its pods' suffix must fit into 63 characters."""

_PODS_SURGE = (
    "(has(self.rollout) && has(self.rollout.maxSurge) ? string(self.rollout.maxSurge) : "
    "has(self.gpu) ? '0' : '1')"
)
_PODS_MISSING = (
    "(has(self.rollout) && has(self.rollout.maxUnavailable) ? string(self.rollout.maxUnavailable) : "
    "has(self.gpu) ? '1' : '0')"
)
_PODS_LEAST = (
    "(has(self.autoscaling) ? (has(self.autoscaling.minReplicas) ? self.autoscaling.minReplicas : 1) : "
    "has(self.replicas) ? self.replicas : 1)"
)
_WAS_HUB = "oldSelf.model.uri.startsWith('hf://')"


def _unchanged(field: str) -> str:
    """Return CEL: `cache.<field>` neither changes nor appears nor goes, once a hub model has used it."""
    now, before = f"self.cache.{field}", f"oldSelf.cache.{field}"
    has_now, has_before = f"(has(self.cache) && has({now}))", f"(has(oldSelf.cache) && has({before}))"
    return f"!{_WAS_HUB} || ({has_now} ? {has_before} && {now} == {before} : !{has_before})"


def _immutable(field: str) -> Rule:
    return Rule(
        _unchanged(field),
        f"cache.{field} is immutable: make a new Reranker, or delete this one and its claim",
    )


ROOT = (
    Rule(
        f"size(self.metadata.name) <= {NAME_LENGTH} && "
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        f"metadata.name must have at most {NAME_LENGTH} characters, lower-case letters, digits and dashes, "
        "and begin with a letter: its Service bears it",
    ),
)

SPEC = (
    Rule(
        "!(has(self.replicas) && has(self.autoscaling))",
        "replicas and autoscaling exclude each other: remove one",
    ),
    Rule(
        f"!({_PODS_SURGE} in ['0', '0%'] && {_PODS_MISSING} in ['0', '0%'])",
        "rollout.maxSurge and rollout.maxUnavailable cannot both be zero "
        "(defaults: 1 and 0 on CPU, 0 and 1 with gpu): no pod could ever be replaced",
    ),
    Rule(
        "!has(self.cache) || !has(self.cache.accessModes) || "
        "!('ReadWriteOncePod' in self.cache.accessModes) || ("
        "(!has(self.replicas) || self.replicas <= 1) && "
        "(!has(self.autoscaling) || self.autoscaling.maxReplicas <= 1) && "
        f"{_PODS_SURGE} in ['0', '0%'])",
        "cache.accessModes ReadWriteOncePod admits one pod: set replicas to 1, rollout.maxSurge to 0 and "
        "rollout.maxUnavailable to 1, or use ReadWriteOnce",
    ),
    Rule(
        "!has(self.disruption) || !has(self.disruption.minAvailable) || "
        f"{_PODS_LEAST} == 0 || self.disruption.minAvailable < {_PODS_LEAST}",
        "disruption.minAvailable must be less than replicas, or than autoscaling.minReplicas where that is "
        "set (default of both: 1): a budget that spares no pod forbids every drain",
    ),
    Rule(
        "!has(self.gpu) || !has(self.gpu.resourceName) || !self.gpu.resourceName.startsWith('amd.com/') || "
        "(has(self.engine) && has(self.engine.image))",
        "gpu.resourceName amd.com/… needs engine.image with an image for ROCm: there is none of Podium's own",
    ),
    _immutable("storageClassName"),
    _immutable("accessModes"),
    _immutable("claimName"),
    Rule(
        f"!{_WAS_HUB} || (has(self.cache) && has(self.cache.size)"
        " ? quantity(string(self.cache.size)).compareTo(quantity("
        "has(oldSelf.cache) && has(oldSelf.cache.size) ? string(oldSelf.cache.size) : "
        f"'{DEFAULT_CACHE_SIZE}')) >= 0"
        " : !(has(oldSelf.cache) && has(oldSelf.cache.size)))",
        f"cache.size cannot shrink or be removed (default: {DEFAULT_CACHE_SIZE}): a claim only grows",
    ),
)

MODEL = (
    Rule(
        "self.uri == 'builtin' || "
        "self.uri.matches('^hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$') || "
        "self.uri.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9._-]+)*/?$')",
        "model.uri must be builtin, hf://org/name or pvc://claim/path",
    ),
    Rule(
        "!has(self.trustRemoteCode) || !self.trustRemoteCode || "
        "(has(self.revision) && self.revision.matches('^[0-9a-f]{40}$'))",
        "model.trustRemoteCode needs model.revision with a commit of 40 hex digits: a branch can change",
    ),
)

GPU = (
    Rule(
        "!has(self.count) || self.count <= 1",
        "gpu.count above 1 is refused: one process uses one GPU, so raise replicas",
    ),
    Rule(
        "!has(self.resourceClaims) || size(self.resourceClaims) == 0 || "
        "!(has(self.resourceName) || has(self.count) || has(self.product) || has(self.minMemory))",
        "gpu.resourceClaims excludes resourceName, count, product and minMemory: the claim has it all",
    ),
    Rule(
        "!has(self.resourceClaims) || self.resourceClaims.all(claim, "
        "has(claim.resourceClaimName) != has(claim.resourceClaimTemplateName))",
        "gpu.resourceClaims: each names either resourceClaimName or resourceClaimTemplateName",
    ),
)

AUTOSCALING = (
    Rule(
        "!has(self.minReplicas) || self.minReplicas >= 1",
        "autoscaling.minReplicas must be at least 1: nothing outside the pods could wake them; use suspend",
    ),
    Rule(
        "(has(self.minReplicas) ? self.minReplicas : 1) <= self.maxReplicas",
        "autoscaling.minReplicas cannot be more than autoscaling.maxReplicas",
    ),
)

CACHE = (
    Rule(
        "!has(self.claimName) || !(has(self.size) || has(self.storageClassName) || has(self.accessModes))",
        "cache.claimName names an existing claim: size, storageClassName and accessModes are its own",
    ),
)

TERMINATION = (
    Rule(
        "(has(self.drainSeconds) ? self.drainSeconds : 10) < "
        "(has(self.gracePeriodSeconds) ? self.gracePeriodSeconds : 60)",
        "termination.gracePeriodSeconds (default 60) must be more than termination.drainSeconds (default 10)",
    ),
)

RULES: dict[tuple[str, ...], tuple[Rule, ...]] = {
    (): ROOT,
    ("spec",): SPEC,
    ("spec", "model"): MODEL,
    ("spec", "gpu"): GPU,
    ("spec", "autoscaling"): AUTOSCALING,
    ("spec", "cache"): CACHE,
    ("spec", "termination"): TERMINATION,
}
"""Path in the schema to the rules that stand there."""
