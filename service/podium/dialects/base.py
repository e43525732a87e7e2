"""What a dialect is, how a body is read, and the status and body of a failure whose dialect is not known."""

import codecs
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import msgspec

from podium import errors
from podium.dialects.scanning import mend_surrogates
from podium.ranking import Ranking, RankRequest

T = TypeVar("T")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer tells about the server and the call."""

    model: str
    """The served name, for APIs whose requests name no model."""
    request_id: str
    created: int
    """Unix seconds."""
    document: Literal["request", "object", "string"] = "request"
    """The setting `document`; "request" on the paths that it does not govern (`table.TEXT_PATHS`)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dialect:
    """One API: how its request is read, its answer written and its failures told."""

    name: str
    """Label of metrics and logs."""
    title: str
    """What readers of the documentation know it as."""
    body: type[msgspec.Struct]
    """The request on the wire; unknown keys are ignored."""
    answer: Any
    """Type of the answer on the wire, for the OpenAPI document."""
    parse: Callable[[Any], RankRequest]
    """`body` → what to rank. Checks every field, also those that only `respond` reads.

    Raises InvalidRequest.
    """
    respond: Callable[[Any, Ranking, Context], Any]
    """`body` and its ranking → the answer, ready for JSON."""
    fail: Callable[[Exception], tuple[int, Any]]
    """A failure → status and body, ready for JSON. What is no PodiumError shows none of its text."""
    failure: Any
    """Type of that body, for the OpenAPI document."""
    example: Any
    """A request that works, for the OpenAPI document and the tests."""
    repeats_texts: Callable[[Any, Context], bool] = lambda body, context: False
    """Whether `respond` reads the texts of `body`, which else lacks them: they are let go meanwhile."""
    ignored: tuple[str, ...] = ()
    """Fields that the vendor knows and that change nothing here; any other unknown field is ignored too."""


def let_go(body: msgspec.Struct) -> None:
    """Take the texts out of a body that was read: lists, objects, long strings, but for the model's name."""
    for field in body.__struct_fields__:
        value = getattr(body, field)
        if isinstance(value, msgspec.Struct):
            let_go(value)
        elif isinstance(value, list):
            setattr(body, field, [])
        elif isinstance(value, dict):
            setattr(body, field, {})
        elif isinstance(value, str) and len(value) > _LONG and field != "model":
            setattr(body, field, "")


_LONG = 1024
"""Characters; shorter ones, such as flags, are kept."""


def decode(kind: type[T], raw: bytes) -> T:
    """Read a JSON body, or a part of one, as `kind`; a byte order mark before it is passed over.

    A lone surrogate (`\\ud83d` without its other half: JavaScript that cuts a text inside an emoji sends
    these) is read as U+FFFD, as browsers do; JSON allows it, Unicode text does not.

    Raises MalformedBody where it is not JSON, and InvalidRequest, naming the field, where a type is wrong.
    """
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return _decode(kind, raw)
    except errors.MalformedBody:
        mended = mend_surrogates(raw)
        if mended is raw:
            raise
        return _decode(kind, mended)


def _decode(kind: type[T], raw: bytes | bytearray) -> T:
    try:
        decoder: msgspec.json.Decoder[T] = _decoder(kind)
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except msgspec.DecodeError as error:
        raise errors.MalformedBody(f"the body is not JSON: {error}") from None
    except UnicodeDecodeError:
        raise errors.MalformedBody("the body is not UTF-8; encode it as UTF-8") from None
    except RecursionError:
        raise too_deep() from None


def too_deep() -> errors.MalformedBody:
    """Return what is wrong with a body that is nested so deep that it cannot be read, or not be written."""
    return errors.MalformedBody("the body is nested too deep; send objects of a few levels")


_decoder: Callable[[Any], msgspec.json.Decoder[Any]] = functools.cache(msgspec.json.Decoder)

_AT = " - at `$"
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def _invalid(message: str) -> errors.InvalidRequest:
    """Turn msgspec's "Expected `str`, got `int` - at `$.documents[1]`" into our sentence."""
    # The last one: what is quoted of the caller's stands before it.
    text, _, path = message.rpartition(_AT) if _AT in message else (message, "", "")
    path = path.strip("`.")
    field = re.match(r"[^.\[]*", path)
    name = field.group() if field and field.group() else None
    subject = f"`{path}`" if path else "the body"
    if found := _EXPECTED.fullmatch(text):
        wanted = " or ".join(_WORDS.get(word, word) for word in found["wanted"].split(" | "))
        got = _WORDS.get(found["got"], found["got"])
        return errors.InvalidRequest(f"{subject} must be of type {wanted}, not {got}", name)
    if found := _MISSING.fullmatch(text):
        missing = f"{path}.{found['field']}" if path else found["field"]
        return errors.InvalidRequest(f"`{missing}` is missing; send it", name or found["field"])
    # A wrong word is quoted whole, however long it is.
    return errors.InvalidRequest(f"{subject} is not accepted: {text[:1].lower()}{text[1:160]}", name)


STATUS: Mapping[type[Exception], int] = MappingProxyType(
    {
        errors.RequestError: 400,
        errors.UnsupportedMedia: 422,
        errors.Unauthorized: 401,
        errors.NotFound: 404,
        errors.MethodNotAllowed: 405,
        errors.BodyTimeout: 408,
        errors.BodyTooLarge: 413,
        errors.UnsupportedEncoding: 415,
        errors.Overloaded: 429,
        errors.Unavailable: 503,
        errors.DeadlineExceeded: 504,
        Exception: 500,
    }
)
"""Status of each failure; the nearest ancestor counts. A dialect names only where its vendor differs."""

Statuses = Mapping[type[Exception], int]
NO_STATUSES: Statuses = MappingProxyType({})


def status(error: Exception, own: Statuses = NO_STATUSES) -> int:
    """Return the HTTP status of a failure, the dialect's `own` first."""
    return next(table[kind] for kind in type(error).__mro__ for table in (own, STATUS) if kind in table)


def sentence(error: Exception) -> str:
    """Return what the caller may read of a failure."""
    if isinstance(error, errors.PodiumError):
        return error.message
    return "internal error; the log of the service has its cause under this request's id"


class ErrorDetail(msgspec.Struct, frozen=True):
    """OpenAI's error object, which vLLM and Infinity send."""

    message: str
    type: str
    param: str | None
    code: int


class ErrorBody(msgspec.Struct, frozen=True):
    """The failure as every client of the documents APIs finds it.

    Cohere's read `message`; Jina's, Voyage's and LangChain's read `detail`, and crash where it is no
    string; OpenAI's, vLLM's and Infinity's read `error.message`.
    """

    message: str
    detail: str
    error: ErrorDetail


def superset(error: Exception, own: Statuses = NO_STATUSES) -> tuple[int, ErrorBody]:
    """Return status and body of a failure for callers whose dialect is not known, or is a documents API."""
    code = status(error, own)
    text = sentence(error)
    field = error.field if isinstance(error, errors.InvalidRequest) else None
    return code, ErrorBody(text, text, ErrorDetail(text, _KINDS.get(code, "server_error"), field, code))


_KINDS = {
    **dict.fromkeys((400, 405, 408, 413, 415, 422), "invalid_request_error"),
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
