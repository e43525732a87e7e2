"""What a dialect is, and the parts that all of them are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from podium import errors
from podium.errors import PodiumError
from podium.ranking import Ranking, RankRequest

Body = TypeVar("Body", bound=msgspec.Struct)


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer tells about the server and the call."""

    model: str
    """The served name, for APIs whose requests name no model."""
    request_id: str
    created: int
    """Unix seconds."""
    document: Literal["request", "object", "string"] = "request"
    """The setting `document`."""


@dataclass(frozen=True)
class Dialect:
    """One API: how its request is read, its answer written and its failures told."""

    name: str
    """Label of metrics and logs, and the file's name."""
    title: str
    """What readers of the documentation know it as."""
    body: type[msgspec.Struct]
    """The request on the wire; unknown keys are ignored."""
    answer: Any
    """Type of the answer on the wire, for the OpenAPI document."""
    parse: Callable[[Any], RankRequest]
    """`body` → what to rank. Raises InvalidRequest."""
    respond: Callable[[Any, Ranking, Context], Any]
    """`body` and its ranking → the answer, ready for JSON."""
    fail: Callable[[PodiumError], tuple[int, Any]]
    """A failure → status and body, ready for JSON."""
    example: Any
    """A request that works, for the OpenAPI document and the tests."""
