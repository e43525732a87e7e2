"""How a command ends: a line for people, JSON for the operator, an exit code for both."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from podium.errors import StartError

LIMIT = 4096
"""Bytes that Kubernetes keeps of a termination log."""

_KUBERNETES = Path("/dev/termination-log")


class Outcome(msgspec.Struct, frozen=True, rename="camel"):
    """What the termination log says; `reason` is null after success."""

    reason: str | None
    message: str
    http_status: int | None = None
    bytes: int | None = None
    resolved_revision: str | None = None


@contextmanager
def ends_by_reason(log: Path | None) -> Iterator[None]:
    """End the process with the exit code of a StartError, its line on stderr and its JSON in the log."""
    try:
        yield
    except StartError as error:
        leave(log, Outcome(error.reason, error.message, error.http_status, error.bytes))
        click.echo(f"podium: {error.reason}: {error.message}", err=True)
        raise SystemExit(error.exit_code) from None


def leave(log: Path | None, outcome: Outcome) -> None:
    """Write the outcome into the log; None takes Kubernetes' own where there is one."""
    path = log or (_KUBERNETES if os.access(_KUBERNETES, os.W_OK) else None)
    if path is None:
        return
    try:
        path.write_bytes(encode(outcome))
    except OSError as error:  # the outcome itself matters more than its record
        click.echo(f"podium: cannot write the termination log {path}: {error.strerror}", err=True)


def encode(outcome: Outcome) -> bytes:
    """Return the JSON, its message cut so that all fits into LIMIT bytes."""
    encoded = msgspec.json.encode(outcome)
    while len(encoded) > LIMIT:
        shorter = outcome.message[: len(outcome.message) * 3 // 4]
        outcome = msgspec.structs.replace(outcome, message=shorter)
        encoded = msgspec.json.encode(outcome)
    return encoded
