"""What the watches delivered: trimmed records, found by their Reranker. No clock, no socket."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Set
from typing import Any

import msgspec

from podium_operator.resource.names import MANAGER, OWNER_LABEL, ROLLED_ANNOTATION, TEMPLATE_ANNOTATION
from podium_operator.seen.kinds import POD, RERANKER
from podium_operator.seen.managed_fields import owned_part
from podium_operator.seen.observed import Body, Listing, ObjectKey, Observed, is_rolled_out

Key = tuple[str, str]
"""Namespace and name of a Reranker."""
_Place = tuple[str, str, str]
_TOMBSTONES = 10_000

_CONDITION = ("type", "status", "reason", "message")
_CONTAINER = ("name", "image", "ready", "restartCount", "state", "lastState")


class _Record(msgspec.Struct):
    """One object: JSON takes a tenth of the memory of dicts."""

    uid: str
    version: int
    heard: int
    """The newest version that the watch delivered; less than `version` after an apply's answer."""
    owner: str | None
    content: bytes


class Store:
    """Objects by kind, namespace and name."""

    def __init__(self) -> None:
        self._records: dict[_Place, _Record] = {}
        self._owned: dict[Key, set[_Place]] = {}
        self._gone: OrderedDict[_Place, int] = OrderedDict()
        self._rolled: dict[str, set[str]] = {}
        """Deployments by namespace that an upgrade has moved."""

    def put(self, body: Mapping[str, Any], *, watched: bool = True) -> Key | None:
        """Take an object as it is now; return its Reranker where something that counts has changed.

        `watched` tells what a watch delivered from the answer to an apply. What is older than the record (a
        watch that lags behind such an answer) is not taken.
        """
        metadata = body["metadata"]
        place = (body["kind"], metadata["namespace"], metadata["name"])
        version = int(metadata["resourceVersion"])
        known = self._records.get(place)
        same = known is not None and known.uid == metadata["uid"]
        heard = max(version if watched else 0, known.heard if known and same else 0)
        if known:
            known.heard = heard
        if (known and version <= known.version) or version <= self._gone.get(place, 0):
            return None
        content = msgspec.json.encode(trim(body))
        if known and known.content == content:
            known.version = version
            return None
        owner = metadata.get("labels", {}).get(OWNER_LABEL) if place[0] != RERANKER.name else None
        if known and known.owner and known.owner != owner:
            self._owned.get((place[1], known.owner), set()).discard(place)
        self._records[place] = _Record(metadata["uid"], version, heard, owner, content)
        if owner:
            self._owned.setdefault((place[1], owner), set()).add(place)
        moved = ROLLED_ANNOTATION in metadata.get("annotations", {}) and not is_rolled_out(body)
        self._note_roll(place, moved=moved)
        return self._key(place, owner)

    def drop(self, body: Mapping[str, Any]) -> Key | None:
        """Take note that an object is gone; return its Reranker where it was known."""
        metadata = body["metadata"]
        place = (body["kind"], metadata["namespace"], metadata["name"])
        version = int(metadata["resourceVersion"])
        known = self._records.get(place)
        if known and known.version > version and known.uid != metadata["uid"]:
            return None  # one of the same name was made since
        self._gone[place] = max(version, self._gone.get(place, 0))
        while len(self._gone) > _TOMBSTONES:
            self._gone.popitem(last=False)
        return self.forget(place)

    def forget(self, place: tuple[str, str, str], uid: str | None = None) -> Key | None:
        """Drop a record of (kind, namespace, name) that turned out to be wrong; return its Reranker.

        With `uid` only the record of that very object is dropped.
        """
        known = self._records.get(place)
        if known is None or (uid and known.uid != uid):
            return None
        del self._records[place]
        self._note_roll(place, moved=False)
        if known.owner:
            owned = self._owned.get((place[1], known.owner), set())
            owned.discard(place)
            if not owned:
                self._owned.pop((place[1], known.owner), None)
        return self._key(place, known.owner)

    def rerankers(self) -> list[Key]:
        """Return all Rerankers."""
        return [(place[1], place[2]) for place in self._records if place[0] == RERANKER.name]

    def reranker(self, key: Key) -> Any | None:
        """Return a Reranker's body, or None where it is gone."""
        record = self._records.get((RERANKER.name, *key))
        return msgspec.json.decode(record.content) if record else None

    def observe(self, key: Key) -> Observed:
        """Return the children and pods that bear a Reranker's label."""
        children: dict[ObjectKey, Body] = {}
        pods: list[Body] = []
        for place in sorted(self._owned.get(key, ())):
            body = msgspec.json.decode(self._records[place].content)
            if place[0] == POD.name:
                pods.append(body)
            else:
                children[place[0], place[2]] = body
        return Observed(children=children, pods=tuple(pods))

    def rolling(self, key: Key) -> str | None:
        """Return the first Reranker of this one's namespace that an upgrade moved and whose pods are not all
        there; None where there is none, or it is this one.

        When they were moved is not asked: a leader before may have had another clock.
        """
        name = min(self._rolled.get(key[0], ()), default=None)
        return None if name == key[1] else name

    def _note_roll(self, place: _Place, *, moved: bool) -> None:
        if place[0] == "Deployment":
            names = self._rolled.setdefault(place[1], set())
            (names.add if moved else names.discard)(place[2])

    def known(self, kind: str, namespace: str | None) -> set[Listing]:
        """Return (namespace, name, uid, version) of the records of a kind."""
        return {
            (place[1], place[2], record.uid, record.version)
            for place, record in self._records.items()
            if place[0] == kind and namespace in (None, place[1])
        }

    def relisted(self, kind: str, namespace: str | None, uids: Set[str]) -> list[Key]:
        """Drop what the watch of a kind delivered before and its new list does not have; return whose it was.

        What only the answer to an apply told may be newer than the list.
        """
        gone = [
            (kind, space, name)
            for space, name, uid, _ in self.known(kind, namespace)
            if uid not in uids and self._records[kind, space, name].heard
        ]
        return [key for key in map(self.forget, gone) if key]

    def behind(self, kind: str, listed: Iterable[Listing]) -> set[Listing]:
        """Return those of (namespace, name, uid, version) that the watch of a kind has not delivered."""
        found: set[Listing] = set()
        for space, name, uid, version in listed:
            place = (kind, space, name)
            record = self._records.get(place)
            heard = max(record.heard if record else 0, self._gone.get(place, 0))
            if heard < version:
                found.add((space, name, uid, version))
        return found

    def _key(self, place: _Place, owner: str | None) -> Key | None:
        if place[0] == RERANKER.name:
            return place[1], place[2]
        return (place[1], owner) if owner else None


def trim(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what rendering, comparing and status need of an object."""
    kind, metadata = body["kind"], body["metadata"]
    kept = {
        key: metadata[key]
        for key in (
            "name", "namespace", "uid", "generation", "labels", "annotations", "ownerReferences",
            "creationTimestamp", "deletionTimestamp",
        )
        if key in metadata
    }  # fmt: skip
    if kind == POD.name:
        return _trim_pod(body, kept)
    if kind == RERANKER.name:
        kept.pop("annotations", None)
        kept.pop("labels", None)
    result = {key: value for key, value in body.items() if key != "metadata"}
    if kind in ("Job", "Service"):
        # A Job's template is never compared; a Service's status is a load balancer's business.
        result.pop("spec" if kind == "Job" else "status", None)
    kept_template = metadata.get("annotations", {}).get(TEMPLATE_ANNOTATION, "")
    if kind == "Deployment" and not kept_template.startswith("{"):
        template = _applied_fields(body, "f:template")
        if template:
            result["appliedTemplate"] = owned_part(body["spec"]["template"], template)
    if kind == "PersistentVolumeClaim" and _applied_fields(body, "f:storageClassName") is not None:
        result["appliedClass"] = True  # what was applied and is left out would be taken out, which is refused
    foreign = [
        {"manager": entry["manager"], "time": entry.get("time", ""), "fieldsV1": entry.get("fieldsV1", {})}
        for entry in metadata.get("managedFields", ())
        if entry["manager"] != MANAGER and entry.get("subresource") != "status"
    ]
    if foreign and kind != RERANKER.name:
        result["foreignManagers"] = foreign
    return {**result, "metadata": kept}


def _applied_fields(body: Mapping[str, Any], field: str) -> Any:
    """Return what our own apply owns of a field of `spec`, as `fieldsV1`, or None."""
    for entry in body["metadata"].get("managedFields", ()):
        if (entry["manager"], entry.get("operation")) == (MANAGER, "Apply") and not entry.get("subresource"):
            return entry.get("fieldsV1", {}).get("f:spec", {}).get(field)
    return None


def _trim_pod(body: Mapping[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    metadata.pop("annotations", None)
    status = body.get("status", {})
    kept: dict[str, Any] = {key: status[key] for key in ("phase", "reason", "message") if key in status}
    kept["conditions"] = [_part(item, _CONDITION) for item in status.get("conditions", ())]
    for group in ("initContainerStatuses", "containerStatuses"):
        if group in status:
            kept[group] = [_part(item, _CONTAINER) for item in status[group]]
    spec = _part(body.get("spec", {}), ("nodeName",))
    requests = [
        {"resources": {"requests": container["resources"]["requests"]}}
        for container in body.get("spec", {}).get("containers", ())
        if container.get("resources", {}).get("requests")
    ]
    if requests:
        spec["containers"] = requests
    return {"kind": POD.name, "metadata": metadata, "spec": spec, "status": kept}


def _part(item: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: item[key] for key in keys if key in item}
