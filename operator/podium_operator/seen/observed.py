"""What was seen of a Reranker and its surroundings, as values; everything that decides takes this."""

from collections.abc import Mapping
from typing import Any

import msgspec

from podium_operator.resource.names import KIND, OPERATOR_ANNOTATION, OWNER_LABEL
from podium_operator.resource.reranker import Reranker

Body = Mapping[str, Any]
"""An object of the API, trimmed to what is compared or read."""
Listing = tuple[str, str, str, int]
"""Namespace, name, uid and resource version of an object that exists."""
ObjectKey = tuple[str, str]
"""Kind and name of an object in the Reranker's namespace."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a child was not taken: code 0 without an answer. `foreign`: one of that name is someone else's."""

    code: int
    message: str
    foreign: bool = False


class WarningEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The newest Warning Event of one reason about an own Job, ReplicaSet or pod."""

    kind: str
    name: str
    reason: str
    message: str


OPERATOR_FIELD = f"metadata.annotations.{OPERATOR_ANNOTATION}"


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """A field that another manager keeps taking back; of OPERATOR_FIELD, the other operator's identity."""

    manager: str
    kind: str
    name: str
    field: str


class Granted(msgspec.Struct, frozen=True):
    """What the API server made of an object that was applied.

    `digest`: of the words that it answered to. `expected`: what it made of them, None where it took them as
    they were.
    """

    uid: str
    digest: str
    expected: Body | None


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """The Reranker's children and pods, the claim of its model, and what the API server said."""

    children: Mapping[ObjectKey, Body] = {}
    pods: tuple[Body, ...] = ()
    claim: Body | None = None
    warnings: tuple[WarningEvent, ...] = ()
    addons: frozenset[str] = frozenset()
    refusals: Mapping[ObjectKey, Refusal] = {}
    zeroed_by: str | None = None
    """The manager that scaled an autoscaled Deployment to 0, until a pod answers again."""
    contests: tuple[Contest, ...] = ()
    """Fields that are contested now, the one that was taken last first."""
    rolling: str | None = None
    """Another Reranker of the namespace that an upgrade moved and whose pods are not all there yet."""
    granted: Mapping[ObjectKey, Granted] = {}
    """Of the objects that this process has applied."""

    def get(self, kind: str, name: str) -> Body | None:
        """Return a child as it is in the cluster."""
        return self.children.get((kind, name))

    def pods_of(self, application: str) -> list[Body]:
        """Return the pods with that app.kubernetes.io/name, oldest first."""
        found = [
            pod for pod in self.pods if pod["metadata"]["labels"].get("app.kubernetes.io/name") == application
        ]
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))


def is_owned(reranker: Reranker, body: Body) -> bool:
    """Whether an object is the Reranker's: by owner, and a retained claim by its label."""
    metadata = body["metadata"]
    if any(owner["uid"] == reranker.uid for owner in metadata.get("ownerReferences", ())):
        return True
    retained = body["kind"] == "PersistentVolumeClaim" and not metadata.get("ownerReferences")
    return bool(retained and metadata.get("labels", {}).get(OWNER_LABEL) == reranker.name)


def is_leaving(reranker: Reranker, body: Body) -> bool:
    """Whether an object that is not the Reranker's goes by itself: it is being deleted, or belongs to an
    earlier Reranker of this name, so that the garbage collector takes it.
    """
    metadata = body["metadata"]
    earlier = any(
        owner.get("controller") and (owner["kind"], owner["name"]) == (KIND, reranker.name)
        for owner in metadata.get("ownerReferences", ())
    )
    return (earlier or "deletionTimestamp" in metadata) and not is_owned(reranker, body)


def condition(body: Body | None, kind: str) -> Body | None:
    """Return the condition of that type of an object, or None."""
    conditions = (body or {}).get("status", {}).get("conditions", ())
    return next((item for item in conditions if item["type"] == kind), None)


def condition_is(body: Body | None, kind: str, status: str = "True") -> bool:
    """Whether an object has that condition with that status."""
    found = condition(body, kind)
    return found is not None and found["status"] == status


def is_rolled_out(deployment: Body) -> bool:
    """Whether every pod of a Deployment is of its newest template and available."""
    numbers, wanted = deployment.get("status", {}), int(deployment["spec"].get("replicas", 1))
    if int(numbers.get("observedGeneration", 0)) < int(deployment["metadata"].get("generation", 0)):
        return False
    counts = {int(numbers.get(key, 0)) for key in ("replicas", "updatedReplicas", "availableReplicas")}
    return counts == {wanted}
