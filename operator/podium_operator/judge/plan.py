"""From what should be and what is: what to apply, what to delete, and why. Pure."""

from collections.abc import Iterable, Mapping

import msgspec

from podium_operator.judge.drift import lacks, taker
from podium_operator.render.children import Children, Manifest
from podium_operator.render.deployment import is_zeroed
from podium_operator.resource.names import APPLIED_ANNOTATION, OPERATOR_ANNOTATION
from podium_operator.resource.reranker import Reranker
from podium_operator.seen.observed import (
    OPERATOR_FIELD,
    Body,
    Contest,
    Granted,
    ObjectKey,
    Observed,
    is_leaving,
    is_owned,
)

_CREATED_ONCE = frozenset({"Job"})
"""A Job's template is immutable: it is made or deleted, never changed."""
_NEVER_DELETED = frozenset({"PersistentVolumeClaim", "ServiceAccount", "Service", "Deployment"})
"""Downloaded files go with the claim's owner or not at all. Of the others one is wanted at all times: a
second one is a copy that someone made, owner and all, and the operator's role deletes none.
"""


class Apply(msgspec.Struct, frozen=True, kw_only=True):
    """One object to apply. `uid`: the live object that it must still be; None: there must be none."""

    manifest: Manifest
    reason: str
    uid: str | None = None
    taken: Contest | None = None


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """One owned object that should not be."""

    kind: str
    name: str
    uid: str
    reason: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass carries out: deletions, the handover, applies; nothing where `conflicts` are, or objects of
    an earlier Reranker of this name that are still `leaving`.
    """

    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    handover: Manifest | None = None
    conflicts: tuple[ObjectKey, ...] = ()
    leaving: tuple[ObjectKey, ...] = ()
    going: tuple[ObjectKey, ...] = ()
    """The Reranker's own that someone deletes: they are made anew when they are gone."""

    @property
    def concerns(self) -> frozenset[ObjectKey]:
        """All that something is to be done about, or that stands in the way."""
        applied = {key_of(apply.manifest) for apply in self.applies}
        return frozenset(
            applied | {(delete.kind, delete.name) for delete in self.deletes} | {*self.conflicts}
        )

    @property
    def empty(self) -> bool:
        """Whether all is as it should be."""
        return not (self.applies or self.deletes or self.handover)


def key_of(manifest: Body) -> ObjectKey:
    """Return the kind and name of an object."""
    return manifest["kind"], manifest["metadata"]["name"]


def make_plan(reranker: Reranker, children: Children, observed: Observed) -> Plan:
    """Return what to do so that the cluster holds these children and no other of the Reranker's."""
    applies: list[Apply] = []
    conflicts: list[ObjectKey] = []
    leaving: list[ObjectKey] = []
    going: list[ObjectKey] = []
    for manifest in children.manifests:
        key = key_of(manifest)
        live = observed.children.get(key)
        refusal = observed.refusals.get(key)
        if live is None and refusal and refusal.foreign:
            conflicts.append(key)
        elif live is not None and not is_owned(reranker, live):
            (leaving if is_leaving(reranker, live) else conflicts).append(key)
        elif manifest["kind"] in _CREATED_ONCE and live is not None:
            continue
        elif live is not None and live["metadata"].get("deletionTimestamp"):
            going.append(key)
        else:
            applies += _compare(reranker, manifest, live, observed.granted.get(key))
    if conflicts or leaving:
        # Half a set would be worse than none: pods could run under an account that is not theirs.
        return Plan(conflicts=tuple(conflicts), leaving=tuple(leaving))
    wanted = {key_of(manifest) for manifest in children.manifests} | children.kept
    deletes = tuple(_surplus(reranker, observed.children, wanted))
    return Plan(applies=tuple(applies), deletes=deletes, handover=children.handover, going=tuple(going))


def digest_of(manifest: Body) -> str:
    """Return the digest of the words of a rendered object."""
    return str(manifest["metadata"]["annotations"][APPLIED_ANNOTATION])


def _compare(
    reranker: Reranker, manifest: Manifest, live: Body | None, granted: Granted | None
) -> Iterable[Apply]:
    """Yield the object where the live one is missing, was applied otherwise, or lost a field.

    Lost is what differs from the API server's own answer to our apply. Where that is not known (the process
    is new), an object that differs from our words is applied once, to hear the answer.
    """
    if live is None:
        yield Apply(manifest=manifest, reason="missing")
        return
    metadata = live["metadata"]
    uid = metadata["uid"]
    annotations, ours = metadata.get("annotations", {}), manifest["metadata"]["annotations"]
    other = annotations.get(OPERATOR_ANNOTATION)
    if other is not None and other != ours[OPERATOR_ANNOTATION]:
        taken = _taken(manifest, other, OPERATOR_FIELD)
        yield Apply(manifest=manifest, reason=f"was applied by operator {other}", uid=uid, taken=taken)
    elif granted and (granted.uid, granted.digest) == (uid, digest_of(manifest)):
        path = next(lacks(live, manifest if granted.expected is None else granted.expected), None)
        if path is not None:
            taken = _taken(manifest, taker(live, path), path)
            yield Apply(manifest=manifest, reason=f"{path} was taken", uid=uid, taken=taken)
    elif annotations.get(APPLIED_ANNOTATION) != digest_of(manifest):
        field = _answered(reranker, manifest, live)
        answered = _taken(manifest, taker(live, field), field) if field else None
        yield Apply(manifest=manifest, reason="changed", uid=uid, taken=answered)
    elif (path := next(lacks(live, manifest), None)) is not None:
        yield Apply(manifest=manifest, reason=f"{path} is not as asked for", uid=uid)


def _answered(reranker: Reranker, manifest: Manifest, live: Body) -> str | None:
    """Return the field of a Deployment that is rendered only because someone wrote it: what was there before
    is not in our words, so that they change.
    """
    if manifest["kind"] != "Deployment":
        return None
    if manifest["spec"].get("paused") is False:
        return "spec.paused"
    return "spec.replicas" if is_zeroed(reranker, live) else None


def _taken(manifest: Manifest, manager: str, path: str) -> Contest:
    kind, name = key_of(manifest)
    return Contest(manager=manager, kind=kind, name=name, field=path)


def _surplus(reranker: Reranker, live: Mapping[ObjectKey, Body], wanted: set[ObjectKey]) -> Iterable[Delete]:
    """Yield what is owned, by its owner and not only by a label, and no longer wanted."""
    for (kind, name), body in sorted(live.items()):
        if (kind, name) in wanted or kind in _NEVER_DELETED or not is_owned(reranker, body):
            continue
        if not body["metadata"].get("deletionTimestamp"):
            yield Delete(kind=kind, name=name, uid=body["metadata"]["uid"], reason="no longer wanted")
