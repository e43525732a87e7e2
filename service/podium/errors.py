"""Every failure that Podium names, and nothing about HTTP.

PodiumError
├── RequestError             the caller can mend it
│   ├── MalformedBody        not JSON, not UTF-8, nested too deep
│   ├── InvalidRequest       a field of the wrong type or value
│   │   ├── EmptyDocuments     no document at all
│   │   └── UnsupportedMedia   an image, a sound or a video
│   ├── PairTooLong          a pair does not fit and the caller forbade cutting it
│   │   ├── TextTooLong        a text of it has more characters than are ever read
│   │   └── TooManyWindows     its document does not fit in as many windows as are read
│   ├── BodyTooLarge         more bytes than `max_body_bytes`
│   ├── BodyTimeout          headers or body did not arrive in `body_timeout_s`
│   ├── UnsupportedEncoding  a Content-Encoding that we cannot read
│   ├── Unauthorized         no key, or one that we do not know
│   ├── NotFound             no such path
│   └── MethodNotAllowed     the path exists, the method does not
├── Overloaded               the queue is full; try again in `retry_after_s`
├── Unavailable              starting or shutting down; try again in `retry_after_s`
├── DeadlineExceeded         the request ran out of its time
├── ModelFailed              the model raised, or gave a score that is not a number
├── OutOfMemory              a batch did not fit the device; the engine splits it once
└── StartError               the process cannot serve: a `Reason` and an exit code
    ├── PermanentStartError  exit 42: trying again changes nothing
    └── TemporaryStartError  exit 75: trying again may help

Messages are shown to callers as they are: they name the field, the value and the way out, and no internals.
Which status and body a caller gets is decided once, in `dialects`.
"""

import enum
import math

MAX_RETRY_AFTER_S = 60
"""What callers are told to wait at most: an estimate of more is none, and clients obey it to the letter."""


class PodiumError(Exception):
    """Root of the tree above."""

    @property
    def message(self) -> str:
        """The sentence that the caller reads."""
        return str(self.args[0]) if self.args else type(self).__name__


class RequestError(PodiumError):
    """The caller can mend it."""


class MalformedBody(RequestError):
    """The body is not JSON, not UTF-8, or nested too deep."""


class InvalidRequest(RequestError):
    """A field has the wrong type or value; `field` is its name where one is at fault."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class EmptyDocuments(InvalidRequest):
    """The list of documents is empty; some vendors answer this one by its own status."""


class UnsupportedMedia(InvalidRequest):
    """An image, a sound or a video where an API could carry one; only texts are read."""


class PairTooLong(RequestError):
    """Document `index` and its query need `tokens` or more where `limit` fit, and may not be cut."""

    def __init__(self, index: int, tokens: int, limit: int) -> None:
        super().__init__(
            f"document {index} and the query need at least {tokens} tokens, the limit is {limit}; "
            "shorten the document or allow truncation"
        )
        self.index, self.tokens, self.limit = index, tokens, limit


class TextTooLong(PairTooLong):
    """Document `index` or its query has more than `limit` characters, and cutting was forbidden."""

    def __init__(self, index: int, limit: int) -> None:
        RequestError.__init__(
            self,
            f"document {index} or the query has more than {limit} characters, of which no more are read; "
            "shorten it or allow truncation",
        )
        self.index, self.tokens, self.limit = index, 0, limit


class TooManyWindows(PairTooLong):
    """Document `index` does not fit in `windows` windows of `limit` tokens, and cutting was forbidden."""

    def __init__(self, index: int, tokens: int, limit: int, windows: int, characters: int) -> None:
        RequestError.__init__(
            self,
            f"document {index} and the query need more than {windows} windows of {limit} tokens, or more "
            f"than {characters} characters, of which no more are read; shorten the document, raise the "
            "number of chunks or allow truncation",
        )
        self.index, self.tokens, self.limit = index, tokens, limit


class BodyTooLarge(RequestError):
    """The body is larger than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than max_body_bytes ({limit}); send fewer documents a request")
        self.limit = limit


class BodyTimeout(RequestError):
    """Headers or body did not arrive within `limit_s` seconds."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"the request did not arrive whole within body_timeout_s ({limit_s:g} s)")


class UnsupportedEncoding(RequestError):
    """The Content-Encoding is none that we read."""


class Unauthorized(RequestError):
    """No API key, or one that is not known."""

    def __init__(self) -> None:
        super().__init__("invalid API key: send one of the configured keys as `Authorization: Bearer <key>`")


class NotFound(RequestError):
    """No such path."""


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""


class _Retryable(PodiumError):
    """`retry_after_s`: whole seconds, 1 to MAX_RETRY_AFTER_S."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = math.ceil(min(max(1, retry_after_s), MAX_RETRY_AFTER_S))


class Overloaded(_Retryable):
    """The queue is full. The request was refused whole, before any work."""


class Unavailable(_Retryable):
    """The server is starting, shutting down, or its device is stuck."""


class DeadlineExceeded(PodiumError):
    """The request was not finished within `limit_s` seconds."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(
            f"the request was not finished within request_timeout_s ({limit_s:g} s); send fewer documents"
        )


class ModelFailed(PodiumError):
    """The model raised, or gave a score that is not a number; the cause is in the log, not here."""


class OutOfMemory(ModelFailed):
    """A batch did not fit into the device's memory."""


def is_failure(error: BaseException) -> bool:
    """Whether code failed: an Exception, or the panic of a library in Rust, which is none."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


class Reason(enum.StrEnum):
    """Why a download or a start failed; the operator copies these words into conditions."""

    UNAUTHORIZED = "Unauthorized"
    GATED_MODEL = "GatedModel"
    MODEL_NOT_FOUND = "ModelNotFound"
    RATE_LIMITED = "RateLimited"
    TLS_FAILURE = "TLSFailure"
    PROXY_FAILURE = "ProxyFailure"
    HUB_UNAVAILABLE = "HubUnavailable"
    NO_SPACE = "NoSpace"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    SELF_TEST_FAILED = "SelfTestFailed"


class StartError(PodiumError):
    """The process cannot do its work: `reason`, and `http_status` and `bytes` where they are known."""

    exit_code: int

    def __init__(
        self, reason: Reason, message: str, *, http_status: int | None = None, bytes: int | None = None
    ) -> None:
        super().__init__(message)
        self.reason, self.http_status, self.bytes = reason, http_status, bytes


class PermanentStartError(StartError):
    """Trying again changes nothing until someone mends the cause."""

    exit_code = 42


class TemporaryStartError(StartError):
    """Trying again may help (EX_TEMPFAIL of sysexits.h)."""

    exit_code = 75
