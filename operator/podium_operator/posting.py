"""The body of an Event about a Reranker."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from podium_operator.api import API_VERSION, KIND, MANAGER
from podium_operator.status import Transition, timestamp

_MESSAGE_LENGTH = 1024


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
