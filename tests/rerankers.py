"""Rerankers and observations for the operator's tests, as few words as possible."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from podium_operator.decision import Decision, decide
from podium_operator.judge.plan import key_of
from podium_operator.render.children import Children, render_children
from podium_operator.resource.names import CLAIM_LABEL, OWNER_LABEL
from podium_operator.resource.reranker import Reranker, read_reranker
from podium_operator.resource.status import RerankerStatus
from podium_operator.seen.observed import Observed
from podium_operator.settings import Settings
from podium_operator.tell.status import make_status

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOW_TEXT = "2026-03-01T12:00:00Z"
UID = "11111111-2222-3333-4444-555555555555"
SETTINGS = Settings(reranker_image="podium:cpu", reranker_gpu_image="podium:cuda")
HUB = "hf://org/model"


def body(name: str = "demo", *, generation: int = 1, status: Any = None, **spec: Any) -> dict[str, Any]:
    """Return a Reranker as the API has it; the built-in model unless `model` says otherwise."""
    metadata = {"name": name, "namespace": "search", "uid": UID, "generation": generation}
    whole = {"kind": "Reranker", "metadata": metadata, "spec": {"model": {"uri": "builtin"}, **spec}}
    return {**whole, "status": status} if status else whole


def reranker(name: str = "demo", **spec: Any) -> Reranker:
    """Return a Reranker as a value."""
    return read_reranker(body(name, **spec))


def look(
    resource: Mapping[str, Any], observed: Observed | None = None, settings: Settings = SETTINGS
) -> Decision:
    """Return what is decided now."""
    return decide(resource, observed or Observed(), settings, NOW)


def status_of(
    resource: Mapping[str, Any], observed: Observed | None = None, settings: Settings = SETTINGS
) -> RerankerStatus:
    """Return the status that is written now."""
    decision = look(resource, observed, settings)
    before = msgspec.convert(resource.get("status") or {}, RerankerStatus)
    return make_status(decision.view, before, resource["metadata"]["generation"], decision.pinned, NOW)


def condition_of(status: RerankerStatus, kind: str) -> tuple[str, str, str]:
    """Return status, reason and message of a condition."""
    found = next(condition for condition in status.conditions if condition.type == kind)
    return found.status, found.reason, found.message


def living(manifest: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an applied object as the cluster has it: with a UID, a time and a version."""
    metadata = {
        **manifest["metadata"],
        "uid": f"uid-{manifest['kind']}-{manifest['metadata']['name']}",
        "creationTimestamp": "2026-03-01T11:00:00Z",
        "generation": 1,
    }
    return {**manifest, "metadata": metadata, **changes}


def settle(resource: Mapping[str, Any], settings: Settings = SETTINGS, **observed: Any) -> Observed:
    """Apply what is planned until nothing is, as a cluster without controllers would keep it."""
    seen = Observed(**observed)
    for _ in range(8):
        plan = look(resource, seen, settings).plan
        if plan.empty:
            return seen
        children = dict(seen.children)
        for delete in plan.deletes:
            children.pop((delete.kind, delete.name))
        for apply in plan.applies:
            key = key_of(apply.manifest)
            kept = {k: v for k, v in children.get(key, {}).items() if k == "status"}
            children[key] = living(apply.manifest, **kept)
        claim = children.get(("PersistentVolumeClaim", f"{resource['metadata']['name']}-cache"))
        seen = msgspec.structs.replace(seen, children=children, claim=seen.claim or claim)
    raise AssertionError(f"the plan never becomes empty: {look(resource, seen, settings).plan}")


def with_status(observed: Observed, kind: str, name: str, **status: Any) -> Observed:
    """Return the observation with another status of one child."""
    children = dict(observed.children)
    children[kind, name] = {**children[kind, name], "status": status}
    return msgspec.structs.replace(observed, children=children)


def downloaded(resource: Mapping[str, Any], **more: Any) -> Observed:
    """Return the observation after the download: the claim is bound, the Job is complete."""
    bound = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "x", "uid": "c"},
        "status": {"phase": "Bound"},
    }
    seen = settle(resource, claim=bound, **more)
    job = next(name for kind, name in seen.children if kind == "Job")
    seen = with_status(seen, "Job", job, conditions=[{"type": "Complete", "status": "True"}])
    return settle(resource, **{**more, "claim": bound, "children": seen.children})


def pod(
    name: str = "demo-abc-12345",
    *,
    application: str = "reranker",
    owner: str = "rs",
    node: str | None = "node-1",
    ready: bool = False,
    state: Any = None,
    last: Any = None,
    restarts: int = 0,
    scheduled: str | None = None,
    phase: str = "Running",
    container: str = "reranker",
    claim: str = "demo-cache",
) -> dict[str, Any]:
    """Return a pod as the store keeps it. `scheduled`: the scheduler's complaint."""
    conditions = [{"type": "Ready", "status": str(ready), "reason": "" if ready else "ContainersNotReady"}]
    placed = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": scheduled}
    conditions.append(placed if scheduled else {"type": "PodScheduled", "status": "True"})
    one = {"name": container, "image": "podium:cpu", "ready": ready, "restartCount": restarts}
    one |= {"state": state or {"running": {}}, "lastState": last or {}}
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": {"app.kubernetes.io/name": application, OWNER_LABEL: "demo", CLAIM_LABEL: claim},
            "ownerReferences": [{"uid": owner}],
            "creationTimestamp": "2026-03-01T11:00:00Z",
        },
        "spec": {"nodeName": node} if node and not scheduled else {},
        "status": {
            "phase": "Pending" if scheduled else phase,
            "conditions": conditions,
            "containerStatuses": [] if scheduled else [one],
        },
    }


def numbers(observed: Observed, name: str = "demo", **counts: int) -> Observed:
    """Return the observation with these numbers in the Deployment's status."""
    return with_status(observed, "Deployment", name, observedGeneration=1, **counts)


def serving(observed: Observed, count: int = 1, name: str = "demo") -> Observed:
    """Return the observation with that many pods that answer."""
    keys = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
    return numbers(observed, name, **dict.fromkeys(keys, count))


def children_of(resource: Mapping[str, Any], observed: Observed | None = None) -> Children:
    """Return what is rendered."""
    decision = look(resource, observed)
    view = decision.view
    return render_children(view.reranker, view.source, view.progress, view.observed, SETTINGS, NOW)


def with_pods(observed: Observed, *pods: Mapping[str, Any]) -> Observed:
    """Return the observation with these pods and no other."""
    return msgspec.structs.replace(observed, pods=pods)


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """Return the state of a container that waits."""
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int = 1, message: Any = "", **more: Any) -> dict[str, Any]:
    """Return the state of a container that ended, with these last words, an object as JSON."""
    text = message if isinstance(message, str) else json.dumps(message)
    return {"terminated": {"exitCode": code, "message": text, **more}}


CRASH = waiting("CrashLoopBackOff")
NO_GPU = "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {a: b}."
