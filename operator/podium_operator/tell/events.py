"""Events about a Reranker: of which changes, and their bodies. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from podium_operator.resource.names import API_VERSION, KIND, MANAGER
from podium_operator.resource.status import ConditionType, RerankerStatus
from podium_operator.tell.status import timestamp

_MESSAGE_LENGTH = 1024
_GOOD_WHEN_FALSE = (ConditionType.DEGRADED,)
_QUIET = (ConditionType.PROGRESSING, ConditionType.RECONCILING, ConditionType.STALLED)
"""Conditions without Events: a roll shows in Available and in the Deployment's own, a refusal in Accepted."""
_ON_THE_WAY = frozenset({"Downloading", "PVCPending", "NoReadyReplicas", "Suspended"})
"""Reasons of a False condition that tell of no trouble."""


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """An Event to post about the Reranker."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    action: str


def transitions(before: RerankerStatus, after: RerankerStatus) -> list[Transition]:
    """Return the Events of a change: one for each condition that turned, or fails for another reason.

    A first status tells only of trouble: that a new Reranker is not ready yet is no news.
    """
    found = []
    old = {condition.type: condition for condition in before.conditions}
    for condition in after.conditions:
        kind = ConditionType(condition.type)
        known = old.get(condition.type)
        if kind in _QUIET or condition.status == "Unknown":
            continue
        good = (condition.status == "True") != (kind in _GOOD_WHEN_FALSE)
        turned = known is not None and known.status not in (condition.status, "Unknown")
        if kind is ConditionType.READY and known and (known.status, condition.status) == ("Unknown", "True"):
            turned = True  # a change is fully out
        trouble = not good and condition.reason not in _ON_THE_WAY
        new_trouble = trouble and (known is None or known.reason != condition.reason)
        if kind is ConditionType.READY and not turned:
            continue  # its reason is another condition's, which has its own Event
        if turned or new_trouble:
            found.append(
                Transition(
                    type="Normal" if good or not trouble else "Warning",
                    reason=condition.reason,
                    message=f"{condition.type}={condition.status}: {condition.message}",
                    action=condition.type,
                )
            )
    return found


def event_body(body: Mapping[str, Any], transition: Transition, now: datetime) -> dict[str, Any]:
    """Return the Event, as `kubectl describe` shows it."""
    metadata = body["metadata"]
    moment = timestamp(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": transition.type,
        "reason": transition.reason,
        "action": transition.action,
        "message": transition.message[:_MESSAGE_LENGTH],
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": MANAGER,
    }
