"""What a pod says about itself, as one reason and one sentence."""

import re
from datetime import datetime
from typing import Annotated

import msgspec

from podium_operator.resource.status import ServiceReason
from podium_operator.seen.observed import Body, condition

_MESSAGE_LENGTH = 400
_IMAGE = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
_KILLED_BY_PROBE = (0, 137, 143)
"""Exit codes of a process that was told to end, or killed."""


class Cause(msgspec.Struct, frozen=True):
    """Why something is not as it should be; `time` is when it happened where that is known."""

    reason: str
    message: str
    time: str = ""


class Termination(msgspec.Struct, frozen=True, rename="camel"):
    """What `podium fetch` and `podium serve` leave in the termination log; every field may be missing."""

    reason: str | None = None
    message: str = ""
    http_status: int | None = None
    bytes: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    resolved_revision: str | None = None


def termination(state: Body) -> Termination | None:
    """Return the service's own words about a container's end, or None where it left none.

    The text comes from inside the pod: what is not the expected JSON is not believed.
    """
    text = state.get("terminated", {}).get("message", "")
    for line in reversed(text.strip().splitlines()):
        if line.startswith("{"):
            try:
                return msgspec.json.decode(line, type=Termination)
            except (msgspec.MsgspecError, RecursionError):
                return None
    return None


def pod_cause(pod: Body, *, startup_s: int | None = None) -> Cause | None:
    """Return why a pod's container does not run; None where it runs or was not tried yet.

    `startup_s`: seconds that the container may take to start, to tell a slow start from a crash.
    """
    name, status = pod["metadata"]["name"], pod.get("status", {})
    if status.get("reason") == "Evicted":
        return Cause("Evicted", f"pod {name} was evicted: {clean(status.get('message', ''))}")
    if status.get("reason") == "Preempting" or _preempted(pod):
        return Cause("Preempted", f"pod {name} gave way to one of higher priority")
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        found = _container_cause(name, container, startup_s)
        if found:
            return found
    return None


def _preempted(pod: Body) -> bool:
    target = condition(pod, "DisruptionTarget")
    return target is not None and target.get("reason") == "PreemptionByScheduler"


def _container_cause(pod: str, container: Body, startup_s: int | None) -> Cause | None:
    state, last = container.get("state", {}), container.get("lastState", {})
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), clean(waiting.get("message", ""))
    if reason in _IMAGE:
        return Cause("ImagePullFailed", f"pod {pod} cannot get image {container['image']}: {message}")
    if reason in ("CreateContainerConfigError", "CreateContainerError"):
        missing = "SecretNotFound" if "secret" in message.lower() else reason
        return Cause(missing, f"pod {pod}: {message}")
    if "terminated" in state and (
        state["terminated"].get("exitCode") != 0 or container.get("restartCount", 0) > 0
    ):
        return _end_cause(pod, container, state, startup_s)
    if "terminated" in last and not container.get("ready", False):
        return _end_cause(pod, container, last, startup_s)
    return None


def _end_cause(pod: str, container: Body, state: Body, startup_s: int | None) -> Cause:
    """Say why a container ended: the kernel, the service's own words, the clock, or just an exit code."""
    end = state["terminated"]
    code, time = end.get("exitCode", 0), end.get("finishedAt", "")
    tries = container.get("restartCount", 0)
    if end.get("reason") == "OOMKilled":
        return Cause("OOMKilled", f"pod {pod} was killed for its memory (restarts: {tries})", time)
    words = termination(state)
    if words and words.reason in list(ServiceReason):
        return Cause(str(words.reason), f"pod {pod}: {clean(words.message)} (exit code {code})", time)
    if startup_s and code in _KILLED_BY_PROBE and _ran_s(end) >= startup_s - 10:
        return Cause(
            "StartupTimeout", f"pod {pod} was not ready within {startup_s} s and was restarted", time
        )
    last_line = clean((end.get("message", "").strip().splitlines() or [""])[-1])
    said = f": {last_line}" if last_line else ""
    return Cause("CrashLoopBackOff", f"pod {pod} ended with exit code {code} (restarts: {tries}){said}", time)


def _ran_s(end: Body) -> float:
    try:
        started, finished = (datetime.fromisoformat(end[key]) for key in ("startedAt", "finishedAt"))
    except (KeyError, ValueError):
        return 0.0
    return (finished - started).total_seconds()


def lost_node(pod: Body) -> str | None:
    """Return the node of a pod that stopped reporting: its containers were ready, the pod is not."""
    containers = pod.get("status", {}).get("containerStatuses", ())
    ready = condition(pod, "Ready")
    if not containers or not all(container.get("ready") for container in containers):
        return None
    if (
        ready is None
        or ready["status"] == "True"
        or ready.get("reason") in ("ContainersNotReady", "PodCompleted")
    ):
        return None
    node = pod.get("spec", {}).get("nodeName")
    return str(node) if node else None


def clean(text: str) -> str:
    """Return text from inside a pod as one short line of printable characters."""
    line = " ".join(re.sub(r"[^\x20-\x7e\u00a0-\uffff]", " ", text).split())
    return line if len(line) <= _MESSAGE_LENGTH else line[: _MESSAGE_LENGTH - 1] + "…"
